"""The Gram matrix of a cloud of points, with a gradient that uses its symmetry."""

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
