"""Many runs from one recipe: planned together, each in a directory of its own."""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from nstflow import Executor, Job, JobProgress, JobResult, NstflowError, Stop, Tell, Work
from nstflow.builtin.executors.serial import Serial
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.matrix.run import run_matrix
from nstflow.plan import Plan
from refusals import problems_of, refused

NAMES = ["weight-1_seed-3", "weight-1_seed-4", "weight-2_seed-3", "weight-2_seed-4"]


class Backwards(Executor):
    """Makes the last run first, and says of each what it was given."""

    use: Literal["backwards"] = "backwards"

    def run(
        self, jobs: Sequence[Job], work: Work, tell: Callable[[JobProgress], None], stop: Stop
    ) -> Iterator[JobResult]:
        assert work.__module__ == "nstflow.matrix.worker"
        assert stop.polled
        for job in reversed(jobs):
            tell(JobProgress(job.name, 1, 6))
            yield JobResult(job.name, "finished", device=repr(job))


def test_every_run_is_planned(matrix: Matrix) -> None:
    assert (matrix.name, matrix.summary, len(matrix)) == ("grid", "Four small runs.", 4)
    assert [cell.name for cell in matrix.cells] == NAMES
    assert [plan.terms["look"].weight for plan in matrix.plans] == [1, 1, 2, 2]


def test_the_table_is_there_while_the_runs_last(matrix: Matrix, tmp_path: Path) -> None:
    seen = []

    def look(_: JobResult) -> None:
        rows = csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines())
        seen.append([row["state"] for row in rows])

    run_matrix(matrix, Backwards(), tmp_path / "out", ended=look)
    w, f = "waiting", "finished"
    assert seen == [[w, w, w, f], [w, w, f, f], [w, f, f, f], [f, f, f, f]]


def test_one_run_is_a_plan(write: Any, grid: Path) -> None:
    assert isinstance(plan_recipe(grid), Matrix)
    single = write(grid.read_text().split("matrix:")[0])
    assert isinstance(plan_recipe(single), Plan)


def test_the_problems_of_all_runs_are_reported_once(write: Any, grid: Path) -> None:
    text = grid.read_text()
    recipe = write(f"{text}  losses.keep.wieght: [1, 2]\n  images.content.height: [5, -1]\n")
    line = text.count("\n") + 1
    assert [(problem.where, problem.what) for problem in problems_of(plan_recipe, recipe)] == [
        (f"{recipe}:{line}:24", "losses.keep.wieght"),
        (f"{recipe}:{line}:27", "losses.keep.wieght"),
        (f"{recipe}:{line + 1}:30", "images.content.height"),
    ]


def test_files_that_are_missing_are_reported_at_the_matrix(write: Any, grid: Path) -> None:
    text = grid.read_text().replace("{use: noise, height: 32, width: 24}", "{path: a.png}")
    recipe = write(text + "  images.content.path: [b.png, c.png]\n")
    line = text.count("\n") + 1
    assert [problem.where for problem in problems_of(plan_recipe, recipe)] == [
        f"{recipe}:{line}:25",
        f"{recipe}:{line}:32",
    ]


def test_an_executor_has_plain_jobs_and_its_order_does_not_matter(
    matrix: Matrix, tmp_path: Path
) -> None:
    heard: list[Any] = []
    options: dict[str, Any] = {"resume": True, "device": "cpu", "metadata": False}
    hear = heard.append
    outcomes = run_matrix(matrix, Backwards(), tmp_path / "out", **options, tell=hear, ended=hear)
    assert [outcome.name for outcome in outcomes] == NAMES
    assert [each.name for each in heard[::2]] == NAMES[::-1]
    assert [each.name for each in heard[1::2]] == NAMES[::-1]
    folder = tmp_path / "out" / NAMES[0]
    assert outcomes[0].device == repr(Job(NAMES[0], "", folder, **options))


def test_a_run_that_fails_does_not_stop_the_others(grid: Path, tmp_path: Path) -> None:
    planned = plan_recipe(grid)
    assert isinstance(planned, Matrix)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAMES[1]).write_text("in the way")
    outcomes = run_matrix(planned, Serial(), tmp_path / "out")
    states = [outcome.state for outcome in outcomes]
    assert states == ["finished", "failed", "finished", "finished"]
    assert outcomes[1].problems
    (tmp_path / "out" / NAMES[1]).unlink()
    again = run_matrix(planned, Serial(), tmp_path / "out", resume=True)
    assert [outcome.already for outcome in again] == [True, False, True, True]


def test_runs_that_are_there_already_are_not_begun(matrix: Matrix, tmp_path: Path) -> None:
    run_matrix(matrix, Serial(), tmp_path / "out")
    with pytest.raises(NstflowError, match="4 of the 4 runs are there already"):
        run_matrix(matrix, Serial(), tmp_path / "out")
    both = run_matrix(matrix, Serial(), tmp_path / "out", overwrite=True, resume=True)
    assert all(result.already for result in both)
    again = run_matrix(matrix, Serial(), tmp_path / "out", overwrite=True)
    assert not any(outcome.already for outcome in again)


def test_a_single_run_is_not_buried(matrix: Matrix, tmp_path: Path) -> None:
    run_matrix(matrix, Serial(), tmp_path / "out")
    with pytest.raises(NstflowError, match="this is the directory of a single run"):
        run_matrix(matrix, Serial(), tmp_path / "out" / NAMES[0], overwrite=True)


class Silent(Executor):
    """Makes some runs, and tells of some ends too often."""

    use: Literal["silent"] = "silent"
    names: tuple[str, ...] = ()

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:  # noqa: ARG002
        yield from (JobResult(name, "finished") for name in self.names)


def test_a_run_of_which_nothing_is_heard_has_failed(matrix: Matrix, tmp_path: Path) -> None:
    heard: list[JobResult] = []
    executor = Silent(names=(NAMES[2],))
    results = run_matrix(matrix, executor, tmp_path / "out", ended=heard.append)
    assert [result.state for result in results] == ["failed", "failed", "finished", "failed"]
    assert len(heard) == 4


@pytest.mark.parametrize("names", [(NAMES[0], NAMES[0]), ("nobody",)])
def test_an_executor_that_tells_of_an_end_too_many(
    matrix: Matrix, tmp_path: Path, names: tuple[str, ...]
) -> None:
    with pytest.raises(RuntimeError, match=r"it reported .* twice"):
        run_matrix(matrix, Silent(names=names), tmp_path / "out")


def test_runs_that_ended_before_are_known_after_an_early_stop(
    matrix: Matrix, tmp_path: Path
) -> None:
    run_matrix(matrix, Serial(), tmp_path / "out")
    stop = Stop()
    stop.request()
    results = run_matrix(matrix, Serial(), tmp_path / "out", resume=True, stop=stop)
    assert [(result.name, result.already) for result in results] == [(n, True) for n in NAMES]
    assert all(result.losses["total"] > 0 and result.files for result in results)
    recipe = tmp_path / "out" / NAMES[0] / "recipe.yaml"
    text = recipe.read_text()
    for damaged in ("[]", "~", "lock: 5", "lock: {files: {a: {}}, python: '3', tensorflow: '2'}"):
        recipe.write_text(damaged)
        problems = problems_of(run_matrix, matrix, Serial(), tmp_path / "out", resume=True)
        assert all(problem.where.startswith(str(recipe)) for problem in problems)
    recipe.unlink()
    os.mkfifo(recipe)
    assert run_matrix(matrix, Serial(), tmp_path / "out", resume=True)[0].already
    recipe.unlink()
    recipe.write_text(text.replace("seed: 0", "seed: 1", 1))
    summary = (tmp_path / "out" / "summary.csv").read_bytes()
    problem = refused(run_matrix, matrix, Serial(), tmp_path / "out", resume=True)
    assert (problem.what, problem.got) == ("seed", "the run that is there has 1, now it is 0.")
    assert problem.hint == "Replace the runs of another recipe with --overwrite --resume."
    assert (tmp_path / "out" / "summary.csv").read_bytes() == summary
    both = run_matrix(matrix, Serial(), tmp_path / "out", resume=True, overwrite=True)
    assert [result.state for result in both] == ["finished"] * 4
