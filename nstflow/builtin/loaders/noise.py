"""An image of random colours."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Image, Loader, Size
from nstflow.toolkit import uniform_noise


class NoiseImage(Loader):
    """Make an image of independent, uniformly random colours, without a file.

    Source: NumPy's PCG64 generator, whose numbers are the same on every platform.
    """

    use: Literal["noise"] = "noise"
    height: int = Field(256, ge=1, le=16384, description="Height, in pixels.")
    width: int = Field(256, ge=1, le=16384, description="Width, in pixels.")
    seed: int = Field(0, ge=0, description="Each seed gives different colours.")

    def size(self, folder: Path) -> Size:  # noqa: ARG002 - the contract
        """Return `(height, width)`."""
        return self.height, self.width

    def load(self, folder: Path) -> Image:  # noqa: ARG002 - the contract
        """Return the image; the same one every time."""
        return Image(uniform_noise((self.height, self.width), self.seed))
