"""The command line with a recipe of many runs."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nstflow.storage.run_record import read_run_record

NAMES = ["weight-1_seed-3", "weight-1_seed-4", "weight-2_seed-3", "weight-2_seed-4"]


def summary(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def begin(folder: Path, recipe: Path, *options: object) -> subprocess.Popen[str]:
    """Begin `nstflow run` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "nstflow", "run", recipe, *map(str, options)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(running: subprocess.Popen[str], code: int = 0, seconds: float = 240) -> str:
    """Wait for the end of a command, and return what it printed."""
    printed, _ = running.communicate(timeout=seconds)
    assert running.returncode == code, printed
    assert "Traceback" not in printed
    return printed


def pictures(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(out.glob("*/result.png"))}


def test_a_matrix_is_validated_and_planned(call: Any, grid: Path) -> None:
    assert call("validate", grid).out == f"{grid}: valid, 4 runs\n"
    answer = call("plan", grid)
    assert answer.code == 0
    assert "24 in all" in answer.out
    assert [line.strip() for line in answer.out.splitlines()[-4:]] == NAMES


def test_every_run_is_made_and_summed_up(call: Any, grid: Path, tmp_path: Path) -> None:
    answer = call("run", grid)
    assert answer.code == 0, answer.err
    out = tmp_path / "runs" / "grid"
    assert {path.name for path in out.iterdir()} == {*NAMES, "summary.csv", "contact_sheet.png"}
    for name in NAMES:
        record = read_run_record(out / name)
        assert record is not None
        assert record.state == "finished"
    assert [row["cell"] for row in summary(out)] == NAMES
    lines = answer.out.splitlines()
    assert lines[0] == "grid  Four small runs."
    assert [line.split()[0] for line in lines[2:6]] == NAMES
    table = lines.index(next(line for line in lines if line.startswith("run ")))
    assert "loss, epoch 1" in lines[table]
    assert [line.split()[0] for line in lines[table + 1 : table + 6]] == [*NAMES, "mean"]
    assert "runs/grid/summary.csv" in answer.out


def test_what_is_done_is_left_and_what_is_missing_made(
    call: Any, grid: Path, tmp_path: Path
) -> None:
    call("run", grid, "--out", "out")
    before = pictures(tmp_path / "out")
    for path in (tmp_path / "out" / NAMES[2]).iterdir():
        path.unlink()
    (tmp_path / "out" / NAMES[2]).rmdir()
    answer = call("run", grid, "--out", "out", "--resume")
    assert answer.code == 0
    assert answer.out.count("finished already") == 3
    assert pictures(tmp_path / "out") == before
    refused = call("run", grid, "--out", "out")
    assert refused.code == 2
    assert refused.out == ""
    assert "4 of the 4 runs are there already" in refused.err


def test_a_run_that_fails_is_listed_in_the_end(call: Any, grid: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAMES[1]).write_text("in the way")
    answer = call("run", grid, "--out", "out")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "1 problem; 1 of 4 runs failed."
    assert f"out/{NAMES[1]}" in answer.err
    states = [row["state"] for row in summary(tmp_path / "out")]
    assert states == ["finished", "failed", "finished", "finished"]
    assert "continue with" in answer.out


def test_quiet_prints_the_pictures(call: Any, grid: Path) -> None:
    answer = call("run", grid, "--quiet", "--out", "out")
    paths = [f"out/{name}/result.png" for name in NAMES]
    assert answer.out.splitlines() == paths
    (grid.parent / "out" / NAMES[0] / "recipe.lock.yaml").write_text("damaged")
    again = call("run", grid, "--quiet", "--out", "out", "--resume")
    assert (again.code, again.out.splitlines()) == (1, paths[1:])


def test_processes_give_the_same_bytes(grid: Path, tmp_path: Path) -> None:
    """As one process with the same number of threads does; for `dask`, see the cluster below."""
    made = {}
    for name, workers in (("serial", []), ("processes", ["--workers", 2])):
        options = ["--executor", name, *workers, "--threads", 1, "--out", name, "--quiet"]
        finish(begin(tmp_path, grid, *options))
        made[name] = pictures(tmp_path / name)
    assert [*made["serial"]] == NAMES
    assert made["processes"] == made["serial"]
    lock = (tmp_path / "processes" / NAMES[0] / "recipe.lock.yaml").read_text()
    assert ", 1 thread\n" in lock


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--executor", "dsk"], "no executor is called 'dsk'"),
        (["--executor", "serial", "--workers", "2"], "--workers  executor.workers"),
        (["--executor", "processes", "--threads", "100000"], "at most 1024"),
        (["--executor", "dask", "--scheduler", "garbage"], "'garbage' is not an address"),
        (["--scheduler", "tcp://127.0.0.1:9", "--workers", "2"], "leave `workers` out"),
        (["--locked"], "each of its runs has its own lock"),
        (["--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"], "no scheduler answers at"),
    ],
)
def test_options_that_do_not_fit(
    call: Any, grid: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    answer = call("run", grid, *options)
    assert answer.code == 2
    assert words in answer.err
    assert answer.out.count("\n") <= 2  # no run was begun
    assert not list(tmp_path.glob("runs/*/*/run.json"))


def test_a_single_run_has_no_executor(call: Any, write: Any, grid: Path) -> None:
    single = write(grid.read_text().split("matrix:")[0])
    answer = call("run", single, "--executor", "", "--threads", "0")
    assert answer.code == 2
    assert "--executor --threads" in answer.err
    assert "this recipe has no matrix" in answer.err


LONG = ["--set", "schedule.steps_per_epoch=4000", "--set", "checkpoints.every_steps=20"]
SHORT = ["--set", "schedule.steps_per_epoch=300", "--set", "checkpoints.every_steps=20"]


@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("serial", signal.SIGTERM),
        ("processes", signal.SIGINT),
        ("processes", signal.SIGTERM),
        ("dask", signal.SIGINT),
    ],
)
def test_many_runs_are_stopped(
    grid: Path, tmp_path: Path, executor: str, number: signal.Signals
) -> None:
    """Ctrl-C goes to all processes of a terminal; SIGTERM to the one that was started."""
    running = begin(tmp_path, grid, "--out", "out", "--executor", executor, *LONG)
    checkpoints = "out/*/checkpoint.safetensors"
    wait_until(lambda: any(tmp_path.glob(checkpoints)) or running.poll() is not None)
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    assert "continue with  nstflow run" in finish(running, 128 + number, 60)
    rows = {row["state"]: row for row in summary(tmp_path / "out")}
    assert rows.keys() <= {"stopped", "waiting", "finished"}
    assert (tmp_path / "out" / rows["stopped"]["result"]).is_file()  # the picture so far
    wait_until(lambda: not exists(running.pid), 10)  # no process of the group is left


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_ctrl_c_while_the_workers_start(grid: Path, tmp_path: Path, executor: str) -> None:
    running = begin(tmp_path, grid, "--workers", 2, "--executor", executor, *LONG)
    wait_until(lambda: len(children(running.pid)) >= 2 or running.poll() is not None)
    time.sleep(0.2)
    os.killpg(running.pid, signal.SIGINT)
    assert "failed" not in finish(running, 128 + signal.SIGINT, 60)


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cluster_whose_worker_dies_makes_every_picture_once(grid: Path, tmp_path: Path) -> None:
    """Three workers, one killed in the middle of a run, which is resumed from its checkpoint."""
    finish(begin(tmp_path, grid, *SHORT, "--threads", 1, "--out", "serial", "--quiet"))
    dask = ["--executor", "dask", "--workers", 3, "--threads", 1, "--out", "dask"]
    running = begin(tmp_path, grid, *SHORT, *dask)
    victims: list[int] = []

    def one_computes() -> bool:
        for checkpoint in tmp_path.glob("dask/*/checkpoint.safetensors"):
            mutex = str(checkpoint.with_name(".nstflow.lock"))
            victims.extend(pid for pid in children(running.pid) if mutex in open_files(pid))
        return bool(victims) or running.poll() is not None

    wait_until(one_computes)
    assert victims, running.communicate()
    os.kill(victims[0], signal.SIGKILL)
    printed = finish(running)
    assert pictures(tmp_path / "dask") == pictures(tmp_path / "serial")
    ended = [
        line.split()[0] for line in printed.partition("\nrun ")[0].splitlines() if " loss " in line
    ]
    assert sorted(ended) == NAMES  # each once
    assert "resumed after step" in printed
    assert "failed" not in printed
    assert not list((tmp_path / "dask").glob(".nstflow-*"))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *children(child)]
    return found


def open_files(pid: int) -> list[str]:
    try:
        return [os.path.realpath(file) for file in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


@pytest.mark.parametrize("name", ["summary.csv", "contact_sheet.png"])
def test_files_of_somebody_else_are_left_alone(
    call: Any, grid: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("my own")
    answer = call("run", grid, "--out", ".")
    assert answer.code == 2
    assert f"'{name}' in it was not written by nstflow" in answer.err
    assert (tmp_path / name).read_text() == "my own"
    assert not (tmp_path / NAMES[0]).exists()


def test_an_image_that_would_be_replaced(call: Any, grid: Path, tmp_path: Path) -> None:
    call("run", grid, "--out", "out")
    recipe = grid.with_name("again.yaml")
    sheet = "{use: file, path: out/contact_sheet.png}"
    recipe.write_text(grid.read_text().replace("{use: noise, height: 32, width: 24}", sheet))
    before = (tmp_path / "out" / "contact_sheet.png").read_bytes()
    answer = call("run", recipe, "--out", "out", "--overwrite")
    assert answer.code == 2
    assert "is an image of the recipe" in answer.err
    assert (tmp_path / "out" / "contact_sheet.png").read_bytes() == before


@pytest.mark.parametrize("place", ["afile", "afile/below", "/proc/nope"])
@pytest.mark.parametrize("executor", ["serial", "dask"])
def test_a_place_that_can_not_be_written(
    call: Any, grid: Path, tmp_path: Path, place: str, executor: str
) -> None:
    (tmp_path / "afile").write_text("in the way")
    answer = call("run", grid, "--out", place, "--executor", executor)
    assert (answer.code, answer.out) == (2, "")
    assert "it can't be written" in answer.err


def test_one_command_at_a_time_makes_runs_in_a_directory(
    call: Any, grid: Path, tmp_path: Path
) -> None:
    running = begin(tmp_path, grid, "--out", "out", *LONG)
    wait_until(lambda: any(tmp_path.glob("out/*/checkpoint.safetensors")))
    answer = call("run", grid, "--out", "out", "--resume")
    assert answer.code == 2
    assert "another command makes runs in this directory" in answer.err
    running.kill()
    running.communicate()
    assert call("run", grid, "--out", "out", "--overwrite", "--resume").code == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {*NAMES, "summary.csv", "contact_sheet.png"}


PLUGIN = """
from typing import Literal
from nstflow import Postprocessor, hookimpl

class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")

class Raising(Postprocessor):
    use: Literal["raising"] = "raising"
    error: str

    def apply(self, image, images):
        if self.error == "none":
            return image
        raise eval(self.error)

@hookimpl
def nstflow_stages():
    return [Raising]
"""
ERRORS = ["SystemExit(0)", "GeneratorExit()", "BaseException(1)", "Mute()", "MemoryError()", "none"]


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_whatever_a_stage_raises_the_other_runs_are_made(
    write: Any, grid: Path, tmp_path: Path, executor: str
) -> None:
    plugin = write(PLUGIN, "raising.py")
    text = grid.read_text().split("matrix:")[0] + "postprocess: [{use: raising, error: none}]\n"
    recipe = write(f"{text}matrix: {{postprocess.0.error: {ERRORS}}}\n", "raising.yaml")
    options = ["--plugin", plugin, "--out", "out", "--executor", executor, "--workers", "2"]
    running = begin(tmp_path, recipe, *(options[:-2] if executor == "serial" else options))
    printed, _ = running.communicate(timeout=240)
    assert running.returncode == 1, printed
    assert [row["state"] for row in summary(tmp_path / "out")] == [*["failed"] * 5, "finished"]
    assert "5 of 6 runs failed" in printed
