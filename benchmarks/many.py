"""Compare the time of eight runs as one matrix with the time of eight separate commands.

    python benchmarks/many.py [--longest-side 96] [--weights 4] [--steps 20 100] [--rounds 3]
        [--executors serial processes] [--json FILE]

Each method makes the same pictures from two photographs and four weights, with the layers of the
original report, by commands in new processes. Each round runs all methods. The table shows the
median wall-clock time of a method, and the median of its ratio to the separate commands of the
same round.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import common

PHOTOGRAPHS = ("coffee", "chelsea")
WEIGHTS = (0.01, 0.03, 0.1, 0.3)

RECIPE = """\
name: many
images:
  content: {{path: {images}/coffee.png}}
  style: {{path: {images}/swirls.png}}
preprocess: [{{use: resize, longest_side: {side}}}]
losses:
  content: {{use: content, weight: 10000}}
  style: {{use: gram, image: style, weight: 0.1}}
schedule: {{use: epochs, epochs: 1, steps_per_epoch: {steps}}}
"""


def matrix(weights: int) -> str:
    """Return the matrix of the recipe, for two photographs and this number of weights."""
    paths = ", ".join(f"{common.IMAGES}/{name}.png" for name in PHOTOGRAPHS)
    numbers = ", ".join(map(str, WEIGHTS[:weights]))
    return f"matrix:\n  images.content.path: [{paths}]\n  losses.style.weight: [{numbers}]\n"


def nstflow(*words: object) -> None:
    """Run a command that must succeed."""
    command = [sys.executable, "-m", "nstflow", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def separately(folder: Path, weights: int) -> None:
    """Make each picture with a separate command, one after another."""
    for name in PHOTOGRAPHS:
        for weight in WEIGHTS[:weights]:
            image = f"images.content.path={common.IMAGES}/{name}.png"
            settings = ["--set", image, "--set", f"losses.style.weight={weight}"]
            out = folder / f"{name}-{weight}"
            nstflow("run", folder / "single.yaml", "--quiet", "--out", out, *settings)


def together(executor: str) -> Callable[[Path, int], None]:
    """Return a function that makes all pictures with one command."""

    def make(folder: Path, _weights: int) -> None:
        out = folder / executor
        nstflow("run", folder / "many.yaml", "--quiet", "--out", out, "--executor", executor)

    return make


def measure(
    side: int, weights: int, steps: int, rounds: int, executors: Sequence[str]
) -> dict[str, Any]:
    """Return method → the seconds of each round."""
    ways = {"separate commands": separately, **{name: together(name) for name in executors}}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, make in ways.items():
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                text = RECIPE.format(images=common.IMAGES, side=side, steps=steps)
                (folder / "single.yaml").write_text(text, encoding="utf-8")
                (folder / "many.yaml").write_text(text + matrix(weights), encoding="utf-8")
                began = time.perf_counter()
                make(folder, weights)
                seconds[name].append(time.perf_counter() - began)
    return {"longest_side": side, "steps": steps, "seconds": seconds}


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--longest-side", type=int, default=96, help="longest side, in pixels")
    parser.add_argument(
        "--weights", type=int, default=4, help="how many style weights; twice as many pictures"
    )
    parser.add_argument("--steps", nargs="+", type=int, default=[20, 100], help="steps of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--executors", nargs="+", default=["serial", "processes"])
    parser.add_argument("--json", type=Path, help="write the seconds to this file")
    options = parser.parse_args()
    side, weights, rounds = options.longest_side, options.weights, options.rounds
    executors = options.executors
    found = [measure(side, weights, steps, rounds, executors) for steps in options.steps]
    lines = []
    for row in found:
        alone = row["seconds"]["separate commands"]
        for name, seconds in row["seconds"].items():
            ratio = median(one / whole for one, whole in zip(seconds, alone, strict=True))
            span = f"{min(seconds):.1f}-{max(seconds):.1f}"
            lines.append((str(row["steps"]), name, f"{median(seconds):.1f}", span, f"{ratio:.2f}"))
    common.print_table(("steps", "way", "seconds", "min-max", "ratio"), lines)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
