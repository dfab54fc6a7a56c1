"""Whether what is to be run is what a lock says."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.lockfile.build import Data, describe_file, file_error, make_lock, to_text
from nstflow.lockfile.diff import LEFT_OUT, Difference, differences, refusal, under
from nstflow.plan import Plan
from nstflow.recipe.model import Lock
from nstflow.recipe.source import read_source
from nstflow.recipe.yaml import parse_yaml
from nstflow.storage.run_record import LOCK_FILE

_MUST = ("lock.files", "lock.weights", "lock.plugins")


def check_locked(plan: Plan) -> None:
    """Hold a plan to the lock that its own recipe carries, as `--locked` does.

    Another Python or TensorFlow is told as a warning.

    Raises:
        NstflowError: It carries none; or with every file, weights or plugin that differs.
    """
    recipe = plan.recipe
    label = recipe.source.label
    if recipe.lock is None:
        hint = f"Write one with `nstflow lock {label}`."
        raise NstflowError(Problem(label, "lock", "this recipe has no lock section.", hint), label)
    if recipe.source.options:
        option = next(iter(recipe.source.options.values()))
        hint = "Leave --set out, or leave --locked out."
        raise NstflowError(Problem(option, "", "a locked recipe runs as it is.", hint), label)
    found = _differences(plan, recipe.lock)
    _hold(plan, found)
    _warn(plan, found)


def check_locked_again(plan: Plan, fresh: Data) -> None:
    """Do so once more with the lock of the run itself, and warn of another device.

    Raises:
        NstflowError: A file was changed meanwhile.
    """
    found = differences(plan.recipe.source.data, _read_again(fresh))
    _hold(plan, found)
    for each in found:
        if each.setting.startswith("lock.device") and each.first != LEFT_OUT:
            warn_difference(each.setting, each.first, each.second)


def _hold(plan: Plan, found: list[Difference]) -> None:
    if serious := under(found, *_MUST):
        hint = "Bring them back as they were, or leave --locked out."
        label = plan.recipe.source.label
        raise refusal(serious, label, label, hint, ("the lock has", "here it is"))


def warn_differences(plan: Plan) -> None:
    """Warn of everything in which a plan is not what its recipe's lock says, if it has one."""
    if plan.recipe.lock is not None:
        _warn(plan, _differences(plan, plan.recipe.lock))


def _warn(plan: Plan, found: list[Difference]) -> None:
    for each in under(found, "lock"):
        if each.setting == "lock.stopped_at":
            text = f"the picture was stopped after step {each.first}; this takes all {plan.steps}"
            warnings.warn(text, NstflowWarning, stacklevel=2)
        else:
            warn_difference(each.setting, each.first, each.second)


def warn_difference(setting: str, locked: str, here: str) -> None:
    """Warn of what may change the picture of a locked run, or its last bits."""
    change = "a picture like it, perhaps not the same pixels"
    if setting.startswith(_MUST):
        change = "perhaps another picture"
    text = f"{setting} was {locked}, here it is {here}: {change}"
    warnings.warn(text, NstflowWarning, stacklevel=3)


def check_unchanged(plan: Plan, lock: Data) -> None:
    """Find that the files of a run are still what its lock says: they have just been read.

    Raises:
        NstflowError: One was changed meanwhile.
    """
    for setting, what in lock["lock"]["files"].items():
        file = plan.files[setting]
        if describe_file(plan.recipe, setting, file) != what:
            got = f"'{file}' was changed while the run read it."
            raise file_error(plan.recipe, setting, got, "Run it again when the file is whole.")


def stored_lock(folder: Path) -> tuple[Data, Lock] | None:
    """Return the lock of a run directory, or None where it was not written yet.

    Raises:
        NstflowError: It is damaged.
    """
    path = folder / LOCK_FILE
    if not path.is_file():
        return None
    data = read_source(path).data
    with contextlib.suppress(ValidationError):
        lock = Lock.model_validate(data.get("lock"), strict=True)
        if lock.device and lock.device_kind:  # which only a job's may lack
            return data, lock
    got, hint = "the lock of this run is damaged.", "Begin anew with --overwrite."
    raise NstflowError(Problem(str(path), "lock", got, hint), str(path))


def check_resumable(plan: Plan, folder: Path, data: Data, lock: Lock) -> None:
    """Hold a plan to the lock of the run that it is to resume.

    Raises:
        NstflowError: With everything that differs.
    """
    fresh = make_lock(plan.on(lock.device_kind), lock.device, lock.device_kind, folder)
    check_same(folder, data, fresh)


def check_same(folder: Path, data: Data, fresh: Data) -> None:
    """Hold the lock that a run would write to that of the run which it is to resume.

    Raises:
        NstflowError: With everything that differs; the order of the losses is the history's.
    """
    found = differences(data, _read_again(fresh))
    orders = [", ".join(each["losses"]) for each in (data, fresh)]
    if not found and orders[0] != orders[1]:
        found = [Difference("losses", *orders)]
    if found:
        hint = "Begin anew with --overwrite, or choose another place with --out."
        names = ("the run that is to go on has", "now it is")
        raise refusal(found, str(folder / LOCK_FILE), str(folder), hint, names)


def _differences(plan: Plan, lock: Lock) -> list[Difference]:
    """Return what differs between a recipe's own lock and what is here."""
    kind = lock.device_kind
    fresh = make_lock(plan.on(kind), lock.device, kind, plan.recipe.folder)
    return differences(plan.recipe.source.data, _read_again(fresh))


def _read_again(data: Data) -> Any:
    """Return a lock's data as it is read from its file."""
    return parse_yaml(to_text(data), "lock")[0]
