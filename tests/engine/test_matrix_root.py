"""Square roots of matrices against eigendecompositions, and gradients against autodiff."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import Tensor, tf
from nstflow.toolkit import matrix_root, trace_of_root

Matrix = NDArray[np.float64]


def matrix(eigenvalues: Matrix) -> Matrix:
    """Return a symmetric matrix with these eigenvalues."""
    size = len(eigenvalues)
    turn, _ = np.linalg.qr(np.random.default_rng(size).normal(size=(size, size)))
    return (turn * eigenvalues) @ turn.T


def exact(a: Matrix, power: float) -> Matrix:
    values, vectors = np.linalg.eigh(a)
    return (vectors * values**power) @ vectors.T


MATRICES = {
    "well": matrix(np.linspace(0.5, 2, 12)),
    "ill": matrix(np.logspace(-4, 0, 24)),
    "large": 1e12 * matrix(np.linspace(0.5, 2, 12)),
    "small": 1e-12 * matrix(np.linspace(0.5, 2, 12)),
    "one": np.array([[3.0]]),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_the_root_and_its_inverse(kind: str) -> None:
    a = MATRICES[kind]
    root, inverse = matrix_root(tf.constant(a, tf.float32))
    scale = np.sqrt(np.linalg.norm(a))
    np.testing.assert_allclose(root, exact(a, 0.5), atol=1e-4 * scale)
    np.testing.assert_allclose(inverse, exact(a, -0.5), atol=0.02 / scale)


@pytest.mark.parametrize(
    "a",
    [matrix(np.r_[np.zeros(6), 1, 2, 3]), matrix(np.logspace(-12, 0, 40)), np.zeros((4, 4))],
    ids=["rank deficient", "near singular", "zero"],
)
def test_eigenvalues_of_about_0(a: Matrix) -> None:
    """The root is right; the inverse, which has no value there, stays finite."""
    root, inverse = matrix_root(tf.constant(a, tf.float32))
    expected = exact((a + a.T) / 2 + 1e-15 * np.eye(len(a)), 0.5)
    np.testing.assert_allclose(root, np.nan_to_num(expected), atol=1e-3)
    largest = np.abs(np.linalg.eigvalsh(inverse)).max()
    assert largest <= 1500 / np.sqrt(max(np.linalg.norm(a), 1e-30))


def gradients(function: Callable[[Tensor], Tensor], a: Matrix) -> tuple[Tensor, Tensor]:
    x = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return value, tape.gradient(value, x)


def trace_by_eigenvalues(x: Tensor) -> Tensor:
    return tf.reduce_sum(tf.sqrt(tf.linalg.eigh(x)[0]))


def trace_by_iteration(x: Tensor) -> Tensor:
    return tf.linalg.trace(matrix_root(x)[0])  # differentiated through all iterations


@pytest.mark.parametrize("other", [trace_by_eigenvalues, trace_by_iteration])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_the_gradient_of_the_trace(other: Callable[[Tensor], Tensor], compiled: bool) -> None:
    a = matrix(np.logspace(-3, 0, 12))
    function = tf.function(trace_of_root, jit_compile=True) if compiled else trace_of_root
    value, slope = gradients(lambda x: 3 * function(x), a)
    expected, expected_slope = gradients(lambda x: 3 * other(x), a)
    assert float(value) == pytest.approx(float(expected), rel=1e-4)
    expected_slope = (expected_slope + tf.transpose(expected_slope)) / 2
    np.testing.assert_allclose(slope, expected_slope, atol=0.005 * np.abs(slope).max())
