"""A night sky of whorls over rolling fields, in thick directional strokes."""

import numpy as np
from PIL import Image

from .brush import Brush, scatter, trace
from .studio import Array, finish, mix, noise, ramp, relief, smoothstep

HEIGHT = 0.75
NIGHT = [
    (10, 14, 52),
    (20, 34, 104),
    (30, 66, 152),
    (44, 112, 178),
    (92, 168, 186),
    (206, 220, 190),
]
LIGHT = [(255, 248, 206), (252, 222, 116), (240, 142, 36), (214, 184, 96), (120, 184, 182)]
LAND = [(8, 16, 44), (14, 40, 76), (26, 84, 98), (96, 140, 88), (222, 184, 80), (238, 150, 60)]
WHORLS = [
    (0.30, 0.25, 0.150, 1.0),
    (0.62, 0.33, 0.105, -1.0),
    (0.84, 0.13, 0.120, 1.0),
    (0.09, 0.10, 0.070, -1.0),
    (0.52, 0.08, 0.055, 1.0),
    (0.93, 0.38, 0.050, -1.0),
    (0.09, 0.42, 0.050, 1.0),
]
RIDGES = [(0.555, 0.035, 3.1, 0.4), (0.600, 0.040, 5.3, 2.0), (0.665, 0.035, 4.1, 4.4)]


def paint(size: int) -> Image.Image:
    """Paint broad strokes first, then finer ones, all along one flow; then light the relief."""
    width, height = 2 * size, round(2 * size * HEIGHT)
    rng = np.random.default_rng(7)
    brush = Brush(width, height, NIGHT[0], seed=8)
    for spacing, length, breadth, bristles, vary in (
        (0.0140, 0.090, 0.022, 10, 0.10),
        (0.0125, 0.060, 0.013, 7, 0.13),
        (0.0130, 0.046, 0.0085, 5, 0.16),
    ):
        x, y = scatter(rng, spacing, 1, HEIGHT)
        reach = length * rng.uniform(0.6, 1.2, x.size).astype(np.float32)
        breadths = breadth * rng.uniform(0.6, 1.2, x.size).astype(np.float32)
        brush.strokes(trace(_flow, x, y, reach), breadths, _colour(x, y, rng), bristles, vary)
    lit = brush.colour * relief(brush.height, 2.2)[..., None]
    return finish(lit, size)


def _ridge(x: Array, level: float, swell: float, waves: float, phase: float) -> Array:
    return level + swell * np.sin(waves * x + phase) + 0.3 * swell * np.sin(2.7 * waves * x + phase)


def _flow(x: Array, y: Array) -> tuple[Array, Array]:
    """Unit vectors: wind that curls around every whorl above, and the lie of the land below."""
    vx = np.ones_like(x)
    vy = 0.55 * np.sin(6.0 * x + 0.8) + 0.3 * noise(x, y, 3, seed=11, octaves=2)
    for cx, cy, radius, spin in WHORLS:
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy) + 1e-4
        pull = 3.2 * np.exp(-((distance / (1.25 * radius)) ** 2)) * spin / distance
        vx, vy = vx + pull * (-dy - 0.22 * dx), vy + pull * (dx - 0.22 * dy)
    for index, ridge in enumerate(RIDGES):
        slope = (_ridge(x + 0.004, *ridge) - _ridge(x - 0.004, *ridge)) / 0.008
        lean = (0.1, 1.1, -0.9)[index] * smoothstep(0, 0.08, y - _ridge(x, *ridge))
        inside = y > _ridge(x, *ridge)
        vx, vy = np.where(inside, 1, vx), np.where(inside, 1.5 * slope + lean, vy)
    norm = np.hypot(vx, vy) + 1e-6
    return (vx / norm).astype(np.float32), (vy / norm).astype(np.float32)


def _streaks(x: Array, y: Array) -> Array:
    """Noise carried along by the flow, so that its bands wind into the whorls."""
    for _ in range(14):
        vx, vy = _flow(x, y)
        x, y = x - 0.012 * vx, y - 0.012 * vy
    return noise(x, y, 9, seed=12, octaves=3)


def _colour(x: Array, y: Array, rng: np.random.Generator) -> Array:
    """The colour of a stroke at each point: streaked night, glowing whorls, lit fields."""
    streak = _streaks(x, y) + 0.26 * rng.normal(0, 1, x.size)
    wind = np.exp(-(((y - 0.46 - 0.035 * np.sin(7.0 * x + 2.3)) / 0.04) ** 2))
    colour = ramp(0.32 + 0.34 * streak + 0.42 * wind, NIGHT)
    for index, (cx, cy, radius, _) in enumerate(WHORLS):
        dx, dy = x - cx, y - cy
        reach = np.hypot(dx, dy) / radius
        ring = 0.5 + 0.5 * np.cos(11 * reach - np.arctan2(dy, dx) + 0.9 * streak)
        glow = 1.25 * np.exp(-(reach**2)) * smoothstep(0.05, 0.65, ring)
        glow = np.maximum(glow, np.exp(-((reach / 0.34) ** 4)))
        age = (0.66, 0.92)[index % 2] * reach + 0.12 * streak + 0.14 * rng.normal(0, 1, x.size)
        colour = mix(colour, ramp(age, LIGHT), smoothstep(0.22, 0.62, glow))
    for index, ridge in enumerate(RIDGES):
        depth = y - _ridge(x, *ridge)
        furrow = 0.16 * np.sin(95 * depth + 9 * x)
        lit = 0.44 + 0.09 * index + 0.34 * streak + furrow - 3.2 * depth
        colour = np.where((depth > 0)[:, None], ramp(lit, LAND), colour)
    return colour
