"""The pace: from the times of dispatches to the number of steps of the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nstflow.engine.loop import MOST_SECONDS, Pace


def walk(seconds: Callable[[int], float], dispatches: int = 40) -> list[int]:
    """Return the steps of each dispatch, where `count` steps take `seconds(count)`."""
    pace, counts = Pace(), []
    for _ in range(dispatches):
        counts.append(pace.steps())
        pace.took(counts[-1], seconds(counts[-1]))
    return counts


def test_a_slow_step_is_a_dispatch_where_longer_ones_gain_nothing() -> None:
    counts = walk(lambda count: 0.7 * count)
    assert counts[0] == counts[-1] == 1
    assert counts.count(2) == 3  # it was tried


def test_dispatches_grow_while_that_pays() -> None:
    """Each call costs half a second of its own."""
    counts = walk(lambda count: 0.5 + 0.3 * count)
    assert counts[-1] == 8  # 8 steps take 2.9 s, 16 would take more than 4
    assert sorted(set(counts)) == [1, 2, 4, 8]


def test_dispatches_never_grow_beyond_the_most() -> None:
    counts = walk(lambda count: 1.5 + 1.4 * count)
    assert max(counts) * 1.4 <= MOST_SECONDS


def test_the_first_dispatch_is_no_measure() -> None:
    """It pays for fresh memory; a first step of 10 s would make any second dispatch look fast."""
    times = iter([10.0])
    counts = walk(lambda count: next(times, 0.7 * count))
    assert counts[-1] == 1


@pytest.mark.parametrize(("step", "count"), [(0.1, 2), (0.01, 25), (0.0625, 4)])
def test_fast_steps_fill_a_quarter_of_a_second(step: float, count: int) -> None:
    assert walk(lambda steps: step * steps)[1:] == [count] * 39
