"""The loop: every byte is the same however the steps are grouped; how they are grouped."""

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import Field

from nstflow import Features, Image, Layers, LossTerm, Tensor, tf
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.losses.content import Content
from nstflow.builtin.losses.gram import Gram
from nstflow.builtin.losses.total_variation import TotalVariation
from nstflow.builtin.optimizers.adam import Adam
from nstflow.engine import loop as module
from nstflow.engine.features import Describer
from nstflow.engine.loop import CAPACITY, MAX_SECONDS, Loop, Pace
from nstflow.engine.objective import Objective, make_target

START = np.random.default_rng(0).random((1, 4, 6, 3), np.float32)
GOAL = np.random.default_rng(1).random((1, 4, 6, 3), np.float32)
LAYERS = ["block1_conv1", "block1_conv2", "block2_conv1"]


class Wander(LossTerm):
    """Look along a random direction, another one at each step."""

    use: Literal["wander"] = "wander"
    layers: Layers = Field({"image": 1.0}, description="The pixels.")

    def score(self, features: Features, target: Any) -> Tensor:  # noqa: ARG002 - the contract
        """Return the mean of the pixels' products with the direction."""
        x = features["image"]
        return tf.reduce_mean(x * tf.random.stateless_normal(x.shape, features.seed))


def quadratic(x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
    """Return ½ Σ (x - goal)² and the step itself as losses."""
    difference = x - tf.constant(GOAL)
    loss = 0.5 * tf.reduce_sum(tf.square(difference))
    return tf.stack([loss, tf.cast(step, tf.float32)]), difference


def make(evaluate: Any = quadratic, terms: int = 2, start: Any = START, step: int = 0) -> Loop:
    optimizer = Adam(learning_rate=0.05)
    canvas = tf.constant(start)
    return Loop(optimizer, evaluate, terms, canvas, optimizer.start(canvas, 16), step=step)


def make_compiled(step: int = 0) -> Loop:
    """Make a loop that shares its program with the others made here, compiled once."""
    loop = make(step=step)
    loop.program = compiled().program
    return loop


@functools.cache
def compiled() -> Loop:
    return make()


def bytes_of(loop: Loop) -> dict[str, bytes]:
    return {
        "canvas": loop.canvas.numpy().tobytes(),
        **{name: value.numpy().tobytes() for name, value in loop.state.items()},
    }


@pytest.fixture(scope="module")
def real() -> Callable[[], Loop]:
    """Make loops of a real pipeline: three layers of VGG-19, four terms, one of them random."""
    network = VGG19(weights="random").build(LAYERS, Path("/nowhere"))
    generator = np.random.default_rng(2)
    content, style = (Image(generator.random((*s, 3), np.float32)) for s in ((15, 22), (12, 16)))
    terms = {
        "keep": Content(layers={"block2_conv1": 1.0}, weight=1e-4),
        "look": Gram(image="style", layers=dict.fromkeys(LAYERS, 1 / 3), weight=1e-6),
        "smooth": TotalVariation(layers={"image": 1.0}),
        "wander": Wander(weight=100),
    }
    images = {"content": content, "style": style}
    targets = {
        name: term.image and make_target(term, name, 0, Describer(network)(images[term.image]))
        for name, term in terms.items()
    }
    evaluate = Objective(network, terms, targets, 0, lambda _: nullcontext())
    start = generator.random((1, 15, 22, 3), np.float32)
    one = make(evaluate, 4, start)

    def again() -> Loop:
        loop = make(evaluate, 4, start)
        loop.program = one.program  # compiled once: another loop's would be the same program
        return loop

    return again


def taken(loop: Loop, groups: Sequence[int]) -> np.ndarray:
    """Take groups of steps; return the losses of each step."""
    rows = []
    for count in groups:
        rows.append(loop._call(count)[:count])
        loop.step += count
    return np.concatenate(rows)


def test_steps_may_be_grouped_in_any_way(real: Callable[[], Loop]) -> None:
    loops = [real() for _ in range(3)]
    rows = [
        taken(loop, groups)
        for loop, groups in zip(loops, ([8, 8], [3, 5, 1, 7], [1] * 16), strict=True)
    ]
    assert rows[0].shape == (16, 4)
    assert len(np.unique(rows[0][:, 3])) == 16  # the direction changes from step to step
    for other, values in zip(loops[1:], rows[1:], strict=True):
        assert bytes_of(other) == bytes_of(loops[0])
        assert values.tobytes() == rows[0].tobytes()


def test_a_loop_that_is_compiled_anew_gives_the_same_bytes() -> None:
    loops = [make(), make()]
    taken(loops[0], [8, 8])
    taken(loops[1], [3, 5, 1, 7])
    assert bytes_of(loops[0]) == bytes_of(loops[1])


def test_a_loop_can_be_taken_up_again() -> None:
    """Canvas, state and step number are all there is to know."""
    whole, first = make_compiled(), make_compiled()
    rows = taken(whole, [16])
    before = taken(first, [5])
    second = Loop(first.optimizer, quadratic, 2, first.canvas, first.state, step=first.step)
    after = taken(second, [11])
    assert bytes_of(second) == bytes_of(whole)
    np.testing.assert_array_equal(np.concatenate([before, after]), rows)


def test_compiling_changes_nothing() -> None:
    loop, untouched = make(), make()
    before = bytes_of(loop)
    assert loop.compile() > 0
    assert bytes_of(loop) == before
    assert (loop.step, loop.pace.seconds_per_step) == (0, 0.0)
    taken(loop, [4])
    taken(untouched, [4])
    assert bytes_of(loop) == bytes_of(untouched)


def test_one_program_serves_every_count() -> None:
    traces = []

    def counting(x: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        traces.append(1)
        return quadratic(x, step)

    loop = make(counting)
    loop.compile()
    compiled = len(traces)
    taken(loop, [3, 1, 7])
    assert len(traces) == compiled


def test_losses_are_those_before_the_update() -> None:
    """Row n belongs to the canvas that step n was given."""
    grouped, single = make_compiled(), make_compiled()
    rows = taken(grouped, [6])
    for row in rows:
        canvas = np.float64(single.canvas)
        assert row[0] == pytest.approx(0.5 * ((canvas - GOAL) ** 2).sum(), rel=1e-5)
        taken(single, [1])
    assert rows[0, 0] == pytest.approx(0.5 * ((np.float64(START) - GOAL) ** 2).sum(), rel=1e-5)
    assert len(set(rows[:, 0])) == 6


@pytest.mark.parametrize("before", [0, 100])
def test_steps_are_numbered_from_1_through_the_run(before: int) -> None:
    """A term's seed depends on it; a phase continues where the last one ended."""
    rows = taken(make_compiled(step=before), [3, 2])
    assert rows[:, 1].tolist() == [before + number for number in (1, 2, 3, 4, 5)]


def test_steps_come_nearer_to_the_goal() -> None:
    rows = taken(make_compiled(), [100, 100])
    assert rows[-1, 0] < 0.02 * rows[0, 0]


def test_a_dispatch_begins_with_one_step() -> None:
    """Nothing is known of a step's time yet."""
    loop = make_compiled()
    rows, seconds = loop.dispatch(10)
    assert rows.shape == (1, 2)
    assert loop.step == 1
    assert seconds > 0
    assert loop.pace.seconds_per_step == seconds


@pytest.mark.parametrize(
    ("seconds_per_step", "most", "count"),
    [
        (0.1, 100, 2),  # a quarter of a second holds two
        (0.25, 100, 1),
        (7.0, 100, 1),  # one at least
        (0.01, 100, 25),
        (0.01, 6, 6),  # no more than asked for
        (1e-6, 1000, CAPACITY),  # no more than there are rows
    ],
)
def test_a_dispatch_aims_at_a_quarter_of_a_second(
    seconds_per_step: float, most: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = make_compiled()
    loop.pace.seconds_per_step = seconds_per_step
    clock = iter([10.0, 13.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    rows, seconds = loop.dispatch(most)
    monkeypatch.undo()
    assert len(rows) == loop.step == count
    assert rows[:, 1].tolist() == list(range(1, count + 1))
    assert seconds == 3
    assert loop.pace.seconds_per_step == 3 / count


def walk(seconds: Callable[[int], float], dispatches: int = 40) -> list[int]:
    """Return the steps of each dispatch, where `count` steps take `seconds(count)`."""
    pace, counts = Pace(), []
    for _ in range(dispatches):
        counts.append(pace.steps())
        pace.record(counts[-1], seconds(counts[-1]))
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
    assert max(counts) * 1.4 <= MAX_SECONDS


def test_the_first_dispatch_is_no_measure() -> None:
    """It pays for fresh memory; a first step of 10 s would make any second dispatch look fast."""
    times = iter([10.0])
    counts = walk(lambda count: next(times, 0.7 * count))
    assert counts[-1] == 1


@pytest.mark.parametrize(("step", "count"), [(0.1, 2), (0.01, 25), (0.0625, 4)])
def test_fast_steps_fill_a_quarter_of_a_second(step: float, count: int) -> None:
    assert walk(lambda steps: step * steps)[1:] == [count] * 39
