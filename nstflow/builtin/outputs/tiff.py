"""TIFF files."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Output, Result
from nstflow.toolkit import to_integers


class Tiff(Output):
    """Write the picture as a lossless TIFF file with Deflate compression, transparent if it is.

    The file does not contain the lockfile, so `nstflow rerun` can't use it, nor EXIF.
    """

    use: Literal["tiff"] = "tiff"
    bits: Literal[8, 16] = Field(16, description="Bits per channel.")

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.tif`."""
        import tifffile

        assert result.image is not None  # noqa: S101 - as in every result that is to be written
        path = folder / f"{self.name}.tif"
        tifffile.imwrite(
            path,
            to_integers(result.image, self.bits),
            photometric="rgb",
            compression="zlib",
            predictor=True,
            extrasamples=None if result.image.alpha is None else ["unassalpha"],
            iccprofile=result.image.profile,
            metadata=None,
            software=False,
        )
        return path
