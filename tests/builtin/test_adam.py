"""Adam against a float64 implementation in NumPy, written from its formula."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Tensor, tf
from nstflow.builtin.optimizers.adam import Adam
from nstflow.testing import check_stage

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


def test_the_rate_falls_as_a_cosine_in_each_phase() -> None:
    """With a gradient of 1 and β = 0 each step is the rate."""
    stage = Adam(learning_rate=0.01, beta_1=0, beta_2=0, epsilon=1e-12, decay="cosine")
    canvas = tf.fill((1, 2, 2, 3), 0.9)
    state = stage.start(canvas, 4)
    for steps in (4, 3):
        for k in range(steps):
            before = canvas
            canvas, state, _ = stage.step(
                lambda x: (tf.zeros(1), tf.ones_like(x)), canvas, dict(state)
            )
            expected = 0.01 * 0.5 * (1 + np.cos(np.pi * k / steps))
            np.testing.assert_allclose(before - canvas, expected, rtol=1e-4)
        state = stage.carry(state, canvas, 3)


def test_the_result_is_the_mean_of_the_canvases() -> None:
    """In float64: weights 0.8ⁿ⁻ⁱ on the canvases of the phase, the carried one among them."""
    stage = Adam(learning_rate=0.2, beta_1=0.5, average=0.8)
    canvas = tf.constant(START)
    state = stage.start(canvas, 6)
    for _ in range(2):
        canvases = [canvas]
        for _ in range(6):
            canvas, state, _ = stage.step(objective(), canvas, state)
            canvases.append(canvas)
            weights = 0.8 ** np.arange(len(canvases), 0, -1)
            mean = np.average(np.float64(canvases), axis=0, weights=weights)
            np.testing.assert_allclose(stage.result(canvas, state), mean, atol=3e-7)
        canvas = stage.result(canvas, state)
        state = stage.carry(state, canvas, 6)
    np.testing.assert_array_equal(stage.result(canvas, state), canvas)


def even(gradient: float) -> Any:
    """Return an objective with the same gradient everywhere."""
    return lambda x: (tf.zeros(1), tf.fill(x.shape, gradient))


def test_the_moments_are_carried_to_another_size() -> None:
    """Of an even gradient exactly, which falls with the number of pixels; the count goes on."""
    stage, last = Adam(beta_1=0.9, beta_2=0.99, epsilon=1e-8), tf.fill((1, 4, 6, 3), 0.5)
    state = stage.start(last, 5)
    for _ in range(5):
        last, state, _ = stage.step(even(3.0), last, state)
    canvas = tf.fill((1, 7, 10, 3), 0.5)
    carried = stage.carry(state, canvas, 5)
    g, ones = 3 * 24 / 70, np.ones(canvas.shape)
    np.testing.assert_allclose(carried["mean"], g * (1 - 0.9**5) * ones, rtol=1e-5)
    np.testing.assert_allclose(carried["square"], g**2 * (1 - 0.99**5) * ones, rtol=1e-5)
    assert int(carried["evaluations"]) == 5
    moved, _, _ = stage.step(even(g), canvas, carried)
    np.testing.assert_allclose(moved, 0.48, rtol=1e-5)  # one whole step


def test_the_moments_can_begin_anew() -> None:
    stage, canvas = Adam(carry_moments=False), tf.constant(START)
    _, state, _ = stage.step(objective(), canvas, stage.start(canvas, 2))
    carried = stage.carry(state, tf.zeros((1, 8, 10, 3)), 5)
    assert carried["mean"].shape == carried["square"].shape == (1, 8, 10, 3)
    assert not carried["mean"].numpy().any()
    assert int(carried["evaluations"]) == 0


def test_a_carried_square_is_not_negative() -> None:
    stage, canvas = Adam(), tf.zeros((1, 9, 9, 3))
    state = stage.start(tf.constant(START), 2)
    state["square"] = tf.constant(np.float32(GENERATOR.random((1, 4, 5, 3)) > 0.5))
    assert tf.reduce_min(stage.carry(state, canvas, 5)["square"]).numpy() >= 0


@pytest.mark.parametrize("settings", [{}, {"decay": "cosine", "average": 0.9}], ids=str)
def test_it_meets_its_contract_and_compiles_to_the_same(settings: Any) -> None:
    check_stage(Adam, **settings)
    stage, canvas = Adam(**settings), tf.constant(START)
    state = stage.start(canvas, 3)
    step = tf.function(lambda x, s: stage.step(objective(), x, s), jit_compile=True)
    plain, compiled = (canvas, state), (canvas, state)
    for _ in range(3):
        plain = stage.step(objective(), *plain)[:2]
        compiled = step(*compiled)[:2]
    for one, other in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


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
        {"average": 1},
        {"decay": "linear"},
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
def test_settings_have_bounds(settings: Any) -> None:
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
