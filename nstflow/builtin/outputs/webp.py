"""WebP files."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import NstflowError, Output, Problem, Result
from nstflow.builtin.outputs.exif import CopyExif
from nstflow.toolkit import size_text, to_integers

_LONGEST_SIDE = 16_383  # of the format


class Webp(Output):
    """Write the picture as a WebP file with 8 bits per channel, transparent if it is.

    The file does not contain the lockfile, so `nstflow rerun` can't use it.
    """

    use: Literal["webp"] = "webp"
    quality: int = Field(
        90, ge=0, le=100, description="100 is the best and the largest; with lossless, the effort."
    )
    lossless: bool = Field(False, description="Keep every pixel as it is, in a larger file.")
    exif: CopyExif = False

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.webp`.

        Raises:
            NstflowError: The picture has more pixels a side than a WebP file can have.
        """
        import PIL.Image

        assert result.image is not None  # noqa: S101 - as in every result that is to be written
        if max(result.image.size) > _LONGEST_SIDE:
            size = size_text(result.image.size)
            got = f"a WebP file has at most {_LONGEST_SIDE} pixels a side, the picture is {size}."
            raise NstflowError(Problem("", "use", got, "Write it as png or tiff."))
        path = folder / f"{self.name}.webp"
        image = PIL.Image.fromarray(to_integers(result.image))
        # exact: colours stay where nothing is seen of them
        image.save(
            path,
            quality=self.quality,
            lossless=self.lossless,
            exact=True,
            icc_profile=result.image.profile,
            exif=(self.exif and result.image.exif) or b"",
        )
        return path
