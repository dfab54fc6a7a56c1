"""How many steps a dispatch takes: enough to cost nothing, few enough for a lively display."""

from __future__ import annotations

SECONDS = 0.25
"""What a dispatch aims at."""

MOST_SECONDS = 4.0
"""What it may grow to on a slow device, where a longer one was measured to be faster."""

GAIN = 0.92
"""A longer dispatch is kept if its steps take less than this share of a shorter one's."""

_SAMPLES = 3


class Pace:
    """Chooses the number of steps by the time that they took; never changes what they compute.

    Where a step takes longer than a dispatch should, one step is a dispatch. Each call may have a
    price of its own there, such as fresh memory, so twice as many are tried, and kept where they
    are faster.

    Attributes:
        seconds_per_step: As the last dispatch measured it; 0 before the first.
    """

    def __init__(self) -> None:
        self.seconds_per_step = 0.0
        self._count = 1
        self._fastest: dict[int, float] = {}  # steps of a dispatch -> the least seconds a step
        self._samples = 0
        self._growing = True

    def steps(self) -> int:
        """Return how many steps to take next."""
        if not self.seconds_per_step:
            return 1
        return max(self._count, int(SECONDS / self.seconds_per_step))

    def took(self, count: int, seconds: float) -> None:
        """Learn what a dispatch took."""
        warm = self.seconds_per_step > 0  # the first one pays for what the others find there
        self.seconds_per_step = seconds / count
        if warm and self._growing and count == self._count:
            best = min(self.seconds_per_step, self._fastest.get(count, self.seconds_per_step))
            self._fastest[count] = best
            self._samples += 1
            if self._samples == _SAMPLES:
                self._compare(best)

    def _compare(self, best: float) -> None:
        self._samples = 0
        shorter = self._fastest.get(self._count // 2)
        if shorter is not None and best > GAIN * shorter:
            self._count //= 2
            self._growing = False
        elif best > SECONDS and 2 * self._count * best <= MOST_SECONDS:
            self._count *= 2
        else:
            self._growing = False
