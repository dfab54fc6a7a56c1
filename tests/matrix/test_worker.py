"""One run of many, made from plain data: how each kind of end is reported."""

import pickle
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nstflow import Job, JobProgress, Stop, load_recipe, run
from nstflow.engine.loop import Loop
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.matrix.run import jobs_of
from nstflow.matrix.worker import work
from nstflow.recipe.reader import ReadOptions
from nstflow.stages.job import JobResult


@pytest.fixture
def jobs(grid: Path, tmp_path: Path) -> Any:
    """Return the jobs of four small runs."""

    def jobs(*overrides: str, **options: Any) -> list[Job]:
        matrix = plan_recipe(grid, ReadOptions(overrides))
        assert isinstance(matrix, Matrix)
        return [replace(job, **options) for job in jobs_of(matrix, tmp_path / "out")]

    return jobs


def ignore(_: JobProgress) -> None:
    pass


def test_a_job_is_plain_data(jobs: Any) -> None:
    for job in jobs():
        data = pickle.dumps(job)
        assert pickle.loads(data) == job  # noqa: S301 - our own
        assert b"nstflow.recipe" not in data
        assert b"builtin" not in data


def test_a_run_that_finishes(jobs: Any, grid: Path, tmp_path: Path) -> None:
    heard: list[JobProgress] = []
    job = jobs()[1]
    outcome = work(job, heard.append, Stop())
    assert (outcome.name, outcome.state, outcome.steps) == ("weight-1_seed-4", "finished", 6)
    assert outcome.problems == outcome.notes == ()
    assert outcome.files == (job.folder / "result.png",)
    assert [news.step for news in heard] == sorted({news.step for news in heard})
    assert (heard[0].step, heard[-1].step, heard[-1].steps) == (0, 6, 6)
    assert heard[-1].total == outcome.losses["total"]
    assert pickle.loads(pickle.dumps(outcome)) == outcome  # noqa: S301 - our own

    single = grid.with_name("single.yaml")
    single.write_text(grid.read_text().split("matrix:")[0])
    changes = ["losses.look.weight=1", "images.style.seed=4"]
    alone = run(load_recipe(single, changes), tmp_path / "alone")
    assert outcome.losses == alone.losses
    assert outcome.halfway == alone.history["total"][2]
    assert (job.folder / "result.png").read_bytes() == alone.files[0].read_bytes()
    left = {path.name for path in job.folder.iterdir()}
    assert left == {path.name for path in alone.folder.iterdir()}


def test_what_a_run_leaves_can_be_run_by_itself(jobs: Any, tmp_path: Path) -> None:
    job = jobs()[2]
    work(job, ignore, Stop())
    picture = (job.folder / "result.png").read_bytes()
    for name in ("recipe.yaml", "recipe.lock.yaml"):
        again = run(load_recipe(job.folder / name), tmp_path / name, locked=True)
        assert again.files[0].read_bytes() == picture


def test_a_run_that_is_there_already(jobs: Any) -> None:
    first = work(jobs()[0], ignore, Stop())
    again = work(replace(jobs()[0], resume=True), ignore, Stop())
    assert again.already
    assert (again.state, again.steps, again.losses) == ("finished", 6, first.losses)
    refused = work(jobs()[0], ignore, Stop())
    assert (refused.state, refused.steps, refused.losses) == ("failed", 0, {})
    assert refused.problems[0].got == "this run directory exists already."
    assert work(replace(jobs()[0], overwrite=True), ignore, Stop()).state == "finished"


def test_a_run_that_is_stopped_and_goes_on(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nstflow.engine.loop.CAPACITY", 2)
    whole = work(jobs()[0], ignore, Stop())
    job, stop = jobs("losses.keep.weight=10")[0], Stop()
    job = replace(job, folder=job.folder.with_name("stopped"))

    def tell(news: JobProgress) -> None:
        if news.step:
            stop.request()

    stopped = work(job, tell, stop)
    assert stopped.state == "stopped"
    assert 0 < stopped.steps < 6
    ended = work(replace(job, resume=True), ignore, Stop())
    assert (ended.state, ended.already) == ("finished", False)
    assert (job.folder / "result.png").read_bytes() == whole.files[0].read_bytes()


def test_a_file_that_changed_since(jobs: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (24, 32), (9, 9, 9)).save(tmp_path / "photo.png")
    path = tmp_path / "photo.png"
    job = jobs(f"images.content={{use: file, path: {path}}}")[0]
    Image.new("RGB", (24, 32), (10, 9, 9)).save(tmp_path / "photo.png")
    outcome = work(job, ignore, Stop())
    assert outcome.state == "failed"
    assert outcome.problems[0].what == "lock.files.images.content.path"
    assert outcome.problems[0].where == job.name  # the run's own recipe is gone with its folder
    assert not (job.folder / "recipe.yaml").exists()
    assert outcome.trace == ""


def test_a_plugin_that_is_of_another_version(jobs: Any) -> None:
    job = jobs()[0]
    job = replace(job, lock=job.lock.replace("plugins: {nstflow: ", "plugins: {nstflow: 9"))
    outcome = work(job, ignore, Stop())
    assert outcome.problems[0].what == "lock.plugins.nstflow"


def test_a_mistake_in_a_program(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Mock(side_effect=ZeroDivisionError("by design"))
    monkeypatch.setattr(Loop, "dispatch", broken)
    outcome = work(jobs()[0], ignore, Stop())
    assert outcome.state == "failed"
    assert outcome.problems[0].got == "ZeroDivisionError: by design"
    assert "mock.py" in outcome.trace


def test_a_folder_that_can_not_be_made(jobs: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    outcome = work(jobs()[0], ignore, Stop())
    assert outcome.state == "failed"
    assert "can't be made" in outcome.problems[0].got


def test_warnings_come_back(jobs: Any) -> None:
    outcome = work(jobs()[0], Mock(side_effect=RuntimeError("the display is broken")), Stop())
    assert outcome.state == "finished"
    assert any("the display is broken" in note for note in outcome.notes)


def test_another_number_of_threads_needs_another_process(jobs: Any) -> None:
    work(jobs()[0], ignore, Stop())  # TensorFlow has begun
    outcome = work(replace(jobs()[1], threads=97), ignore, Stop())
    assert outcome.problems[0].where == "threads 97"


KILLED = """
import os, pickle, signal, sys
from nstflow import Stop
from nstflow.matrix.worker import work

def tell(news):
    if news.step >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

work(pickle.loads(sys.stdin.buffer.read()), tell, Stop())
"""


@pytest.mark.parametrize(
    ("old", "step"),
    [("none", 0), ("none", 1), ("none", 6), ("same", 0), ("other", 1), ("other", 6)],
)
def test_a_job_whose_worker_was_lost(jobs: Any, old: str, step: int) -> None:
    """Killed when it began, at its first step, at its last; where there was a run or none."""
    job = jobs()[0]
    work(replace(job, folder=job.folder.with_name("whole")), ignore, Stop())
    whole = (job.folder.with_name("whole") / "result.png").read_bytes()
    if old != "none":
        before = jobs() if old == "same" else jobs("schedule.steps_per_epoch=4")
        work(before[0], ignore, Stop())
    sent = pickle.dumps(replace(job, overwrite=old != "none"))
    command = [sys.executable, "-c", KILLED, str(step)]
    assert subprocess.run(command, input=sent, check=False).returncode == -signal.SIGKILL
    ended = work(job.again(), ignore, Stop())
    assert (ended.state, ended.steps) == ("finished", 6), ended.problems
    assert (job.folder / "result.png").read_bytes() == whole


def test_a_job_that_can_not_go_on_begins_anew(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another processor, which rounds otherwise."""
    monkeypatch.setattr("nstflow.engine.loop.CAPACITY", 2)
    stop = Stop()
    work(jobs()[0], lambda news: stop.request() if news.step else None, stop)
    lock = jobs()[0].folder / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("device: CPU", "device: another CPU"))
    refused = work(replace(jobs()[0], resume=True), ignore, Stop())
    assert refused.problems[0].what == "lock.device"
    assert work(jobs()[0].again(), ignore, Stop()).state == "finished"
    assert "another CPU" not in lock.read_text()


def test_a_run_does_not_begin_once_it_is_time_to_stop(jobs: Any) -> None:
    stop = Stop()
    stop.request()
    assert work(jobs()[0], ignore, stop).state == "stopped"
    assert not jobs()[0].folder.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_would_end_the_process(
    jobs: Any, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(Loop, "compile", Mock(side_effect=error))
    stop = Stop()
    ended = work(jobs()[0], ignore, stop)
    expected = "stopped" if error is KeyboardInterrupt else "failed"
    assert (ended.state, stop.requested) == (expected, expected == "stopped")


def test_other_warnings_go_on(jobs: Any) -> None:
    with pytest.warns(UserWarning, match="of a plugin"):
        ended = work(jobs()[0], lambda _: warnings.warn("of a plugin", stacklevel=1), Stop())
    assert ended.notes == ()


def test_a_lost_run() -> None:
    outcome = JobResult.lost("x", "its process ended.")
    assert outcome.state == "failed"
    (problem,) = outcome.problems
    assert (problem.where, problem.got) == ("x", "its process ended.")
    assert problem.hint == "`--resume` continues from its last checkpoint."
