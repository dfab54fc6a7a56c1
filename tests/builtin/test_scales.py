"""The schedule `scales`: its sizes, steps and factors, and when a scale ends."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import nstflow
from nstflow.builtin.schedules.scales import Scales
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.stages.types import scaled
from nstflow.testing import check_stage


def sizes(stage: Scales, size: tuple[int, int]) -> list[int]:
    return [max(scaled(size, phase.scale)) for phase in stage.phases(size)]


@pytest.mark.parametrize(
    ("settings", "size", "expected"),
    [
        ({}, (384, 512), [128, 256, 512]),
        ({}, (512, 511), [128, 256, 512]),
        ({}, (300, 200), [150, 300]),
        ({}, (100, 60), [100]),
        ({"factor": 1.41421356}, (512, 384), [128, 181, 256, 362, 512]),
        ({"factor": 4}, (2048, 9), [128, 512, 2048]),
        ({"smallest": 600}, (2048, 9), [1024, 2048]),
    ],
)
def test_the_scales(settings: Any, size: tuple[int, int], expected: list[int]) -> None:
    assert sizes(Scales(**settings), size) == expected


def test_steps_and_factors_of_each_scale() -> None:
    """What is listed is for the smallest scales; the last of a list repeats."""
    stage = Scales(steps=[7, 5], weights={"a": [16, 8], "b": [0]}, steps_per_epoch=3)
    phases = stage.phases((1024, 1024))
    assert [phase.steps for phase in phases] == [7, 5, 5, 5]
    assert [phase.weights for phase in phases] == [{"a": 16, "b": 0}, *[{"a": 8, "b": 0}] * 3]
    assert {(phase.steps_per_epoch, phase.stop) for phase in phases} == {(3, None)}
    assert [phase.steps for phase in Scales(steps=9).phases((256, 256))] == [9, 9]


def history(totals: list[float], first: float = 0.0, step: float = 1.0) -> dict[str, list[float]]:
    return {"total": totals, "seconds": [first + step * n for n in range(1, len(totals) + 1)]}


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([100.0, 90, 80], False),  # too short to say
        ([100.0, 90, 80, 70], False),
        ([100.0, 99.5, 99.4, 99.2], True),
        ([100.0, 98.9, 120, 120], False),
        ([100.0, 120, 120, 120], True),
        ([-1.0, -2, -2, -2], False),
        ([-2.0, -2, -2, -2.01], True),
        ([0.0, 0, 0, 0], True),
    ],
)
def test_a_scale_ends_without_improvement(totals: list[float], expected: bool) -> None:
    (phase,) = Scales(patience=3).phases((100, 100))
    assert phase.stop is not None
    assert phase.stop(history(totals)) is expected


def test_the_time_is_divided_by_pixels_and_steps() -> None:
    """Deadlines: 100/16, 100/16 + 50/4, and 100/16 + 50/4 + 25 of them all."""
    stage = Scales(steps=[100, 50, 25], seconds=70, steps_per_epoch=2)
    deadlines = [70 * part / 43.75 for part in (6.25, 18.75, 43.75)]
    for phase, deadline in zip(stage.phases((512, 512)), deadlines, strict=True):
        assert phase.stop is not None
        # four steps of a second, and the epoch after them would take two more
        assert not phase.stop(history([1.0] * 4, deadline - 6.01))
        assert phase.stop(history([1.0] * 4, deadline - 5.99))
    assert stage.phases((512, 512))[0].stop(history([1.0], 11))  # type: ignore[misc]


@pytest.mark.parametrize(
    "settings",
    [
        {"smallest": 0},
        {"factor": 1},
        {"steps": 0},
        {"steps": []},
        {"steps": [3, 0]},
        {"weights": {"a": []}},
        {"patience": 0},
        {"min_improvement": 1},
        {"seconds": 0},
    ],
    ids=str,
)
def test_settings_have_bounds(settings: Any) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Scales(**settings)


def test_it_meets_its_contract() -> None:
    check_stage(Scales)


RECIPE = """\
name: tiny
images:
  content: {use: noise, height: 48, width: 64}
  style: {use: noise, height: 32, width: 32, seed: 1}
preprocess: []
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
schedule: {use: scales, smallest: 16, steps: [6, 4], steps_per_epoch: 2}
"""


def test_a_plan_shows_the_steps_of_each_scale(write: Any, call: Any) -> None:
    path = write(RECIPE)
    assert "14 in 7 epochs: 6 at 16×12, 4 at 32×24, 4 at 64×48" in call("plan", path).out
    assert "at most 14 in" in call("plan", path, "--set", "schedule.patience=3").out


def test_a_run_that_ends_each_scale_early_is_made_again(write: Any, tmp_path: Path) -> None:
    """With no time at all each scale has an epoch; the lockfile says so."""
    plan = make_plan(load_recipe(write(RECIPE), ["schedule.seconds=1e-9"]))
    assert plan.steps_of == (6, 4, 4)
    first = nstflow.run(plan, tmp_path / "first")
    assert first.phases == (2, 2, 2)
    lock = load_recipe(tmp_path / "first" / "recipe.lock.yaml")
    again = nstflow.run(make_plan(lock), tmp_path / "again")
    assert again.files[0].read_bytes() == first.files[0].read_bytes()
