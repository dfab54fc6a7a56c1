"""A rose window over hills and a river: leaded glass in hundreds of cells."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .studio import Array, Colour, blur, finish, grid, mix, noise, ramp, relief, smoothstep

WIDTH = 0.8
CENTRE = (0.40, 0.385)
LEAD: Colour = (22, 20, 24)
RUBY = [(88, 4, 22), (172, 14, 34), (226, 52, 44)]
GOLD = [(196, 104, 10), (240, 172, 34), (255, 226, 122)]
AMBER = [(168, 58, 8), (226, 112, 20), (250, 178, 60)]
VIOLET = [(48, 14, 84), (104, 38, 138), (178, 84, 170)]
ROSE = [(132, 12, 68), (200, 44, 100), (244, 138, 150)]
TURQUOISE = [(4, 82, 104), (18, 150, 158), (138, 222, 202)]
COBALT = [(10, 22, 92), (24, 62, 160), (70, 130, 214)]
INDIGO = [(10, 10, 56), (28, 30, 116), (62, 72, 176)]
EMERALD = [(4, 58, 38), (16, 120, 66), (112, 186, 84)]
OLIVE = [(52, 70, 12), (122, 140, 28), (212, 204, 84)]
AQUA = [(8, 60, 120), (36, 130, 190), (170, 226, 236)]

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]


def paint(size: int) -> Image.Image:
    """Cut the design into regions and cells, colour the glass, then lay lead over the joints."""
    height = 2 * size
    x, y = grid(round(WIDTH * height), height)
    regions, palettes, spacings = _design(x, y)
    cells, dx, dy = _cut(x, y, regions, spacings, np.random.default_rng(51))
    glass = _glass(x, y, dx, dy, cells, regions, palettes)
    joint = 0.85 * _edges(cells) + 0.6 * _edges(regions)
    lead = blur(joint, height * 0.0011) + 0.03 * noise(x, y, 14, 52, octaves=2)
    patina = smoothstep(0.0, 0.30, blur(joint, height * 0.0045))
    glass *= (1 - 0.42 * patina)[..., None]
    bevel = relief(blur(lead, height * 0.0006), 9)
    metal = np.asarray(LEAD, np.float32) * (bevel**3 * (1 + 0.2 * noise(x, y, 60, 53)))[..., None]
    return finish(mix(glass, metal, smoothstep(0.105, 0.15, lead)), size)


def _design(x: Array, y: Array) -> tuple[Labels, list[list[Colour]], list[float]]:
    """For every pixel its region; for every region its colours and the spacing of its cells."""
    regions = np.zeros(x.shape, np.int32)
    palettes: list[list[Colour]] = []
    spacings: list[float] = []

    def place(inside: Mask, colours: list[Colour], spacing: float) -> None:
        regions[inside] = len(palettes)
        palettes.append(colours)
        spacings.append(spacing)

    dx, dy = x - CENTRE[0], y - CENTRE[1]
    r, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    curved = (angle + 1.1 * r) / (2 * np.pi) % 1
    for ray in range(28):
        inside = np.floor(curved * 28) == ray
        place(inside, (COBALT, INDIGO, TURQUOISE, INDIGO)[ray % 4], 0.034)
    for ring, (reach, colours) in enumerate(((0.345, AQUA), (0.325, VIOLET))):
        place(r < reach - 0.006 * np.cos(24 * angle), colours, 0.018 + 0.006 * ring)
    turns = angle / (2 * np.pi) * 12
    for petal in range(12):
        near = np.abs((turns - petal + 6) % 12 - 6)
        outer = near < 1.05 * np.sqrt(np.clip((r - 0.07) * (0.315 - r), 0, 1)) / 0.1225 * 0.62
        place(outer & (near < 0.5), (ROSE, RUBY)[petal % 2], 0.023)
        vein = near < 0.11 * smoothstep(0.29, 0.15, r)
        place(vein & (r < 0.29), AMBER, 0.02)
    for petal in range(12):
        near = np.abs((turns - petal - 0.5 + 6) % 12 - 6)
        place((near < 0.5) & (r < 0.10 + 0.10 * (1 - (2 * near) ** 1.6)), GOLD, 0.020)
    place(r < 0.098, TURQUOISE, 0.018)
    for petal in range(8):
        place((r < 0.080) & (np.floor(angle / (2 * np.pi) * 8 + 4) == petal), COBALT, 0.02)
    place(r < 0.045, AMBER, 0.017)
    place(r < 0.022, RUBY, 0.02)
    _land(x, y, place)
    return regions, palettes, spacings


def _land(x: Array, y: Array, place: Callable[[Mask, list[Colour], float], None]) -> None:
    """Rows of fields over three hills, and a river that widens towards us."""
    ridges = (
        (0.740, 0.035, 7.0, 0.5, EMERALD),
        (0.800, 0.040, 6.0, 2.6, OLIVE),
        (0.880, 0.030, 8.0, 4.6, EMERALD),
    )
    for level, swell, waves, phase, colours in ridges:
        depth = y - level - swell * np.sin(waves * x + phase)
        for row in range(4):
            place(depth > 0.028 * row**1.15, colours if row % 2 else colours[:2], 0.026)
    bed = 0.40 + 0.16 * np.sin(11 * (y - 0.70)) * (y - 0.55) / 0.4
    bank = 0.012 + 0.32 * np.clip(y - 0.755, 0, 1)
    for row in range(3):
        wet = (np.abs(x - bed) < bank * (1 - 0.33 * row)) & (y > 0.765)
        place(wet, AQUA if row % 2 else COBALT, 0.026)


def _cut(
    x: Array, y: Array, regions: Labels, spacings: list[float], rng: np.random.Generator
) -> tuple[Labels, Array, Array]:
    """Relaxed Voronoi cells within each region, and every pixel's offset from its cell's seed."""
    cells = np.zeros(x.shape, np.int32)
    dx, dy = np.zeros_like(x), np.zeros_like(y)
    area = float(x[0, 1] - x[0, 0]) ** 2
    first = 0
    order = np.argsort(regions, axis=None, kind="stable")
    bounds = np.searchsorted(regions.ravel()[order], np.arange(len(spacings) + 1))
    for region, spacing in enumerate(spacings):
        here = order[bounds[region] : bounds[region + 1]]
        if here.size == 0:
            continue
        points = np.stack([x.ravel()[here], y.ravel()[here]], axis=1)
        count = max(1, round(here.size * area / spacing**2))
        seeds = points[rng.choice(here.size, count, replace=False)]
        sample = points[rng.choice(here.size, min(here.size, 40 * count), replace=False)]
        for _ in range(6):
            owner = _nearest(sample, seeds)
            total = np.maximum(np.bincount(owner, minlength=count), 1)
            for axis in (0, 1):
                seeds[:, axis] = np.bincount(owner, sample[:, axis], minlength=count) / total
        owner = _nearest(points, seeds)
        cells.ravel()[here] = first + owner
        dx.ravel()[here], dy.ravel()[here] = (points - seeds[owner]).T
        first += count
    return cells, dx, dy


def _nearest(points: Array, seeds: Array) -> NDArray[np.intp]:
    return np.argmin((seeds**2).sum(1) - 2 * points @ seeds.T, axis=1)


def _edges(labels: Labels) -> Array:
    """1 beside a boundary between labels, 0 elsewhere."""
    edge = np.zeros(labels.shape, np.float32)
    edge[:, 1:] += labels[:, 1:] != labels[:, :-1]
    edge[1:] += labels[1:] != labels[:-1]
    return np.minimum(edge, 1)


def _glass(
    x: Array,
    y: Array,
    dx: Array,
    dy: Array,
    cells: Labels,
    regions: Labels,
    palettes: list[list[Colour]],
) -> Array:
    """Every pane its own shade, streaks and tilt to the light, with seeds and ripples."""
    rng = np.random.default_rng(54)
    count = int(cells.max()) + 1
    shade = rng.uniform(0.02, 0.98, count).astype(np.float32)[cells]
    turn = rng.uniform(0, 2 * np.pi, count).astype(np.float32)[cells]
    slide = rng.uniform(0, 40, count).astype(np.float32)[cells]
    u = dx * np.cos(turn) + dy * np.sin(turn)
    v = dy * np.cos(turn) - dx * np.sin(turn)
    streak = noise(u * 0.25 + slide, v + slide, 130, 55, octaves=3)
    ripple = noise(x + slide, y, 45, 56, octaves=3)
    glow = np.exp(-((x - CENTRE[0]) ** 2 + (y - CENTRE[1]) ** 2) / 0.16)
    tone = shade + 0.13 * streak + 0.10 * ripple + 13 * u + 0.16 * (glow - 0.5)
    glass = np.zeros((*x.shape, 3), np.float32)
    for region, colours in enumerate(palettes):
        here = regions == region
        glass[here] = ramp(np.clip(tone[here], 0, 1), colours)
    drift = rng.normal(0, 7, (count, 3)).astype(np.float32)[cells]
    return (glass + drift) * (0.92 + 0.16 * glow)[..., None]
