"""A guitar, a bottle and a glass broken into planes of ochre, umber, slate and black."""

from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from .brush import Brush, scatter, trace
from .press import ribbon
from .studio import Array, Colour, finish, grid, mix, noise, relief

WIDTH = 0.8
OCHRE: Colour = (208, 156, 74)
SAND: Colour = (226, 198, 146)
CREAM: Colour = (240, 226, 192)
SIENNA: Colour = (158, 84, 40)
TERRACOTTA: Colour = (192, 96, 56)
UMBER: Colour = (84, 56, 38)
SLATE: Colour = (84, 102, 114)
MOSS: Colour = (106, 112, 72)
BLACK: Colour = (24, 22, 24)
FACETS = 72
GROUND = (OCHRE, SAND, SIENNA, UMBER, SLATE, MOSS, CREAM, TERRACOTTA, BLACK)

Plane = tuple[Array, Colour, float]


def paint(size: int) -> Image.Image:
    """Lay out the planes, each fading to one side, paint them with a flat brush, draw the lines."""
    rng = np.random.default_rng(71)
    planes = _facets(rng) + _still_life()
    draft, angle = _underpainting(planes, size)

    def along(x: Array, y: Array) -> tuple[Array, Array]:
        heading = _sample(angle, x, y)
        return np.cos(heading), np.sin(heading)

    brush = Brush(round(2 * size * WIDTH), 2 * size, UMBER, seed=72)
    for spacing, length, breadth, bristles, vary in (
        (0.0130, 0.060, 0.026, 12, 0.08),
        (0.0095, 0.030, 0.015, 8, 0.09),
        (0.0080, 0.015, 0.011, 7, 0.07),
    ):
        x, y = scatter(rng, spacing, WIDTH, 1)
        reach = length * rng.uniform(0.5, 1.3, x.size).astype(np.float32)
        breadths = breadth * rng.uniform(0.6, 1.1, x.size).astype(np.float32)
        brush.strokes(trace(along, x, y, reach, 5), breadths, _sample(draft, x, y), bristles, vary)
    picture = brush.colour * relief(brush.height, 1.6)[..., None]
    return finish(_drawing(picture, planes, rng), size)


def _facets(rng: np.random.Generator) -> list[Plane]:
    """A ground of triangles and quadrangles, large at the rim and small towards the middle."""
    planes = []
    for index in range(FACETS):
        spread = 1 - 0.75 * index / FACETS
        x, y = 0.1 + 0.2 * (index % 4), 0.1 + 0.16 * (index // 4 % 6)
        x, y = x + rng.uniform(-0.1, 0.1), y + rng.uniform(-0.08, 0.08)
        tilt = rng.choice([0.35, 1.25, 1.9, 2.75]) + rng.normal(0, 0.10)
        half = rng.uniform((0.10, 0.05), (0.34, 0.17)) * (0.3 + spread)
        corners = np.array([(-1, -1), (1, -rng.uniform(0.2, 1)), (1, 1), (-1, 1)]) * half
        corners = corners[: rng.choice([3, 4, 4])]
        turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        weights = np.array([5, 4, 3, 3, 3, 2, 2, 1.5, 1.5])
        colour = GROUND[rng.choice(len(GROUND), p=weights / weights.sum())]
        planes.append((corners @ turn + (x, y), colour, float(tilt + rng.choice([0, np.pi / 2]))))
    return planes


def _arc(x: float, y: float, across: float, up: float, start: float, stop: float) -> Array:
    t = np.linspace(start, stop, 60)
    return np.stack([x + across * np.cos(t), y + up * np.sin(t)], axis=1)


def _still_life() -> list[Plane]:
    """The objects, each in a light and a dark half that have slipped against each other."""

    def quad(*corners: tuple[float, float]) -> Array:
        return np.array(corners)

    half = np.pi / 2
    return [
        (quad((0.02, 0.80), (0.80, 0.70), (0.80, 0.93), (0.06, 0.99)), SIENNA, 3.0),
        (quad((0.10, 0.84), (0.46, 0.78), (0.50, 0.95), (0.16, 0.97)), CREAM, 3.0),
        (_arc(0.36, 0.68, 0.20, 0.17, half, 3 * half), OCHRE, 1.9),
        (_arc(0.385, 0.66, 0.19, 0.18, -half, half), UMBER, 1.3),
        (_arc(0.38, 0.46, 0.145, 0.125, half, 3 * half), SAND, 2.0),
        (_arc(0.40, 0.445, 0.14, 0.13, -half, half), TERRACOTTA, 1.2),
        (quad((0.37, 0.36), (0.45, 0.35), (0.42, 0.74), (0.36, 0.75)), SAND, 1.6),
        (_arc(0.375, 0.575, 0.072, 0.072, half, 3 * half), BLACK, 1.7),
        (_arc(0.395, 0.565, 0.072, 0.072, -half, half), CREAM, 1.2),
        (_arc(0.395, 0.565, 0.045, 0.045, -half, half), BLACK, 1.2),
        (quad((0.375, 0.03), (0.43, 0.02), (0.425, 0.56), (0.38, 0.57)), UMBER, 1.57),
        (quad((0.43, 0.02), (0.455, 0.05), (0.445, 0.56), (0.425, 0.56)), OCHRE, 1.57),
        (quad((0.34, 0.03), (0.49, 0.00), (0.47, 0.10), (0.36, 0.12)), BLACK, 0.3),
        (quad((0.31, 0.75), (0.45, 0.735), (0.455, 0.765), (0.315, 0.78)), BLACK, 3.0),
        (quad((0.60, 0.42), (0.665, 0.37), (0.665, 0.78), (0.60, 0.80)), MOSS, 1.57),
        (quad((0.665, 0.37), (0.74, 0.44), (0.74, 0.77), (0.665, 0.78)), SLATE, 1.57),
        (quad((0.635, 0.20), (0.668, 0.20), (0.668, 0.40), (0.635, 0.41)), CREAM, 1.57),
        (quad((0.668, 0.19), (0.70, 0.20), (0.70, 0.40), (0.668, 0.40)), BLACK, 1.57),
        (quad((0.59, 0.55), (0.72, 0.53), (0.73, 0.66), (0.60, 0.68)), SAND, 3.0),
        (quad((0.07, 0.52), (0.14, 0.50), (0.12, 0.68), (0.09, 0.70)), CREAM, 1.5),
        (quad((0.14, 0.50), (0.20, 0.53), (0.16, 0.69), (0.12, 0.68)), SLATE, 1.7),
        (_arc(0.135, 0.515, 0.067, 0.02, 0, 4 * half), SAND, 0.0),
        (quad((0.105, 0.69), (0.15, 0.68), (0.155, 0.83), (0.11, 0.84)), SAND, 1.57),
        (_arc(0.13, 0.84, 0.08, 0.025, 0, 4 * half), UMBER, 0.0),
    ]


def _underpainting(planes: list[Plane], size: int) -> tuple[Array, Array]:
    """Colour and brush direction at every point; a plane is opaque on one side and fades."""
    width = round(size * WIDTH)
    x, y = grid(width, size)
    draft = np.ones((size, width, 3), np.float32) * np.asarray(OCHRE, np.float32)
    cloud = noise(x, y, 12, 73, octaves=3)
    angle = np.full((size, width), 0.6, np.float32)
    for index, (outline, colour, heading) in enumerate(planes):
        plate = Image.new("L", (width, size))
        ImageDraw.Draw(plate).polygon((outline * size).ravel().tolist(), fill=255)
        side = heading + np.pi / 2 * (-1) ** index
        reach = x * np.cos(side) + y * np.sin(side)
        inside = np.asarray(plate, np.float32) / 255
        if not inside.any():
            continue
        low, high = reach[inside > 0].min(), reach[inside > 0].max()
        fade = np.clip((reach - low) / (high - low + 1e-6), 0, 1)
        cover = inside * (1 - 0.75 * fade**1.4)
        shade = 1.12 - 0.34 * fade + 0.10 * np.roll(cloud, 61 * index, (0, 1))
        if index % 3 == 1:
            shade += 0.22 * np.sin(240 * reach + 4 * cloud)
        draft = mix(draft, np.asarray(colour, np.float32) * shade[..., None], cover)
        angle = np.where(cover > 0.45, heading, angle)
    return draft, angle.astype(np.float32)


def _sample(values: Array, x: Array, y: Array) -> Array:
    height, width = values.shape[:2]
    column = np.clip((x * height).astype(int), 0, width - 1)
    return values[np.clip((y * height).astype(int), 0, height - 1), column]


def _drawing(picture: Array, planes: list[Plane], rng: np.random.Generator) -> Array:
    """Charcoal along the edges of the planes, hidden by later planes, with strings and staves."""
    height, width = picture.shape[:2]
    x, y = grid(width, height)
    plate = Image.new("L", (width, height))
    draw = ImageDraw.Draw(plate)

    def line(points: Array, weight: float) -> None:
        t = np.linspace(0, 1, len(points))
        widths = weight * (0.35 + np.sin(np.pi * t) * 0.65)
        draw.polygon((ribbon(points, widths) * height).ravel().tolist(), fill=255)

    def straight(first: Array, last: Array, weight: float, overshoot: float = 0.0) -> None:
        t = np.linspace(-overshoot, 1 + overshoot, 12)[:, None]
        line(first + (last - first) * t, weight)

    for outline, _, _ in planes:
        draw.polygon((outline * height).ravel().tolist(), fill=0)
        closed = np.concatenate([outline, outline[:1]])
        if len(outline) > 4:
            line(closed, 0.0075)
            continue
        for first, last in pairwise(closed):
            straight(first, last, rng.uniform(0.004, 0.008), rng.choice([0.0, 0.0, 0.12]))
    for string in range(5):
        top, bridge = (0.387 + 0.011 * string, 0.06), (0.345 + 0.022 * string, 0.765)
        straight(np.array(top), np.array(bridge), 0.0028)
    for stave in range(5):
        left, right = (0.14, 0.865 + 0.017 * stave), (0.46, 0.812 + 0.021 * stave)
        straight(np.array(left), np.array(right), 0.0026)
    charcoal = np.clip(0.95 + 0.18 * noise(x, y, 300, 79, octaves=3), 0, 1)
    return mix(picture, BLACK, np.asarray(plate, np.float32) / 255 * charcoal)
