"""PNG files."""

from pathlib import Path
from typing import Literal

from nstflow import Output, Result
from nstflow.toolkit import to_integers


class Png(Output):
    """Write the picture as a lossless PNG file with 8 bits per channel, transparent if it is.

    The file's metadata contain the lockfile, as a text chunk with the keyword `nstflow`.
    `nstflow show` and `nstflow rerun` read it; `--no-metadata` leaves it out.
    """

    use: Literal["png"] = "png"

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.png`."""
        import PIL.Image
        import PIL.PngImagePlugin

        assert result.image is not None  # noqa: S101 - as in every result that is to be written
        path = folder / f"{self.name}.png"
        texts = PIL.PngImagePlugin.PngInfo()
        if result.record:
            texts.add_itxt("nstflow", result.record)
        PIL.Image.fromarray(to_integers(result.image)).save(path, pnginfo=texts)
        return path
