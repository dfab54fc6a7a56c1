"""Measure nstflow's time and memory on a CPU by image size and number of styles.

    python benchmarks/scaling.py [--sizes 128 256 384 512 768 1024] [--styles 1 2 4]
        [--styles-size 512] [--steps 3] [--rounds 1] [--json FILE] [--figure FILE.png]

Images are 4:3, and sizes are longest sides. Each run has its own process and so its own peak
memory. Each round runs all sizes, then all numbers of styles. The time of a run is the median of
its steps, without compilation and without two warm-up steps. The tables show the median of the
rounds and the largest peak memory, including TensorFlow's start and compilation.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import common

WIDTH, HEIGHT = 720, 480
LEFT, TOP, RIGHT, BOTTOM = 80, 48, 32, 60  # margins
FINE = 2  # the figure is drawn so many times larger, then reduced
INK, FAINT, LINE, POINT = "#222222", "#dddddd", "#888888", "#1f5fa8"


def height_of(width: int) -> int:
    """Return the height of a 4:3 image."""
    return round(width * 3 / 4)


def measure(cases: Sequence[tuple[int, int]], steps: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each (longest side, styles). Each round runs all of them."""
    runs: list[list[dict[str, Any]]] = [[] for _ in cases]
    for _ in range(rounds):
        for (side, styles), seen in zip(cases, runs, strict=True):
            with tempfile.TemporaryDirectory() as folder:
                common.write_images(Path(folder), (side, height_of(side)), styles)
                seen.append(common.run_child(__file__, ["--child", folder, styles, steps]))
    rows = []
    for (side, styles), seen in zip(cases, runs, strict=True):
        width, height = side, height_of(side)
        seconds = [run["seconds_per_step"] for run in seen]
        rows.append(
            {
                "width": width,
                "height": height,
                "styles": styles,
                "seconds_per_step": median(seconds),
                "least": min(seconds),
                "most": max(seconds),
                "microseconds_per_pixel": median(seconds) * 1e6 / (width * height),
                "compile_seconds": median(run["compile_seconds"] for run in seen),
                "peak_mb": max(run["peak_mb"] for run in seen),
                "predicted_bytes": seen[0]["predicted_bytes"],
            }
        )
    return rows


def print_sizes(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of sizes."""
    header = ("size", "s/step", "min-max", "µs/pixel", "compile s", "peak MB", "estimate MB")
    lines = [
        (
            f"{row['width']}x{row['height']}",
            f"{row['seconds_per_step']:.3f}",
            f"{row['least']:.3f}-{row['most']:.3f}",
            f"{row['microseconds_per_pixel']:.2f}",
            f"{row['compile_seconds']:.1f}",
            f"{row['peak_mb']:.0f}",
            "-" if row["predicted_bytes"] is None else f"{row['predicted_bytes'] / 1024**2:.0f}",
        )
        for row in rows
    ]
    common.print_table(header, lines)


def print_styles(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table of numbers of styles."""
    one = next((row["seconds_per_step"] for row in rows if row["styles"] == 1), None)
    lines = [
        (
            str(row["styles"]),
            f"{row['seconds_per_step']:.3f}",
            f"{row['least']:.3f}-{row['most']:.3f}",
            "-" if one is None else f"{row['seconds_per_step'] / one:.3f}",
            f"{row['peak_mb']:.0f}",
        )
        for row in rows
    ]
    common.print_table(("styles", "s/step", "min-max", "ratio to 1", "peak MB"), lines)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw seconds per step against megapixels, both logarithmic, and a line of slope one.

    The line goes through the largest size.
    """
    from PIL import Image, ImageDraw, ImageFont

    points = [(row["width"] * row["height"] / 1e6, row["seconds_per_step"]) for row in rows]
    xs, ys = _ticks([x for x, _ in points]), _ticks([y for _, y in points])
    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(13 * FINE)

    def place(x: float, y: float) -> tuple[float, float]:
        right = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        up = math.log(y / ys[0]) / math.log(ys[-1] / ys[0])
        return (
            FINE * (LEFT + right * (WIDTH - LEFT - RIGHT)),
            FINE * (HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)),
        )

    for x in xs:
        pen.line([place(x, ys[0]), place(x, ys[-1])], FAINT, FINE)
        across, down = place(x, ys[0])
        pen.text((across, down + 6 * FINE), f"{x:g}", INK, font, "ma")
    for y in ys:
        pen.line([place(xs[0], y), place(xs[-1], y)], FAINT, FINE)
        across, down = place(xs[0], y)
        pen.text((across - 6 * FINE, down), f"{y:g}", INK, font, "rm")
    middle = FINE * (LEFT + WIDTH - RIGHT) / 2
    pen.text((middle, FINE * (HEIGHT - 14)), "megapixels", INK, font, "ms")
    title = "seconds per step (dashed: the largest size's, in proportion to the pixels)"
    pen.text((FINE * LEFT, FINE * (TOP - 18)), title, INK, font, "ls")
    largest = max(points)
    slope = largest[1] / largest[0]
    first, last = max(xs[0], ys[0] / slope), min(xs[-1], ys[-1] / slope)
    ends = [first * (last / first) ** (n / 60) for n in range(61)]
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        pen.line([place(start, slope * start), place(end, slope * end)], LINE, 2 * FINE)
    for row, point in zip(rows, points, strict=True):
        across, down = place(*point)
        pen.circle((across, down), 4 * FINE, POINT)
        text = f"{row['width']}x{row['height']}: {row['seconds_per_step']:.2f} s"
        end = max(across - 9 * FINE, FINE * (LEFT + 4) + font.getlength(text))
        pen.text((end, down - 12 * FINE), text, INK, font, "rm")
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path)


def _ticks(values: Sequence[float]) -> list[float]:
    """Return numbers 1, 2, 5 × 10ⁿ that enclose the values."""
    low, high = math.floor(math.log10(min(values))), math.floor(math.log10(max(values)))
    steps = [n * 10.0**power for power in range(low - 1, high + 2) for n in (1, 2, 5)]
    first = max(n for n, step in enumerate(steps) if step < min(values))
    last = min(n for n, step in enumerate(steps) if step > max(values))
    return steps[first : last + 1]


def main() -> None:
    """Read the command line and measure, or be one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [128, 256, 384, 512, 768, 1024]
    parser.add_argument("--sizes", nargs="+", type=int, default=sizes, help="longest sides")
    parser.add_argument("--styles", nargs="*", type=int, default=[1, 2, 4], help="5 at most")
    parser.add_argument("--styles-size", type=int, default=512, help="longest side for the styles")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of each run")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--figure", type=Path, help="draw the table of sizes to this file")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        folder, styles, steps = options.child
        print(json.dumps(common.run_nstflow(Path(folder), int(styles), int(steps))))
        return
    machine = common.machine("nstflow", "tensorflow")
    print(f"{machine}\n\none style, {options.rounds} rounds of {options.steps} steps\n")
    by_size = measure([(side, 1) for side in options.sizes], options.steps, options.rounds)
    print_sizes(by_size)
    side = options.styles_size
    by_styles = measure([(side, n) for n in options.styles], options.steps, options.rounds)
    if by_styles:
        print(f"\n{side}x{height_of(side)}, by the number of styles\n")
        print_styles(by_styles)
    if options.json:
        content = {"machine": machine, "sizes": by_size, "styles": by_styles}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if options.figure:
        draw(by_size, options.figure)


if __name__ == "__main__":
    main()
