"""What differs between the data of two recipes or locks."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from nstflow.lockfile.diff import (
    LEFT_OUT,
    Difference,
    differences,
    number_text,
    printable,
    refusal,
    text_of,
    under,
)

HASHES = "ab" * 32, "cd" * 32
DATA: dict[str, Any] = {
    "name": "x",
    "images": {"content": {"use": "file", "path": "a.png"}},
    "preprocess": [{"use": "resize", "longest_side": 512}],
    "losses": {"look": {"use": "gram", "weight": 3000.0, "layers": ["image", "block1_conv1"]}},
    "postprocess": [],
    "compute": {"deterministic": True},
    "lock": {
        "files": {"images.content.path": {"sha256": HASHES[0], "bytes": 1234567}},
        "weights": {"ImageNet weights": HASHES[0]},
        "plugins": {"nstflow": "0.1.0"},
        "python": "3.11.7",
    },
}


def changed(*keys: str | int, to: Any) -> dict[str, Any]:
    data = copy.deepcopy(DATA)
    inner: Any = data
    for key in keys[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[keys[-1]]
    elif isinstance(inner, list) and keys[-1] == len(inner):
        inner.append(to)
    else:
        inner[keys[-1]] = to
    return data


def told(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.setting, each.first, each.second) for each in differences(first, second)]


def test_nothing_differs_from_itself() -> None:
    assert told(DATA, copy.deepcopy(DATA)) == []


@pytest.mark.parametrize(
    ("keys", "to", "row"),
    [
        (("name",), "y", ("name", "x", "y")),
        (("preprocess", 0, "longest_side"), 256, ("preprocess.0.longest_side", "512", "256")),
        (("losses", "look", "weight"), 0.1, ("losses.look.weight", "3000", "0.1")),
        (("compute", "deterministic"), False, ("compute.deterministic", "true", "false")),
        (("compute", "deterministic"), None, ("compute.deterministic", "true", "null")),
        (("name",), "", ("name", "x", "''")),
        (("lock", "python"), "3.12.0", ("lock.python", "3.11.7", "3.12.0")),
        (
            ("lock", "weights", "ImageNet weights"),
            HASHES[1],
            ("lock.weights.ImageNet weights", "abababababab…", "cdcdcdcdcdcd…"),
        ),
    ],
)
def test_value_that_differs(keys: Any, to: Any, row: tuple[str, str, str]) -> None:
    assert told(DATA, changed(*keys, to=to)) == [row]
    assert told(changed(*keys, to=to), DATA) == [(row[0], row[2], row[1])]


def test_list_of_values_is_one_value() -> None:
    other = changed("losses", "look", "layers", to=["image"])
    assert told(DATA, other) == [("losses.look.layers", "[image, block1_conv1]", "[image]")]


def test_list_of_stages_is_compared_stage_by_stage() -> None:
    other = changed("preprocess", 1, to={"use": "crop", "only": ["content"]})
    assert told(DATA, other) == [("preprocess.1", LEFT_OUT, "{use: crop, only: [content]}")]
    other = changed("postprocess", 0, to={"use": "keep_color"})
    assert told(DATA, other) == [("postprocess.0", LEFT_OUT, "{use: keep_color}")]


def test_what_one_of_them_lacks_is_one_difference() -> None:
    other = changed("losses", "look", to=...)
    text = "{use: gram, weight: 3000, layers: [image, block1_conv1]}"
    assert told(DATA, other) == [("losses.look", text, LEFT_OUT)]
    assert told(other, DATA) == [("losses.look", LEFT_OUT, text)]


def test_value_against_a_mapping_is_one_difference() -> None:
    other = changed("losses", "look", "layers", to={"image": 0.5})
    row = ("losses.look.layers", "[image, block1_conv1]", "{image: 0.5}")
    assert told(DATA, other) == [row]
    assert told(changed("preprocess", to={"a": 1}), changed("preprocess", to=[{"a": 1}])) == [
        ("preprocess", "{a: 1}", "[{a: 1}]")
    ]


def test_every_difference_is_told_in_the_order_of_the_file() -> None:
    first, second = copy.deepcopy(DATA), copy.deepcopy(DATA)
    first["only_here"], second["only_there"] = 1, {"a": 1}
    second["name"], second["lock"]["python"] = "y", "2"
    second["losses"] = {"new": {"use": "gram"}, "look": {**DATA["losses"]["look"], "weight": 1.0}}
    assert [setting for setting, *_ in told(first, second)] == [
        *("name", "losses.look.weight", "losses.new", "lock.python", "only_here", "only_there"),
    ]


def test_numbers_are_equal_by_value_but_true_is_none() -> None:
    assert told({"a": 3000}, {"a": 3000.0}) == []
    assert told({"a": [1, 2.0]}, {"a": [1.0, 2]}) == []
    assert told({"a": 1}, {"a": True}) == [("a", "1", "true")]
    assert told({"a": [0]}, {"a": [False]}) == [("a", "[0]", "[false]")]
    assert told({"a": "1"}, {"a": 1})[0][0] == "a"
    assert told({"a": None}, {"a": False}) == [("a", "null", "false")]


def test_empty_mapping_is_as_good_as_none_but_no_value_is() -> None:
    assert told({"a": {}}, {}) == []
    assert told({}, {"a": {}}) == []
    assert told({"a": None}, {}) == [("a", "null", LEFT_OUT)]
    assert told({"a": ""}, {}) == [("a", "''", LEFT_OUT)]
    assert told({"a": []}, {}) == [("a", "[]", LEFT_OUT)]
    assert told({"a": {}}, {"a": None}) == [("a", "{}", "null")]


def test_files_of_equal_hash_are_equal_wherever_they_lie() -> None:
    assert told(DATA, changed("images", "content", "path", to="/elsewhere/b.png")) == []


def test_files_of_other_hash_differ_whatever_they_are_called() -> None:
    other = changed("lock", "files", "images.content.path", "sha256", to=HASHES[1])
    row = ("lock.files.images.content.path", "abababababab…, 1,234,567 bytes")
    assert told(DATA, other) == [(*row, "cdcdcdcdcdcd…, 1,234,567 bytes")]
    other["images"]["content"]["path"] = "b.png"
    assert told(DATA, other)[0] == ("images.content.path", "a.png", "b.png")
    assert len(told(DATA, other)) == 2


def test_file_that_one_of_them_has_no_hash_of() -> None:
    other = changed("lock", "files", to={})
    assert told(DATA, other) == [
        ("lock.files.images.content.path", "abababababab…, 1,234,567 bytes", LEFT_OUT)
    ]
    without = changed("lock", to=...)
    without["images"]["content"]["path"] = "b.png"
    settings = [setting for setting, *_ in told(DATA, without)]
    assert settings == ["images.content.path", "lock"]


def test_sections_are_taken_whole() -> None:
    found = [
        Difference(setting, "1", "2")
        for setting in ("lock", "lock.files", "lock.files.a", "lock.filesystem", "lock.python", "l")
    ]
    assert [each.setting for each in under(found, "lock.files")] == ["lock.files", "lock.files.a"]
    assert [each.setting for each in under(found, "lock.python", "lock.files")] == [
        *("lock.files", "lock.files.a", "lock.python"),
    ]
    assert len(under(found, "lock")) == 5
    assert under(found, "images") == []


def test_refusal_lists_all_and_says_what_to_do_once() -> None:
    found = [Difference("seed", "1", "2"), Difference("name", "x", LEFT_OUT)]
    error = refusal(found, "out/recipe.lock.yaml", "out", "Do this.", ("it has", "now it is"))
    assert [str(problem) for problem in error.problems] == [
        "out/recipe.lock.yaml  seed\n    it has 1, now it is 2.",
        "out/recipe.lock.yaml  name\n    it has x, now it is –. Do this.",
    ]
    assert error.subject == "out"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3000.0, "3000"),
        (1e8, "1e+08"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (123456789.5, "123456789.5"),
        (16777217.0, "16777217.0"),
        (-0.0, "-0"),
    ],
)
def test_number_is_short_where_that_is_the_same_number(value: float, text: str) -> None:
    assert number_text(value) == text
    assert float(number_text(value)) == value


def test_what_a_terminal_would_obey_is_shown_instead() -> None:
    assert printable("größer 猫 🐈") == "größer 猫 🐈"
    assert printable("\x1b[2Ja\nb\x9b\u202e") == r"\x1b[2Ja\nb\x9b\u202e"
    assert text_of({"a\x1b": ["\x07"]}) == r"{a\x1b: [\x07]}"
    (each,) = differences({"a\x1bb": "\r"}, {"a\x1bb": "\0"})
    assert (each.setting, each.first, each.second) == (r"a\x1bb", r"\r", r"\x00")


def test_only_what_looks_like_a_hash_is_cut_short() -> None:
    assert text_of("a" * 63) == "a" * 63
    assert text_of("g" * 64) == "g" * 64
    assert text_of("0" * 64) == "0" * 12 + "…"
