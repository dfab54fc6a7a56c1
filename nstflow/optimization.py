"""The steps of a run: phase after phase, dispatch after dispatch, told as they happen."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from nstflow.blame import blaming
from nstflow.errors import NstflowError, Problem
from nstflow.lazy import Tensor
from nstflow.plan import Plan, scaled
from nstflow.recipe.parsing import dotted
from nstflow.result import Progress
from nstflow.values import Image, Phase, Size, size_text

if TYPE_CHECKING:
    from nstflow.engine.features import Network
    from nstflow.engine.loop import Loop
    from nstflow.engine.objective import Evaluate


class Optimization:
    """Moves the canvas of one run.

    Args:
        plan: What to do.

    Attributes:
        history: Column → value of every step so far: `step`, `total`, each term, `seconds`.
        compile_seconds: Time that compiling took, and describing the references.
        compiled: Whether the program of a step is there, so that steps follow.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        columns = ("step", "total", *plan.terms, "seconds")
        self.history: dict[str, list[float]] = {column: [] for column in columns}
        self.compile_seconds = 0.0
        self.compiled = False
        self._loop: Loop | None = None

    def canvas(self) -> Image:
        """Return the canvas as it is now; it has the size of the phase.

        Raises:
            NstflowError: It holds numbers that are not finite, from a gradient that was none.
        """
        from nstflow.engine.resampling import image_of, is_finite

        assert self._loop is not None  # noqa: S101 - a phase has begun
        if not is_finite(self._loop.canvas):
            raise self._not_finite(("losses",), "the gradient of a loss", self._loop.step)
        return image_of(self._loop.canvas)

    def steps(self, prepared: Mapping[str, Image]) -> Iterator[Progress]:
        """Take all steps on the prepared images, yielding after each dispatch.

        Raises:
            NstflowError: A loss is not finite, or a stage found a problem.
        """
        network = self._network()
        epochs_before = 0
        for index, phase in enumerate(self.plan.phases):
            loop = self._begin(phase, prepared, network)
            self.compile_seconds += loop.compile()
            self.compiled = True
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
                if ends_epoch and phase.stop is not None:
                    with self._guard("schedule"):
                        enough = phase.stop(self.history)
                    if enough:
                        break
            epochs_before += phase.epochs

    def _network(self) -> Network | None:
        """Build the network, and hold it to the layers that it promised."""
        recipe, layers = self.plan.recipe, self.plan.layers
        if not layers:
            return None
        with self._guard("extractor"):
            network = self.plan.extractor.build(layers, recipe.folder)

        def described(canvas: Tensor) -> Mapping[str, Tensor]:
            with self._guard("extractor"):
                maps = network(canvas)
                if missing := [layer for layer in layers if layer not in maps]:
                    hint = f"It gives {', '.join(maps) or 'none'}."
                    raise NstflowError(Problem("", "", f"it gives no layer {missing[0]}.", hint))
            return maps

        return described

    def _begin(self, phase: Phase, prepared: Mapping[str, Image], network: Network | None) -> Loop:
        """Prepare the canvas, the targets and the loop of a phase."""
        from nstflow.engine.loop import Loop
        from nstflow.engine.resampling import resize_canvas, resize_image

        optimizer, last = self.plan.recipe.optimizer, self._loop
        images = {
            name: resize_image(image, scaled(image.size, phase.scale))
            for name, image in prepared.items()
        }
        size = scaled(self.plan.canvas, phase.scale)
        canvas = resize_canvas(last.canvas, size) if last else self._start(images, size)
        with self._guard("optimizer"):
            if last is None:
                state = optimizer.start(canvas, phase.steps)
            else:
                state = optimizer.carry(last.state, canvas, phase.steps)
        began = time.perf_counter()
        evaluate = self._objective(images, network)
        self.compile_seconds += time.perf_counter() - began
        terms, step = len(self.plan.terms), last.step if last else 0
        guard = partial(self._guard, "optimizer")
        self._loop = Loop(optimizer, evaluate, terms, canvas, state, step=step, guard=guard)
        return self._loop

    def _start(self, images: Mapping[str, Image], size: Size) -> Tensor:
        from nstflow.engine.resampling import canvas_of

        recipe = self.plan.recipe
        with self._guard("start"):
            image = recipe.start.paint(images, size, recipe.seed)
            if image.size != size:
                got = f"it painted {size_text(image.size)} where {size_text(size)} was asked for."
                raise NstflowError(Problem("", "", got, "This is a mistake in the stage."))
        return canvas_of(image)

    def _objective(self, images: Mapping[str, Image], network: Network | None) -> Evaluate:
        from nstflow.engine.features import Describer
        from nstflow.engine.objective import make_objective, make_target

        seed, terms = self.plan.recipe.seed, self.plan.terms
        named = dict.fromkeys(term.image for term in terms.values() if term.image is not None)
        targets: dict[str, Any] = dict.fromkeys(terms)
        describer = Describer(network)
        for image in named:  # one at a time: features of a large image fill the memory
            features = describer(images[image])
            for name, term in terms.items():
                if term.image == image:
                    with self._guard("losses", name):
                        targets[name] = make_target(term, name, seed, features)
        return make_objective(network, terms, targets, seed, partial(self._guard, "losses"))

    def _guard(self, *keys: str) -> AbstractContextManager[None]:
        """Return the context to call the stage at a path of the recipe in."""
        held = getattr(self.plan.recipe, keys[0])
        return blaming(self.plan.recipe, keys, held[keys[1]] if keys[1:] else held)

    def _record(self, rows: list[list[float]], seconds: float, last_step: int) -> None:
        """Add the rows of a dispatch to the history; its steps share its time evenly."""
        before = self.history["seconds"][-1] if self.history["seconds"] else 0.0
        for index, row in enumerate(rows, 1):
            step = last_step - len(rows) + index
            losses = dict(zip(self.plan.terms, row, strict=True))
            for name, loss in losses.items():
                if not math.isfinite(loss):
                    raise self._not_finite(("losses", name), f"the loss ({loss})", step)
            for name, loss in losses.items():
                self.history[name].append(loss)
            self.history["step"].append(step)
            self.history["total"].append(sum(row))
            self.history["seconds"].append(before + seconds * index / len(rows))

    def _not_finite(self, keys: tuple[str, ...], what: str, step: int) -> NstflowError:
        source = self.plan.recipe.source
        got = f"{what} is not finite at step {step}: the numbers have run out of range."
        hint = "Lower optimizer.learning_rate or a weight; a NaN may also come from a loss itself."
        return NstflowError(Problem(source.where(keys), dotted(keys), got, hint), source.label)
