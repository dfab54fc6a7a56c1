"""Moments of weighted points: the mean, and the Gram matrix, whose gradient uses its symmetry."""

from __future__ import annotations

from collections.abc import Callable

from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import common_value


def gram_matrix(points: Tensor, weights: Tensor) -> Tensor:
    """Return pointsᵀ (weights · points): `(n, c)`, `(n, 1)` → `(c, c)`.

    The matrix is symmetric, so its gradient is one product where two would be taken: for the
    gradient U of the matrix, weights · points (U + Uᵀ). Equal weights scale the matrix instead of
    the points, which saves a pass over them. The weights themselves get no gradient.
    """
    same = common_value(weights)

    @tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow ships no types
    def product(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        def gradient(upstream: Tensor) -> Tensor:
            both = upstream + tf.transpose(upstream)
            if same is not None:
                return tf.matmul(x, both * same)
            return weights * tf.matmul(x, both)

        if same is not None:
            return tf.matmul(x, x, transpose_a=True) * same, gradient
        return tf.matmul(x, weights * x, transpose_a=True), gradient

    return product(points)


def weighted_mean(points: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of points: `(n, c)`, weights `(n, 1)` whose sum is 1 → `(c,)`."""
    if common_value(weights) is not None:
        return tf.reduce_mean(points, axis=0)
    return tf.reduce_sum(weights * points, axis=0)


def mean_square(moments: Tensor) -> Tensor:
    """Return the mean square of features, by which `normalize` divides; 1 if it is 0.

    Args:
        moments: The mean square of each feature, `(c,)`, or the Gram matrix, `(c, c)`.
    """
    squares = tf.linalg.diag_part(moments) if moments.shape.rank == 2 else moments  # noqa: PLR2004
    mean = tf.reduce_mean(squares)
    return tf.where(mean > 0, mean, 1.0)
