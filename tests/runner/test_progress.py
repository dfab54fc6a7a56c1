"""What every display shows of a run."""

from types import SimpleNamespace
from typing import Any

import pytest

from nstflow.runner.progress import FractionDone, rate_text


def plan(steps: tuple[int, ...], scales: tuple[float, ...]) -> Any:
    return SimpleNamespace(steps_of=steps, phases=[SimpleNamespace(scale=s) for s in scales])


def progress(step: int, count: int, phase: int = 0, seconds: float = 1.0) -> Any:
    return SimpleNamespace(step=step, total=[0.0] * count, phase=phase, seconds=[seconds])


def test_a_step_counts_as_much_as_its_pixels() -> None:
    fraction = FractionDone(plan((80, 25), (0.5, 1.0)))  # 80 / 4 + 25 = 45 at full size
    assert fraction.after(progress(40, 40)) == pytest.approx(10 / 45)
    assert fraction.after(progress(80, 40)) == pytest.approx(20 / 45)
    assert fraction.after(progress(90, 10, 1)) == pytest.approx(30 / 45)
    assert fraction.after(progress(105, 15, 1)) == 1


def test_a_phase_that_ends_early_is_done() -> None:
    fraction = FractionDone(plan((80, 25), (0.5, 1.0)))
    fraction.after(progress(30, 30))
    assert fraction.after(progress(35, 5, 1)) == pytest.approx(25 / 45)
    assert fraction.after(progress(55, 20, 1)) == 1


def test_a_run_that_is_resumed() -> None:
    fraction = FractionDone(plan((10, 10), (1.0, 1.0)))
    assert fraction.after(progress(15, 1, 1)) == pytest.approx(0.75)
    assert fraction.after(progress(20, 5, 1)) == 1


def test_the_rate_is_a_number_above_one() -> None:
    assert rate_text(progress(10, 1, seconds=4.0)) == "2.50 steps/s"
    assert rate_text(progress(10, 1, seconds=25.0)) == "2.50 s/step"
