"""JPEG files."""

import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import NstflowError, NstflowWarning, Output, Problem, Result
from nstflow.builtin.outputs.exif import CopyExif
from nstflow.toolkit import size_text, to_bytes

_LONGEST_SIDE = 65_500  # of libjpeg; the format itself has 65 535


class Jpeg(Output):
    """Write the picture as a JPEG file, which is smaller than a PNG.

    A transparent picture is put on white, with a warning. The file does not contain the lockfile,
    so `nstflow rerun` can't use it.
    """

    use: Literal["jpeg"] = "jpeg"
    quality: int = Field(92, ge=1, le=100, description="100 is the best and the largest.")
    exif: CopyExif = False

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.jpg`, without chroma subsampling.

        Raises:
            NstflowError: The picture has more pixels a side than a JPEG can have.
        """
        import PIL.Image

        assert result.image is not None  # noqa: S101 - as in every result that is to be written
        if max(result.image.size) > _LONGEST_SIDE:
            size = size_text(result.image.size)
            got = f"a JPEG has at most {_LONGEST_SIDE} pixels a side, but the picture is {size}."
            raise NstflowError(Problem("", "use", got, "Write it as png."))
        path = folder / f"{self.name}.jpg"
        if result.image.alpha is not None:
            warnings.warn(f"{path.name} can't be transparent: put on white", NstflowWarning, 2)
        image = PIL.Image.fromarray(to_bytes(result.image))
        # not `optimize`: Pillow then needs a buffer for the whole file and guesses it too small
        image.save(
            path,
            quality=self.quality,
            subsampling=0,
            icc_profile=result.image.profile,
            exif=(self.exif and result.image.exif) or b"",
        )
        return path
