"""Start from noise."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Size, Start
from nstflow.toolkit import uniform_noise


class FromNoise(Start):
    """Start from independent random colours around grey; the recipe's seed sets them."""

    use: Literal["noise"] = "noise"
    amplitude: float = Field(0.5, ge=0, le=0.5, description="Largest difference from grey (0.5).")

    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:  # noqa: ARG002 - the contract
        """Return `0.5 ± amplitude`, uniformly distributed."""
        return Image(uniform_noise(size, seed, 0.5 - self.amplitude, 0.5 + self.amplitude))
