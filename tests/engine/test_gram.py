"""The Gram matrix against NumPy, and its gradient against the plain products' own."""

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Tensor, tf
from nstflow.toolkit import gram_matrix

GENERATOR = np.random.default_rng(3)
POINTS = GENERATOR.normal(size=(40, 6)).astype(np.float32)
EVEN = np.full((40, 1), 1 / 40, np.float32)
UNEVEN = GENERATOR.random((40, 1)).astype(np.float32)
UPSTREAM = GENERATOR.normal(size=(6, 6)).astype(np.float32)  # not symmetric: a loss's may be so


def plain(points: Tensor, weights: Tensor) -> Tensor:
    return tf.matmul(points, weights * points, transpose_a=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("weights", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_values_and_gradients(weights: NDArray[np.float32], compiled: bool) -> None:
    def gradient(function: object) -> tuple[Tensor, Tensor]:
        def both(points: Tensor) -> tuple[Tensor, Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(points)
                gram = function(points, tf.constant(weights))  # type: ignore[operator]
                loss = tf.reduce_sum(gram * UPSTREAM)
            return gram, tape.gradient(loss, points)

        program = tf.function(both, jit_compile=True) if compiled else both
        return program(tf.constant(POINTS))

    gram, got = gradient(gram_matrix)
    np.testing.assert_allclose(gram, np.float64(POINTS).T @ (weights * POINTS), atol=1e-5)
    np.testing.assert_allclose(got, gradient(plain)[1], rtol=1e-4, atol=1e-6)


def test_weights_that_only_a_run_knows() -> None:
    """As an argument of a program, weights are no constant, even or not."""
    program = tf.function(gram_matrix)
    for weights in (EVEN, UNEVEN):
        got = program(tf.constant(POINTS), tf.constant(weights))
        np.testing.assert_allclose(got, np.float64(POINTS).T @ (weights * POINTS), atol=1e-5)


def test_one_uneven_weight_is_enough_to_matter() -> None:
    weights = EVEN.copy()
    weights[-1] *= 3
    got = gram_matrix(tf.constant(POINTS), tf.constant(weights))
    np.testing.assert_allclose(got, np.float64(POINTS).T @ (weights * POINTS), atol=1e-5)
