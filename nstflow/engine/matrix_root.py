"""The square root of a symmetric matrix, by products of matrices alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nstflow.stages.tensorflow import Tensor, tf

ITERATIONS = 9
SMALLEST = 2e-3
"""The smallest root of an eigenvalue to make exact, relative to the root of the norm."""


def matrix_root(a: Tensor) -> tuple[Tensor, Tensor]:
    """Return the square root of a matrix and its inverse: `(c, c)` → twice `(c, c)`.

    The matrix is symmetric and has no negative eigenvalue. With its Frobenius norm n, Y = A / n
    and Z = I, each iteration is

        T = ρ (3 I - ρ² Z Y) / 2,    Y ← Y T,    Z ← T Z

    Then Y √n is the root, and Z / √n its inverse. The factors ρ make small eigenvalues grow by
    2.6² instead of 1.5² per iteration, so 9 iterations are more exact than 16 of Newton and
    Schulz, where ρ is 1. Below 4e-6 n, eigenvalues are not exact: their roots come out too small,
    and their inverse roots stay near 1200 / √n at most, even if they are 0.

    Source: Chen and Chow, "A Stable Scaling of Newton-Schulz for Improving the Sign Function
    Computation of a Hermitian Matrix", 2014.
    """
    norm = tf.maximum(tf.norm(a), 1e-30)
    identity = tf.eye(a.shape[0], dtype=a.dtype)
    factors = tf.constant(list(_factors()), a.dtype)

    def improve(k: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        factor = factors[k]
        t = factor * (3 * identity - factor**2 * tf.matmul(z, y)) / 2
        return k + 1, tf.matmul(y, t), tf.matmul(t, z)

    # a loop, because it is compiled faster than 27 products
    start = (tf.constant(0), a / norm, identity)
    _, y, z = tf.while_loop(lambda k, *_: k < ITERATIONS, improve, start)
    return y * tf.sqrt(norm), z / tf.sqrt(norm)


def trace_of_root(a: Tensor) -> Tensor:
    """Return the trace of the square root of a symmetric matrix `(c, c)`, a scalar.

    Its gradient is A^(-1/2) / 2, from the same iteration as the root.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def trace(matrix: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        root, inverse = matrix_root(matrix)
        return tf.linalg.trace(root), lambda upstream: upstream * inverse / 2

    return trace(a)


def _factors() -> Iterator[float]:
    """Yield ρ of each iteration: the best if all roots x lie between the smallest and 1.

    ρ² = 3 / (1 + x + x²) makes (3 ρx - (ρx)³) / 2 equal at the smallest x and at 1.
    """
    x = SMALLEST
    for _ in range(ITERATIONS):
        factor = (3 / (1 + x + x**2)) ** 0.5
        yield factor
        x = (3 * factor * x - (factor * x) ** 3) / 2
