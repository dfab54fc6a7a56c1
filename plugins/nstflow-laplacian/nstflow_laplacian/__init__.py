"""A loss for nstflow that preserves the outlines of the content."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from nstflow import ImageRef, Layers, LossTerm, NstflowError, Problem, Size, Tensor, hookimpl, tf
from nstflow.toolkit import require_same_size, size_text


class Laplacian(LossTerm):
    """Preserve the outlines of the content, by the Laplacian of the pixels.

    P `(h // pool, w // pool, c)` are the means of blocks of side `pool`. Each channel has

        D[i, j] = 4 P[i, j] - P[i-1, j] - P[i+1, j] - P[i, j-1] - P[i, j+1]

    where all five exist. Rows and columns at the bottom and on the right that do not fill a block
    are left out. With D of the canvas and R of the reference, the loss of a layer is

        scale: mean   mean((D - R)²)      as in the authors' program
        scale: sum    Σ (D - R)²          each layer of a list or group has share 1

    The losses of the layers are multiplied by their shares and added. The reference must have the
    size of the canvas, and each side at least 3 * `pool` pixels.

    Source: Li, Xu, Nie and Chua, "Laplacian-Steered Neural Style Transfer", ACM MM 2017, and their
    program, https://github.com/askerlee/lapstyle.
    """

    use: Literal["laplacian"] = "laplacian"
    image: ImageRef = Field("content", description="The image whose outlines to preserve.")
    layers: Layers = Field(("image",), description="Usually `image`, the pixels.")
    pool: int = Field(4, ge=1, description="Side of a block. Larger blocks: coarser outlines.")
    scale: Literal["mean", "sum"] = Field("mean", description="Mean or sum of squares.")

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for sums."""
        return 1.0 if self.scale == "sum" else super().share_of_each(count)

    def check(self, canvas: Size, reference: Size | None) -> None:
        """Check the size of the reference, and that there are at least three blocks."""
        require_same_size(canvas, reference)
        if min(canvas) < (least := 3 * self.pool):
            got = (
                f"{size_text(canvas)} is too small for blocks of {self.pool}: a side needs {least}."
            )
            raise NstflowError(Problem("", "pool", got, "Lower it, or prepare larger images."))

    def target(self, features: Mapping[str, Tensor]) -> Any:
        """Return the Laplacian of each layer."""
        return {layer: self._laplacian(x) for layer, x in features.items()}

    def score(self, features: Mapping[str, Tensor], target: Any) -> Tensor:
        """Return the scaled sum of squared differences."""
        add_up = tf.reduce_sum if self.scale == "sum" else tf.reduce_mean
        return self.total(
            {
                layer: add_up(tf.square(self._laplacian(x) - target[layer]))
                for layer, x in features.items()
            }
        )

    def _laplacian(self, x: Tensor) -> Tensor:
        p = tf.nn.avg_pool2d(x, self.pool, self.pool, "VALID")
        near = (p[:, :-2, 1:-1] + p[:, 2:, 1:-1]) + (p[:, 1:-1, :-2] + p[:, 1:-1, 2:])
        # The authors' program adds up the three channels before the comparison, so it sees no edge
        # between two colours with the same sum. Its pixels are in 0-256, here they are in 0-1.
        return 4 * p[:, 1:-1, 1:-1] - near


@hookimpl
def nstflow_stages() -> list[type[LossTerm]]:
    """Offer the loss."""
    return [Laplacian]
