"""A plan becomes a picture: load, prepare, describe, loop, finish."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import STOPPED, NstflowError, NstflowWarning, Problem
from nstflow.lockfile.build import Data, make_lock, to_text, with_hashes, without_paths
from nstflow.lockfile.check import (
    check_locked,
    check_locked_again,
    check_resumable,
    check_same,
    check_unchanged,
    stored_lock,
)
from nstflow.plan import Plan, make_plan
from nstflow.recipe.model import Recipe
from nstflow.runner import timings
from nstflow.runner.cache import RunCache
from nstflow.runner.images import finish, prepare, write
from nstflow.runner.memory import out_of_memory
from nstflow.runner.optimization import CheckpointSchedule, Optimization
from nstflow.runner.result import read_result
from nstflow.stages.job import Stop
from nstflow.stages.result import Result
from nstflow.stages.types import Image
from nstflow.storage.checkpoint import DamagedCheckpointError
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
        if stored is not None and directory.record.state == "finished":
            directory.remove_checkpoint()  # if the run was killed before it could
            return read_result(plan, path, directory.record, stored["lock"]["device"])
        stop = stop or Stop()
        patient = stop.polled
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
            stop.polled = patient
    return result


def _stored(plan: Plan, directory: RunDirectory) -> Data | None:
    """Return the lock of the run to resume, if there is one, and hold the plan to it."""
    if not directory.resuming:
        return None
    stored = stored_lock(directory.path)
    if stored is not None:
        check_resumable(plan, directory.path, *stored)
        return stored[0]
    if directory.record.steps:
        got = f"{LOCK_FILE} is missing: what was run can't be told."
        hint = "Start again with --overwrite."
        raise NstflowError(Problem(str(directory.path), "", got, hint))
    return None


@dataclass
class Execution:
    """One execution of a plan.

    Attributes:
        shared: What it shares with other runs of this process.
        stored: The lock of the run that is resumed, if it came to have one.
        began: When, on the clock of `time.perf_counter`.
    """

    plan: Plan
    directory: RunDirectory
    watching: Observers
    stop: Stop
    shared: RunCache
    stored: Data | None
    began: float
    optimization: Optimization | None = None
    on_cpu: bool = True
    on_all: bool = True

    def execute(self, choice: DeviceChoice, *, locked: bool, metadata: bool) -> Result:
        """Do everything that a run does, in its directory.

        Args:
            choice: Where to compute.
            locked: Tell where the device is not the recipe's lock's.
            metadata: Let the picture carry the lock.
        """
        from nstflow.engine.device import choose_device

        recipe, directory = self.plan.recipe, self.directory
        if self.stored is None and not directory.replacing:
            directory.write_record(state="running")  # before an observer writes into the folder
        self.watching.tell("nstflow_run_started", plan=self.plan, folder=directory.path)
        device = choose_device(choice, deterministic=recipe.compute.deterministic)
        self.shared.on((device, recipe.compute.deterministic))
        self.on_cpu, self.on_all = device.kind == "cpu", device.whole
        self.plan = self.plan.on(device.kind)
        lock = self._lock(device, locked=locked)
        checkpoint = directory.read_checkpoint()
        with device.scope():
            try:
                optimization = self.optimization = Optimization(self.plan, checkpoint, self.shared)
            except DamagedCheckpointError as error:
                raise directory.checkpoint_error(error) from error
            text = "" if self.stored else to_text(lock)
            directory.begin(recipe.source.text, text, optimization.history)
            self._look()
            images = prepare(self.plan, self.shared)
            self._look()
            check_unchanged(self.plan, lock)
            interrupted = self._optimize(optimization, images, lock)
            image = finish(recipe, optimization.canvas(), images)
        bare = without_paths(lock, optimization.step if interrupted else None, self.plan.files)
        result = Result(
            plan=self.plan,
            image=image,
            history=optimization.history,
            seconds=optimization.history["seconds"][-1],
            compile_seconds=optimization.compile_seconds,
            total_seconds=time.perf_counter() - self.began,
            device=device.title,
            folder=directory.path,
            interrupted=interrupted,
            resumed_from=checkpoint.step if checkpoint else 0,
            record=to_text(bare) if metadata else "",
        )
        result = replace(result, files=write(result, directory))
        self._note(result)
        return result

    def _look(self) -> None:
        """Give up before the first step of this execution where it was asked for."""
        if self.stop.polled and self.stop.requested:
            raise KeyboardInterrupt

    def _lock(self, device: Device, *, locked: bool) -> Data:
        """Return the lock of the run, held to that of the run to resume."""
        lock = make_lock(self.plan, device.title, device.kind, self.directory.path)
        if self.stored is not None:
            check_same(self.directory.path, self.stored, lock)
        if locked:
            check_locked_again(self.plan, lock)
        there_is, needed = available(), self.plan.memory
        if self.on_cpu and there_is and needed and needed > there_is:
            short = out_of_memory(self.plan, there_is).problems[0]
            warnings.warn(f"{short.got} {short.hint}", NstflowWarning, stacklevel=2)
        return lock

    def _optimize(
        self, optimization: Optimization, images: Mapping[str, Image], lock: Data
    ) -> bool:
        """Take the steps; return whether they were interrupted."""
        often = self.plan.recipe.checkpoints
        saving = CheckpointSchedule(self.directory, optimization, often)
        is_first = True
        try:
            for progress in optimization.steps(images, often.every_steps):
                self.stop.polled = True
                if is_first:  # the weights are read by now
                    check_unchanged(self.plan, lock)
                    is_first = False
                saving.after(progress)
                self.watching.tell(
                    "nstflow_progress", progress=progress, folder=self.directory.path
                )
                if self.stop.requested and progress.step < progress.steps:
                    saving.now()
                    return True
        except KeyboardInterrupt:
            if not optimization.step:
                raise  # there is nothing to keep yet
            saving.now()
            return True
        except Exception:
            if optimization.step and not self.directory.replacing:
                with contextlib.suppress(Exception):  # what matters is what was raised
                    saving.now()
            raise
        saving.now()
        return False

    def _note(self, result: Result) -> None:
        """Write down how the run ended; the checkpoint of one that took all its steps goes."""
        self.directory.write_record(
            state="stopped" if result.interrupted else "finished",
            steps=len(result.history["step"]),
            seconds=round(result.seconds, 3),
            compile_seconds=round(result.compile_seconds, 3),
            total_seconds=round(result.total_seconds, 3),
            files=tuple(file.name for file in result.files),
        )
        if not result.interrupted:
            self.directory.remove_checkpoint()
        if self.on_all and not result.resumed_from:
            timings.record(result)

    def explained(self, error: BaseException) -> BaseException:
        """Return the error to raise: with what came of the run, or for memory that ran out."""
        if is_out_of_memory(error):
            error = out_of_memory(self.plan, available() if self.on_cpu else None)
        begun = self.directory.has_steps or (self.optimization and self.optimization.compiled)
        if isinstance(error, NstflowError) and begun and "closing" not in vars(error):
            error.closing = STOPPED
            there = (self.directory.path / CHECKPOINT_FILE).is_file()
            if there and not self.directory.replacing:
                error.closing = f"{STOPPED}, and can go on with --resume"
        return error
