"""NAME: a postprocessor for nstflow."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from nstflow import Image, Postprocessor, hookimpl


class CLASS(Postprocessor):
    """Reduce the finished picture to a few tones, as a poster is printed."""

    use: Literal["USE"] = "USE"
    tones: int = Field(6, ge=2, le=256, description="Tones of each colour channel.")

    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the picture in few tones; `images` are the prepared references."""
        steps = self.tones - 1
        return Image((image.pixels * steps).round() / steps, image.alpha)


@hookimpl
def nstflow_stages():
    return [CLASS]
