"""The steps of a run: phase after phase, dispatch after dispatch, told as they happen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from nstflow.blame import blaming
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.result import Progress
from nstflow.values import Image, Phase, Size

if TYPE_CHECKING:
    from nstflow.engine.features import Network
    from nstflow.engine.loop import Loop
    from nstflow.engine.objective import Evaluate


class Optimization:
    """Moves the canvas of one run.

    Args:
        plan: What to do.
        images: The prepared images.

    Attributes:
        history: Column → value of every step so far: `step`, `total`, each term, `seconds`.
        compile_seconds: Time that compiling took.
    """

    def __init__(self, plan: Plan, images: Mapping[str, Image]) -> None:
        self.plan, self.images = plan, images
        columns = ("step", "total", *plan.terms, "seconds")
        self.history: dict[str, list[float]] = {column: [] for column in columns}
        self.compile_seconds = 0.0
        self._loop: Loop | None = None

    def canvas(self) -> Image:
        """Return the canvas as it is now; it has the size of the phase."""
        from nstflow.engine.resampling import image_of

        assert self._loop is not None  # noqa: S101 - a phase has begun
        return image_of(self._loop.canvas)

    def steps(self) -> Iterator[Progress]:
        """Take all steps, yielding after each dispatch.

        Raises:
            NstflowError: A loss is not finite, or a stage found a problem.
        """
        network = self._network()
        epochs_before = 0
        for index, phase in enumerate(self.plan.phases):
            loop = self._begin(phase, network)
            self.compile_seconds += loop.compile()
            first = loop.step
            while loop.step < first + phase.steps:
                done = loop.step - first
                to_epoch = phase.steps_per_epoch - done % phase.steps_per_epoch
                rows, seconds = loop.dispatch(min(to_epoch, phase.steps - done))
                count = len(rows)
                self._record(rows.tolist(), seconds, loop.step)
                done += count
                ends_epoch = done % phase.steps_per_epoch == 0 or done == phase.steps
                yield Progress(
                    step=loop.step,
                    steps=self.plan.steps,
                    epoch=epochs_before + math.ceil(done / phase.steps_per_epoch),
                    epochs=self.plan.epochs,
                    ends_epoch=ends_epoch,
                    phase=index,
                    losses={name: self.history[name][-count:] for name in self.plan.terms},
                    total=self.history["total"][-count:],
                    seconds=self.history["seconds"][-count:],
                    canvas=self.canvas,
                )
                if ends_epoch and phase.stop is not None and phase.stop(self.history):
                    break
            epochs_before += phase.epochs

    def _network(self) -> Network | None:
        recipe = self.plan.recipe
        if not self.plan.layers:
            return None
        with blaming(recipe, ("extractor",), recipe.extractor):
            return recipe.extractor.build(self.plan.layers, recipe.folder)

    def _begin(self, phase: Phase, network: Network | None) -> Loop:
        """Prepare the canvas, the targets and the loop of a phase."""
        from nstflow.engine.loop import Loop
        from nstflow.engine.resampling import canvas_of, resize_canvas, resize_image

        recipe, last = self.plan.recipe, self._loop
        images = {
            name: resize_image(image, _scaled(image.size, phase.scale))
            for name, image in self.images.items()
        }
        size = _scaled(self.plan.canvas, phase.scale)
        if last is None:
            with blaming(recipe, ("start",), recipe.start):
                canvas = canvas_of(recipe.start.paint(images, size, recipe.seed))
        else:
            canvas = resize_canvas(last.canvas, size)
        with blaming(recipe, ("optimizer",), recipe.optimizer):
            if last is None:
                state = recipe.optimizer.start(canvas, phase.steps)
            else:
                state = recipe.optimizer.carry(last.state, canvas, phase.steps)
        self._loop = Loop(
            recipe.optimizer,
            self._objective(images, network),
            len(self.plan.terms),
            canvas,
            state,
            step=last.step if last else 0,
        )
        return self._loop

    def _objective(self, images: Mapping[str, Image], network: Network | None) -> Evaluate:
        from nstflow.engine.features import describe_image
        from nstflow.engine.objective import make_objective, make_target

        seed, terms = self.plan.recipe.seed, self.plan.terms
        named = dict.fromkeys(term.image for term in terms.values() if term.image is not None)
        targets: dict[str, Any] = dict.fromkeys(terms)
        for image in named:  # one at a time: features of a large image fill the memory
            features = describe_image(network, images[image])
            for name, term in terms.items():
                if term.image == image:
                    with self._guard(name):
                        targets[name] = make_target(term, name, seed, features)
        return make_objective(network, terms, targets, seed, self._guard)

    def _guard(self, name: str) -> AbstractContextManager[None]:
        return blaming(self.plan.recipe, ("losses", name), self.plan.terms[name])

    def _record(self, rows: list[list[float]], seconds: float, last_step: int) -> None:
        """Add the rows of a dispatch to the history; its steps share its time evenly."""
        before = self.history["seconds"][-1] if self.history["seconds"] else 0.0
        for index, row in enumerate(rows, 1):
            step = last_step - len(rows) + index
            for name, loss in zip(self.plan.terms, row, strict=True):
                if not math.isfinite(loss):
                    raise self._not_finite(name, loss, step)
                self.history[name].append(loss)
            self.history["step"].append(step)
            self.history["total"].append(sum(row))
            self.history["seconds"].append(before + seconds * index / len(rows))

    def _not_finite(self, name: str, loss: float, step: int) -> NstflowError:
        source = self.plan.recipe.source
        got = f"the loss is {loss} at step {step}: the numbers have run out of range."
        hint = "Lower optimizer.learning_rate or this weight; a NaN may also come from the stage."
        return NstflowError(
            Problem(source.where(("losses", name)), f"losses.{name}", got, hint), source.label
        )


def _scaled(size: Size, scale: float) -> Size:
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width
