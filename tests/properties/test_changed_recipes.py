"""Any value at any place of a valid recipe, in the file or by `--set`: planned, or refused."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as some

from nstflow.recipe.paths import format_path
from nstflow.recipe.yaml import parse_yaml, to_yaml

pytestmark = pytest.mark.fuzz

Keys = tuple[str | int, ...]

RECIPE = Path(__file__).with_name("everything.yaml").read_text(encoding="utf-8")
DATA, MARKS = parse_yaml(RECIPE, "everything.yaml")
PATHS = [keys for keys in MARKS if keys]


def at(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = data[key]
    return data


NUMBERS = [
    *(0, -1, 1, 2, 3, 64, 2**31, 2**63, 2**64, 10**99, -(10**99), 0.0, -0.0, 0.5, 1.5, 1e-50, 1e39),
    *(1e308, 5e-324, 1 - 2**-30, float("inf"), -float("inf"), float("nan")),
]
NAMES = sorted({str(key) for keys in PATHS for key in keys})
TEXTS = ["photo.png", "style.jpg", "nowhere.png", "w.h5", "w.npz", ".", "..", "~", "~nobody/x", "/"]
TEXTS += ["/dev/null", "", "\n", "x" * 300, "a\0b", "a\u2028b", "%s{}", "é", "imagenet", "keras"]
TEXTS += ["file", "none"]
scalars = some.one_of(
    some.sampled_from([None, True, False]),
    some.sampled_from(NUMBERS),
    some.sampled_from([*NAMES, *TEXTS]),
    some.sampled_from([at(DATA, keys) for keys in PATHS]),
    some.integers(),
    some.floats(),
    some.text(max_size=10),
)
names = some.one_of(some.sampled_from(NAMES), some.text(max_size=8))
values = some.recursive(
    scalars,
    lambda inner: some.one_of(
        some.lists(inner, max_size=3), some.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=6,
)


changes = some.tuples(
    some.sampled_from(PATHS),
    some.sampled_from(["replace", "replace", "delete", "insert", "wrap"]),
    names,
    values,
)


def change(data: Any, keys: Keys, way: str, key: str, value: Any) -> None:
    """Change data at a path, if that is there still."""
    try:
        parent, old = at(data, keys[:-1]), at(data, keys)
    except (LookupError, TypeError):
        return
    match way:
        case "replace":
            parent[keys[-1]] = value
        case "delete":
            del parent[keys[-1]]
        case "insert" if isinstance(old, dict):
            old[key] = value
        case "insert" if isinstance(old, list):
            old.insert(0, value)
        case "wrap":
            parent[keys[-1]] = [old]


def changed(edits: list[tuple[Keys, str, str, Any]]) -> str:
    """Return the recipe with some changes, as YAML."""
    data = copy.deepcopy(DATA)
    for each in copy.deepcopy(edits):
        change(data, *each)
    return to_yaml(data)


parts = some.one_of(
    some.sampled_from([*NAMES, "0", "1", "2", "-1", "99999", "00", "", " ", "='"]),
    some.text(some.characters(), max_size=4),  # half letters too, as a shell may give them
)
paths = some.one_of(
    some.sampled_from(PATHS).map(format_path),
    some.tuples(some.sampled_from(PATHS).map(format_path), parts).map(".".join),
    some.lists(parts, max_size=5).map(".".join),
    some.integers(30, 6000).map(lambda count: ".".join(["name"] * count)),
    some.integers(30, 6000).map(lambda count: f"images.new{'.a' * count}"),
)
written = some.one_of(
    values.map(lambda value: to_yaml({"": value}).partition(":")[2]),
    values.map(lambda value: json.dumps(value, ensure_ascii=False)),
    some.text(some.characters(), max_size=20),
    some.integers(1, 400).map(lambda count: "[" * count + "]" * count),
)
unchanged = [f"{format_path(keys)}={json.dumps(at(DATA, keys))}" for keys in PATHS]
options = some.one_of(
    some.sampled_from(unchanged),
    some.tuples(paths, written).map("=".join),
    some.text(some.characters(), max_size=20),
)


def test_any_value_at_any_place(tried: Any, planned_or_refused: Any) -> None:
    outcomes = tried(
        planned_or_refused, some.lists(changes, min_size=1, max_size=3).map(changed), 80
    )
    assert outcomes["planned"] > outcomes.total() // 20
    assert outcomes["refused"] > outcomes.total() // 20


def test_any_settings(tried: Any, planned_or_refused: Any) -> None:
    def any_settings(settings: list[str]) -> str:
        return planned_or_refused(RECIPE, *settings)

    outcomes = tried(any_settings, some.lists(options, min_size=1, max_size=3), 80)
    assert outcomes["planned"] > outcomes.total() // 40
    assert outcomes["refused"] > outcomes.total() // 20
