"""Locks of recipes that are not run, and what differs between any two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nstflow import atomic
from nstflow.compare import Difference, differences
from nstflow.digest import sha256_of
from nstflow.errors import NstflowError, Problem
from nstflow.lock import Data, keys_in, make_lock, put, recipe_data, to_text, with_hashes
from nstflow.plan import Plan, named_files
from nstflow.provenance import read_anything
from nstflow.recipe import draft_of
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

    Of what only a lock has (versions, the device), nothing is said where one of the two is none.

    Raises:
        NstflowError: One of them can't be read.
    """
    sides = [_data(path) for path in (first, second)]
    if not all("python" in side["lock"] for side in sides):
        for side in sides:
            side["lock"] = {"files": side["lock"]["files"]}
    return differences(*sides)


def _data(path: Path) -> Data:
    """Return all of a recipe, with hashes of the files that are known or there."""
    source, folder = read_anything(path)
    made = draft_of(source, folder)
    if made.recipe is None:
        raise NstflowError(made.problems, source.label)
    data = recipe_data(made.recipe, made.recipe.extractor)
    files = named_files(made.recipe, made.recipe.stages(), folder)
    for setting, file in files.items():
        put(data, keys_in(data, setting), str(file.resolve()))
    if made.recipe.lock is not None:
        data["lock"] = made.recipe.lock.model_dump(mode="json", exclude_none=True)
        return data
    there = {setting: file for setting, file in files.items() if file.is_file()}
    data["lock"] = {
        "files": {
            setting: {"sha256": sha256_of(file), "bytes": file.stat().st_size}
            for setting, file in there.items()
        }
    }
    return data
