"""Measure how soon optimizers reach the loss of the report's 1000 steps.

    python benchmarks/optimizers.py [--images FOLDER] [--pairs content:style ...] [--size 256]
        [--methods NAME ...] [--json FILE] [--figure FILE.png]
    python benchmarks/optimizers.py --json FILE --show [--figure FILE.png]

The objective is that of `recipes/single_style.yaml`: the same losses, weights, start and size for
every method. A step is one evaluation of the objective at full size; steps at a smaller size count
by their number of pixels. Seconds are those of all steps and of compiling. Each run has its own
process; runs that the JSON file has already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import common

TRIALS = Path(__file__).with_name("optimizer_trials.py")

_COSINE = (
    "{use: adam, beta_1: 0.9, beta_2: 0.99, epsilon: 1e-8, learning_rate: 0.05, decay: cosine}"
)


def _steps(optimizer: str, steps: int, schedule: str = "") -> tuple[str, str]:
    return optimizer, schedule or f"{{use: epochs, epochs: 1, steps_per_epoch: {steps}}}"


METHODS: dict[str, tuple[str, str]] = {
    "report": _steps("{use: adam}", 1000),
    "adam-cosine-300": _steps(_COSINE, 300),
    "adam-one-cycle-300": _steps("{use: one_cycle}", 300),
    "adam-pyramid-300": _steps("{use: pyramid_adam}", 300),
    "lbfgs-10-equal": _steps("{use: lbfgs, diagonal: false}", 450),
    "lbfgs-100-equal": _steps("{use: lbfgs, history: 100, diagonal: false}", 450),
    "lbfgs-10": _steps("{use: lbfgs}", 450),
    "lbfgs-30": _steps("{use: lbfgs, history: 30}", 450),
    "lbfgs-100": _steps("{use: lbfgs, history: 100}", 450),
    "coarse-lbfgs": _steps(
        "{use: lbfgs}", 0, "{use: scales, smallest: 64, factor: 4, steps: [30, 450]}"
    ),
    "scales-lbfgs": _steps(
        "{use: lbfgs}", 0, "{use: scales, smallest: 64, steps: [100, 100, 450]}"
    ),
}
"""Name → optimizer and schedule, as recipes write them."""

MARKS = (50, 100, 150, 200, 300, 450, 1000)  # evaluations shown in the table

WIDTH, HEIGHT = 760, 480
LEFT, TOP, RIGHT, BOTTOM = 64, 44, 200, 56  # margins
FINE = 2  # the figure is drawn so many times larger, then reduced
INK, FAINT = "#222222", "#dddddd"
COLOURS = (
    *("#222222", "#1f5fa8", "#4f9bd9", "#9cc9ee", "#b8860b", "#d95f02"),
    *("#1b7837", "#5aae61", "#a6dba0", "#762a83", "#c2a5cf"),
)


def run_one(content: Path, style: Path, size: int, method: str) -> dict[str, Any]:
    """Run a method on a pair, in this process; return its losses and times."""
    import nstflow
    from nstflow.plugins.single_file import read_plugin

    optimizer, schedule = METHODS[method]
    settings = [
        f"images.content.path={content}",
        f"images.style.path={style}",
        f"preprocess.0.longest_side={size}",
        f"optimizer={optimizer}",
        f"schedule={schedule}",
    ]
    recipe = common.ROOT / "recipes" / "single_style.yaml"
    trials = read_plugin(TRIALS)
    plan = nstflow.make_plan(nstflow.load_recipe(recipe, settings, plugins=[trials]))
    with tempfile.TemporaryDirectory() as folder:
        result = nstflow.run(plan, Path(folder, "run"), device="cpu", metadata=False)
    costs = [
        phase.scale**2
        for steps, phase in zip(result.phases, plan.phases, strict=True)
        for _ in range(steps)
    ]
    return {
        "total": result.history["total"],
        "seconds": result.history["seconds"],
        "compile_seconds": result.compile_seconds,
        "scales": [cost**0.5 for cost in costs],
    }


def curve(run: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Return (evaluations, seconds, total) after each step at full size."""
    points, evaluations = [], 0.0
    for scale, seconds, total in zip(run["scales"], run["seconds"], run["total"], strict=True):
        evaluations += scale**2
        if scale == 1:
            points.append((evaluations, seconds + run["compile_seconds"], total))
    return points


def show(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a table for each pair: the totals in millions, and when 2 and 5 % are reached."""
    for pair in dict.fromkeys(name.partition("|")[0] for name in runs):
        own = {name.partition("|")[2]: run for name, run in runs.items() if name.startswith(pair)}
        least = own["report"]["total"][-1] if "report" in own else math.nan
        print(f"\n{pair}: total in millions after so many evaluations\n")
        rows = []
        for method, run in own.items():
            points = curve(run)
            row = [method]
            for mark in MARKS:
                reached = [total for evaluations, _, total in points if evaluations <= mark + 0.5]
                is_whole = points[-1][0] >= mark - 1 and points[0][0] <= mark
                row.append(f"{reached[-1] / 1e6:.3f}" if is_whole else "")
            for percent in (5, 2, 0):
                first = next((x for x in points if x[2] <= least * (1 + percent / 100)), None)
                row.append(f"{first[0]:.0f} / {first[1]:.0f} s" if first else "-")
            rows.append(row)
        header = ("method", *map(str, MARKS), "within 5 %", "within 2 %", "reached")
        common.print_table(header, rows)


def draw(runs: Mapping[str, Mapping[str, Any]], path: Path, *, by_seconds: bool) -> None:
    """Draw the totals of the first pair, as multiples of the report's last one."""
    from PIL import Image, ImageDraw, ImageFont

    pair = next(iter(runs)).partition("|")[0]
    own = {name.partition("|")[2]: run for name, run in runs.items() if name.startswith(pair)}
    least = own["report"]["total"][-1]
    curves = {
        method: [(x[by_seconds], x[2] / least) for x in curve(run)] for method, run in own.items()
    }
    most = max(x for points in curves.values() for x, _ in points)
    low, high = math.log(0.9), math.log(2.0)
    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), "white")
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(12 * FINE)

    def place(x: float, y: float) -> tuple[float, float]:
        up = (math.log(min(y, 2.0)) - low) / (high - low)
        return (
            FINE * (LEFT + x / most * (WIDTH - LEFT - RIGHT)),
            FINE * (HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)),
        )

    for y in (1, 1.02, 1.05, 1.1, 1.2, 1.5, 2):
        pen.line([place(0, y), place(most, y)], FAINT, FINE)
        across, down = place(0, y)
        pen.text((across - 6 * FINE, down), f"{y:g}", INK, font, "rm")
    step = 10 ** math.floor(math.log10(most)) / 2
    for tick in range(int(most / step) + 1):
        across, down = place(tick * step, 0.9)
        pen.text((across, down + 6 * FINE), f"{tick * step:g}", INK, font, "ma")
    unit = "seconds, compiling included" if by_seconds else "evaluations at full size"
    pen.text((FINE * (LEFT + WIDTH - RIGHT) / 2, FINE * (HEIGHT - 14)), unit, INK, font, "ms")
    title = f"{pair}: total loss, 1 is the report's after 1000 steps"
    pen.text((FINE * LEFT, FINE * (TOP - 18)), title, INK, font, "ls")
    for index, (method, points) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        pen.line([place(x, y) for x, y in points if y <= 2], colour, 2 * FINE)  # noqa: PLR2004
        down = FINE * (TOP + 18 * index)
        across = FINE * (WIDTH - RIGHT + 14)
        pen.line([across, down, across + 18 * FINE, down], colour, 3 * FINE)
        pen.text((across + 24 * FINE, down), method, INK, font, "lm")
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path)


def measure(
    images: Path, pairs: Sequence[str], size: int, methods: Sequence[str], path: Path | None
) -> dict[str, Any]:
    """Run what is missing in the JSON file, and write it after each run."""
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path and path.exists() else {}
    for pair in pairs:
        content, style = (next(images.glob(f"{name}.*")) for name in pair.split(":"))
        for method in methods:
            name = f"{pair} at {size} px|{method}"
            if name not in runs:
                arguments = ["--child", content, style, size, method]
                runs[name] = common.run_child(__file__, arguments)
                if path:
                    content_of = {"machine": common.machine("nstflow", "tensorflow"), "runs": runs}
                    path.write_text(json.dumps(content_of) + "\n", encoding="utf-8")
    return runs


def main() -> None:
    """Read the command line and measure, or be one run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, default=common.IMAGES, help="folder of the pictures")
    parser.add_argument("--pairs", nargs="+", default=["chelsea:mosaic", "coffee:swirls"])
    parser.add_argument("--size", type=int, default=256, help="longest side")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--json", type=Path, help="read earlier runs from this file, add new ones")
    parser.add_argument("--figure", type=Path, help="draw the first pair's curves to this file")
    parser.add_argument("--by-seconds", action="store_true", help="draw them against seconds")
    parser.add_argument("--show", action="store_true", help="show what the JSON file has")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        content, style, size, method = options.child
        print(json.dumps(run_one(Path(content), Path(style), int(size), method)))
        return
    if options.show:
        runs = json.loads(options.json.read_text(encoding="utf-8"))["runs"]
    else:
        print(common.machine("nstflow", "tensorflow"))
        methods = options.methods
        runs = measure(options.images, options.pairs, options.size, methods, options.json)
    show(runs)
    if options.figure:
        draw(runs, options.figure, by_seconds=options.by_seconds)


if __name__ == "__main__":
    main()
