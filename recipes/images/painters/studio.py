"""What all painters share: coordinates, noise, colour ramps, blur, relief light and grain.

Lengths are fractions of a picture's longest side, so a picture keeps its composition at any size.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]
Colour = tuple[int, int, int]

_LATTICE = 256


def grid(width: int, height: int) -> tuple[Array, Array]:
    """The x and y of every pixel centre, as fractions of the longest side."""
    unit = 1.0 / max(width, height)
    x = (np.arange(width, dtype=np.float32) + 0.5) * unit
    y = (np.arange(height, dtype=np.float32) + 0.5) * unit
    xx, yy = np.meshgrid(x, y)
    return xx, yy


def noise(x: Array, y: Array, frequency: float, seed: int, octaves: int = 4) -> Array:
    """Smooth value noise around 0, mostly within [-1, 1], at any points."""
    lattice = np.random.default_rng(seed).uniform(-1, 1, (_LATTICE, _LATTICE)).astype(np.float32)
    total = np.zeros(np.broadcast(x, y).shape, np.float32)
    for octave in range(octaves):
        u = x * (frequency * 2**octave) + 17.3 * octave
        v = y * (frequency * 2**octave) + 9.1 * octave
        total += 0.5**octave * _interpolate(lattice, u, v)
    return total


def _interpolate(lattice: Array, u: Array, v: Array) -> Array:
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    s, t = smoothstep(0, 1, u - column), smoothstep(0, 1, v - row)
    left, right = column % _LATTICE, (column + 1) % _LATTICE
    upper, lower = row % _LATTICE, (row + 1) % _LATTICE
    above = lattice[upper, left] * (1 - s) + lattice[upper, right] * s
    below = lattice[lower, left] * (1 - s) + lattice[lower, right] * s
    return above * (1 - t) + below * t


def smoothstep(low: float, high: float, value: Array) -> Array:
    """0 below `low`, 1 above `high`, an S-curve between them."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def ramp(t: Array, colours: Sequence[Colour]) -> Array:
    """The colour at `t` in [0, 1] on a scale of evenly spaced colours; shape `(..., 3)`."""
    stops = np.linspace(0, 1, len(colours))
    table = np.asarray(colours, np.float32)
    channels = [np.interp(t, stops, table[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def mix(first: Array, second: Array | Colour, amount: Array) -> Array:
    """Colours `first` moved towards `second` by `amount` in [0, 1]."""
    return first + (np.asarray(second, np.float32) - first) * amount[..., None]


def blur(values: Array, radius: float) -> Array:
    """Three box blurs of about `radius` pixels, close to a Gaussian; edges are repeated."""
    reach = max(1, round(radius))
    for axis in (0, 1, 0, 1, 0, 1):
        moved = np.moveaxis(values, axis, 0)
        padding = [(reach + 1, reach)] + [(0, 0)] * (moved.ndim - 1)
        sums = np.cumsum(np.pad(moved, padding, mode="edge"), axis=0, dtype=np.float64)
        window = 2 * reach + 1
        values = np.moveaxis((sums[window:] - sums[:-window]) / window, 0, axis)
    return values.astype(np.float32)


def relief(height: Array, strength: float) -> Array:
    """Brightness, about 1 on level ground, of a surface lit from the upper left."""
    down, right = np.gradient(height)
    light = (down + right) * strength / np.sqrt(1 + strength**2 * (down**2 + right**2))
    return (1 + 0.5 * light).astype(np.float32)


def finish(picture: Array, size: int, levels: int = 48) -> Image.Image:
    """An image of `size` pixels on its longest side; few levels a channel keep its PNG small."""
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    scale = size / max(image.size)
    small = (round(image.width * scale), round(image.height * scale))
    pixels = np.asarray(image.resize(small, Image.Resampling.LANCZOS), np.float32)
    steps = np.round(pixels / 255 * (levels - 1)) / (levels - 1)
    return Image.fromarray(np.round(steps * 255).astype(np.uint8))
