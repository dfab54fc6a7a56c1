"""A mountain lake at sunrise, as an engraving in sepia ink: tone only by hatched lines."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .press import ribbon
from .studio import Array, Colour, finish, grid, mix, noise, smoothstep

HEIGHT = 0.75
SHORE = 0.50
SUN = (0.36, 0.23)
PAPER: Colour = (240, 225, 195)
INK: Colour = (45, 30, 30)
LINES = 150
RANGES = ((0.47, 0.27, 2.2, 91, 0.66), (0.49, 0.17, 3.6, 92, 0.50), (0.505, 0.07, 7.0, 93, 0.34))


def paint(size: int) -> Image.Image:
    """Find tone and line direction of sky, mountains and water, hatch them, draw a tree before."""
    width, height = 2 * size, round(2 * size * HEIGHT)
    x, y = grid(width, height)
    tone, course = _sky(x, y)
    for level, rise, peaks, seed, light in RANGES:
        tone, course = _mountains(x, y, (tone, course), level, rise, peaks, seed, light)
    tone, course = _water(x, y, tone, course)
    ink = _hatch(course, 1.06 - tone, x, y, 94)
    ink = np.maximum(ink, _hatch(0.8 * x - 0.6 * y, 0.72 - 1.5 * tone, x, y, 95))
    ink = np.maximum(ink, _hatch(0.7 * x + 0.7 * y, 0.42 - 1.7 * tone, x, y, 96))
    front = _foreground(width, height, np.random.default_rng(97))
    halo = front.filter(ImageFilter.MaxFilter(2 * round(0.0022 * width) + 1))
    ink = np.where(np.asarray(halo) > 0, np.asarray(front, np.float32) / 255, ink)
    sheet = np.broadcast_to(np.asarray(PAPER, np.float32), (*x.shape, 3))
    return finish(mix(sheet, INK, ink), size, levels=18)


def _hatch(course: Array, dark: Array, x: Array, y: Array, seed: int) -> Array:
    """Ink of lines at equal steps of `course`; `dark` from 0 to 1 is the share they cover."""
    wobble = 0.0016 * noise(x, y, 8, seed, octaves=1)
    distance = 2 * np.abs((course + wobble) * LINES % 1 - 0.5)
    share = dark + 0.07 * noise(x, y, 40, seed + 40, octaves=2)
    return smoothstep(-0.10, 0.10, np.clip(share, -1, 0.93) - distance)


def _sky(x: Array, y: Array) -> tuple[Array, Array]:
    """Rings of light round the sun, broken by billows of cloud."""
    reach = np.hypot(x - SUN[0], y - SUN[1])
    cloud = noise(x + 0.05 * noise(x, y, 9, 81), 2.1 * y, 3.4, 82, octaves=5)
    billow = smoothstep(0.0, 0.45, cloud)
    rays = 0.10 * np.sin(26 * np.arctan2(y - SUN[1], x - SUN[0])) * smoothstep(0.1, 0.3, reach)
    tone = 0.36 + 0.44 * np.exp(-((reach / 0.26) ** 2)) + rays + 0.46 * billow
    tone -= 0.45 * smoothstep(0.28, 0.0, cloud - 0.16) * billow
    tone = np.where(reach < 0.062, 1.2, np.minimum(tone, 0.93))
    return tone.astype(np.float32), reach + 0.03 * noise(x, 2 * y, 3.4, 84, octaves=1) * smoothstep(
        0.06, 0.3, reach
    )


def _mountains(
    x: Array,
    y: Array,
    behind: tuple[Array, Array],
    level: float,
    rise: float,
    peaks: float,
    seed: int,
    light: float,
) -> tuple[Array, Array]:
    """A range lit from the left, its shaded faces hatched the other way, misty at its foot."""
    line, flat = x[0], np.zeros_like(x[0])
    crags = 1 - np.abs(noise(line, flat + 0.7, peaks, seed, octaves=1))
    ridge = level - rise * (0.15 + 0.85 * crags**1.6)
    ridge -= 0.06 * rise * noise(line, flat, 9 * peaks, seed + 10, octaves=4)
    depth = y - ridge
    face = noise(x + 0.5 * depth, 0.45 * y, 3.2 * peaks, seed + 20, octaves=5)
    lit = smoothstep(-0.10, 0.10, face + 0.25 * noise(x - 0.4 * y, y, 30, seed + 30, octaves=2))
    mist = smoothstep(0.35 * rise, 1.1 * rise, depth)
    tone = light - 0.30 + 0.62 * lit + 0.45 * mist * light
    course = np.where(lit > 0.5, 0.55 * x + 0.83 * y, 0.80 * x - 0.60 * y) + 0.004 * face
    edge = smoothstep(0.0028, 0.0012, np.abs(depth))
    inside = depth > 0
    tone = np.where(inside, tone, behind[0]) - edge
    return tone.astype(np.float32), np.where(inside, course, behind[1]).astype(np.float32)


def _water(x: Array, y: Array, tone: Array, course: Array) -> tuple[Array, Array]:
    """Level lines that mirror the tone above in ripples, with the sun's path on them."""
    depth = np.clip(y - SHORE, 0, 1)
    unit = x.shape[1]
    ripple = noise(0.35 * x, y / (0.25 + depth), 26, 83, octaves=3)
    mirrored = np.clip(((SHORE - 0.9 * depth) * unit).astype(int), 0, tone.shape[0] - 1)
    sideways = np.clip(((x + 0.012 * ripple) * unit).astype(int), 0, unit - 1)
    path = np.exp(-(((x - SUN[0]) / (0.03 + 0.16 * depth)) ** 2))
    water = 0.12 + 0.62 * tone[mirrored, sideways] + 0.30 * ripple + 0.40 * path
    below = y > SHORE
    level = y + 0.006 * ripple
    return np.where(below, water, tone), np.where(below, level, course).astype(np.float32)


def _foreground(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A bank of grass and an old tree with sparse leaves, in solid ink."""
    plate = Image.new("L", (width, height))
    draw = ImageDraw.Draw(plate)

    def stroke(points: Array, first: float, last: float, ink: int = 255) -> None:
        widths = np.linspace(first, last, len(points))
        draw.polygon((ribbon(points, widths) * width).ravel().tolist(), fill=ink)

    def grow(x: float, y: float, heading: float, length: float, thick: float) -> None:
        bend = heading + np.cumsum(rng.normal(0, 0.12, 8))
        steps = np.stack([np.cos(bend), np.sin(bend)], axis=1) * length / 8
        limb = np.concatenate([[(x, y)], (x, y) + np.cumsum(steps, axis=0)])
        stroke(limb, thick, 0.68 * thick)
        tip = limb[-1]
        if thick < 0.0022:
            for leaf in tip + rng.normal(0, 0.013, (9, 2)):
                turn = rng.uniform(0, np.pi)
                along = np.array([np.cos(turn), np.sin(turn)]) * rng.uniform(0.002, 0.005)
                stroke(leaf + along * np.linspace(-1, 1, 5)[:, None], 0.0044, 0.0010)
            return
        for side in (-1, 1):
            turn = bend[-1] + side * rng.uniform(0.2, 0.6)
            turn += 0.25 * np.sin(-np.pi / 2 - turn)
            grow(
                tip[0],
                tip[1],
                turn,
                length * rng.uniform(0.72, 0.9),
                thick * rng.uniform(0.6, 0.72),
            )

    grow(0.86, 0.75, -np.pi / 2 - 0.12, 0.15, 0.034)
    edge = np.linspace(0, 1, 200)
    bank = 0.725 - 0.055 * smoothstep(0.45, 1.0, edge) - 0.03 * smoothstep(0.35, 0.0, edge)
    outline = np.stack([edge, bank], axis=1)
    corners = np.array([[1, 0.76], [0, 0.76]])
    draw.polygon((np.concatenate([outline, corners]) * width).ravel().tolist(), fill=255)
    t = np.linspace(0, 1, 8)
    for index, root in enumerate(rng.uniform(0, 1, 1500)):
        tall, lean = rng.uniform(0.008, 0.038), rng.normal(0.004, 0.012)
        dark = index % 5 < 3
        foot = np.interp(root, edge, bank) + (0.004 if dark else rng.uniform(0.01, 0.09))
        stroke(np.stack([root + lean * t**2, foot - tall * t], axis=1), 0.0020, 0.0004, 255 * dark)
    return plate
