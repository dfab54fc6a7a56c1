"""One run, from a plan to a picture, top to bottom."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.engine.memory import available
from nstflow.errors import STOPPED, NstflowError, NstflowWarning, Problem
from nstflow.lockfile.build import Data, Lockfile, make_lock, to_text
from nstflow.lockfile.check import check_locked, check_resumable, stored_lock, warn_device
from nstflow.plan import Plan, make_plan, timings
from nstflow.recipe.model import Recipe
from nstflow.runner.cache import RunCache
from nstflow.runner.images import finish, prepare, write
from nstflow.runner.notebook import displays
from nstflow.runner.optimization import CheckpointSchedule, Optimization
from nstflow.runner.out_of_memory import explain_out_of_memory, out_of_memory
from nstflow.runner.result import read_result
from nstflow.stages.job import Stop
from nstflow.stages.result import Result
from nstflow.stages.types import Image
from nstflow.storage.checkpoint import DamagedCheckpointError
from nstflow.storage.files import user_path
from nstflow.storage.run_directory import RunDirectory
from nstflow.storage.run_record import CHECKPOINT_FILE, LOCK_FILE

if TYPE_CHECKING:
    from nstflow.engine.device import Device, DeviceChoice
    from nstflow.plugins.observers import Observers


def run(
    plan: Plan | Recipe,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    locked: bool = False,
    device: DeviceChoice = "auto",
    metadata: bool = True,
    quiet: bool = False,
    observers: Iterable[object] = (),
    stop: Stop | None = None,
    shared: RunCache | None = None,
) -> Result:
    """Run a plan, and leave a run directory.

    Ctrl-C drops the dispatch in flight; the picture as it was before is finished and written, and
    a checkpoint from which `resume` continues.

    Args:
        plan: A plan, or a recipe to plan first.
        out: The run directory; `runs/<name>` under the working directory by default.
        overwrite: Replace a run that is there.
        resume: Continue a run that is there, to the same bytes as if it had never stopped; one
            that has ended is read, and nothing is computed.
        locked: Refuse if a file, the weights or a plugin is not what the recipe's lock says.
        device: Where to compute; `auto` takes a GPU if TensorFlow sees one.
        metadata: Store in the picture how it was made: the lockfile, with file names for paths.
        quiet: Show no progress in a notebook. Elsewhere a run shows nothing by itself.
        observers: Objects whose methods are hooks (`@nstflow.hookimpl`), beside the plugins.
            One with the attribute `shows_progress = True` replaces a notebook's display.
        stop: Asks the run, from another thread, to stop between two dispatches.
        shared: What the run shares with others of this process that are given the same.

    Raises:
        NstflowError: Something that the user can put right.
    """
    began = time.perf_counter()
    plan = plan if isinstance(plan, Plan) else make_plan(plan)
    if overwrite and resume:
        problem = "a run is either replaced or resumed."
        raise NstflowError(Problem("--overwrite --resume", "", problem, "Leave one of them out."))
    folder = user_path(out or Path("runs", plan.recipe.name))
    stop = stop or Stop()
    polled = stop.polled
    observers = [*observers]
    observers += displays(observers, quiet=quiet)
    hooks = plan.recipe.installed.observers(observers)
    lockfile = make_lock(plan, folder)
    if locked:
        check_locked(lockfile)
    inputs = plan.files.values()
    with RunDirectory(folder, overwrite=overwrite, resume=resume, inputs=inputs) as directory:
        stored = _stored_lock(directory)
        if stored is not None:
            lockfile = lockfile.on(stored["lock"]["device"], stored["lock"]["device_kind"])
            lockfile = lockfile.after(stored["lock"].get("steps", ()))
            check_resumable(stored, lockfile, folder)
            if directory.record.state == "finished":
                # if the run was killed before it could
                _complete(directory, lockfile.after(directory.record.phases))
                return read_result(plan, folder, directory.record, stored["lock"]["device"])
        try:
            if stored is None and not directory.replacing:
                directory.write_record(state="running")  # before an observer writes into the folder
            hooks.notify("nstflow_run_started", plan=plan, folder=folder)
            chosen, lockfile = _choose_device(device, lockfile, stored, directory)
            if locked:
                warn_device(lockfile)
            with chosen.scope(), explain_out_of_memory(lockfile.plan, chosen.kind):
                shared = shared or RunCache()
                shared.on((chosen, plan.recipe.compute.deterministic))
                result = _compute(lockfile, directory, hooks, stop, shared)
                result = replace(result, total_seconds=time.perf_counter() - began)
                lockfile = lockfile if result.interrupted else lockfile.after(result.phases)
                result = _write(result, lockfile, directory, metadata=metadata)
            _record_end(directory, result, lockfile)
            if chosen.whole and not result.resumed_from:
                timings.record(result)
            hooks.notify("nstflow_run_finished", result=result)
        except BaseException as error:
            _fail(directory, error)
            hooks.notify("nstflow_run_failed", plan=plan, error=error, folder=folder)
            raise
        finally:
            stop.polled = polled
    return result


def _stored_lock(directory: RunDirectory) -> Data | None:
    """Return the content of the lockfile of the run to resume, if there is one."""
    stored = stored_lock(directory.path) if directory.resuming else None
    if stored is None and directory.resuming and directory.record.steps:
        got = f"{LOCK_FILE} is missing: nothing else says what was run."
        hint = "Start again with --overwrite."
        raise NstflowError(Problem(str(directory.path), "", got, hint))
    return stored


def _choose_device(
    choice: DeviceChoice, lockfile: Lockfile, stored: Data | None, directory: RunDirectory
) -> tuple[Device, Lockfile]:
    """Return the device, and the lockfile for it; a run is resumed on the same device only."""
    from nstflow.engine.device import choose_device

    compute = lockfile.plan.recipe.compute
    device = choose_device(choice, deterministic=compute.deterministic)
    if (lockfile.device, lockfile.kind) != (device.title, device.kind):
        lockfile = lockfile.on(device.title, device.kind)
        if stored is not None:
            check_resumable(stored, lockfile, directory.path)
    there_is, needed = available(), lockfile.plan.memory
    if device.kind == "cpu" and there_is and needed and needed > there_is:
        short = out_of_memory(lockfile.plan, there_is).problems[0]
        warnings.warn(f"{short.got} {short.hint}", NstflowWarning, stacklevel=3)
    return device, lockfile


def _compute(
    lockfile: Lockfile, directory: RunDirectory, hooks: Observers, stop: Stop, shared: RunCache
) -> Result:
    """Make the picture on the chosen device; the outputs are not written yet."""
    plan, checkpoint = lockfile.plan, directory.read_checkpoint()
    try:
        optimization = Optimization(plan, checkpoint, shared)
    except DamagedCheckpointError as error:
        raise directory.checkpoint_error(error) from error
    keep_lock = directory.resuming and (directory.path / LOCK_FILE).is_file()
    lock_text = "" if keep_lock else lockfile.to_text()
    directory.begin(plan.recipe.source.text, lock_text, optimization.history)
    _stop_if_asked(stop)
    images = prepare(plan, shared)
    _stop_if_asked(stop)
    interrupted = _take_steps(optimization, images, lockfile, directory, hooks, stop)
    return Result(
        plan=plan,
        image=finish(plan.recipe, optimization.canvas(), images),
        history=optimization.history,
        seconds=optimization.history["seconds"][-1],
        compile_seconds=optimization.compile_seconds,
        total_seconds=0.0,  # not known before everything is done
        device=lockfile.device,
        folder=directory.path,
        interrupted=interrupted,
        phases=optimization.phases,
        resumed_from=checkpoint.step if checkpoint else 0,
    )


def _stop_if_asked(stop: Stop) -> None:
    """Stop before the first step of this execution, as Ctrl-C does."""
    if stop.polled and stop.requested:
        raise KeyboardInterrupt


def _take_steps(
    optimization: Optimization,
    images: Mapping[str, Image],
    lockfile: Lockfile,
    directory: RunDirectory,
    hooks: Observers,
    stop: Stop,
) -> bool:
    """Take the steps that are left; return whether they were interrupted."""
    often = lockfile.plan.recipe.checkpoints
    schedule = CheckpointSchedule(directory, optimization, often)
    try:
        optimization.compile(images)
        lockfile.check_unchanged()  # images and weights have been read
        for progress in optimization.steps(often.every_steps):
            stop.polled = True
            schedule.after(progress)
            hooks.notify("nstflow_progress", progress=progress, folder=directory.path)
            if stop.requested and progress.step < progress.steps:
                schedule.now()
                return True
    except KeyboardInterrupt:
        if not optimization.step:
            raise  # there is nothing to keep yet
        schedule.now()
        return True
    except Exception:
        if optimization.step and not directory.replacing:
            with contextlib.suppress(Exception):  # the first error is the one to raise
                schedule.now()
        raise
    schedule.now()
    return False


def _write(
    result: Result, lockfile: Lockfile, directory: RunDirectory, *, metadata: bool
) -> Result:
    """Let the outputs write the picture; return the result with their files."""
    if metadata:
        stopped_at = len(result.history["step"]) if result.interrupted else None
        result = replace(result, record=to_text(lockfile.without_paths(stopped_at)))
    return replace(result, files=write(result, directory))


def _record_end(directory: RunDirectory, result: Result, lockfile: Lockfile) -> None:
    """Record how the run ended."""
    directory.write_record(
        state="stopped" if result.interrupted else "finished",
        steps=len(result.history["step"]),
        seconds=round(result.seconds, 3),
        compile_seconds=round(result.compile_seconds, 3),
        total_seconds=round(result.total_seconds, 3),
        phases=tuple(result.phases),
        files=tuple(file.name for file in result.files),
    )
    if not result.interrupted:
        _complete(directory, lockfile)


def _complete(directory: RunDirectory, lockfile: Lockfile) -> None:
    """Leave what a finished run leaves: no checkpoint, and a lockfile with the steps it took."""
    directory.remove_checkpoint()  # first: it belongs to the lockfile as it was
    if lockfile.ended_sooner:
        directory.write(LOCK_FILE, lockfile.to_text())


def _fail(directory: RunDirectory, error: BaseException) -> None:
    """Record that the run failed; if there is something to keep, the error says so."""
    directory.fail()
    if isinstance(error, NstflowError) and not error.closing and directory.has_steps:
        error.closing = STOPPED
        if (directory.path / CHECKPOINT_FILE).is_file():
            error.closing += ", and can be resumed with --resume"
