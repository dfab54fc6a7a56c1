"""A printing press: flat colours through masks, with wood grain, gradations and tapered lines."""

import numpy as np
from PIL import Image, ImageDraw

from .studio import Array, Colour, grid, mix, noise

Points = Array  # shape (n, 2)


class Press:
    """A sheet of paper that takes one colour plate after another; lengths are fractions."""

    def __init__(self, width: int, height: int, paper: Colour, seed: int) -> None:
        self.x, self.y = grid(width, height)
        self._unit = max(width, height)
        self._size = (width, height)
        rng = np.random.default_rng(seed)
        fibre = noise(self.x, self.y, 90, seed, octaves=3)
        mottle = noise(self.x, self.y, 4, seed + 1)
        self._speck = rng.normal(0, 1, (height, width)).astype(np.float32)
        self.sheet = np.asarray(paper, np.float32) * (1 + 0.02 * fibre + 0.03 * mottle)[..., None]
        rings = noise(self.x * 0.3, self.y * 9 + 0.3 * mottle, 9, seed + 2, octaves=4)
        self._grain = np.clip(0.92 + 0.11 * rings + 0.05 * fibre, 0, 1)

    def mask(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """An empty plate to cut shapes into."""
        image = Image.new("L", self._size)
        return image, ImageDraw.Draw(image)

    def pixels(self, points: Points) -> list[float]:
        """Points as the flat list of pixel coordinates that Pillow draws."""
        return (points * self._unit).ravel().tolist()

    def fill(self, points: Points, colour: Colour | Array, strength: float | Array = 1.0) -> None:
        """Print a polygon."""
        plate, draw = self.mask()
        draw.polygon(self.pixels(points), fill=255)
        self.impress(plate, colour, strength)

    def impress(
        self, plate: Image.Image, colour: Colour | Array, strength: float | Array = 1.0
    ) -> None:
        """Print a plate; a `strength` that varies over the sheet is a bokashi gradation."""
        box = plate.getbbox()
        if box is None:
            return
        area = (slice(box[1], box[3]), slice(box[0], box[2]))
        cover = np.asarray(plate, np.float32)[area] / 255 * self._grain[area]
        cover = cover * (strength[area] if isinstance(strength, np.ndarray) else strength)
        self.sheet[area] = mix(self.sheet[area], colour, cover)

    def lines(self, plate_lines: list[tuple[Points, Array]], colour: Colour) -> None:
        """Print lines whose width, a fraction like all lengths, changes along them."""
        plate, draw = self.mask()
        for points, widths in plate_lines:
            draw.polygon(self.pixels(ribbon(points, widths)), fill=255)
        self.impress(plate, colour)

    def discs(self, x: Array, y: Array, radius: Array, colour: Colour) -> None:
        """Print round spots."""
        plate, draw = self.mask()
        spots = zip(
            (x * self._unit).tolist(), (y * self._unit).tolist(), radius.tolist(), strict=True
        )
        for cx, cy, reach in spots:
            r = reach * self._unit
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)
        self.impress(plate, colour)

    def pulled(self) -> Array:
        """The sheet with the fine speckle of the paper."""
        return self.sheet + 2.2 * self._speck[..., None]


def ribbon(points: Points, widths: Array) -> Points:
    """The outline of a line of changing width."""
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * widths[:, None] / 2
    return np.concatenate([points + across, (points - across)[::-1]]).astype(np.float32)
