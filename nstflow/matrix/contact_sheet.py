"""The pictures of many runs on one sheet, each with its name."""

from __future__ import annotations

import io
import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageFont

MOST_PICTURES = 400
_WIDEST = 2400  # pixels of the sheet
_GAP, _TEXT = 12, 13  # pixels
_PAPER, _INK, _FAINT = "#fbfaf7", "#222222", "#b3b0a8"


def contact_sheet(
    pictures: Sequence[tuple[str, Path | None]], columns: int | None = None, side: int = 320
) -> bytes:
    """Return a PNG file with all pictures in a grid, the name of each below it.

    Pillow's font has only ASCII's letters: a name in others is shown without them and begins with
    its number.

    Args:
        pictures: Name and file; without a file, or if it is not an image, an empty frame.
        columns: How many go in a row; by default, so that the sheet is about as wide as high.
        side: The longest side of a picture, in pixels; less where the sheet would be too wide.
    """
    from PIL import Image, ImageDraw, ImageFont

    shown = list(pictures)[:MOST_PICTURES]
    columns = min(columns or _columns(len(shown)), len(shown))
    side = max(48, min(side, (_WIDEST - _GAP) // columns - _GAP))
    font = ImageFont.load_default(_TEXT)
    thumbnails = [_thumbnail(path, side) for _, path in shown]
    labels = [
        _lines(_drawable(name, number), side, font) for number, (name, _) in enumerate(shown, 1)
    ]
    below = max(len(lines) for lines in labels) * (_TEXT + 4) + _GAP // 2
    rows = [thumbnails[start : start + columns] for start in range(0, len(shown), columns)]
    heights = [max((image.height for image in row if image), default=side) for row in rows]
    size = columns * (side + _GAP) + _GAP, sum(heights) + len(rows) * (below + _GAP) + _GAP
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (image, lines) in enumerate(zip(thumbnails, labels, strict=True)):
        row, column = divmod(index, columns)
        left = _GAP + column * (side + _GAP)
        bottom = _GAP + sum(heights[: row + 1]) + row * (below + _GAP)
        if image is None:
            top = bottom - heights[row]
            draw.rectangle((left, top, left + side - 1, bottom - 1), outline=_FAINT)
            draw.text((left + 8, top + 8), "no picture", _FAINT, font)
        else:
            sheet.paste(image, (left + (side - image.width) // 2, bottom - image.height))
        for number, line in enumerate(lines):
            draw.text((left, bottom + 5 + number * (_TEXT + 4)), line, _INK, font)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def _columns(count: int) -> int:
    """Return how many go in a row of a sheet about as wide as high, in full rows if it can be."""
    least = math.ceil(math.sqrt(count))
    return next((n for n in range(least, 2 * least) if count % n == 0), least)


def _thumbnail(path: Path | None, side: int) -> Image.Image | None:
    from PIL import Image

    if path is None:
        return None
    try:
        with Image.open(path) as file:
            image = Image.new("RGBA", file.size, _PAPER)
            image.alpha_composite(file.convert("RGBA"))
            image = image.convert("RGB")
    except Exception:  # noqa: BLE001 - an output of another kind, or a damaged one
        return None
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _drawable(name: str, number: int) -> str:
    """Return a name without accents, and without letters that the font has not."""
    letters = [
        each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each)
    ]
    drawn = "".join(filter(str.isascii, letters)).strip("-_")
    return drawn if all(map(str.isascii, letters)) else f"{number} {drawn}".strip()


def _lines(name: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break a name after its separators, so that each line has at most `width` pixels."""
    lines, line = [], ""
    for part in re.findall(r"[^-_ ]*[-_ ]?", name):
        if line and font.getlength(line + part) > width:
            lines.append(line.strip())
            line = ""
        line += part
    return [*lines, line.strip()]
