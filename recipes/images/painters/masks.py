"""Masks of parts of the photographs: white where the part is, drawn by hand in their pixels."""

from collections.abc import Callable

from PIL import Image, ImageDraw

FINER = 4  # times as large while drawing, for smooth edges


def cup(size: int) -> Image.Image:
    """Return the cup with its saucer in `coffee.png`, 600×400."""

    def draw(pen: ImageDraw.ImageDraw) -> None:
        pen.ellipse(_scaled((76, 50, 480, 391)), fill=255)  # the saucer
        pen.ellipse(_scaled((172, 17, 409, 207)), fill=255)  # the rim
        pen.polygon(_scaled((398, 66, 412, 66, 425, 74, 412, 130, 392, 150)), fill=255)  # the spoon

    return _mask((600, 400), size, draw)


def head(size: int) -> Image.Image:
    """Return the head in `astronaut.jpg`, 512×512."""
    outline = (
        *(154, 85, 160, 55, 175, 45, 190, 25, 215, 16, 245, 17, 275, 30, 293, 50, 301, 85),
        *(297, 110, 285, 128, 272, 137, 262, 160, 253, 180, 235, 188, 205, 188, 187, 178),
        *(183, 150, 178, 130, 165, 120, 156, 105),
    )
    return _mask((512, 512), size, lambda pen: pen.polygon(_scaled(outline), fill=255))


def _scaled(numbers: tuple[int, ...]) -> list[int]:
    return [number * FINER for number in numbers]


def _mask(
    photograph: tuple[int, int], size: int, draw: Callable[[ImageDraw.ImageDraw], None]
) -> Image.Image:
    mask = Image.new("L", (photograph[0] * FINER, photograph[1] * FINER))
    draw(ImageDraw.Draw(mask))
    longest = max(photograph)
    side = min(size, longest)
    return mask.resize(
        (photograph[0] * side // longest, photograph[1] * side // longest), Image.Resampling.BOX
    )
