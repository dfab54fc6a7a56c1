"""Keep the content where it is."""

from typing import Any, Literal

from pydantic import Field

from nstflow import Features, ImageRef, Layers, LossTerm, NstflowError, Problem, Size, Tensor, tf


class Content(LossTerm):
    """Keep the content's features, position by position.

    For features A of the canvas and C of the reference, summed over the layers by share:

        scale: mean   mean((A - C)²)       the size that the original report prints
        scale: sum    ½ Σ (A - C)²         the formula of its text; listed layers have share 1

    The reference must have the canvas's size.

    Source: Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    CVPR 2016, equation 1.
    """

    use: Literal["content"] = "content"
    image: ImageRef = Field("content", description="The image whose content to keep.")
    layers: Layers = Field("content", description="A group, a list of layers, or layer: share.")
    scale: Literal["mean", "sum"] = Field("mean", description="How squared differences add up.")

    def share_of_each(self, count: int) -> float:
        """Return 1 / count, or 1 for sums."""
        return 1.0 if self.scale == "sum" else super().share_of_each(count)

    def check(self, canvas: Size, reference: Size | None) -> None:
        """Refuse a reference of another size."""
        if reference is not None and reference != canvas:
            sizes = [f"{width}×{height}" for height, width in (canvas, reference)]
            got = f"the canvas is {sizes[0]}, but this image {sizes[1]}."
            hint = "Prepare both at one size, or let start.like name this image."
            raise NstflowError(Problem("", "image", got, hint))

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the scaled sum of squared differences."""
        difference = {layer: tf.square(features[layer] - target[layer]) for layer in features}
        if self.scale == "sum":
            return tf.add_n(
                [
                    share / 2 * tf.reduce_sum(difference[layer])
                    for layer, share in self.shares.items()
                ]
            )
        return tf.add_n(
            [share * tf.reduce_mean(difference[layer]) for layer, share in self.shares.items()]
        )
