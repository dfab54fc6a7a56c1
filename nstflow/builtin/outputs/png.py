"""PNG files."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Name, Output, Result
from nstflow.toolkit import to_bytes


class Png(Output):
    """Write the picture as a PNG file with 8 bits a channel, without loss."""

    use: Literal["png"] = "png"
    name: Name = Field("result", description="The file's name, without `.png`.")

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.png`."""
        import PIL.Image

        path = folder / f"{self.name}.png"
        PIL.Image.fromarray(to_bytes(result.image)).save(path)
        return path
