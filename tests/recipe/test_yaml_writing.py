"""From data to YAML that reads back as the same data."""

import math
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from nstflow.recipe.yaml import parse_yaml, to_yaml

SIMILAR = [  # texts that are something else where nothing is around them
    *("", " ", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"),
    *("on", "off", "On", "OFF", "yes", "no", "Yes", "NO", "y", "n", "Y", "N"),
    *("0", "1", "-1", "+1", "007", "1_000", "0o17", "0x1F", "0b101", "017", "60:30", "1:2"),
    *("1.", ".5", "-.5", "1.5", "1e4", "1e-4", "1E+4", "-1e-4", "1.e5", "+.5e1", "."),
    *(".inf", "-.inf", "+.inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", "inf", "nan"),
    *("2026-07-14", "2026-07-14 10:00:00", "=", "<<", "-", "?", ":", "|", ">", "%", "@", "`", "!"),
    *("&a", "*a", "!!str a", "# no remark", "a # no remark", "a: b", "a:", ": a", "- a", "[a]"),
    *("{a: b}", "'", '"', "'quoted'", '"quoted"', "it's", "a, b", "---", "...", "--- a", "% a"),
    *(" before", "after ", "\tbefore", "after\t", "C:\\images\\a.png", "~/a.png", "../a b.png"),
]
BREAKS = [
    *("\n", "a\n", "\na", "a\nb", "a\n\nb\n", "a\n  b", "  a\nb", "a \nb", "a\r\nb", "\r", "a\rb"),
    *("\x85", "a\x85b", "a\u2028b", "\u2028", "a\u2029b", "a\x0bb", "a\x0cb", "# a\n# b", "- a\n"),
]
STRANGE = [
    *("\0", "\x07", "\x1b[2J", "\x7f", "\x80", "\x9b2J", "\xa0", "a\xadb", "\ufeff", "\ufeffa"),
    *("größer", "猫.png", "e\u0301", "\u202eabc", "🐈", "\U0010ffff", "\ufffd", "\ufffe"),
    *("a" * 5000, "a b " * 1000, " " * 300, "ä " * 300, "a" * 200 + " " + "b" * 200, "\n" * 200),
]
NUMBERS = [
    *(0.0, -0.0, 1.0, -1.0, 0.1, 1e-4, 1e8, 3000.0, 1e16, 1e17, 1e22, 123456789.125, 2.0**53),
    *(5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e300, math.pi, 1 / 3, 1e-7),
    *(math.inf, -math.inf, 0, 1, -1, 2**31 - 1, 2**63, -(10**40), True, False, None),
]


def read(text: str) -> Any:
    return parse_yaml(text, "written")[0]


def same(first: Any, second: Any) -> bool:
    """Say whether data is equal to the type and the sign of zero."""
    return repr(first) == repr(second)


def comes_back(data: dict[str, Any]) -> bool:
    return same(read(to_yaml(data)), data)


@pytest.mark.parametrize("text", [*SIMILAR, *BREAKS, *STRANGE], ids=ascii)
def test_every_text_stays_a_text(text: str) -> None:
    assert comes_back({"key": text})
    assert comes_back({"key": {"inner": text, "list": [text, text]}})
    assert comes_back({"key": [{"inner": text}, [text], {"a": {"b": text}}]})


@pytest.mark.parametrize("key", [t for t in (*SIMILAR, *BREAKS, *STRANGE) if t != "<<"], ids=ascii)
def test_every_text_can_be_a_key(key: str) -> None:
    """But for `<<`, which no recipe can have."""
    assert comes_back({key: 1})
    assert comes_back({"a": {key: {key: key}}})


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_numbers_keep_every_bit_and_their_type(number: float | None) -> None:
    assert comes_back({"a": number, "b": [number], "c": {"d": number}})


def test_not_a_number() -> None:
    back = read(to_yaml({"a": math.nan}))["a"]
    assert isinstance(back, float)
    assert math.isnan(back)


@pytest.mark.parametrize(
    "data",
    [
        {"a": {}, "b": [], "c": None},
        {"a": [[], {}, [{}], [[]]]},
        {"a": [[1, 2], [3]], "b": {"c": [{"d": [1]}, {"e": {"f": []}}]}},
        {"a": [{"use": "png"}, {"use": "jpeg", "name": "small"}]},
        {"z": 1, "a": 2, "m": {"z": 1, "a": 2}},
    ],
    ids=str,
)
def test_empty_and_nested(data: dict[str, Any]) -> None:
    assert comes_back(data)


def test_what_is_the_same_object_twice_is_written_twice() -> None:
    layers = ["image"]
    text = to_yaml({"a": layers, "b": {"c": layers, "d": layers}})
    assert "&" not in text
    assert "*" not in text
    assert read(text) == {"a": ["image"], "b": {"c": ["image"], "d": ["image"]}}


LETTERS = some.characters(exclude_categories=["Cs"])
TEXTS = some.text(LETTERS, max_size=250) | some.text(
    f"{string.digits}-+.eExXoO_~:#'\"{{}}[],&*!|>%@?nulNULtrueTRfasFAyYoOfN \n\t\\", max_size=12
)
KEYS = TEXTS.filter(lambda text: text != "<<")
VALUES = (
    some.none() | some.booleans() | some.integers(-(10**50), 10**50) | some.floats(allow_nan=False)
) | TEXTS
DATA = some.recursive(
    VALUES,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(some.dictionaries(KEYS, DATA, min_size=1, max_size=3))
def test_whatever_it_is_it_comes_back(data: dict[str, Any]) -> None:
    assert comes_back(data)


@pytest.mark.parametrize("text", [t for t in (*SIMILAR, *STRANGE) if t.isprintable()], ids=ascii)
def test_other_readers_see_a_text_too(text: str) -> None:
    """A reader of YAML 1.1 takes `on` for true; what this project writes is quoted for it."""
    assert yaml.safe_load(to_yaml({"a": [text]})) == {"a": [text]}


def test_style_is_that_of_the_recipes() -> None:
    data = {
        "name": "größer",
        "losses": {"look": {"use": "gram", "weight": 0.5}},
        "outputs": [{"use": "png", "name": "result"}],
        "postprocess": [],
        "summary": "It's 5: on",
    }
    assert to_yaml(data) == (
        "name: größer\n"
        "\nlosses:\n"
        "  look: {use: gram, weight: 0.5}\n"
        "\noutputs:\n"
        "- {use: png, name: result}\n"
        "postprocess: []\n"
        "summary: 'It''s 5: on'\n"
    )


def test_it_can_be_written_to_a_file_and_read_from_it(tmp_path: Path) -> None:
    """Whatever line ends are: a text with breaks holds none in the file."""
    data = {"a": "x\r\ny\n\u2028z\x85", "b": "🐈"}
    (tmp_path / "a.yaml").write_bytes(to_yaml(data).replace("\n", "\r\n").encode())
    assert read((tmp_path / "a.yaml").read_text(encoding="utf-8")) == data
