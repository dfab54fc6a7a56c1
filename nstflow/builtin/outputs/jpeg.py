"""JPEG files."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Name, Output, Result
from nstflow.toolkit import to_bytes


class Jpeg(Output):
    """Write the picture as a JPEG file: smaller, for showing around."""

    use: Literal["jpeg"] = "jpeg"
    name: Name = Field("result", description="The file's name, without `.jpg`.")
    quality: int = Field(92, ge=1, le=100, description="100 is the best and the largest.")

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.jpg`, without chroma subsampling."""
        import PIL.Image

        path = folder / f"{self.name}.jpg"
        image = PIL.Image.fromarray(to_bytes(result.image))
        # not `optimize`: Pillow then needs a buffer for the whole file and guesses it too small
        image.save(path, quality=self.quality, subsampling=0)
        return path
