"""The ledger: what this machine's runs took, and what may be foretold from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstflow.plan import Plan, plan_file
from nstflow.runner import timings
from nstflow.stages.result import Result
from nstflow.stages.types import Image

RECIPE = """\
name: timed
images:
  content: {{use: noise, height: {height}, width: 40}}
preprocess: []
extractor: {{weights: random, convolution: direct}}
losses:
  keep: {{use: content, layers: [{layer}]}}
schedule: {{use: epochs, epochs: 2, steps_per_epoch: 50}}
"""

Make = Callable[..., Plan]


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "cache" / "runs.jsonl"
    monkeypatch.setattr(timings, "_path", lambda: path)
    return path


@pytest.fixture
def plan(write: Any) -> Make:
    def plan(height: int = 20, layer: str = "block1_conv2") -> Plan:
        return plan_file(write(RECIPE.format(height=height, layer=layer)))

    return plan


def result(plan: Plan, seconds: list[float]) -> Result:
    history = {"step": list(range(len(seconds))), "total": seconds, "seconds": seconds}
    image = Image(np.zeros((*plan.canvas, 3), np.float32))
    return Result(plan, image, history, seconds[-1], 1.0, 2.0, "an abacus", Path())


def test_nothing_is_foretold_from_nothing(plan: Make) -> None:
    assert timings.estimate(plan()) is None


def test_a_step_takes_what_it_took_for_each_pixel(plan: Make, path: Path) -> None:
    timings.note(result(plan(20), [9.0, 9.5, 10.0]))  # the first step is left out
    known = timings.estimate(plan(60))
    assert known is not None
    seconds, record = known
    assert seconds == pytest.approx(1.5)
    assert (record.canvas, record.seconds, record.device) == ((20, 40), 0.5, "an abacus")
    assert path.read_text().count("{") == 1


def test_the_nearest_size_is_asked_and_of_two_the_later(plan: Make) -> None:
    for height, step in ((20, 1.0), (80, 8.0), (40, 3.0), (40, 2.0)):
        timings.note(result(plan(height), [step, 2 * step, 3 * step]))
    assert timings.estimate(plan(40))[0] == pytest.approx(2)  # type: ignore[index]
    assert timings.estimate(plan(21))[0] == pytest.approx(21 / 20)  # type: ignore[index]
    assert timings.estimate(plan(90))[0] == pytest.approx(9)  # type: ignore[index]


def test_far_sizes_and_other_networks_say_nothing(plan: Make, monkeypatch: Any) -> None:
    timings.note(result(plan(20), [1.0, 2.0, 3.0]))
    assert timings.estimate(plan(100)) is not None
    assert timings.estimate(plan(102)) is None
    assert timings.estimate(plan(20, layer="block2_conv2")) is None
    monkeypatch.setattr(timings.platform, "node", lambda: "another machine")
    assert timings.estimate(plan(20)) is None


def test_short_and_growing_runs_are_not_noted(plan: Make, path: Path) -> None:
    made = plan()
    timings.note(result(made, [1.0, 2.0]))
    phases = (*made.phases, *made.phases)
    timings.note(result(replace(made, phases=phases), [1.0, 2.0, 3.0]))
    assert not path.exists()
    timings.note(result(made, [1.0, 2.0, 3.0]))
    small = replace(made, phases=(replace(made.phases[0], scale=0.5),))
    assert timings.estimate(small) is None


@pytest.mark.parametrize(
    "damage",
    [
        b'{"key":"x","canvas":[0,5],"seconds":1,"device":"","date":"2026-11-24"}\n',
        b"\xff\xfe\x00",
        b"{}\n",
        b"[" * 10_000,
        b'{"key": 1}\n',
        b"x" * 5000 + b"\n",
    ],
)
def test_damage_is_passed_over(plan: Make, path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    assert timings.estimate(plan()) is None
    timings.note(result(plan(), [1.0, 2.0, 3.0]))


def test_a_damaged_line_hides_no_other(plan: Make, path: Path) -> None:
    timings.note(result(plan(), [1.0, 2.0, 3.0]))
    path.write_text(f"{{half a li\n{path.read_text()}[]\n")
    assert timings.estimate(plan()) is not None


def test_a_line_that_was_broken_off_takes_no_other_with_it(plan: Make, path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"key":"ab')
    timings.note(result(plan(), [1.0, 2.0, 3.0]))
    assert timings.estimate(plan()) is not None


@pytest.mark.parametrize(
    ("told", "written"),
    [
        ('"seconds":1.0', '"seconds":1e300'),
        ('"seconds":1.0', '"seconds":"1.0"'),
        ("an abacus", r"an \u001b[31m abacus"),
        ("[20,40]", "[-20,-40]"),
    ],
)
def test_what_no_run_wrote_is_not_foretold(plan: Make, path: Path, told: str, written: str) -> None:
    timings.note(result(plan(), [1.0, 2.0, 3.0]))
    text = path.read_text()
    assert told in text
    path.write_text(text.replace(told, written))
    assert timings.estimate(plan()) is None


def test_a_cache_that_can_not_be_written_is_no_matter(plan: Make, path: Path) -> None:
    path.parent.write_text("a file where the folder should be")
    timings.note(result(plan(), [1.0, 2.0, 3.0]))
    assert timings.estimate(plan()) is None


def test_the_ledger_stays_small(plan: Make, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "MOST_LINES", 3)
    made = plan()
    for number in range(1, 8):
        timings.note(result(made, [0.0, number, 2 * number]))
    lines = path.read_text().split("\n")
    assert lines.pop() == ""
    assert [timings.Record.model_validate_json(line).seconds for line in lines] == [5, 6, 7]
    assert [file.name for file in path.parent.iterdir()] == ["runs.jsonl"]
