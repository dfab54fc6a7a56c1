"""The text of a recipe: YAML 1.2's core schema, places, and text that means harm."""

import math
import time
from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import describe_value
from nstflow.recipe import yaml as parsing
from nstflow.recipe.paths import MAX_DEPTH
from nstflow.recipe.source import MAX_BYTES, read_source
from nstflow.recipe.yaml import parse_yaml
from refusals import refused


def data_of(text: str) -> Any:
    return parse_yaml(text, "r.yaml")[0]


NUMBERS = dict(
    zip(
        "1e-4 1E4 1. .5 -.5e+1 12 +12 -0 007 0o17 0xff .inf -.INF".split(),
        [1e-4, 1e4, 1.0, 0.5, -5.0, 12, 12, 0, 7, 15, 255, math.inf, -math.inf],
        strict=True,
    )
)
OTHERS = {"true": True, "False": False, "TRUE": True} | dict.fromkeys("~ null Null NULL".split())
OF_YAML_1_1 = "on yes No off y tRue 1_000 1:30 0b11 017_0 2001-12-14 = . 1e nan".split()
QUOTED = {"'1e-4'": "1e-4", '"true"': "true", "'~'": "~", "''": "", "!!str 5": "5", "": None}
SCALARS = NUMBERS | OTHERS | {text: text for text in OF_YAML_1_1} | QUOTED | {"!!float 5": 5.0}


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    got = data_of(f"key: {text}")["key"]
    assert (type(got), got) == (type(value), value)


def test_nan_is_a_number() -> None:
    assert math.isnan(data_of("key: .nan")["key"])
    assert math.isnan(data_of("key: .NaN")["key"])


def test_keys_are_texts() -> None:
    assert data_of("{1: a, true: b, ~: c, 1e3: d}") == {"1": "a", "true": "b", "~": "c", "1e3": "d"}


def test_aliases_are_expanded() -> None:
    assert data_of("a: &x [1, 2]\nb: *x\nc: {d: *x}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


TEXT = """\
# a comment
name: x

losses:
    style:
        use: gram
        layers: [block1_conv1,
                 nope]
preprocess:
  - {use: resize,   longest_side: 64}
  -   use: crop
"""


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        (("name",), "2:1", "2:7"),
        (("losses",), "4:1", "5:5"),
        (("losses", "style"), "5:5", "6:9"),
        (("losses", "style", "use"), "6:9", "6:14"),
        (("losses", "style", "layers"), "7:9", "7:17"),
        (("losses", "style", "layers", 0), "7:18", "7:18"),
        (("losses", "style", "layers", 1), "8:18", "8:18"),
        (("preprocess", 0), "10:5", "10:5"),
        (("preprocess", 0, "longest_side"), "10:21", "10:35"),
        (("preprocess", 1, "use"), "11:7", "11:12"),
    ],
)
def test_every_key_and_value_has_its_place(
    tmp_path: Path, keys: tuple[str | int, ...], key: str, value: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(TEXT)
    source = read_source(path)
    assert str(source.position(keys, key=True)) == f"{path}:{key}"
    assert str(source.position(keys)) == f"{path}:{value}"


def test_what_is_not_written_has_the_place_of_its_parents_key(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(TEXT)
    source = read_source(path)
    assert str(source.position(("losses", "style", "image"))) == f"{path}:5:5"
    assert str(source.position(("losses", "content", "image"))) == f"{path}:4:1"
    assert str(source.position(("preprocess", 1, "aspect"))) == f"{path}:11:7"
    assert (
        str(source.position(("optimizer", "learning_rate"))) == f"{path}:2:1"
    )  # the recipe itself


def test_lines_count_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes("\ufeffname: x\r\nsummary: größer 🙂 ×\r\nseed: 1\r\n".encode())
    source = read_source(path)
    assert source.data == {"name": "x", "summary": "größer 🙂 ×", "seed": 1}
    assert str(source.position(("name",))) == f"{path}:1:7"
    assert str(source.position(("seed",), key=True)) == f"{path}:3:1"


def test_text_is_kept_as_written(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    written = "\ufeff# ä\r\nname: x   \r\n\r\n"
    path.write_bytes(written.encode())
    assert read_source(path).text == written


@pytest.mark.parametrize(
    ("text", "place", "what", "words"),
    [
        ("name: x\nlosses:\n  a: {weight: 1}\n  b: 2\n  a: 3\n", "5:3", "losses.a", "line 3"),
        ("a: {b: 1, b: 2}", "1:11", "a.b", "repeated"),
        ("- {x: 1}\n- {x: 1, 'x': 2}", "2:10", "1.x", "repeated"),
        ("1: a\n'1': b", "2:1", "1", "repeated"),
        ("name: x\n\timages: 3\n", "2:1", "", "spaces, never with tabs"),
        ("images:\n  a:\n\t- b\n", "3:1", "", "spaces, never with tabs"),
        ("a: 1\nb: [2, *nowhere]\n", "2:8", "", "nowhere"),
        ("a: 1\nb: [2, 3\nc: 4\n", "3:2", "", "not valid YAML"),
        ("name: x\n---\nname: y\n", "2:1", "", "document"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "3:3", "b", "merge"),
        ("? [a, b]\n: c\n", "1:3", "", "a key must be a word"),
        ("a: !!int abc", "1:4", "a", ""),
        ("a: !!float abc", "1:4", "a", ""),
        ("a: !!bool 5", "1:4", "a", ""),
        ("a: !!int 1.5", "1:4", "a", ""),
        ("a: !%1b[31m b", "1:4", "a", r"!\x1b[31m is not allowed"),
        ('summary: "half \\ud800"', "1:10", "summary", "surrogate"),
        ('images: {"\\udc80": a.png}', "1:10", "images", "surrogate"),
        (f"seed: {'9' * 10_000}", "1:7", "seed", "10000 digits"),
        (f"seed: 0x{'f' * 20_000}", "1:7", "seed", "20002 digits"),
        (f"seed: 0o{'7' * 101}", "1:7", "seed", "103 digits"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_refused(text: str, place: str, what: str, words: str) -> None:
    problem = refused(parse_yaml, text, "r.yaml")
    assert (problem.where, problem.what) == (f"r.yaml:{place}", what)
    assert words in f"{problem.got} {problem.hint}"
    assert len(problem.got) < 200


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system ['touch {marker}']",
        "!!python/object/new:os.system ['touch {marker}']",
        "!!python/object:os.system {{x: 1}}",
        "!!python/name:os.system ''",
        "!!python/none",
        "!!binary aGVsbG8=",
        "!!timestamp 2001-12-14",
        "!!set {{a, b}}",
        "!!omap [a: 1]",
        "!mine {{a: 1}}",
        "!mine [1]",
        "!mine x",
        "!!int {{a: 1}}",
    ],
)
def test_tags_are_refused(tagged: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    problem = refused(parse_yaml, f"name: x\nimages: {tagged.format(marker=marker)}\n", "r.yaml")
    assert problem.where == "r.yaml:2:9"
    assert problem.what == "images"
    assert "tag" in problem.got
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ('name: x\nsummary: "red \\e[31m"\n', "2:10", "U+001B"),
        ('name: x\nsummary: "\\x9b2J"\n', "2:10", "U+009B"),
        ('name: x\nimages: {content: "a\\0b"}\n', "2:19", "U+0000"),
        ('name: x\nseed: !!int "\\a"\n', "2:7", "U+0007"),
        ('name: x\nsummary: [a, "\\x7f"]\n', "2:14", "U+007F"),
        ('name: x\n"\\r": 1\n', "2:1", "U+000D"),
        ('name: x\nlosses:\n  a: 1\n  "\\N": 2\n', "4:3", "U+0085"),
    ],
)
def test_escaped_control_characters_have_no_place_in_a_recipe(
    tmp_path: Path, text: str, place: str, code: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    problem = refused(read_source, path)
    assert problem.where == f"{path}:{place}"
    assert f"has the control character {code}, which no recipe needs" in problem.got
    assert str(problem).isascii()
    assert str(problem).replace("\n", "").isprintable()


def test_tabs_and_ends_of_lines_are_text(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text('summary: "a\\tb\\nc"\nmore: |\n  a\tb\n  c\n')
    assert read_source(path).data == {"summary": "a\tb\nc", "more": "a\tb\nc\n"}


@pytest.mark.parametrize("part", ["a,", "[],", "{a: b},", "a: b,"])
def test_many_values_are_refused_soon(part: str) -> None:
    start = time.process_time()
    problem = refused(parse_yaml, f"a: [{part * ((MAX_BYTES - 5) // len(part))}]", "r.yaml")
    assert time.process_time() - start < 8
    assert "too many values" in problem.got


def test_billion_laughs_end_soon() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    start = time.process_time()
    problem = refused(parse_yaml, "\n".join(lines), "r.yaml")
    assert time.process_time() - start < 2
    assert "too many values" in problem.got


def test_wide_recipe_is_refused_where_it_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "MAX_NODES", 50)
    assert len(data_of(f"[{'1,' * 48}1]")) == 49
    problem = refused(parse_yaml, f"a:\n  [{'1,' * 48}1]", "r.yaml")
    assert "too many values" in problem.got
    assert problem.where == f"r.yaml:2:{4 + 2 * 48}"


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "&a [[*a, 1], *a]"])
def test_recursive_anchor_ends(text: str) -> None:
    assert "nested too deeply" in refused(parse_yaml, text, "r.yaml").got


def test_depth_is_limited() -> None:
    at_limit = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    assert data_of(at_limit)
    assert "nested too deeply" in refused(parse_yaml, f"[{at_limit}]", "r.yaml").got
    assert "nested too deeply" in refused(parse_yaml, "[" * 600, "r.yaml").got
    assert "nested too deeply" in refused(parse_yaml, "{a: " * 600, "r.yaml").got


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "~\n"])
def test_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    problem = refused(read_source, tmp_path / "r.yaml")
    assert problem.where == str(tmp_path / "r.yaml")
    assert "empty" in problem.got
    assert "name, images and losses" in problem.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello\n", "but this is the text 'hello'."),
        (b"- a\n- b\n", "but this is a list."),
        (b"5\n", "but this is 5."),
        (b"true", "but this is true."),
        (b"\x89PNG\r\n\x1a\n\0\0", "not text in UTF-8"),
        (bytes(range(128, 256)), "not text in UTF-8"),
        ("name: x".encode("utf-16"), "not text in UTF-8, but in UTF-16. Save it as UTF-8."),
        ("name: x".encode("utf-16-le"), "not text in UTF-8, but in UTF-16. Save it as UTF-8."),
        (b"\0\0\0\x18ftypheic\xff", "not text in UTF-8 (byte 12). Save it as UTF-8."),
        ("name: x".encode("utf-16-be"), "not text in UTF-8, but in UTF-16. Save it as UTF-8."),
        ("# ä\nname: x".encode("cp1252"), "(byte 2). Save it as UTF-8."),
        (b"name: \xff", "not text in UTF-8"),
        (b"name: x\n\0\0\0", "allows"),
        (b"name: \x1b[31m", "allows"),
    ],
)
def test_file_that_is_not_a_recipe(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    problem = refused(read_source, tmp_path / "r.yaml")
    assert words in f"{problem.got} {problem.hint}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.yaml", "no such file"),
        ("fiel", "there is no such file. Did you mean 'file'?"),
        ("x" * 400, "can't be read"),
        ("a\0b", "can't be read"),
        ("file/recipe.yaml", "can't be read"),
        (".", "this is a folder. Name one recipe file in it."),
        ("/dev/zero", "not a regular file"),  # it never ends
    ],
)
def test_file_that_can_not_be_read(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("x")
    problem = refused(read_source, tmp_path / name)
    assert words in f"{problem.got} {problem.hint}"


def test_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("name: x\n" + "#\n" * 100_000)
    assert read_source(path).data == {"name": "x"}
    path.write_text("name: x\n" + "#" * (MAX_BYTES - 7))
    assert "larger than 256 KiB" in refused(read_source, path).got


def test_describe_value() -> None:
    assert describe_value("x" * 80) == "a text of 80 letters"
    assert describe_value(10**50) == "a number of 51 digits"
    described = [describe_value(value) for value in (None, True, {}, [], {1: 2}, 2.5)]
    assert ", ".join(described) == "nothing, true, an empty mapping, an empty list, a mapping, 2.5"
