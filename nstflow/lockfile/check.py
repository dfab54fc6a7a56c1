"""Whether what is to be run agrees with a lock: the recipe's own, or that of the run to resume."""

import contextlib
import warnings
from pathlib import Path

from pydantic import ValidationError

from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.lockfile.build import Data, Lockfile, make_lock
from nstflow.lockfile.diff import Difference, differences, refusal
from nstflow.plan import Plan
from nstflow.recipe.model import Lock
from nstflow.recipe.source import read_source
from nstflow.stages.text import text_of
from nstflow.storage.run_record import LOCK_FILE

_REQUIRED = ("lock.files", "lock.weights", "lock.plugins")


def check_locked(lockfile: Lockfile) -> None:
    """Compare a run with the lock in its own recipe, as `--locked` does.

    Another version of Python or TensorFlow, or another environment, is a warning.

    Raises:
        NstflowError: The recipe has no lock; or with every file, weights or plugin that differs.
    """
    source = lockfile.plan.recipe.source
    label = source.label
    if lockfile.plan.recipe.lock is None:
        hint = f"Write one with `nstflow lock {label}`."
        raise NstflowError(Problem(label, "lock", "this recipe has no lock section.", hint), label)
    if source.options:
        option = next(iter(source.options.values()))
        hint = f"Leave out {option.split('=')[0]}, or --locked."
        raise NstflowError(Problem(option, "", "a locked recipe runs as it is.", hint), label)
    found = _differences(lockfile)
    if serious := [each for each in found if each.setting.startswith(_REQUIRED)]:
        hint = "Restore them, or leave --locked out."
        raise refusal(serious, label, label, hint, ("the lock has", "here it is"))
    _warn(found, lockfile.plan)


def warn_differences(plan: Plan) -> None:
    """Warn of everything that differs from the lock in the plan's recipe, if it has one."""
    if plan.recipe.lock is not None:
        _warn(_differences(make_lock(plan, plan.recipe.folder)), plan)


def warn_device(lockfile: Lockfile) -> None:
    """Warn if the device is not the one in the recipe's lock."""
    if lock := lockfile.plan.recipe.lock:
        locked = lock.model_dump(include={"device", "device_kind"}, exclude_none=True)
        here = {name: lockfile.data["lock"][name] for name in locked}
        _warn(differences({"lock": locked}, {"lock": here}), lockfile.plan)


def _differences(lockfile: Lockfile) -> list[Difference]:
    """Return what differs between the lock in a recipe and what is here, the device left out."""
    lock = lockfile.plan.recipe.source.data["lock"].items()
    written = {name: value for name, value in lock if name not in ("device", "device_kind")}
    return differences({"lock": written}, {"lock": lockfile.data["lock"]})


def _warn(found: list[Difference], plan: Plan) -> None:
    for each in found:
        if each.setting == "lock.stopped_at":
            text = f"the picture was stopped after step {each.first}; this takes all {plan.steps}"
        else:
            change = "a picture like it, perhaps not the same pixels"
            if each.setting.startswith(_REQUIRED):
                change = "perhaps another picture"
            text = f"{each.setting} was {each.first}, here it is {each.second}: {change}"
        warnings.warn(text, NstflowWarning, stacklevel=3)


def stored_lock(folder: Path) -> Data | None:
    """Return the content of a run directory's lockfile, or None if it was not written yet.

    Raises:
        NstflowError: It is damaged.
    """
    path = folder / LOCK_FILE
    if not path.is_file():
        return None
    data = read_source(path).data
    with contextlib.suppress(ValidationError):
        lock = Lock.model_validate(data.get("lock"), strict=True)
        if lock.device and lock.device_kind:  # only that of a matrix's job lacks them
            return dict(data)
    got, hint = "the lock of this run is damaged.", "Start again with --overwrite."
    raise NstflowError(Problem(str(path), "lock", got, hint), str(path))


def check_resumable(stored: Data, lockfile: Lockfile, folder: Path) -> None:
    """Compare a run with the lockfile in the run directory that it is to resume.

    Raises:
        NstflowError: With everything that differs; the order of the losses is the history's.
    """
    found = differences(stored, lockfile.data)
    if not found:  # so the losses are a mapping of the same names
        orders = [text_of(", ".join(data["losses"])) for data in (stored, lockfile.data)]
        found = [Difference("losses", *orders)] if orders[0] != orders[1] else []
    if found:
        written, chosen = lockfile.plan.recipe.extractor, lockfile.plan.extractor
        settled = tuple(  # which follow from what is written
            f"extractor.{name}" for name, value in written if value != getattr(chosen, name)
        )
        found = [each for each in found if not each.setting.startswith(settled)] or found
        settings = any(not each.setting.startswith("lock.environment") for each in found)
        first = "--set options" if settings else "environment variables"
        hint = f"Repeat the {first} of the first run, start again with --overwrite, or choose "
        hint += "another place with --out."
        names = ("the run to resume has", "now it is")
        raise refusal(found, str(folder / LOCK_FILE), str(folder), hint, names)
