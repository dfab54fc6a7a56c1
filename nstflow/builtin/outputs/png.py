"""PNG files."""

import zlib
from pathlib import Path
from typing import Literal

from pydantic import Field

from nstflow import Output, Result, tf
from nstflow.builtin.outputs.exif import CopyExif
from nstflow.toolkit import to_integers

_HEAD = 33  # bytes: the signature and the first chunk, behind which texts may stand


class Png(Output):
    """Write the picture as a lossless PNG file, transparent if it is.

    The file's metadata contain the lockfile, as a text chunk with the keyword `nstflow`.
    `nstflow show` and `nstflow rerun` read it; `--no-metadata` leaves it out.
    """

    use: Literal["png"] = "png"
    bits: Literal[8, 16] = Field(8, description="Bits per channel.")
    exif: CopyExif = False

    def write(self, result: Result, folder: Path) -> Path:
        """Write `<name>.png`."""
        import PIL.Image
        import PIL.PngImagePlugin

        assert result.image is not None  # noqa: S101 - as in every result that is to be written
        path = folder / f"{self.name}.png"
        texts = PIL.PngImagePlugin.PngInfo()
        if result.record:
            texts.add_itxt("nstflow", result.record)
        pixels = to_integers(result.image, self.bits)
        icc, exif = result.image.profile, (self.exif and result.image.exif) or b""
        if self.bits == 8:  # noqa: PLR2004
            image = PIL.Image.fromarray(pixels)
            image.save(path, pnginfo=texts, icc_profile=icc, exif=exif)
            return path
        if icc:
            texts.add(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
        if exif:
            texts.add(b"eXIf", exif.removeprefix(b"Exif\0\0"))
        data = tf.io.encode_png(pixels).numpy()  # Pillow writes no more than 8 bits of colours
        with path.open("wb") as file:
            file.write(data[:_HEAD])
            for chunk in texts.chunks:
                PIL.PngImagePlugin.putchunk(file, *chunk[:2])
            file.write(data[_HEAD:])
        return path
