"""The compiled loop: many steps in one call, the same bytes however the steps are grouped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nstflow.engine.memory import prefer_huge_pages, release_unused
from nstflow.stages.stage import Optimizer
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import State

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TARGET_SECONDS = 0.25  # of a dispatch
MAX_SECONDS = 4.0  # of a dispatch on a slow device, if longer dispatches turn out to be faster
MAX_RATIO = 0.92  # of the times of a step in a longer and a shorter dispatch, to keep the longer
SAMPLES = 3  # dispatches of a length that are timed before it is compared
CAPACITY = 128  # steps of a dispatch at most: rows of the buffer that carries their losses out


class Pace:
    """Chooses the number of steps of the next dispatch, by the time that earlier ones took.

    Where a step takes longer than a dispatch should, one step is a dispatch. A call may have a
    fixed cost there, such as fresh memory, so twice as many steps are tried, and kept if they are
    faster. The number never changes what the steps compute.

    Attributes:
        seconds_per_step: As the last dispatch measured it; 0 before the first.
    """

    def __init__(self) -> None:
        self.seconds_per_step = 0.0
        self._count = 1  # steps of a dispatch on a slow device
        self._fastest: dict[int, float] = {}  # that count -> the least seconds per step
        self._samples = 0
        self._settled = False

    def steps(self) -> int:
        """Return how many steps to take next."""
        if not self.seconds_per_step:
            return 1
        return max(self._count, int(TARGET_SECONDS / self.seconds_per_step))

    def record(self, count: int, seconds: float) -> None:
        """Record how long a dispatch of `count` steps took."""
        first = self.seconds_per_step == 0  # which also pays one-time costs
        self.seconds_per_step = seconds / count
        if first or self._settled or count != self._count:
            return
        best = min(self.seconds_per_step, self._fastest.get(count, self.seconds_per_step))
        self._fastest[count] = best
        self._samples += 1
        if self._samples == SAMPLES:
            self._samples = 0
            self._choose(best)

    def _choose(self, best: float) -> None:
        """Double the count, or keep it, or return to the half of it."""
        shorter = self._fastest.get(self._count // 2)
        if shorter is not None and best > MAX_RATIO * shorter:
            self._count //= 2
            self._settled = True
        elif best > TARGET_SECONDS and 2 * self._count * best <= MAX_SECONDS:
            self._count *= 2
        else:
            self._settled = True


Evaluate = Callable[..., tuple[Tensor, Tensor]]
"""canvas, step, `given` → (weighted loss of every term `(terms,)`, gradient of their sum)."""


@dataclass
class Loop:
    """Steps of one phase. Every dispatch runs one program, a `while` whose count is an argument.

    A single step compiled by itself would round differently; so would an unrolled loop. With one
    program, 8 + 8 steps give the same bytes as 3 + 5 + 1 + 7.

    Attributes:
        canvas: `(1, h, w, 3)`, as the last dispatch left it.
        state: The optimizer's.
        step: Steps taken in the run so far.
        given: What `evaluate` takes besides the canvas and the step.
        program: The compiled steps: set by `compile`, or taken from a loop of the same kind.
        pace: Chooses how many steps a dispatch takes.
        attributed: Returns a context to call the optimizer in, which adds the stage to its errors.
    """

    optimizer: Optimizer
    evaluate: Evaluate
    terms: int
    canvas: Tensor
    state: State
    step: int = 0
    given: tuple[Tensor, ...] = ()
    program: Any = None
    pace: Pace = field(default_factory=Pace)
    attributed: Callable[[], AbstractContextManager[None]] = nullcontext

    def compile(self) -> float:
        """Compile the program, by a dispatch of no steps; return the seconds that it took."""
        start = time.perf_counter()
        self._call(0)
        release_unused()
        prefer_huge_pages()  # for the memory of all later calls
        return time.perf_counter() - start

    def dispatch(self, most: int) -> tuple[NDArray[np.float32], float]:
        """Take some steps, `most` at most; return their losses `(steps, terms)` and the seconds.

        Row n holds the losses before the update of step n.
        """
        count = min(most, self.pace.steps(), CAPACITY)
        start = time.perf_counter()
        losses = self._call(count)
        seconds = time.perf_counter() - start
        self.pace.record(count, seconds)
        self.step += count
        return losses[:count], seconds

    @property
    def shapes(self) -> Any:
        """Type and shape of the canvas and of the optimizer's state."""
        tensors = {"": self.canvas, **self.state}
        return {name: (x.dtype, tuple(x.shape)) for name, x in tensors.items()}

    def trace(self) -> Any:
        """Return the program, to be compiled at its first call."""
        counts = tf.constant(0), tf.constant(0)
        program = tf.function(self._steps, jit_compile=True, autograph=False)
        return program.get_concrete_function(self.canvas, self.state, self.given, *counts)

    def _call(self, count: int) -> NDArray[np.float32]:
        if self.program is None:
            self.program = self.trace()
        canvas, state, losses = self.program(
            self.canvas, self.state, self.given, tf.constant(self.step), tf.constant(count)
        )
        rows: NDArray[np.float32] = losses.numpy()  # waits for the device
        self.canvas, self.state = canvas, state
        return rows

    def _steps(
        self,
        canvas: Tensor,
        state: State,
        given: tuple[Tensor, ...],
        done: Tensor,
        count: Tensor,
    ) -> tuple[Tensor, State, Tensor]:
        def step(index: Tensor, canvas: Tensor, state: State, rows: Tensor) -> tuple[Any, ...]:
            with self.attributed():
                canvas, state, losses = self.optimizer.step(
                    lambda x: self.evaluate(x, done + index + 1, *given), canvas, state
                )
            rows = tf.tensor_scatter_nd_update(rows, [[index]], [losses])
            return index + 1, canvas, state, rows

        rows = tf.zeros((CAPACITY, self.terms))
        _, canvas, state, rows = tf.while_loop(
            lambda index, *_: index < count, step, (tf.constant(0), canvas, state, rows)
        )
        return canvas, state, rows
