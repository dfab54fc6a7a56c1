"""The steps of a run: phase after phase, dispatch after dispatch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nstflow.errors import STOPPED, NstflowError
from nstflow.plan import Plan
from nstflow.recipe.model import Checkpoints
from nstflow.recipe.paths import Keys
from nstflow.runner.build import (
    BuiltNetwork,
    at_scale,
    build_loop,
    build_network,
    build_objective,
    first_canvas,
    layer_sizes,
)
from nstflow.runner.cache import RunCache
from nstflow.runner.masks import PhaseRegions, regions_of
from nstflow.stages.result import Progress
from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Image, State, scaled, size_text
from nstflow.storage.checkpoint import Checkpoint, DamagedCheckpointError
from nstflow.storage.run_directory import RunDirectory

if TYPE_CHECKING:
    from nstflow.engine.loop import Loop


@dataclass(frozen=True)
class _Moment:
    """Where a run is between two dispatches: one value, so that no interrupt can split it.

    Attributes:
        before: Steps that each phase before the current one took.
    """

    canvas: Tensor
    state: State
    step: int
    before: tuple[int, ...] = ()

    @property
    def phase(self) -> int:
        """The current phase, from 0."""
        return len(self.before)

    @property
    def done(self) -> int:
        """Steps taken in the current phase."""
        return self.step - sum(self.before)

    @property
    def phases(self) -> tuple[int, ...]:
        """Steps that each phase took, up to the current one."""
        return *self.before, self.done


class Optimization:
    """Moves the canvas of one run.

    Args:
        plan: What to do.
        checkpoint: Where to continue; without one the run starts at its first step.
        shared: What is shared with other runs.

    Attributes:
        compile_seconds: Time that compiling took, and describing the references.
    """

    def __init__(self, plan: Plan, checkpoint: Checkpoint | None, shared: RunCache) -> None:
        self.plan, self._shared = plan, shared
        self._history: dict[str, list[float]] = {column: [] for column in columns_of(plan)}
        self.compile_seconds = 0.0
        self._now: _Moment | None = None
        self._images: Mapping[str, Image] = {}
        self._network: BuiltNetwork | None = None
        self._regions: dict[int, PhaseRegions] = {}
        self._loop: Loop | None = None
        if checkpoint is not None:
            self._restore(checkpoint)

    @property
    def step(self) -> int:
        """How many steps are taken."""
        return self._now.step if self._now else 0

    @property
    def history(self) -> dict[str, list[float]]:
        """Column → value of every step so far: `step`, `total`, each term, `seconds`."""
        # a dispatch that was broken off may have left rows
        return {column: values[: self.step] for column, values in self._history.items()}

    @property
    def phases(self) -> tuple[int, ...]:
        """How many steps each phase took, up to the current one."""
        return self._now.phases if self._now else ()

    def checkpoint(self) -> Checkpoint:
        """Return what a run needs to continue from here; a step has been taken.

        Raises:
            NstflowError: A number of the canvas or of the optimizer's state is not finite.
        """
        now = self._finite()
        return Checkpoint(
            step=now.step,
            phases=now.before,
            canvas=now.canvas.numpy(),
            state={name: tensor.numpy() for name, tensor in now.state.items()},
            history=self.history,
        )

    def canvas(self) -> Image:
        """Return the picture as it is now; it has the size of the phase.

        Raises:
            NstflowError: It holds numbers that are not finite, from a gradient that was none.
        """
        from nstflow.engine.resampling import image_of

        return image_of(self._result(self._finite()))

    def compile(self, images: Mapping[str, Image]) -> None:
        """Build the network and compile the steps that come next; then every input has been read.

        Args:
            images: The images, as the preprocessors left them.
        """
        self._images = images
        index = self._now.phase if self._now else 0
        index += self._now is not None and self._is_over()
        self._network = build_network(self.plan, self._shared)
        if any(any(term.regions) for term in self.plan.terms.values()):
            for later in range(index, len(self.plan.phases)):  # before the first step, all of them
                own = at_scale(images, self.plan.phases[later].scale)
                self._regions[later] = self._regions_of(later, own)
        self._loop = self._begin(index)

    def steps(self, most: int | None = None) -> Iterator[Progress]:
        """Take all steps that are left, yielding after each dispatch.

        Args:
            most: A dispatch ends at each multiple of this number of steps.

        Raises:
            NstflowError: A loss is not finite, or a stage found a problem.
        """
        while self._loop is not None:
            while not self._is_over():
                yield self._dispatch(self._loop, most)
            self._loop = None  # and its program, before the next phase's references are described
            self._loop = self._begin(self._moment.phase + 1)

    def _is_over(self) -> bool:
        """Say whether no step of the current phase is left."""
        now, phase = self._moment, self.plan.phases[self._moment.phase]
        if now.done >= self.plan.steps_of[now.phase]:
            return True
        if phase.stop is None or not now.done or now.done % phase.steps_per_epoch:
            return False
        own = {column: values[-now.done :] for column, values in self.history.items()}
        with self.plan.recipe.asking("schedule"):
            return bool(phase.stop(own))

    def _dispatch(self, loop: Loop, most: int | None) -> Progress:
        """Take a few steps, and return their losses."""
        before, done = self._moment.before, self._moment.done
        index = len(before)
        phase, planned = self.plan.phases[index], self.plan.steps_of[index]
        ends = [phase.steps_per_epoch - done % phase.steps_per_epoch, planned - done]
        if most is not None:
            ends.append(most - loop.step % most)
        rows, seconds = loop.dispatch(min(ends))
        count = len(rows)
        record(self._history, self.plan, rows.tolist(), seconds, loop.step)
        self._now = _Moment(loop.canvas, loop.state, loop.step, before)
        done += count
        earlier = zip(self.plan.phases, self.plan.steps_of[:index], strict=False)
        epochs_before = sum(phase.epochs_in(steps) for phase, steps in earlier)
        return Progress(
            step=loop.step,
            steps=self.plan.steps,
            epoch=epochs_before + phase.epochs_in(done),
            epochs=self.plan.epochs,
            ends_epoch=done % phase.steps_per_epoch == 0 or done == planned,
            phase=index,
            losses={name: self._history[name][-count:] for name in self.plan.terms},
            total=self._history["total"][-count:],
            seconds=self._history["seconds"][-count:],
            canvas=self.canvas,
        )

    def _begin(self, index: int) -> Loop | None:
        """Return the compiled loop of a phase, or of what is left of one; None after the last."""
        from nstflow.engine.resampling import resize_canvas

        if index == len(self.plan.phases):
            return None
        self._network = self._network or build_network(self.plan, self._shared)
        phase, optimizer = self.plan.phases[index], self.plan.recipe.optimizer
        images = at_scale(self._images, phase.scale)
        size = scaled(self.plan.canvas, phase.scale)
        if self._now is None or self._now.phase < index:
            if self._now is None:
                canvas = first_canvas(self.plan, images, size)
                with self.plan.recipe.asking("optimizer"):
                    self._now = _Moment(canvas, optimizer.start(canvas, phase.steps), 0)
            else:
                canvas = resize_canvas(self._result(self._now), size)
                with self.plan.recipe.asking("optimizer"):
                    state = optimizer.carry(self._now.state, canvas, phase.steps)
                self._now = _Moment(canvas, state, self._now.step, self._now.phases)
        began = time.perf_counter()
        regions = self._regions.pop(index, None) or self._regions_of(index, images)
        objective = build_objective(self.plan, phase, images, regions, self._network, self._shared)
        loop = build_loop(
            self.plan,
            objective,
            self._network,
            self._now.canvas,
            self._now.state,
            self._now.step,
            self._shared,
        )
        self.compile_seconds += time.perf_counter() - began
        self.compile_seconds += loop.compile()
        return loop

    def _regions_of(self, index: int, images: Mapping[str, Image]) -> PhaseRegions:
        """Return where losses count in a phase; `images` have its size."""
        assert self._network is not None  # noqa: S101 - it is built first
        sizes_of = partial(layer_sizes, self._network, self._shared)
        return regions_of(self.plan, self.plan.phases[index], images, self._images, sizes_of)

    def _restore(self, checkpoint: Checkpoint) -> None:
        """Go to where a checkpoint was taken.

        Raises:
            DamagedCheckpointError: It is not one of this plan.
        """
        from nstflow.engine.resampling import tensor_of

        phases, columns = self.plan.phases, set(self._history)
        sizes = {len(values) for values in checkpoint.history.values()}
        matches = checkpoint.history.keys() == columns and sizes == {checkpoint.step}
        before = checkpoint.phases
        is_possible = len(before) < len(phases) and all(n > 0 for n in before)
        if not (matches and is_possible and sum(before) <= checkpoint.step):
            raise DamagedCheckpointError("its history or its phase is not one of this recipe")
        phase = phases[len(checkpoint.phases)]
        size = scaled(self.plan.canvas, phase.scale)
        canvas = tensor_of(checkpoint.canvas)
        state = {name: tensor_of(array) for name, array in checkpoint.state.items()}
        if tuple(canvas.shape) != (1, *size, 3) or canvas.dtype != "float32":
            raise DamagedCheckpointError(f"its canvas does not have {size_text(size)} pixels")
        self._history = {column: list(checkpoint.history[column]) for column in self._history}
        self._now = _Moment(canvas, state, checkpoint.step, checkpoint.phases)

    def _result(self, now: _Moment) -> Tensor:
        """Return the picture that the optimizer has come to, `(1, h, w, 3)`."""
        with self.plan.recipe.asking("optimizer") as optimizer:
            return optimizer.result(now.canvas, now.state)

    @property
    def _moment(self) -> _Moment:
        assert self._now is not None  # noqa: S101 - a phase has begun
        return self._now

    def _finite(self) -> _Moment:
        from nstflow.engine.resampling import is_finite

        now = self._moment
        if not is_finite(now.canvas):
            raise not_finite(self.plan, ("losses",), "the gradient of a loss", now.step)
        for name, tensor in now.state.items():
            if not is_finite(tensor):
                raise not_finite(self.plan, ("optimizer",), f"the optimizer's '{name}'", now.step)
        return now


SECONDS_PER_HISTORY = 2.0
"""How old the history on the disk may be at the end of an epoch."""


class CheckpointSchedule:
    """Writes the checkpoints and the history of a run, as often as its recipe says."""

    def __init__(
        self, directory: RunDirectory, optimization: Optimization, often: Checkpoints
    ) -> None:
        self._directory, self._optimization, self._often = directory, optimization, often
        self._saved = time.monotonic()
        self._written = 0.0

    def after(self, progress: Progress) -> None:
        """Save what is due after a dispatch; the last one is saved by `now`."""
        if progress.step == progress.steps:
            return
        seconds, steps = self._often.every_seconds, self._often.every_steps
        late = seconds is not None and time.monotonic() - self._saved >= seconds
        if late or (steps is not None and progress.step % steps == 0):
            self._directory.write_checkpoint(self._optimization.checkpoint())
            self._saved = time.monotonic()
        # the file is written whole each time: not for every one of many short epochs
        if progress.ends_epoch and time.monotonic() - self._written > SECONDS_PER_HISTORY:
            self._directory.write_history(self._optimization.history)
            self._written = time.monotonic()

    def now(self) -> None:
        """Save everything."""
        self._directory.write_checkpoint(self._optimization.checkpoint())
        self._directory.write_history(self._optimization.history)


def columns_of(plan: Plan) -> tuple[str, ...]:
    """Return the columns: `step`, `total`, each loss term, `seconds`."""
    return ("step", "total", *plan.terms, "seconds")


def record(
    history: Mapping[str, list[float]],
    plan: Plan,
    rows: Sequence[Sequence[float]],
    seconds: float,
    last_step: int,
) -> None:
    """Add the rows of a dispatch; its steps share its time evenly.

    Args:
        history: Column → value of every step before.
        plan: The run's.
        rows: For each step the loss of each term.
        seconds: What the dispatch took.
        last_step: The number of its last step, from 1.

    Raises:
        NstflowError: A loss is not finite; the problem names the term and the step.
    """
    before = history["seconds"][-1] if history["seconds"] else 0.0
    for index, row in enumerate(rows, 1):
        step = last_step - len(rows) + index
        losses = dict(zip(plan.terms, row, strict=True))
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise not_finite(plan, ("losses", name), f"the loss ({loss})", step)
        for name, loss in losses.items():
            history[name].append(loss)
        history["step"].append(step)
        history["total"].append(sum(row))
        history["seconds"].append(before + seconds * index / len(rows))


def not_finite(plan: Plan, keys: Keys, what: str, step: int) -> NstflowError:
    """Return the error of a number that has run out of range."""
    got = f"{what} is not finite at step {step}: the numbers have run out of range."
    hint = "Lower optimizer.learning_rate or a weight; a NaN may also come from a loss itself."
    error = plan.recipe.source.error(keys, got, hint)
    error.closing = STOPPED  # resuming would end the same way
    return error
