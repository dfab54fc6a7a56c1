"""Functions for all benchmarks: images, recipes, child processes, tables."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "recipes" / "images"

CONTENT = "coffee"
STYLES = ("swirls", "woodblock", "mosaic", "ink", "planes")
CONTENT_LAYER = "block5_conv2"
STYLE_LAYERS = ("block1_conv1", "block3_conv1", "block5_conv1")
CONTENT_WEIGHT, STYLE_WEIGHT = 1e4, 0.1

WARM_UP = 2
"""The first steps of every program, which are not measured."""

Size = tuple[int, int]  # width, height


def parse_size(text: str) -> Size:
    """Return (width, height) of a text like `512x384`."""
    width, height = text.split("x")
    return int(width), int(height)


def write_images(folder: Path, size: Size, styles: int) -> None:
    """Save `content.png`, `style0.png`, …: pictures of the repository at exactly this size."""
    from PIL import Image

    names = {"content": CONTENT, **{f"style{n}": STYLES[n] for n in range(styles)}}
    for name, source in names.items():
        with Image.open(IMAGES / f"{source}.png") as image:
            small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        small.save(folder / f"{name}.png")


def write_recipe(folder: Path, styles: int, steps: int) -> Path:
    """Write a recipe for these images; return its path."""
    names = [f"style{n}" for n in range(styles)]
    lines = [
        "nstflow: 1",
        "name: benchmark",
        "images:",
        *(f"  {name}: {name}.png" for name in ("content", *names)),
        "preprocess: []",
        "extractor:",
        "  use: vgg19",
        "  layers:",
        f"    content: [{CONTENT_LAYER}]",
        f"    style: [{', '.join(STYLE_LAYERS)}]",
        "losses:",
        f"  content: {{use: content, weight: {CONTENT_WEIGHT}}}",
        *(f"  {name}: {{use: gram, image: {name}, weight: {STYLE_WEIGHT}}}" for name in names),
        "optimizer: {use: adam, learning_rate: 0.02, beta_1: 0.99, epsilon: 0.1}",
        f"schedule: {{use: epochs, epochs: 1, steps_per_epoch: {steps}}}",
    ]
    path = folder / "recipe.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run_nstflow(folder: Path, styles: int, steps: int) -> dict[str, Any]:
    """Run nstflow on the images of a folder, in this process; return its time and memory."""
    import nstflow

    plan = nstflow.make_plan(nstflow.load_recipe(write_recipe(folder, styles, WARM_UP + steps)))
    result = nstflow.run(plan, folder / "run", overwrite=True, device="cpu")
    ends = result.history["seconds"]
    steps_taken = [after - before for before, after in pairwise(ends)]
    return {
        "seconds_per_step": median(steps_taken[WARM_UP - 1 :]),
        "compile_seconds": result.compile_seconds,
        "peak_mb": peak_mb(),
        "predicted_bytes": getattr(plan, "memory", None),
    }


def peak_mb() -> float:
    """Return the peak memory of this process, in units of 1024² bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_child(script: str, arguments: Iterable[object], python: str | Path = sys.executable) -> Any:
    """Run a script with `--child` in a new process; return the JSON of the last line it prints.

    Call this from a small process: Linux includes the memory of a parent in the peak of its child.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(  # noqa: S603 - the benchmarks' own scripts
        [str(python), script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{script} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def versions(*packages: str) -> dict[str, str]:
    """Return package → version, for the packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine(*packages: str) -> str:
    """Return one line with the date, the processor, the cores and the versions."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    parts = [f"{datetime.now(UTC):%Y-%m-%d}", name, f"{cores()} cores"]
    parts += [f"Python {platform.python_version()}"]
    parts += [f"{package} {number}" for package, number in versions(*packages).items()]
    return ", ".join(parts)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table whose columns line up."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    for line in lines:
        first, *others = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        if line is not lines[1]:
            others = [text.strip().rjust(len(text)) for text in others]
        print("| " + " | ".join([first, *others]) + " |", flush=True)
