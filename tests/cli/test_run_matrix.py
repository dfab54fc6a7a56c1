"""The command line with a recipe of many runs."""

from __future__ import annotations

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

Call = Callable[..., Any]

NAMES = ["weight-1_seed-3", "weight-1_seed-4", "weight-2_seed-3", "weight-2_seed-4"]


def summary(out: Path) -> list[dict[str, str]]:
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pictures(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(out.glob("*/result.png"))}


def test_a_matrix_is_validated_and_planned(call: Call, grid: Path) -> None:
    assert call("validate", grid).out == f"{grid}: valid, 4 runs\n"
    answer = call("plan", grid)
    assert answer.code == 0
    assert "24 in all" in answer.out
    assert [line.strip() for line in answer.out.splitlines()[-4:]] == NAMES


def test_every_run_is_made_and_summed_up(call: Call, grid: Path, tmp_path: Path) -> None:
    answer = call("run", grid)
    assert answer.code == 0, answer.err
    out = tmp_path / "runs" / "grid"
    assert {path.name for path in out.iterdir()} == {*NAMES, "summary.csv", "contact_sheet.png"}
    for name in NAMES:
        facts = read_run_record(out / name)
        assert facts is not None
        assert facts.state == "finished"
    assert [row["cell"] for row in summary(out)] == NAMES
    lines = answer.out.splitlines()
    assert lines[0] == "grid  Four small runs."
    assert [line.split()[0] for line in lines[2:6]] == NAMES
    table = lines.index(next(line for line in lines if line.startswith("run ")))
    assert "loss, epoch 1" in lines[table]
    assert [line.split()[0] for line in lines[table + 1 : table + 6]] == [*NAMES, "mean"]
    assert "runs/grid/summary.csv" in answer.out


def test_what_is_done_is_left_and_what_is_missing_made(
    call: Call, grid: Path, tmp_path: Path
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


def test_a_run_that_fails_is_listed_in_the_end(call: Call, grid: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAMES[1]).write_text("in the way")
    answer = call("run", grid, "--out", "out")
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "1 problem; 1 of 4 runs failed."
    assert f"out/{NAMES[1]}" in answer.err
    assert [row["state"] for row in summary(tmp_path / "out")] == [
        *("finished", "failed", "finished", "finished")
    ]
    assert "continue with" in answer.out


def test_quiet_prints_the_pictures(call: Call, grid: Path) -> None:
    answer = call("run", grid, "--quiet", "--out", "out")
    paths = [f"out/{name}/result.png" for name in NAMES]
    assert answer.out.splitlines() == paths
    (grid.parent / "out" / NAMES[0] / "recipe.lock.yaml").write_text("damaged")
    again = call("run", grid, "--quiet", "--out", "out", "--resume")
    assert (again.code, again.out.splitlines()) == (1, paths[1:])


def test_all_executors_give_the_same_bytes(grid: Path, tmp_path: Path) -> None:
    """At the same number of threads."""
    made = {}
    for name, options in (
        ("serial", []),
        ("processes", ["--workers", "2"]),
        ("dask", ["--workers", "2"]),
    ):
        command = ["run", grid, "--executor", name, "--threads", "1", "--out", name, "--quiet"]
        done = subprocess.run(
            [sys.executable, "-m", "nstflow", *command, *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        made[name] = pictures(tmp_path / name)
    assert [*made["serial"]] == NAMES
    assert made["processes"] == made["serial"]
    assert made["dask"] == made["serial"]
    lock = (tmp_path / "dask" / NAMES[0] / "recipe.lock.yaml").read_text()
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
    call: Call, grid: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    answer = call("run", grid, *options)
    assert answer.code == 2
    assert words in answer.err
    assert answer.out.count("\n") <= 2  # no run was begun
    assert not list(tmp_path.glob("runs/*/*/run.json"))


def test_a_single_run_has_no_executor(call: Call, write: Callable[[str], Path], grid: Path) -> None:
    single = write(grid.read_text().split("matrix:")[0])
    answer = call("run", single, "--executor", "processes", "--threads", "2")
    assert answer.code == 2
    assert "--executor --threads" in answer.err
    assert "this recipe has no matrix" in answer.err


LONG = ["--set", "schedule.steps_per_epoch=4000", "--set", "checkpoints.every_steps=20"]
SHORT = ["--set", "schedule.steps_per_epoch=300", "--set", "checkpoints.every_steps=20"]


@pytest.mark.parametrize("executor", ["serial", "processes", "dask"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_many_runs_are_stopped(
    grid: Path, tmp_path: Path, executor: str, number: signal.Signals
) -> None:
    """Ctrl-C goes to all processes of a terminal; SIGTERM to the one that was started."""
    command = [sys.executable, "-m", "nstflow", "run", grid, "--out", "out"]
    running = subprocess.Popen(
        [*command, "--executor", executor, *LONG],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    checkpoints = "out/*/checkpoint.safetensors"
    wait_until(lambda: any(tmp_path.glob(checkpoints)) or running.poll() is not None)
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    told, _ = running.communicate(timeout=60)
    assert "Traceback" not in told
    assert running.returncode == 128 + number, told
    assert "continue with  nstflow run" in told
    states = [row["state"] for row in summary(tmp_path / "out")]
    assert set(states) <= {"stopped", "waiting", "finished"}
    assert "stopped" in states
    stopped = summary(tmp_path / "out")[states.index("stopped")]
    assert (tmp_path / "out" / stopped["result"]).is_file()  # the picture so far
    wait_until(lambda: not is_there(running.pid), 10)  # no process of the group is left


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_ctrl_c_while_the_workers_start(grid: Path, tmp_path: Path, executor: str) -> None:
    command = [sys.executable, "-m", "nstflow", "run", grid, "--out", "out", "--workers", "2"]
    running = subprocess.Popen(
        [*command, "--executor", executor, *LONG],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(children(running.pid)) >= 2 or running.poll() is not None)
    time.sleep(0.2)
    os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGINT, told
    assert "Traceback" not in told
    assert "failed" not in told


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cluster_that_loses_a_worker_makes_every_picture_once(grid: Path, tmp_path: Path) -> None:
    """Three workers, one killed in the middle of a run, which goes on from its checkpoint."""
    whole = [sys.executable, "-m", "nstflow", "run", grid, *SHORT, "--threads", "1"]
    subprocess.run(
        [*whole, "--out", "serial", "--quiet"], cwd=tmp_path, check=True, capture_output=True
    )
    running = subprocess.Popen(
        [*whole, "--executor", "dask", "--workers", "3", "--out", "dask"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    victims: list[int] = []

    def one_is_at_work() -> bool:
        for checkpoint in tmp_path.glob("dask/*/checkpoint.safetensors"):
            lock = str(checkpoint.with_name(".nstflow.lock"))
            victims.extend(pid for pid in children(running.pid) if lock in open_files(pid))
        return bool(victims) or running.poll() is not None

    wait_until(one_is_at_work)
    assert victims, running.communicate()
    os.kill(victims[0], signal.SIGKILL)
    told, errors = running.communicate(timeout=240)
    assert running.returncode == 0, told + errors
    assert pictures(tmp_path / "dask") == pictures(tmp_path / "serial")
    assert sorted(line.split()[0] for line in told.splitlines()[2:6]) == NAMES  # each ended once
    assert "resumed after step" in told
    assert "failed" not in told
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
    call: Call, grid: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("my own")
    answer = call("run", grid, "--out", ".")
    assert answer.code == 2
    assert f"'{name}' in it was not written by nstflow" in answer.err
    assert (tmp_path / name).read_text() == "my own"
    assert not (tmp_path / NAMES[0]).exists()


def test_an_image_that_would_be_replaced(call: Call, grid: Path, tmp_path: Path) -> None:
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
    call: Call, grid: Path, tmp_path: Path, place: str, executor: str
) -> None:
    (tmp_path / "afile").write_text("in the way")
    answer = call("run", grid, "--out", place, "--executor", executor)
    assert (answer.code, answer.out) == (2, "")
    assert "it can't be written" in answer.err


def test_one_command_at_a_time_makes_runs_in_a_directory(
    call: Call, grid: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "nstflow", "run", grid, "--out", "out", *LONG]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    wait_until(lambda: any(tmp_path.glob("out/*/checkpoint.safetensors")))
    answer = call("run", grid, "--out", "out", "--resume")
    assert answer.code == 2
    assert "another command makes runs in this directory" in answer.err
    running.kill()
    running.wait()
    assert call("run", grid, "--out", "out", "--overwrite", "--resume").code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *NAMES,
        "summary.csv",
        "contact_sheet.png",
    }


@pytest.mark.parametrize("executor", ["serial", "processes"])
@pytest.mark.parametrize(
    "error", ["SystemExit(0)", "GeneratorExit", "BaseException('x')", "Sly()", "MemoryError"]
)
def test_whatever_a_stage_raises_the_other_runs_are_made(
    write: Callable[..., Path], grid: Path, tmp_path: Path, executor: str, error: str
) -> None:
    plugin = write(
        f"""\
        from typing import Literal
        from nstflow import Postprocessor, hookimpl

        class Sly(Exception):
            def __str__(self):
                raise ValueError("no words")

        class Evil(Postprocessor):
            use: Literal["evil"] = "evil"
            how: str

            def apply(self, image, images):
                if self.how == "evil":
                    raise {error}
                return image

        @hookimpl
        def nstflow_stages():
            return [Evil]
        """,
        "evil.py",
    )
    recipe = grid.with_name("evil.yaml")
    text = grid.read_text().split("matrix:")[0] + "postprocess: [{use: evil, how: good}]\n"
    recipe.write_text(text + "matrix: {postprocess.0.how: [good, evil, kind]}\n")
    command = ["run", recipe, "--plugin", plugin, "--out", "out", "--executor", executor]
    done = subprocess.run(
        [sys.executable, "-m", "nstflow", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    rows = {row["cell"]: row["state"] for row in summary(tmp_path / "out")}
    assert rows == {"how-good": "finished", "how-evil": "failed", "how-kind": "finished"}
    assert "how-evil" in done.stderr
    assert "1 of 3 runs failed" in done.stderr
