"""What a step took in earlier runs, and what is estimated from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan, make_plan, timings
from nstflow.recipe.reader import load_recipe
from nstflow.stages.result import Result
from nstflow.stages.types import Image, Phase

RECIPE = """\
name: timed
images:
  content: {{use: noise, height: {height}, width: 40}}
  style: {{use: noise, height: 20, width: 20}}
preprocess: []
extractor: {{weights: random, convolution: direct}}
losses:
  keep: {{use: content, layers: [{layer}], weight: {weight}}}
  look: {{use: gram, image: {image}}}
schedule: {{use: epochs, epochs: 2, steps_per_epoch: 50}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache" / "timings"
    monkeypatch.setattr(timings, "_folder", lambda: folder)
    return folder


@pytest.fixture
def plan(write: Any) -> Any:
    def plan(height: int = 20, **changes: Any) -> Plan:
        settings = {"layer": "block1_conv2", "weight": 1, "image": "style", **changes}
        return make_plan(load_recipe(write(RECIPE.format(height=height, **settings))))

    return plan


def result(plan: Plan, seconds: list[float], phases: tuple[int, ...] = ()) -> Result:
    history = {"step": list(range(len(seconds))), "total": seconds, "seconds": seconds}
    image = Image(np.zeros((*plan.canvas, 3), np.float32))
    phases = phases or (len(seconds),)
    return Result(plan, image, history, seconds[-1], 1.0, 2.0, "an abacus", Path(), phases=phases)


def seconds_of(plan: Plan) -> float | None:
    known = timings.estimate(plan)
    return known and known[0] / plan.steps


def test_a_step_takes_what_it_took_for_each_pixel(plan: Any, folder: Path) -> None:
    assert timings.estimate(plan()) is None
    timings.record(result(plan(20), [9.0, 9.5, 10.0]))  # the first step is left out
    known = timings.estimate(plan(60))
    assert known is not None
    seconds, timing = known
    assert seconds == pytest.approx(1.5 * 100)
    assert (timing.canvas, timing.seconds, timing.device) == ((20, 40), 0.5, "an abacus")
    assert [file.suffix for file in folder.iterdir()] == [".json"]


def test_the_nearest_size_is_taken_and_of_one_size_the_last(plan: Any) -> None:
    for height, step in ((20, 1.0), (80, 8.0), (40, 3.0), (40, 2.0)):
        timings.record(result(plan(height), [step, 2 * step, 3 * step]))
    for height, seconds in ((40, 2), (21, 21 / 20), (90, 9)):
        assert seconds_of(plan(height)) == pytest.approx(seconds)


def test_runs_of_the_same_kind(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timings.record(result(plan(), [1.0, 2.0, 3.0]))
    assert seconds_of(plan(weight=7, image="content")) == pytest.approx(1)
    assert timings.estimate(plan(100)) is not None
    assert timings.estimate(plan(102)) is None
    assert timings.estimate(plan(layer="block2_conv2")) is None
    monkeypatch.setattr(timings.platform, "node", lambda: "another machine")
    assert timings.estimate(plan()) is None


def test_each_size_has_its_own_time(plan: Any) -> None:
    made = plan(40)
    phases = (Phase(3, 3, scale=0.5), Phase(1, 1, scale=0.1), Phase(9, 9))
    made = replace(made, phases=phases, steps_of=(3, 1, 9))
    timings.record(result(made, [5.0, 6.0, 7.0, 10.0, 20.0, 24.0, 28.0], (3, 1, 3)))
    assert seconds_of(plan(40)) == pytest.approx(4)
    known = timings.estimate(replace(made, phases=(phases[0], phases[2]), steps_of=(3, 9)))
    assert known is not None
    assert (known[0], known[1].canvas) == (3 * 1 + 9 * 4, (40, 40))


def test_runs_of_few_steps_are_not_recorded(plan: Any, folder: Path) -> None:
    timings.record(result(plan(), [1.0, 2.0]))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("valid", "damaged"),
    [
        ("[", ""),
        ("[", "[" * 10_000),
        ("[{", "\xff\xfe[{"),
        ('"seconds":1.0', '"seconds":1e999'),
        ('"seconds":1.0', '"seconds":"1.0"'),
        ('"seconds":1.0', '"second":1.0'),
        ("an abacus", r"an \u001b[31m abacus"),
        ("[20,40]", "[-20,-40]"),
        ("[20,40]", "[0,40]"),
    ],
)
def test_a_damaged_file_is_passed_over_and_replaced(
    plan: Any, folder: Path, valid: str, damaged: str
) -> None:
    timings.record(result(plan(), [1.0, 2.0, 3.0]))
    (file,) = folder.iterdir()
    text = file.read_text()
    assert valid in text
    file.write_bytes(text.replace(valid, damaged, 1).encode("latin-1"))
    assert timings.estimate(plan()) is None
    timings.record(result(plan(), [1.0, 2.0, 3.0]))
    assert seconds_of(plan()) == pytest.approx(1)


def test_a_cache_that_can_not_be_written_does_not_matter(plan: Any, folder: Path) -> None:
    folder.parent.write_text("a file where the folder should be")
    timings.record(result(plan(), [1.0, 2.0, 3.0]))
    assert timings.estimate(plan()) is None


def test_without_a_cache_nothing_is_remembered(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "_folder", Mock(side_effect=NstflowError(Problem("", "", "none"))))
    timings.record(result(plan(), [1.0, 2.0, 3.0]))
    assert timings.estimate(plan()) is None
