"""One execution of a plan, from the claimed directory to the result in it."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nstflow import ledger
from nstflow.agreement import check_device, check_unchanged, tell_difference
from nstflow.checkpoint import DamagedCheckpointError
from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import STOPPED, NstflowError, NstflowWarning
from nstflow.exhaustion import out_of_memory
from nstflow.facts import CHECKPOINT_FILE, LOCK_FILE, RECIPE_FILE
from nstflow.history import columns_of
from nstflow.images import finish, prepare, write
from nstflow.lock import Data, make_lock, to_text, without_paths
from nstflow.optimization import Optimization
from nstflow.plan import Plan
from nstflow.recipe.schema import Lock
from nstflow.result import Result
from nstflow.saving import Saving
from nstflow.stopping import Stop
from nstflow.store import RunDirectory
from nstflow.values import Image

if TYPE_CHECKING:
    from nstflow.engine.device import Device, DeviceChoice
    from nstflow.plugins import Observers


@dataclass
class Execution:
    """One execution of a plan.

    Attributes:
        stored: The lock of the run that is resumed, if it came to have one.
        began: When, on the clock of `time.perf_counter`.
    """

    plan: Plan
    directory: RunDirectory
    watching: Observers
    stop: Stop
    stored: Lock | None
    began: float
    optimization: Optimization | None = None

    def execute(self, choice: DeviceChoice, *, locked: bool, metadata: bool) -> Result:
        """Do everything that a run does, in its claimed directory.

        Args:
            choice: Where to compute.
            locked: Tell where the device is not the recipe's lock's.
            metadata: Let the picture carry the lock.
        """
        from nstflow.engine.device import choose_device

        recipe, directory = self.plan.recipe, self.directory
        checkpoint = directory.saved()
        directory.record(state="running")
        directory.write(RECIPE_FILE, recipe.source.text)
        if checkpoint is None:
            directory.write_history({column: [] for column in columns_of(self.plan)})
        self.watching.tell("nstflow_run_started", plan=self.plan)
        device = choose_device(choice, deterministic=recipe.compute.deterministic)
        self.plan = self.plan.on(device.kind)
        lock = self._lock(device, locked=locked)
        with device.scope():
            try:
                optimization = self.optimization = Optimization(self.plan, checkpoint)
            except DamagedCheckpointError as error:
                raise directory.unusable(error) from error
            images = prepare(self.plan)
            check_unchanged(self.plan, lock)
            interrupted = self._optimize(optimization, images, lock)
            image = finish(recipe, optimization.canvas(), images)
        bare = without_paths(lock, optimization.step if interrupted else None)
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

    def _lock(self, device: Device, *, locked: bool) -> Data:
        """Write the lock, or find that the run to resume had this one."""
        path, asked = self.directory.path, self.plan.recipe.lock
        if self.stored is not None:
            check_device(path, self.stored, device.title, device.kind)
        if locked and asked is not None and asked.device != device.title:
            tell_difference("lock.device", asked.device, device.title)
        lock = make_lock(self.plan, device.title, device.kind, path)
        if self.stored is None:
            self.directory.write(LOCK_FILE, to_text(lock))
        there_is, needed = available(), self.plan.memory
        if device.kind == "cpu" and there_is and needed and needed > there_is:
            short = out_of_memory(self.plan, there_is).problems[0]
            warnings.warn(f"{short.got} {short.hint}", NstflowWarning, stacklevel=2)
        return lock

    def _optimize(
        self, optimization: Optimization, images: Mapping[str, Image], lock: Data
    ) -> bool:
        """Take the steps; return whether they were interrupted."""
        often = self.plan.recipe.checkpoints
        saving = Saving(self.directory, optimization, often)
        try:
            for progress in optimization.steps(images, often.every_steps):
                if not self.stop.patient:  # the first: the weights are read by now
                    check_unchanged(self.plan, lock)
                    self.stop.patient = True
                saving.after(progress)
                self.watching.tell("nstflow_progress", progress=progress)
                if self.stop.requested and progress.step < progress.steps:
                    saving.now()
                    return True
        except KeyboardInterrupt:
            if not optimization.step:
                raise  # there is nothing to keep yet
            saving.now()
            return True
        except Exception:
            if optimization.step:
                with contextlib.suppress(Exception):  # what matters is what was raised
                    saving.now()
            raise
        saving.now()
        return False

    def _note(self, result: Result) -> None:
        """Write down how the run ended; the checkpoint of one that took all its steps goes."""
        self.directory.record(
            state="stopped" if result.interrupted else "finished",
            steps=len(result.history["step"]),
            seconds=round(result.seconds, 3),
            compile_seconds=round(result.compile_seconds, 3),
            total_seconds=round(result.total_seconds, 3),
            files=tuple(file.name for file in result.files),
        )
        if not result.interrupted:
            self.directory.drop_checkpoint()
        if not result.resumed_from:
            ledger.note(result)

    def explained(self, error: BaseException) -> BaseException:
        """Return the error to raise: with what came of the run, or for memory that ran out."""
        if is_out_of_memory(error):
            error = out_of_memory(self.plan, available())
        begun = self.directory.has_steps or (self.optimization and self.optimization.compiled)
        if isinstance(error, NstflowError) and begun and "closing" not in vars(error):
            error.closing = STOPPED
            if (self.directory.path / CHECKPOINT_FILE).is_file():
                error.closing = f"{STOPPED}, and can go on with --resume"
        return error
