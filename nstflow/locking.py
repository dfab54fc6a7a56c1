"""Locks of recipes that are not run, and what differs between any two."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow import atomic
from nstflow.compare import Difference, differences
from nstflow.errors import NstflowError, Problem
from nstflow.lock import (
    Data,
    Kind,
    describe_file,
    keys_in,
    make_lock,
    put,
    recipe_data,
    to_text,
    with_hashes,
)
from nstflow.plan import Plan, make_plan, named_files
from nstflow.provenance import read_anything
from nstflow.recipe import draft_of
from nstflow.recipe.schema import Recipe
from nstflow.recipe.source import read_source

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice


def write_lock(plan: Plan, path: Path, choice: DeviceChoice = "auto") -> Path:
    """Write the lock of a plan, with the device that it would run on here.

    Raises:
        NstflowError: It can't be written, or the file that is there is no lock.
    """
    from nstflow.engine.device import choose_device

    if path.exists() and "lock" not in read_source(path).data:
        got = "this file is there already, and is no lock."
        raise NstflowError(Problem(str(path), "", got, "Choose another name with --out."))
    device = choose_device(choice, deterministic=plan.recipe.compute.deterministic)
    plan = with_hashes(plan.on(device.kind))
    text = to_text(make_lock(plan, device.title, device.kind, path.parent))
    try:
        return atomic.write(path, text.encode())
    except OSError as error:
        got = f"the lock can't be written: {error.strerror or error}."
        hint = "Choose another place with --out."
        raise NstflowError(Problem(str(path), "", got, hint)) from error


def compare_anything(first: Path, second: Path) -> list[Difference]:
    """Return what differs between two of recipes, locks, run directories and pictures.

    Of what only a lock has (versions, the device), nothing is said where one of the two is none;
    what a recipe leaves open is then settled as for the lock's device.

    Raises:
        NstflowError: One of them can't be read.
    """
    sides = [_read(path) for path in (first, second)]
    locks = [recipe.lock for recipe, _ in sides if recipe.lock is not None]
    kind = locks[0].device_kind if locks else None
    one, other = (_data(recipe, kind, keep_names=bare) for recipe, bare in sides)
    if len(locks) < len(sides):
        for side in (one, other):
            side["lock"] = {"files": side["lock"]["files"]}
    return differences(one, other)


def _read(path: Path) -> tuple[Recipe, bool]:
    """Return the whole recipe, and whether it is a picture's."""
    source, folder = read_anything(path)
    return draft_of(source, folder or Path()).whole(), folder is None


def _data(recipe: Recipe, kind: Kind | None, *, keep_names: bool) -> Data:
    """Return all of a recipe, with hashes of the files that are known or there.

    Args:
        recipe: What was read.
        kind: The device to settle it for, if it is no lock; None to leave it open.
        keep_names: Leave the names of files as they are, instead of telling where they lie.
    """
    lock = recipe.lock
    extractor = recipe.extractor
    if lock is None and kind is not None:
        with contextlib.suppress(NstflowError):  # a file of it is not here
            extractor = make_plan(recipe).on(kind).extractor
    data = recipe_data(recipe, extractor)
    files = named_files(recipe, recipe.stages(), recipe.folder)
    for setting, file in files.items():
        if not keep_names and "\0" not in str(file):  # else there is no such file
            put(data, keys_in(data, setting), os.path.realpath(file))
    if lock is not None:
        data["lock"] = lock.model_dump(mode="json", exclude_none=True)
        return data
    there = {setting: file for setting, file in files.items() if file.is_file()}
    data["lock"] = {
        "files": {setting: describe_file(recipe, setting, file) for setting, file in there.items()}
    }
    return data
