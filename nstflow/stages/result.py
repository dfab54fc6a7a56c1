"""The progress and the result of a run, as observers see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.errors import printable
from nstflow.stages.text import loss_text
from nstflow.stages.types import Image, size_text

if TYPE_CHECKING:
    from nstflow.plan import Plan


@dataclass(frozen=True)
class Progress:
    """The progress of one dispatch: a few steps that were computed together.

    Attributes:
        step: The number of steps so far, in the whole run.
        steps: The number of steps of the whole run, as planned.
        epoch: The epoch of the last of these steps, counted from 1 over all phases.
        epochs: The number of epochs of the whole run.
        ends_epoch: Whether the last of these steps is the last of its epoch.
        phase: The phase, counted from 0.
        losses: Loss term → its weighted loss before each of these steps.
        total: The sum of the terms before each of these steps.
        seconds: The time from the start of the first step of the run to the end of each of these
            steps, without compilation. The time of a dispatch is divided evenly among its steps.
        canvas: A function that returns the current picture, which is the optimizer's result. It
            costs nothing unless called.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    ends_epoch: bool
    phase: int
    losses: Mapping[str, Sequence[float]]
    total: Sequence[float]
    seconds: Sequence[float]
    canvas: Callable[[], Image] = field(repr=False)


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run. A notebook shows its picture.

    Attributes:
        plan: The plan of the run.
        image: The finished picture; None only if the run had ended before (`already`) and none of
            its files is an image. An output is always given a picture.
        history: Column → value of every step, as in `history.csv`: `step`, `total`, each loss,
            `seconds`. The losses of a step are those before its update.
        seconds: The time of all steps, without compilation.
        compile_seconds: The time of compiling, and of computing the features of the references.
        total_seconds: The time of the whole run, including TensorFlow's start-up and loading.
        phases: The number of steps that each phase took, up to the current one.
        device: The device that computed it.
        folder: The run directory.
        interrupted: Whether the run was stopped before its last step.
        files: The files that the outputs wrote, in the recipe's order.
        resumed_from: The step of the checkpoint that the run resumed from; 0 if it was not resumed.
        already: Whether the run had ended before, so that nothing was computed. The picture is then
            read from a file of its outputs.
        record: How the picture was made, for outputs that can store it: the lockfile as text, with
            file names instead of paths. Empty if the user does not want it.
    """

    plan: Plan
    image: Image | None
    history: Mapping[str, Sequence[float]] = field(repr=False)
    seconds: float
    compile_seconds: float
    total_seconds: float
    device: str
    folder: Path
    interrupted: bool = False
    files: Sequence[Path] = ()
    phases: Sequence[int] = ()
    resumed_from: int = 0
    already: bool = False
    record: str = field(default="", repr=False)

    @cached_property
    def losses(self) -> Mapping[str, float]:
        """Return the last row's losses: `total`, then each term."""
        skip = ("step", "seconds")
        return {name: values[-1] for name, values in self.history.items() if name not in skip}

    def __repr__(self) -> str:
        size = "no picture" if self.image is None else f"{size_text(self.image.size)} pixels"
        steps = f"{len(self.history['step'])} steps"
        if self.interrupted:
            steps = f"stopped after step {len(self.history['step'])} of {self.plan.steps}"
        loss = f"loss {loss_text(self.losses['total'])}"
        files = ", ".join(printable(str(file)) for file in self.files)
        return f"<Result {self.plan.recipe.name}: {size}, {steps}, {loss}, {files}>"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """Show the picture in a notebook."""
        return None if self.image is None else self.image._repr_png_()
