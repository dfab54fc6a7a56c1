"""Breakers under a vermilion sun, as a colour woodblock print."""

import numpy as np
from PIL import Image

from .press import Press
from .studio import Array, Colour, finish, noise, smoothstep

HEIGHT = 0.75
PAPER: Colour = (240, 226, 194)
INK: Colour = (18, 26, 48)
PRUSSIAN: Colour = (22, 54, 104)
BLUE: Colour = (58, 108, 150)
TEAL: Colour = (136, 176, 176)
VERMILION: Colour = (206, 62, 36)
ROSE: Colour = (232, 158, 118)
OCHRE: Colour = (206, 160, 92)
BANDS = (PAPER, TEAL, PRUSSIAN, BLUE, PRUSSIAN, TEAL, PRUSSIAN, BLUE, PRUSSIAN)


def paint(size: int) -> Image.Image:
    """Print from the back to the front: sky, sun and mist, mountains, then rows of breakers."""
    press = Press(2 * size, round(2 * size * HEIGHT), PAPER, seed=21)
    rng = np.random.default_rng(22)
    _sky(press, rng)
    _birds(press, rng)
    for level, rise, colour, seed in (
        (0.40, 0.19, TEAL, 31),
        (0.43, 0.13, OCHRE, 32),
        (0.46, 0.08, PRUSSIAN, 33),
    ):
        _mountains(press, level, rise, colour, seed)
    boats = {1: (0.30, 0.520, 0.032, 0.10), 3: (0.80, 0.635, 0.060, -0.14)}
    rows = (
        (0.500, 0.030, 0.15, 0.3),
        (0.545, 0.050, 0.22, 2.1),
        (0.610, 0.090, 0.34, 4.4),
        (0.700, 0.150, 0.52, 1.2),
        (0.800, 0.170, 0.71, 5.0),
    )
    for row, (level, rise, pace, start) in enumerate(rows):
        if row in boats:
            _boat(press, *boats[row])
        _breakers(press, level, rise, pace, start, rng)
    return finish(press.pulled(), size)


def _sky(press: Press, rng: np.random.Generator) -> None:
    plate = Image.new("L", (press.x.shape[1], press.x.shape[0]), 255)
    press.impress(plate, PRUSSIAN, 0.95 * smoothstep(0.16, 0.0, press.y))
    press.impress(plate, ROSE, 0.75 * smoothstep(0.16, 0.40, press.y))
    sun = np.array([0.66, 0.20])
    angle = np.linspace(0, 2 * np.pi, 160)
    disc = sun + 0.115 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    press.fill(disc, VERMILION, 1 - 0.45 * smoothstep(0.18, 0.32, press.y))
    press.lines([(disc, 0.0022 + 0.0014 * np.sin(2 * angle))], INK)
    for x, y, length in ((0.30, 0.115, 0.34), (0.62, 0.245, 0.36), (0.86, 0.16, 0.30)):
        _mist(press, x, y, length, rng)


def _mist(press: Press, x: float, y: float, length: float, rng: np.random.Generator) -> None:
    """A bank of mist: stacked bars with round ends."""
    for row in range(3):
        span = length * rng.uniform(0.5, 1.0)
        middle = x + rng.uniform(-0.2, 0.2) * length
        thick = 0.012
        angle = np.linspace(0, 2 * np.pi, 80)
        bar = np.stack([np.cos(angle), np.sin(angle)], axis=1) * thick
        bar[:, 0] += np.sign(np.cos(angle)) * span / 2
        bar += (middle, y + row * 1.75 * thick)
        press.fill(bar, PAPER)
        press.lines([(bar[40:], np.full(40, 0.0016))], INK)


def _mountains(press: Press, level: float, rise: float, colour: Colour, seed: int) -> None:
    """A range with hatched slopes, printed pale at its foot."""
    x = np.linspace(-0.05, 1.05, 400).astype(np.float32)
    flat = np.zeros_like(x)
    peaks = np.abs(noise(x, flat + 0.37, 3.2, seed, octaves=1)) ** 1.2
    ridge = level - rise * (0.25 + 1.1 * peaks + 0.10 * np.abs(noise(x, flat, 22, seed, octaves=3)))
    outline = np.stack([x, ridge], axis=1)
    base = np.array([[1.05, 0.6], [-0.05, 0.6]])
    press.fill(np.concatenate([outline, base]), PAPER)
    fade = 1 - 0.95 * smoothstep(level - 0.6 * rise, level + 0.04, press.y)
    press.fill(np.concatenate([outline, base]), colour, fade)
    widths = 0.0028 + 0.0016 * noise(x, flat, 30, seed + 7, octaves=2)
    hatches = [(outline, np.maximum(widths, 0.001))]
    t = np.linspace(0, 1, 12)
    crags = noise(x, flat, 60, seed + 9, octaves=1)
    for index in range(2, 398, 3):
        drop = (level - ridge[index]) * (0.22 + 0.45 * crags[index] ** 2)
        bend = 0.25 * drop * np.sin(index * 0.05) * t**2
        fall = np.stack([x[index] + bend, ridge[index] + drop * t], axis=1)
        hatches.append((fall, 0.0024 * (1 - t) + 0.0003))
    press.lines(hatches, INK)


def _birds(press: Press, rng: np.random.Generator) -> None:
    """A skein of birds, each two tapered wing strokes."""
    t = np.linspace(-1, 1, 21)
    birds = []
    for index in range(11):
        span = 0.011 * rng.uniform(0.7, 1.2)
        wing = np.stack([t * span, -span * 0.42 * np.sin(np.pi * np.abs(t) ** 0.7)], axis=1)
        place = (0.16 + 0.026 * index, 0.245 - 0.05 * abs(index - 4) / 7 + rng.uniform(0, 0.012))
        birds.append((wing + place, 0.0026 * (1 - np.abs(t)) + 0.0006))
    press.lines(birds, INK)


def _boat(press: Press, x: float, y: float, scale: float, lean: float) -> None:
    """A boat with a tall battened sail and a vermilion pennant."""
    turn = np.array([[np.cos(lean), np.sin(lean)], [-np.sin(lean), np.cos(lean)]])

    def shape(*points: tuple[float, float]) -> Array:
        return (np.array(points) @ turn * scale + (x, y)).astype(np.float32)

    t = np.linspace(0, 1, 12)
    hull = np.stack([t * 2 - 1, 0.30 * np.sin(np.pi * t) - 0.28 * np.abs(t * 2 - 1) ** 3], axis=1)
    sail = shape((-0.55, -0.25), (-0.62, -1.9), (0.35, -2.15), (0.62, -0.25))
    press.fill(sail, PAPER)
    press.fill(sail, ROSE, 0.9 * smoothstep(y - 1.4 * scale, y - 0.2 * scale, press.y))
    press.fill(shape((-0.1, -2.1), (-0.1, -2.45), (-0.9, -2.2)), VERMILION)
    press.fill(shape(*hull.tolist(), (-1.0, -0.28)), OCHRE)
    outlines = [np.concatenate([sail, sail[:1]]), shape(*hull.tolist(), *hull[::-1, :].tolist())]
    plank = hull * (0.9, 0.6) - (0, 0.1)
    outlines += [shape((-0.1, -2.45), (-0.1, -0.1)), shape(*plank.tolist())]
    for seam in range(6):
        outlines.append(shape((-0.56 + 0.2 * seam, -0.25), (-0.62 + 0.19 * seam, -1.93)))
    press.lines([(line, np.full(len(line), 0.05 * scale)) for line in outlines], INK)


def _crest(
    s: Array, level: float, rise: float, pace: float, start: float, sunk: float | Array
) -> Array:
    """The surface of a row of breakers that lean over; `sunk` from 0 to 1 lies deeper inside."""
    phase = 2 * np.pi * s / pace + start + 0.5 * np.sin(3.1 * s + start)
    swell = (0.5 + 0.5 * np.cos(phase)) ** 1.7 * (0.8 + 0.3 * np.sin(2.3 * s + 2 * start))
    lift = rise * swell * (1 - 0.75 * sunk)
    lean = 0.85 * rise * swell**2 * (1 - 0.9 * sunk)
    drop = level - lift + 0.9 * rise * sunk
    return np.stack([s + lean - 0.4 * rise * sunk * swell, drop], axis=1)


def _breakers(
    press: Press, level: float, rise: float, pace: float, start: float, rng: np.random.Generator
) -> None:
    """One row of waves: nested bands of blue with ink contours, foam claws on the crests."""
    s = np.linspace(-0.3, 1.2, 900).astype(np.float32)
    base = np.array([[1.4, 1.0], [-0.4, 1.0]])
    for index, colour in enumerate(BANDS):
        sunk = (index / len(BANDS)) ** 1.2
        line = _crest(s, level, rise, pace, start, sunk)
        line[:, 1] += 0.02 * rise * index * noise(s, s * 0 + index, 20, 41, octaves=2)
        press.fill(np.concatenate([line, base]), colour)
        swell = noise(s, s * 0 + 3.3 * index, 14, 42, octaves=2)
        weight = (0.026 if index == 0 else 0.016) * rise
        press.lines([(line, np.maximum(weight * (1 + 0.9 * swell), 0.0006))], INK)
        if colour in (TEAL, BLUE):
            inner = _crest(s, level, rise, pace, start, sunk + 0.05)
            press.lines([(inner, np.maximum(0.008 * rise * (0.6 + 1.5 * swell), 0))], PRUSSIAN)
    flecks = rng.uniform((-0.1, 0.05), (1.1, 0.6), (round(700 * rise**0.5), 2))
    lace = _crest(flecks[:, 0], level, rise, pace, start, flecks[:, 1])
    press.discs(lace[:, 0], lace[:, 1], rise * rng.uniform(0.003, 0.014, len(lace)), PAPER)
    _foam(press, _crest(s, level, rise, pace, start, 0), rise, level, rng)


def _foam(press: Press, line: Array, rise: float, level: float, rng: np.random.Generator) -> None:
    """Claws that curl from the upper crests, and spray before them."""
    high = np.flatnonzero((level - line[:, 1]) > 0.42 * rise)
    picks = high[:: max(1, round(8 * rise / 0.15))]
    t = np.linspace(0, 1, 16)
    centres, radii = [], []
    for index in picks:
        heading = -np.pi / 2 + rng.uniform(-0.5, 1.1)
        angle = heading + rng.uniform(2.0, 4.2) * t**1.4
        steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) / len(t)
        centres.append(line[index] + np.cumsum(steps, axis=0) * rise * rng.uniform(0.14, 0.34))
        radii.append(rise * rng.uniform(0.025, 0.042) * (1 - 0.85 * t))
    if not centres:
        return
    rim = max(0.012 * rise, 0.0011)
    for claws in (slice(0, None, 2), slice(1, None, 2)):
        points, radius = np.concatenate(centres[claws]), np.concatenate(radii[claws])
        press.discs(points[:, 0], points[:, 1], radius + rim, INK)
        press.discs(points[:, 0], points[:, 1], radius, TEAL)
        press.discs(points[:, 0] - 0.2 * radius, points[:, 1] - 0.3 * radius, 0.72 * radius, PAPER)
    spray = line[rng.choice(high, size=60)] + rng.exponential(0.35 * rise, (60, 2)) * (0.8, -0.45)
    drops = rise * rng.uniform(0.006, 0.02, 60)
    press.discs(spray[:, 0], spray[:, 1], drops + 0.0009, INK)
    press.discs(spray[:, 0], spray[:, 1], drops, PAPER)
