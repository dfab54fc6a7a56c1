"""Runs killed at random moments resume to the bytes of one that was not.

Three kills by default, at moments that differ from day to day; `NSTFLOW_KILLS=50` asks for more.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = int(os.environ.get("NSTFLOW_KILLS", "3"))

# A checkpoint after each step, so that a good part of the time is spent writing one
RECIPE = """\
name: killed
images:
  content: {use: noise, height: 48, width: 48}
  style: {use: noise, height: 32, width: 32, seed: 1}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [block2_conv1], weight: 10}
  look: {use: gram, image: style, layers: [block1_conv1], weight: 7}
schedule: {use: epochs, epochs: 10, steps_per_epoch: 10}
checkpoints: {every_steps: 1}
"""


KILLED: list[bool] = []


def start(folder: Path, out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nstflow", "run", "recipe.yaml", "--out", out, "--resume"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def what_is_left(folder: Path) -> tuple[set[str], bytes, list[list[str]]]:
    """Return the files of a run, its picture, and its history without the times."""
    with (folder / "history.csv").open(newline="") as file:
        history = [row[:-1] for row in csv.reader(file)]
    names = {path.name for path in folder.iterdir()}
    return names, (folder / "result.png").read_bytes(), history


def wait_for_checkpoint(process: subprocess.Popen[bytes], out: Path) -> None:
    while process.poll() is None and not (out / "checkpoint.safetensors").exists():
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float, float]:
    """Return the folder of a run that was let alone, its seconds, and those of its steps."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "recipe.yaml").write_text(RECIPE)
    began = time.monotonic()
    process = start(folder, "alone")
    wait_for_checkpoint(process, folder / "alone")
    stepping = time.monotonic()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return folder, time.monotonic() - began, time.monotonic() - stepping


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_run_loses_nothing(number: int, alone: tuple[Path, float, float]) -> None:
    """Every third at any moment of the run, the others while it takes steps."""
    folder, whole, stepping = alone
    out = folder / f"killed{number}"
    process = start(folder, out.name)
    if number % 3:
        wait_for_checkpoint(process, out)
    moment = random.uniform(0, 0.8 * stepping if number % 3 else whole)  # noqa: S311 - no secret
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    KILLED.append(process.returncode == -signal.SIGKILL)
    left = sorted(path.name for path in out.iterdir()) if out.exists() else "nothing"
    print(f"killed after {moment:.2f} s, which left {left}")  # noqa: T201 - for the one who asks
    process = start(folder, out.name)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert what_is_left(out) == what_is_left(folder / "alone")


def test_that_runs_were_killed() -> None:
    assert KILLED.count(True) > KILLS / 2
