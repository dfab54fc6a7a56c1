"""From a small canvas to full size."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Annotated, Literal

from pydantic import Field

from nstflow import Phase, Schedule, Size

Steps = Annotated[int, Field(ge=1, le=1_000_000)]


class Scales(Schedule):
    """Begin with a small canvas, and enlarge it scale by scale up to full size.

    The last scale is full size, the size after `preprocess`. Each scale before it is smaller by
    `factor`, as long as the longest side of the canvas is at least `smallest`. Large forms are
    painted at small scales, where a step is cheap. All images are resized with the canvas, and the
    optimizer keeps its state if it can (`adam` does, `lbfgs` starts again).

    A scale may end before its last step, at the end of an epoch:

    - with `patience`, when the lowest total of the last `patience` steps is not lower than that of
      the scale's earlier steps by more than the fraction `min_improvement`;
    - with `seconds`, when another epoch would end after the scale's deadline. With i = 1 for the
      smallest scale, the deadline of scale i is
      seconds · Σ_{j ≤ i} pixels_j · steps_j / Σ_j pixels_j · steps_j, so time that a scale does not
      use is left for the later ones. Compiling does not count. Each scale has at least one epoch.

    The run directory records the steps that were taken, and `rerun` takes the same number.

    Source: Gatys et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, for
    large images in two scales.
    """

    use: Literal["scales"] = "scales"
    smallest: int = Field(
        128,
        ge=16,
        le=16384,
        description="The smallest scale has a longest side of at least this many pixels.",
    )
    factor: float = Field(
        2.0, ge=1.1, le=16, description="How many times longer the sides of the next scale are."
    )
    steps: Steps | Annotated[tuple[Steps, ...], Field(min_length=1)] = Field(
        (200, 100, 60),
        description="Steps of each scale, smallest first. With more scales than numbers, the last"
        " number repeats; with fewer, the surplus numbers are ignored.",
    )
    weights: dict[str, Annotated[tuple[float, ...], Field(min_length=1)]] = Field(
        {},
        description="Loss → factors of its weight, one for each scale, smallest first; the last"
        " repeats.",
    )
    steps_per_epoch: Steps = Field(
        10, description="Steps in each epoch; an early end is checked after each epoch."
    )
    patience: Steps | None = Field(
        None, description="End a scale if the total has not improved enough in this many steps."
    )
    min_improvement: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="The fraction by which the total must fall in `patience` steps.",
    )
    seconds: float | None = Field(
        None, gt=0, description="Time limit of all steps, in seconds, without compiling."
    )

    def phases(self, size: Size) -> list[Phase]:
        """Return a phase for each scale, the smallest first."""
        scales = [1.0]
        while round(max(size) / self.factor ** len(scales)) >= self.smallest:
            scales.insert(0, 1 / self.factor ** len(scales))
        counts = (self.steps,) if isinstance(self.steps, int) else self.steps
        steps = [counts[min(index, len(counts) - 1)] for index in range(len(scales))]
        costs = [scale**2 * count for scale, count in zip(scales, steps, strict=True)]
        shares = [cost / sum(costs) for cost in accumulate(costs)]
        return [
            Phase(
                steps=steps[index],
                steps_per_epoch=self.steps_per_epoch,
                scale=scale,
                stop=self._stop(steps[index], shares[index]),
                weights={
                    name: factors[min(index, len(factors) - 1)]
                    for name, factors in self.weights.items()
                },
            )
            for index, scale in enumerate(scales)
        ]

    def _stop(
        self, steps: int, share: float
    ) -> Callable[[Mapping[str, Sequence[float]]], bool] | None:
        """Return what says whether a scale is over."""
        if self.patience is None and self.seconds is None:
            return None
        deadline = math.inf if self.seconds is None else self.seconds * share
        epoch = self.steps_per_epoch
        return partial(_is_over, steps, deadline, epoch, self.patience, self.min_improvement)


def _is_over(
    steps: int,
    deadline: float,
    epoch: int,
    patience: int | None,
    min_improvement: float,
    history: Mapping[str, Sequence[float]],
) -> bool:
    """Say whether a phase should end, by its own history."""
    seconds, totals = history["seconds"], history["total"]
    # the first step's own time is unknown here: the history begins at its end
    step = (seconds[-1] - seconds[0]) / (len(seconds) - 1) if len(seconds) > 1 else 0.0
    if seconds[-1] + min(epoch, steps - len(totals)) * step > deadline:
        return True
    if patience is None or len(totals) <= patience:
        return False
    before = min(totals[:-patience])
    return before - min(totals[-patience:]) <= min_improvement * abs(before)
