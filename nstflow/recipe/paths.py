"""Paths into a recipe's data, such as `losses.style.weight`: text and back, get and set."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nstflow.errors import describe_value

Keys = tuple[str | int, ...]
"""A path in a recipe: `("losses", "style", "weight")`."""

MATRIX = "matrix"
"""The key of a recipe's axes and groups."""

_LONGEST_INDEX = 10  # digits

MAX_DEPTH = 32
"""How deep a recipe may be nested."""


def format_path(keys: Keys) -> str:
    """Return a path as `--set` takes it: `preprocess.0.longest_side`."""
    return ".".join(map(str, keys))


def parse_path(text: str) -> Keys:
    """Return the keys of a path; what looks like an index of a list is a number."""
    parts = text.split(".")
    return tuple(
        int(each) if each.isascii() and each.isdigit() and len(each) < _LONGEST_INDEX else each
        for each in parts
    )


def with_value(data: Any, path: Sequence[str | int], value: Any) -> tuple[Any, Keys]:
    """Return data with a value at a path, and the path's keys; mappings are made on the way.

    The index after the last of a list adds an item. What does not change is shared with `data`.

    Raises:
        LookupError: There is no such path; the text says where it ends.
    """
    if len(path) > MAX_DEPTH:
        raise LookupError(f"this path has {len(path)} parts: at most {MAX_DEPTH} are allowed.")
    changed = data = copy.copy(data)
    keys: Keys = ()
    for index, part in enumerate(path):
        key = _key(data, part, keys)
        keys = (*keys, key)
        if isinstance(data, list) and key == len(data):
            data.append(None)
        held = data.get(key) if isinstance(data, dict) else data[key]
        below = {} if held is None else copy.copy(held)
        data[key] = value if index == len(path) - 1 else below
        data = data[key]
    return changed, keys


def with_settings(data: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return data with the values of settings, such as `losses.style.weight`, put in place."""
    for setting, value in settings.items():
        data, _ = with_value(data, setting.split("."), value)
    return data


def relative(file: Path, folder: Path) -> str:
    """Return a file's path from a folder; symbolic links on the way are followed first."""
    # Path.resolve raises for links in a loop
    there, start = Path(os.path.realpath(file.parent), file.name), Path(os.path.realpath(folder))
    try:
        path = Path(os.path.relpath(there, start)).as_posix()
    except ValueError:  # another drive of Windows
        return there.as_posix()
    # a path that begins with ~ would mean a home folder
    return f"../{start.name}/{path}" if path.startswith("~") else path


def _key(data: Any, part: str | int, keys: Keys) -> Any:
    where = format_path(keys) or "the recipe"
    if isinstance(data, dict):
        return part
    if isinstance(data, list):
        if str(part) in map(str, range(len(data) + 1)):
            return int(part)
        items = f"its items go from 0 to {len(data) - 1}" if data else "it is empty"
        raise LookupError(f"{where} is a list: {items}, and {len(data)} adds one.")
    raise LookupError(f"{where} is {describe_value(data)}, which has no '{part}'.")


def option_paths(held: str | Sequence[str]) -> list[str]:
    """Return the settings that an option of a recipe stands for: one, or a list."""
    return [held] if isinstance(held, str) else list(held)


def option_names(options: Mapping[str, str | list[str]]) -> dict[str, str]:
    """Return setting → the name of the option that stands for it."""
    return {path: name for name, held in options.items() for path in option_paths(held)}
