"""Adam against a float64 implementation in NumPy, written from its formula."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Tensor, tf
from nstflow.builtin.optimizers.adam import Adam

Array = NDArray[np.float64]

GENERATOR = np.random.default_rng(8)
CURVATURE = GENERATOR.uniform(0.5, 8, (1, 4, 5, 3))
GOAL = GENERATOR.uniform(-0.3, 1.3, (1, 4, 5, 3))  # some of it out of reach: clipping
START = np.float32(GENERATOR.random((1, 4, 5, 3)))


def by_hand(
    lr: float, b1: float, b2: float, epsilon: float, scale: float = 1.0
) -> Iterator[tuple[float, Array]]:
    """Yield, of each step on scale · ½ Σ c (x - goal)², the loss before and the canvas after."""
    x, m, v, t = np.float64(START), np.zeros_like(GOAL), np.zeros_like(GOAL), 0
    while True:
        t += 1
        loss = scale * 0.5 * (CURVATURE * (x - GOAL) ** 2).sum()
        g = scale * CURVATURE * (x - GOAL)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        rate = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        x = np.clip(x - rate * m / (np.sqrt(v) + epsilon), 0, 1)
        yield loss, x


def objective(scale: float = 1.0) -> object:
    curvature, goal = (tf.constant(values, tf.float32) for values in (CURVATURE, GOAL))

    def evaluate(x: Tensor) -> tuple[Tensor, Tensor]:
        loss = scale * 0.5 * tf.reduce_sum(curvature * tf.square(x - goal))
        return loss[None], scale * curvature * (x - goal)

    return evaluate


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ((0.02, 0.99, 0.999, 0.1), 1),
        ((0.02, 0.99, 0.999, 0.1), 1e4),
        ((0.1, 0.9, 0.999, 1e-7), 1),
        ((0.5, 0.5, 0.9, 1.0), 0.05),
        ((0.05, 0.0, 0.0, 1e-3), 1),
    ],
    ids=str,
)
def test_20_steps_on_a_quadratic(settings: tuple[float, ...], scale: float) -> None:
    stage = Adam(
        learning_rate=settings[0], beta_1=settings[1], beta_2=settings[2], epsilon=settings[3]
    )
    canvas = tf.constant(START)
    state = stage.start(canvas, 20)
    clipped = False
    for (loss, expected), step in zip(by_hand(*settings, scale), range(20), strict=False):
        assert int(state["evaluations"]) == step
        canvas, state, losses = stage.step(objective(scale), canvas, state)
        assert losses.numpy() == pytest.approx([loss], rel=2e-4)
        np.testing.assert_allclose(canvas, expected, atol=3e-5)
        clipped = clipped or bool(((expected == 0) | (expected == 1)).any())
    assert clipped


def test_the_first_step_has_a_closed_form() -> None:
    """At t = 1: lr · √(1 - β2) · g / (√(1 - β2) · |g| + ε), far from Kingma's lr · sign(g)."""
    gradient = np.float32([[[[0.5, -2.0, 1000.0]]]])
    stage = Adam()
    canvas = tf.fill((1, 1, 1, 3), 0.5)
    moved, state, losses = stage.step(
        lambda _: (tf.constant([7.0, 8.0]), tf.constant(gradient)), canvas, stage.start(canvas, 1)
    )
    assert (stage.learning_rate, stage.beta_1, stage.beta_2, stage.epsilon) == (
        0.02,
        0.99,
        0.999,
        0.1,
    )
    root = np.sqrt(0.001)
    expected = 0.5 - 0.02 * root * gradient / (root * np.abs(gradient) + 0.1)
    np.testing.assert_allclose(moved, expected, rtol=1e-5)
    np.testing.assert_allclose(state["mean"], 0.01 * gradient, rtol=1e-4)
    np.testing.assert_allclose(state["square"], 0.001 * gradient**2, rtol=1e-4)
    assert losses.numpy().tolist() == [7.0, 8.0]


def test_a_step_changes_nothing_that_it_was_given() -> None:
    stage = Adam()
    canvas = tf.constant(START)
    state = stage.start(canvas, 2)
    first = stage.step(objective(), canvas, state)
    again = stage.step(objective(), canvas, state)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(canvas, START)
    assert not state["mean"].numpy().any()


def test_a_change_of_size_starts_anew() -> None:
    stage = Adam()
    canvas = tf.constant(START)
    _, state, _ = stage.step(objective(), canvas, stage.start(canvas, 2))
    carried = stage.carry(state, tf.zeros((1, 8, 10, 3)), 5)
    assert carried["mean"].shape == carried["square"].shape == (1, 8, 10, 3)
    assert not carried["mean"].numpy().any()
    assert int(carried["evaluations"]) == 0


def test_no_gradient_moves_nothing() -> None:
    stage = Adam()
    canvas = tf.constant(START)
    moved, _, _ = stage.step(
        lambda x: (tf.zeros(1), tf.zeros_like(x)), canvas, stage.start(canvas, 1)
    )
    np.testing.assert_array_equal(moved, START)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0},
        {"learning_rate": float("inf")},
        {"beta_1": 1},
        {"beta_2": -0.1},
        {"epsilon": 0},
        # in float32 these are 1, 0 and infinity
        {"beta_1": 1 - 2.0**-25},
        {"beta_2": 0.99999999},
        {"epsilon": 1e-50},
        {"epsilon": 2.0**-126 * (1 - 2.0**-24)},
        {"learning_rate": 1e-46},
        {"learning_rate": 1e39},
    ],
    ids=str,
)
def test_settings_have_bounds(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Adam(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"beta_2": 1 - 2.0**-24}, {"beta_1": 1e-50}, {"epsilon": 2.0**-126}, {"learning_rate": 3e38}],
    ids=str,
)
def test_what_float32_can_hold_is_allowed(settings: dict[str, float]) -> None:
    assert Adam(**settings).model_dump(include=set(settings)) == settings


def test_the_largest_beta_moves_the_canvas_still() -> None:
    stage = Adam(beta_1=0, beta_2=1 - 2.0**-24, epsilon=1e-4)
    canvas = tf.fill((1, 1, 1, 3), 0.5)
    moved, _, _ = stage.step(
        lambda x: (tf.zeros(1), tf.ones_like(x)), canvas, stage.start(canvas, 1)
    )
    assert (moved.numpy() < 0.5).all()
