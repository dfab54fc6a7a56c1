"""What a step took in earlier runs, and what is estimated from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstflow.plan import Plan, make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.runner import timings
from nstflow.stages.result import Result
from nstflow.stages.types import Image

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


def result(plan: Plan, seconds: list[float]) -> Result:
    history = {"step": list(range(len(seconds))), "total": seconds, "seconds": seconds}
    image = Image(np.zeros((*plan.canvas, 3), np.float32))
    return Result(plan, image, history, seconds[-1], 1.0, 2.0, "an abacus", Path())


def seconds_of(plan: Plan) -> float | None:
    known = timings.estimate(plan)
    return known and known[0]


def test_a_step_takes_what_it_took_for_each_pixel(plan: Any, folder: Path) -> None:
    assert timings.estimate(plan()) is None
    timings.record(result(plan(20), [9.0, 9.5, 10.0]))  # the first step is left out
    known = timings.estimate(plan(60))
    assert known is not None
    seconds, timing = known
    assert seconds == pytest.approx(1.5)
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


def test_short_and_growing_runs_are_not_recorded(plan: Any, folder: Path) -> None:
    made = plan()
    timings.record(result(made, [1.0, 2.0]))
    phases = (*made.phases, *made.phases)
    timings.record(result(replace(made, phases=phases), [1.0, 2.0, 3.0]))
    assert not folder.exists()
    timings.record(result(made, [1.0, 2.0, 3.0]))
    small = replace(made, phases=(replace(made.phases[0], scale=0.5),))
    assert timings.estimate(small) is None


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
