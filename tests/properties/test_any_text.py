"""Any text for a recipe: it is planned, or refused in words; nothing crashes, nothing hangs."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as some

pytestmark = pytest.mark.fuzz


RECIPE = Path(__file__).with_name("everything.yaml").read_text(encoding="utf-8")
LINES = RECIPE.splitlines(keepends=True)
LARGEST = 1 << 18  # bytes that a recipe may have

WORDS = sorted(set(RECIPE.replace("{", " ").replace(",", " ").split()))
SIGNS = list("{}[],:#!~'\"\t\n\r\u2028\x85\ufeff")
SIGNS += [": ", "- ", "? ", "| ", "> ", "&a ", "*a", "<<: ", "[a]: ", "{a: b}: ", "? [a]\n: b\n"]
SIGNS += ["!!str ", "!!int ", "!!python/name:os.system ", "!%1b[31m ", "%YAML 1.1\n", "---", "|-\n"]
SIGNS += [">+2\n", "\n...\n", "\n  ", '"\\e[31m"', '"\\ud83d"', '"\\x9b"', '"\\0"', ".nan", "-.inf"]
SIGNS += ["1e999", "0x" + "f" * 99, "9" * 120, "-0"]

texts = some.text(max_size=300)
fragments = some.lists(
    some.one_of(some.sampled_from(SIGNS), some.sampled_from(WORDS), some.sampled_from(LINES)),
    max_size=60,
).map("".join)


def mapping(items: list[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in items)}}}"


keys = some.one_of(some.sampled_from(WORDS), some.text(max_size=6).map(ascii), fragments)
scalars = some.one_of(
    some.sampled_from(WORDS),
    some.sampled_from(SIGNS),
    some.integers().map(str),
    some.floats().map(str),
    some.text(max_size=20).map(ascii),
    some.sampled_from(["*a", "*b", "*c"]),
)
positions = some.sampled_from(
    ["", "", "", "&a ", "&b ", "&c ", "!!map ", "!!seq ", "!!float ", "!x "]
)
trees = some.recursive(
    scalars,
    lambda inner: some.tuples(
        positions,
        some.one_of(
            some.lists(inner, max_size=5).map(lambda items: f"[{', '.join(items)}]"),
            some.lists(some.tuples(keys, inner), max_size=5).map(mapping),
        ),
    ).map("".join),
    max_leaves=25,
)
sections = [line.partition(":")[0] for line in LINES if line[0].isalpha()]
documents = some.lists(some.tuples(some.sampled_from(sections), trees), max_size=8).map(
    lambda items: "".join(f"{key}: {tree}\n" for key, tree in dict(items).items())
)


@some.composite
def repetitions(draw: Any) -> str:
    """Return a few fragments again and again, up to the size that a recipe may have."""
    head = draw(some.sampled_from(["", RECIPE, "a: ", "images:\n", "losses:\n", "a: ["]))
    part = "".join(
        draw(some.lists(some.sampled_from([*SIGNS, "%d", "  "]), min_size=1, max_size=4))
    )
    most = (LARGEST - len(head.encode())) // len(part.encode())
    count = draw(some.one_of(some.integers(1, most), some.just(most)))
    if "%d" not in part:
        return head + part * count
    return (head + "".join(part.replace("%d", str(i)) for i in range(count)))[:LARGEST]


@some.composite
def nested(draw: Any) -> str:
    """Return a value that is nested deeply, and others of which aliases make a great many."""
    key = draw(some.sampled_from(["more", "images", "losses", "plugins", "extractor"]))
    start, end = draw(some.sampled_from([("[", "]"), ("{a: ", "}"), ("- ", ""), ("[{a: ", "}]")]))
    depth = draw(some.integers(1, 400))
    ends = end * draw(some.sampled_from([depth, depth, depth + 1]))
    text = RECIPE.replace(f"\n{key}:", "\nother:") + f"{key}:\n  {start * depth}1{ends}\n"
    width = draw(some.integers(1, 9))
    for number in range(draw(some.integers(0, 12))):
        each = f"*a{number - 1}" if number else "a"
        text += f"a{number}: &a{number} [{', '.join([each] * width)}]\n"
    return text


@some.composite
def edits(draw: Any) -> str:
    """Return a whole recipe with lines deleted, doubled or exchanged, and letters changed."""
    lines = list(LINES)
    for _ in range(draw(some.integers(0, 3))):
        if not lines:
            break
        here, there = (draw(some.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(some.sampled_from(["delete", "double", "exchange", "move in", "cut"])):
            case "delete":
                del lines[here]
            case "double":
                lines.insert(there, lines[here])
            case "exchange":
                lines[here], lines[there] = lines[there], lines[here]
            case "move in":
                lines[here] = " " * draw(some.integers(1, 4)) + lines[here]
            case "cut":
                lines = lines[: here + 1]
    text = "".join(lines)
    for _ in range(draw(some.integers(0, 3))):
        here = draw(some.integers(0, len(text)))
        length = draw(some.integers(0, 3))
        put = draw(some.one_of(some.text(max_size=3), some.sampled_from(SIGNS)))
        text = text[:here] + put + text[here + length :]
    return text


@pytest.mark.parametrize("kind", ["bytes", "texts", "fragments", "trees", "documents"])
def test_any_text(kind: str, tried: Any, planned_or_refused: Any) -> None:
    kinds = {
        "bytes": some.binary(max_size=200),
        "texts": texts,
        "fragments": fragments,
        "trees": trees,
        "documents": some.builds(str.__add__, some.sampled_from(["", RECIPE]), documents),
    }
    assert tried(planned_or_refused, kinds[kind], 25)["refused"]


def test_a_few_words_again_and_again(tried: Any, planned_or_refused: Any) -> None:
    assert tried(planned_or_refused, repetitions(), 10)["refused"]


def test_a_nest_of_values(tried: Any, planned_or_refused: Any) -> None:
    assert tried(planned_or_refused, nested(), 15).keys() == {"refused"}


def test_edited_lines_and_letters(tried: Any, planned_or_refused: Any) -> None:
    outcomes = tried(planned_or_refused, edits(), 60)
    assert outcomes["planned"] > outcomes.total() // 20
    assert outcomes["refused"] > outcomes.total() // 20
