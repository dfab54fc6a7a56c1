"""The progress and the result of a run, as observers see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.stages.types import Image

if TYPE_CHECKING:
    from nstflow.plan import Plan


@dataclass(frozen=True)
class Progress:
    """Progress of one dispatch: a few steps that were computed in one go.

    Attributes:
        step: Steps done in the whole run.
        steps: Steps of the whole run, as planned.
        epoch: The epoch that the last of these steps belongs to, from 1, over all phases.
        epochs: Epochs of the whole run.
        ends_epoch: Whether that step is the last of its epoch.
        phase: The phase, from 0.
        losses: Loss term → its weighted loss before each of these steps.
        total: The sum over the terms before each of these steps.
        seconds: Time since the first step began, at the end of each of these steps, compiling left
            out. Only the dispatch is timed: its steps share its time evenly.
        canvas: Fetches the canvas as it is now; costs nothing unless called.
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


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        plan: What was run.
        image: The finished picture.
        history: Column → value of every step: `step`, `total`, each loss term, `seconds`, as
            `history.csv` has them. A row's losses are those before its update.
        seconds: Time of all steps, compiling left out.
        compile_seconds: Time that compiling took, and describing the references, which is a pass
            for each by a program of its own.
        total_seconds: Time of the whole run, with TensorFlow's start, loading and compiling.
        device: What computed it.
        folder: The run directory.
        interrupted: Whether the run was stopped before its last step.
        files: What the outputs wrote, in the recipe's order.
        resumed_from: The step of the checkpoint that the run resumed from; 0 if it was not resumed.
        already: Whether the run had ended before, so that nothing was computed: the picture is
            then what a file of its outputs holds, or None if none of them is an image.
        record: How the picture was made, for outputs that can carry it: the lock as text, with
            names for paths; empty where it was not wanted.
    """

    plan: Plan
    image: Image
    history: Mapping[str, Sequence[float]] = field(repr=False)
    seconds: float
    compile_seconds: float
    total_seconds: float
    device: str
    folder: Path
    interrupted: bool = False
    files: Sequence[Path] = ()
    resumed_from: int = 0
    already: bool = False
    record: str = field(default="", repr=False)

    @cached_property
    def losses(self) -> Mapping[str, float]:
        """Return the last row's losses: `total`, then each term."""
        skip = ("step", "seconds")
        return {name: values[-1] for name, values in self.history.items() if name not in skip}
