"""A bristle brush: strokes of many thin lines, with the height of their paint."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .studio import Array

Field = Callable[[Array, Array], tuple[Array, Array]]


def scatter(
    rng: np.random.Generator, spacing: float, width: float, height: float
) -> tuple[Array, Array]:
    """Points of a jittered grid a little larger than the canvas, in random order."""
    x, y = np.meshgrid(
        np.arange(-spacing, width + spacing, spacing),
        np.arange(-spacing, height + spacing, spacing),
    )
    x, y = (axis.ravel() + rng.uniform(-0.5, 0.5, axis.size) * spacing for axis in (x, y))
    order = rng.permutation(x.size)
    return x[order].astype(np.float32), y[order].astype(np.float32)


def trace(field: Field, x: Array, y: Array, length: Array, steps: int = 9) -> Array:
    """Paths `(strokes, steps, 2)` along a field of unit vectors, centred on the points."""
    half = steps // 2
    step = length / (steps - 1)
    path = np.empty((x.size, steps, 2), np.float32)
    for direction in (1, -1):
        px, py = x.copy(), y.copy()
        path[:, half] = np.stack([px, py], axis=-1)
        for index in range(1, half + 1):
            vx, vy = field(px, py)
            px, py = px + direction * step * vx, py + direction * step * vy
            path[:, half + direction * index] = np.stack([px, py], axis=-1)
    return path


class Brush:
    """A canvas that takes strokes; `colour` and `height` are what lies on it.

    A stroke is a bundle of bristles. Each bristle carries its own shade of the stroke's colour,
    starts and ends a little earlier or later than its neighbours, and leaves a ridge of paint.
    """

    def __init__(self, width: int, height: int, ground: tuple[int, int, int], seed: int) -> None:
        self._unit = max(width, height)
        self._rng = np.random.default_rng(seed)
        self._paint = Image.new("RGB", (width, height), ground)
        self._relief = Image.new("L", (width, height), 60)

    @property
    def colour(self) -> Array:
        """The paint's colours in [0, 255]."""
        return np.asarray(self._paint, np.float32)

    @property
    def height(self) -> Array:
        """How thick the paint lies, in [0, 1]."""
        return np.asarray(self._relief, np.float32) / 255

    def strokes(self, path: Array, width: Array, colour: Array, bristles: int, vary: float) -> None:
        """Lay strokes along `path`, in order, `width` wide in fractions of the longest side."""
        rng, (count, steps, _) = self._rng, path.shape
        along = np.gradient(path, axis=1)
        along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-9
        across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        offsets = np.linspace(-0.5, 0.5, bristles) * np.ones((count, 1))
        offsets += rng.normal(0, 0.25 / bristles, offsets.shape)
        taper = 0.55 + 0.45 * np.sin(np.linspace(0.25, np.pi - 0.1, steps))
        shift = (offsets * width[:, None])[..., None] * taper
        lines = (path[:, None] + across[:, None] * shift[..., None]) * self._unit
        shade = 1 + vary * rng.normal(0, 1, (count, bristles, 1))
        shade += vary * 1.2 * rng.normal(0, 1, (count, 1, 1)) * offsets[..., None]
        tint = vary * 26 * rng.normal(0, 1, (count, bristles, 3))
        colours = np.clip(colour[:, None] * shade + tint, 0, 255).astype(int)
        ridge = 95 + 70 * rng.random((count, 1)) + 45 * rng.normal(0, 1, (count, bristles))
        ridge = np.clip(ridge, 0, 255).astype(int)
        first = rng.integers(0, 2, (count, bristles))
        last = steps - rng.integers(0, 3, (count, bristles))
        thickness = np.maximum(1, np.round(1.5 * width * self._unit / bristles)).astype(int)
        paint, relief = ImageDraw.Draw(self._paint), ImageDraw.Draw(self._relief)
        for stroke in range(count):
            for bristle in range(bristles):
                points = lines[stroke, bristle, first[stroke, bristle] : last[stroke, bristle]]
                line = points.ravel().tolist()
                paint.line(line, tuple(colours[stroke, bristle].tolist()), int(thickness[stroke]))
                relief.line(line, int(ridge[stroke, bristle]), int(thickness[stroke]))
