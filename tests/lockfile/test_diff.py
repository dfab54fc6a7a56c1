"""What differs between the data of two recipes or locks."""

import copy
from typing import Any

import pytest

from nstflow.lockfile.diff import (
    Difference,
    differences,
    printable,
    refusal,
)
from nstflow.stages.text import LEFT_OUT

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


def rows(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.setting, each.first, each.second) for each in differences(first, second)]


LOOK = "{use: gram, weight: 3000, layers: [image, block1_conv1]}"


@pytest.mark.parametrize(
    ("keys", "to", "row"),
    [
        (("name",), "y", ("name", "x", "y")),
        (("name",), "", ("name", "x", "''")),
        (("preprocess", 0, "longest_side"), 256, ("preprocess.0.longest_side", "512", "256")),
        (("losses", "look", "weight"), 0.1, ("losses.look.weight", "3000", "0.1")),
        (("compute", "deterministic"), False, ("compute.deterministic", "true", "false")),
        (("compute", "deterministic"), None, ("compute.deterministic", "true", "null")),
        (("lock", "python"), "3.12.0", ("lock.python", "3.11.7", "3.12.0")),
        (
            ("lock", "weights", "ImageNet weights"),
            HASHES[1],
            ("lock.weights.ImageNet weights", "abababababab…", "cdcdcdcdcdcd…"),
        ),
        # a list of values is one value, a list of stages is compared stage by stage
        (
            ("losses", "look", "layers"),
            ["image"],
            ("losses.look.layers", "[image, block1_conv1]", "[image]"),
        ),
        (
            ("preprocess", 1),
            {"use": "crop", "only": ["content"]},
            ("preprocess.1", LEFT_OUT, "{use: crop, only: [content]}"),
        ),
        (("postprocess", 0), {"use": "tint"}, ("postprocess.0", LEFT_OUT, "{use: tint}")),
        # what is missing on one side, or of another kind, is one difference
        (("losses", "look"), ..., ("losses.look", LOOK, LEFT_OUT)),
        (
            ("losses", "look", "layers"),
            {"image": 0.5},
            ("losses.look.layers", "[image, block1_conv1]", "{image: 0.5}"),
        ),
        (("postprocess",), {"a": 1}, ("postprocess", "[]", "{a: 1}")),
    ],
)
def test_value_that_differs(keys: Any, to: Any, row: tuple[str, str, str]) -> None:
    assert rows(DATA, copy.deepcopy(DATA)) == []
    assert rows(DATA, changed(*keys, to=to)) == [row]
    assert rows(changed(*keys, to=to), DATA) == [(row[0], row[2], row[1])]


def test_all_differences_in_the_order_of_the_file() -> None:
    first, second = copy.deepcopy(DATA), copy.deepcopy(DATA)
    first["only_here"], second["only_there"] = 1, {"a": 1}
    second["name"], second["lock"]["python"] = "y", "2"
    second["losses"] = {"new": {"use": "gram"}, "look": {**DATA["losses"]["look"], "weight": 1.0}}
    settings = "name losses.look.weight losses.new lock.python only_here only_there"
    assert [setting for setting, *_ in rows(first, second)] == settings.split()


@pytest.mark.parametrize(
    ("first", "second", "row"),
    [
        ({"a": 3000}, {"a": 3000.0}, None),
        ({"a": [1, 2.0]}, {"a": [1.0, 2]}, None),
        ({"a": 1}, {"a": True}, ("a", "1", "true")),
        ({"a": [0]}, {"a": [False]}, ("a", "[0]", "[false]")),
        ({"a": "1"}, {"a": 1}, ("a", "1", "1")),
        ({"a": None}, {"a": False}, ("a", "null", "false")),
        ({"a": {}}, {}, None),  # an empty mapping is the same as none, but not an empty value
        ({}, {"a": {}}, None),
        ({"a": None}, {}, ("a", "null", LEFT_OUT)),
        ({"a": ""}, {}, ("a", "''", LEFT_OUT)),
        ({"a": []}, {}, ("a", "[]", LEFT_OUT)),
        ({"a": {}}, {"a": None}, ("a", "{}", "null")),
    ],
)
def test_what_is_equal(first: Any, second: Any, row: tuple[str, str, str] | None) -> None:
    assert rows(first, second) == ([row] if row else [])


def test_files_of_equal_hash_are_equal_wherever_they_lie() -> None:
    assert rows(DATA, changed("images", "content", "path", to="/elsewhere/b.png")) == []


def test_files_of_other_hash_differ_whatever_they_are_called() -> None:
    other = changed("lock", "files", "images.content.path", "sha256", to=HASHES[1])
    row = ("lock.files.images.content.path", "abababababab…, 1,234,567 bytes")
    assert rows(DATA, other) == [(*row, "cdcdcdcdcdcd…, 1,234,567 bytes")]
    other["images"]["content"]["path"] = "b.png"
    assert rows(DATA, other)[0] == ("images.content.path", "a.png", "b.png")
    assert len(rows(DATA, other)) == 2


def test_file_whose_hash_one_side_lacks() -> None:
    other = changed("lock", "files", to={})
    assert rows(DATA, other) == [
        ("lock.files.images.content.path", "abababababab…, 1,234,567 bytes", LEFT_OUT)
    ]
    without = changed("lock", to=...)
    without["images"]["content"]["path"] = "b.png"
    settings = [setting for setting, *_ in rows(DATA, without)]
    assert settings == ["images.content.path", "lock"]


def test_refusal_lists_all_and_says_what_to_do_once() -> None:
    found = [Difference("seed", "1", "2"), Difference("name", "x", LEFT_OUT)]
    error = refusal(found, "out/recipe.lock.yaml", "out", "Do this.", ("it has", "now it is"))
    assert [str(problem) for problem in error.problems] == [
        "out/recipe.lock.yaml  seed\n    it has 1, now it is 2.",
        "out/recipe.lock.yaml  name\n    it has x, now it is –. Do this.",
    ]
    assert error.subject == "out"


def test_control_characters_are_written_out() -> None:
    assert printable("größer 猫 🐈") == "größer 猫 🐈"
    assert printable("\x1b[2Ja\nb\x9b\u202e") == r"\x1b[2Ja\nb\x9b\u202e"
    (each,) = differences({"a\x1bb": "\r"}, {"a\x1bb": "\0"})
    assert (each.setting, each.first, each.second) == (r"a\x1bb", r"\r", r"\x00")
