"""A plan becomes a picture: load, prepare, describe, loop, finish."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.agreement import check_locked, check_resumable, stored_lock
from nstflow.errors import NstflowError, Problem
from nstflow.execution import Execution
from nstflow.facts import LOCK_FILE
from nstflow.finished import read_result
from nstflow.lock import Data, with_hashes
from nstflow.plan import Plan, make_plan
from nstflow.recipe.schema import Recipe
from nstflow.result import Result
from nstflow.run_cache import RunCache
from nstflow.stopping import Stop
from nstflow.store import RunDirectory

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice


def run(
    plan: Plan | Recipe,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    locked: bool = False,
    device: DeviceChoice = "auto",
    metadata: bool = True,
    observers: Iterable[object] = (),
    stop: Stop | None = None,
    shared: RunCache | None = None,
) -> Result:
    """Run a plan, and leave a run directory.

    Ctrl-C drops the dispatch in flight; the picture as it was before is finished and written, and
    a checkpoint from which `resume` goes on.

    Args:
        plan: A plan, or a recipe to plan first.
        out: The run directory; `runs/<name>` under the working directory by default.
        overwrite: Replace a run that is there.
        resume: Go on with a run that is there, to the same bytes as if it had never stopped; one
            that has ended is read back, and nothing is computed.
        locked: Refuse where a file, the weights or a plugin is not what the recipe's lock says.
        device: Where to compute; `auto` takes a GPU if TensorFlow sees one.
        metadata: Let the picture carry how it was made: the lock, with names for paths.
        observers: Objects whose methods are hooks (`@nstflow.hookimpl`), beside the plugins.
        stop: Asks the run, from another thread, to stop between two dispatches.
        shared: What the run shares with others of this process that have it too.

    Raises:
        NstflowError: Something that the user can put right.
    """
    began = time.perf_counter()
    plan = make_plan(plan) if isinstance(plan, Recipe) else plan
    if overwrite and resume:
        problem = "a run is either replaced or resumed."
        raise NstflowError(Problem("--overwrite --resume", "", problem, "Leave one of them out."))
    plan = with_hashes(plan)
    if locked:
        check_locked(plan)
    watching = plan.recipe.installed.observers(observers)
    path = Path(out or Path("runs", plan.recipe.name))
    inputs = plan.files.values()
    with RunDirectory(path, overwrite=overwrite, resume=resume, inputs=inputs) as directory:
        stored = _stored(plan, directory)
        if stored is not None and directory.facts.state == "finished":
            directory.drop_checkpoint()  # if the run was killed before it could
            return read_result(plan, path, directory.facts, stored["lock"]["device"])
        stop = stop or Stop()
        patient = stop.patient
        work = Execution(plan, directory, watching, stop, shared or RunCache(), stored, began)
        try:
            result = work.execute(device, locked=locked, metadata=metadata)
            watching.tell("nstflow_run_finished", result=result)
        except BaseException as error:
            directory.fail()
            told = work.explained(error)
            watching.tell("nstflow_run_failed", plan=plan, error=told, folder=path)
            if told is error:
                raise
            raise told from error
        finally:
            stop.patient = patient
    return result


def _stored(plan: Plan, directory: RunDirectory) -> Data | None:
    """Return the lock of the run to resume, if there is one, and hold the plan to it."""
    if not directory.held:
        return None
    stored = stored_lock(directory.path)
    if stored is not None:
        check_resumable(plan, directory.path, *stored)
        return stored[0]
    if directory.facts.steps:
        got = f"{LOCK_FILE} is missing: what was run can't be told."
        hint = "Begin anew with --overwrite."
        raise NstflowError(Problem(str(directory.path), "", got, hint))
    return None
