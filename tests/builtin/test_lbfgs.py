"""L-BFGS against a float64 implementation in NumPy, which forms the matrix H by its definition."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Tensor, tf
from nstflow.builtin.optimizers.lbfgs import Lbfgs
from nstflow.testing import check_stage

Array = NDArray[np.float64]

GENERATOR = np.random.default_rng(9)
CURVATURE = GENERATOR.uniform(0.5, 8, (1, 3, 4, 3))
GOAL = GENERATOR.uniform(-0.2, 1.2, (1, 3, 4, 3))  # some of it out of reach: clipping
START = np.float32(GENERATOR.random((1, 3, 4, 3)))


def quadratic(x: Any) -> tuple[Any, Any]:
    """Return ½ Σ c (x - goal)² and its gradient, of an array or a tensor."""
    return 0.5 * (CURVATURE * (x - GOAL) ** 2).sum(), CURVATURE * (x - GOAL)


def on_tensors(x: Tensor) -> tuple[Tensor, Tensor]:
    curvature, goal = tf.constant(CURVATURE, tf.float32), tf.constant(GOAL, tf.float32)
    return tf.reduce_sum(curvature * tf.square(x - goal))[None] / 2, curvature * (x - goal)


def inverse_hessian(pairs: list[tuple[Array, Array]], gradient: Array, scale: Array) -> Array:
    """Return H by the update of BFGS: (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ, from H₀ = γ D."""
    identity = np.eye(gradient.size)
    if not pairs:
        return identity * min(1, 1 / np.abs(gradient).sum())
    s, y = pairs[-1]
    result = np.diag(scale) * (s @ y) / (y @ (scale * y))
    for s, y in pairs:
        rho = 1 / (s @ y)
        left = identity - rho * np.outer(s, y)
        result = left @ result @ left.T + rho * np.outer(s, s)
    return result


def by_hand(
    steps: int, history: int, rate: float, most: float, diagonal: bool
) -> Iterator[tuple[Array, bool]]:
    """Yield the canvas after each step, and whether the step before was taken back."""
    x = last = np.float64(START).ravel()
    last_total, last_g, pairs = np.inf, x, []  # of no meaning before the first step
    squares = np.zeros_like(x)
    for step in range(steps):
        total, g = quadratic(np.clip(x, 0, 1).reshape(GOAL.shape))
        g = g.ravel()
        back = total > 1.1 * last_total
        if back:
            slope = last_g @ (x - last)
            x = last + np.clip(-slope / (2 * (total - last_total - slope)), 0.1, 0.5) * (x - last)
        else:
            if step > 0 and (x - last) @ (g - last_g) > 0:
                pairs = [*pairs, (x - last, g - last_g)][-history:]
            last, last_g, last_total = x, g, total
            scale = np.ones_like(x)
            if diagonal:
                squares = 0.9 * squares + 0.1 * g**2
                scale = 1 / (squares + 1e-3 * squares.mean())
            x = x + np.clip(-rate * inverse_hessian(pairs, g, scale) @ g, -most, most)
        yield np.clip(x, 0, 1).reshape(GOAL.shape), back


@pytest.mark.parametrize(
    ("history", "rate", "most", "diagonal"),
    [
        *((10, 1.0, 0.5, False), (1, 1.0, 0.5, False), (3, 0.7, 0.5, False)),
        *((3, 1.0, 0.02, False), (10, 1.0, 0.5, True), (1, 0.7, 0.5, True), (3, 1.0, 0.02, True)),
    ],
)
def test_12_steps_on_a_quadratic(history: int, rate: float, most: float, diagonal: bool) -> None:
    stage = Lbfgs(history=history, learning_rate=rate, max_change=most, diagonal=diagonal)
    canvas = tf.constant(START)
    state = stage.start(canvas, 12)
    backs = 0
    for step, (expected, back) in enumerate(by_hand(12, history, rate, most, diagonal)):
        assert int(state["evaluations"]) == step
        before = canvas
        canvas, state, losses = stage.step(on_tensors, canvas, state)
        assert losses.numpy() == pytest.approx([quadratic(before.numpy())[0]], rel=1e-4)
        assert (int(state["rejected"]) > 0) == back
        backs += back
        np.testing.assert_allclose(canvas, expected, atol=2e-4)
    assert int(state["pairs"]) == 11 - backs


def pixels(*totals: float) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return an objective on one pixel with the gradient (1, 0, 0) and these totals, in order."""
    rest = iter(totals)
    gradient = tf.constant([[[[1.0, 0.0, 0.0]]]])
    return lambda _: (tf.constant([next(rest)]), gradient)


def red(canvas: Tensor) -> float:
    return float(canvas[0, 0, 0, 0])


def test_a_step_that_raised_the_total_is_shortened() -> None:
    """By the parabola through f(0) = 1, f'(0) = -0.1 and f(1), from 0.1 to 0.5 of the step."""
    stage = Lbfgs(learning_rate=0.1)
    evaluate = pixels(1.0, 1.5, 1.15, 1.05)
    canvas = tf.fill((1, 1, 1, 3), 0.5)
    state = stage.start(canvas, 9)
    canvas, state, _ = stage.step(evaluate, canvas, state)
    assert red(canvas) == pytest.approx(0.4)
    canvas, state, losses = stage.step(evaluate, canvas, state)
    assert (losses.numpy().tolist(), int(state["rejected"])) == ([1.5], 1)
    assert red(canvas) == pytest.approx(0.5 - 0.1 * 0.1)  # 0.1 / (2 · 0.6) is below 0.1
    canvas, state, _ = stage.step(evaluate, canvas, state)
    assert int(state["rejected"]) == 2
    assert red(canvas) == pytest.approx(0.5 - 0.01 * 0.1)
    canvas, state, _ = stage.step(evaluate, canvas, state)  # a twentieth above is taken
    assert (int(state["rejected"]), float(state["total"])) == (0, pytest.approx(1.05))
    assert red(canvas) == pytest.approx(0.499 - 0.1)  # no pair: the gradient has not changed
    assert int(state["pairs"]) == 0


def test_a_parabola_with_its_minimum_on_the_way() -> None:
    """f(0) = 0.1, f'(0) = -0.1, f(1) = 0.14: the minimum is at 0.1 / (2 · 0.14)."""
    stage, canvas = Lbfgs(learning_rate=0.1), tf.fill((1, 1, 1, 3), 0.5)
    evaluate, state = pixels(0.1, 0.14), stage.start(canvas, 9)
    canvas, state, _ = stage.step(evaluate, canvas, state)
    canvas, state, _ = stage.step(evaluate, canvas, state)
    # the slope along the step of 0.1 is -0.1 for a gradient of 1: over all of it, -0.01 · 10
    part = 0.1 * 1 / (2 * (0.04 + 0.1))
    assert red(canvas) == pytest.approx(0.5 - 0.1 * part, rel=1e-5)


def test_five_steps_that_failed_forget_the_pairs() -> None:
    stage, canvas = Lbfgs(history=4), tf.constant(START)
    state = stage.start(canvas, 9)
    for _ in range(3):
        canvas, state, _ = stage.step(on_tensors, canvas, state)
    assert int(state["pairs"]) == 2
    for tries in (1, 2, 3, 4, 5, 0):
        canvas, state, _ = stage.step(
            lambda x: (tf.constant([1e9]), on_tensors(x)[1]), canvas, state
        )
        assert int(state["rejected"]) == tries
    assert (int(state["pairs"]), float(state["total"])) == (0, 1e9)
    assert not state["inverse_products"].numpy().any()
    before = canvas
    canvas, state, _ = stage.step(on_tensors, canvas, state)
    assert int(state["pairs"]) == 1
    assert np.abs(canvas - before).max() > 0


@pytest.mark.parametrize("diagonal", [False, True])
def test_no_gradient_moves_nothing(diagonal: bool) -> None:
    stage, canvas = Lbfgs(diagonal=diagonal), tf.constant(START)
    state = stage.start(canvas, 2)
    for _ in range(2):
        canvas, state, _ = stage.step(lambda x: (tf.zeros(1), tf.zeros_like(x)), canvas, state)
    np.testing.assert_array_equal(canvas, START)
    assert all(np.isfinite(x).all() for x in state.values())


def test_the_iterate_may_leave_the_range() -> None:
    stage, canvas = Lbfgs(max_change=0.3), tf.zeros((1, 1, 1, 3))
    state = stage.start(canvas, 2)
    for _ in range(2):
        canvas, state, _ = stage.step(lambda x: (tf.ones(1), tf.ones_like(x)), canvas, state)
    assert (state["iterate"].numpy() < -0.5).all()
    np.testing.assert_array_equal(canvas, tf.zeros_like(canvas))


def test_another_size_starts_at_the_canvas() -> None:
    stage, canvas = Lbfgs(average=0.9), tf.constant(START)
    state = stage.start(canvas, 3)
    for _ in range(3):
        canvas, state, _ = stage.step(on_tensors, canvas, state)
    larger = tf.constant(np.float32(GENERATOR.random((1, 6, 8, 3))))
    carried = stage.carry(state, larger, 5)
    np.testing.assert_array_equal(carried["iterate"], tf.reshape(larger, (-1,)))
    np.testing.assert_array_equal(stage.result(larger, carried), larger)
    assert carried["moves"].shape == (10, 6 * 8 * 3)
    assert int(carried["pairs"]) == int(carried["evaluations"]) == 0


@pytest.mark.parametrize("settings", [{}, {"history": 2, "average": 0.9, "diagonal": False}])
def test_it_meets_its_contract_and_compiles_to_the_same(settings: Any) -> None:
    check_stage(Lbfgs, **settings)
    stage, canvas = Lbfgs(**settings), tf.constant(START)
    state = stage.start(canvas, 5)
    step = tf.function(lambda x, s: stage.step(on_tensors, x, s), jit_compile=True)
    plain, compiled = (canvas, state), (canvas, state)
    for _ in range(5):
        plain = stage.step(on_tensors, *plain)[:2]
        compiled = step(*compiled)[:2]
        pictures = [stage.result(*each) for each in (plain, compiled)]
        np.testing.assert_allclose(*pictures, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"history": 0}, {"learning_rate": 0}, {"max_change": 0}, {"average": 1}],
    ids=str,
)
def test_settings_have_bounds(settings: Any) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        Lbfgs(**settings)
