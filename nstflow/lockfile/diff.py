"""What differs between two recipes or locks, setting by setting."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, printable
from nstflow.lockfile.build import Data, Kind, describe_file, recipe_data
from nstflow.lockfile.provenance import read_anything
from nstflow.plan import make_plan
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import with_settings
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, parse
from nstflow.stages.text import text_of

_FILE = {"sha256", "bytes"}


@dataclass(frozen=True)
class Difference:
    """A setting that differs between two recipes or locks.

    Attributes:
        setting: Its path, such as `losses.style.weight`.
        first: What the first has, as a person reads it.
        second: What the second has.
    """

    setting: str
    first: str
    second: str


def differences(first: Any, second: Any) -> list[Difference]:
    """Return every setting in which the data of two recipes or locks differ, in their order.

    A lock in them must be valid; the rest may be anything.
    What only one of them has, such as a loss, is one difference. Files of equal hash are equal,
    wherever they lie.
    """
    known, here = ((data.get("lock") or {}).get("files") or {} for data in (first, second))
    same = {
        name for name in known if name in here and known[name]["sha256"] == here[name]["sha256"]
    }
    return [
        Difference(printable(name), text_of(one), text_of(other))
        for name, one, other in _differences(first, second, "")
        if name not in same
    ]


def refusal(
    found: Sequence[Difference], where: str, subject: str, hint: str, names: tuple[str, str]
) -> NstflowError:
    """Return the error that lists differences.

    Args:
        found: At least one.
        where: The file or folder that was compared with.
        subject: What the problems are in.
        hint: What to do; the last problem has it.
        names: What the first and the second are, such as `("the lock has", "here it is")`.
    """
    problems = [
        Problem(where, each.setting, f"{names[0]} {each.first}, {names[1]} {each.second}.")
        for each in found
    ]
    problems[-1] = replace(problems[-1], hint=hint)
    return NstflowError(problems, subject)


def _differences(first: Any, second: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, first and second of all that differs; `...` for what is not there."""
    if not _have_parts(first, second):
        if not _equal(first, second):
            yield path, first, second
        return
    one, other = (
        data if isinstance(data, dict) else dict(enumerate(data)) for data in (first, second)
    )
    for key in dict.fromkeys([*one, *other]):
        inner = f"{path}.{key}" if path else str(key)
        yield from _differences(one.get(key, ...), other.get(key, ...), inner)


def _have_parts(first: Any, second: Any) -> bool:
    """Say whether two values are compared part by part: mappings, and lists of stages."""
    if isinstance(first, dict) and isinstance(second, dict):
        return _FILE not in (set(first), set(second))
    if isinstance(first, list) and isinstance(second, list):
        return any(isinstance(item, dict) for item in (*first, *second))
    return False


def _equal(first: Any, second: Any) -> bool:
    """Compare: 1 is 1.0, but not true; an empty mapping is the same as none."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_equal, first, second))
    if all(value is ... or value == {} for value in (first, second)):
        return True
    return isinstance(first, bool) is isinstance(second, bool) and bool(first == second)


def compare_anything(
    first: Path, second: Path, options: ReadOptions = NO_OPTIONS
) -> list[Difference]:
    """Return what differs between two of recipes, locks, run directories and pictures.

    Versions and devices, which only locks have, are compared between two locks. What a recipe
    leaves open is settled as for the lock's device.

    Raises:
        NstflowError: One of them can't be read.
    """
    sides = []
    for path in (first, second):
        source, folder = read_anything(path)
        sides.append((parse(source, options).recipe_or_raise(), folder is None))
    locks = [recipe.lock for recipe, _ in sides if recipe.lock is not None]
    kind = locks[0].device_kind if locks else None
    one, other = (_data(recipe, kind, keep_names=bare) for recipe, bare in sides)
    if len(locks) < len(sides):
        for side in (one, other):
            side["lock"] = {"files": side["lock"]["files"]}
    return differences(one, other)


def _data(recipe: Recipe, kind: Kind | None, *, keep_names: bool) -> Data:
    """Return a recipe as data, with the hashes in its lock or of the files that are there.

    Args:
        recipe: What was read.
        kind: The device to settle it for, if it has no lock; None to leave it open.
        keep_names: Keep the names of files, instead of absolute paths.
    """
    lock = recipe.lock
    extractor = recipe.extractor
    if lock is None and kind is not None:
        with contextlib.suppress(NstflowError):  # a file of it is not here
            extractor = make_plan(recipe).on(kind).extractor
    data = recipe_data(recipe, extractor)
    files = recipe.origin.files()
    if not keep_names:
        real = {name: os.path.realpath(f) for name, f in files.items() if "\0" not in str(f)}
        data = with_settings(data, real)
    if lock is not None:
        return {**data, "lock": lock.model_dump(mode="json", exclude_none=True)}
    there = {name: describe_file(recipe, name, f) for name, f in files.items() if f.is_file()}
    return {**data, "lock": {"files": there}}
