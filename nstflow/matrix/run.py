"""The runs of a matrix: made by an executor, and summarized."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nstflow.errors import NstflowError
from nstflow.lockfile.build import make_lock
from nstflow.lockfile.diff import Difference, differences, refusal
from nstflow.lockfile.provenance import lock_of
from nstflow.matrix.directory import matrix_directory
from nstflow.matrix.plan import Matrix
from nstflow.matrix.summary import rows_of, write_summary, write_table
from nstflow.matrix.worker import left_by, work
from nstflow.plugins.manager import Plugins
from nstflow.recipe.attribution import Origin, check_type
from nstflow.recipe.paths import Keys
from nstflow.recipe.reader import read_stage
from nstflow.recipe.source import Source, parse_source
from nstflow.recipe.yaml import Position, parse_yaml
from nstflow.stages.job import Job, JobResult, Stop, Tell
from nstflow.stages.slots import EXECUTOR
from nstflow.stages.stage import Executor
from nstflow.storage.files import check_regular
from nstflow.storage.run_record import RECIPE_FILE, read_run_record

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice

_OPTION = "--executor"


def run_matrix(
    matrix: Matrix,
    executor: Executor,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    device: DeviceChoice = "auto",
    metadata: bool = True,
    tell: Tell = lambda _: None,
    begun: Callable[[], object] = lambda: None,
    ended: Callable[[JobResult], None] = lambda _: None,
    stop: Stop | None = None,
) -> list[JobResult]:
    """Make the runs, each in its own directory; one that fails does not stop the others.

    `summary.csv` and `contact_sheet.png` cover the runs that have ended, even if the command is
    interrupted. The table is updated each time a run ends.

    Args:
        matrix: What to make.
        executor: Where it is made.
        out: The directory that holds those of the runs.
        overwrite: Replace runs that are there.
        resume: Continue unfinished runs, and keep finished ones; with `overwrite` too, replace
            those of another recipe.
        device: Where to compute.
        metadata: Store in the pictures how they were made.
        tell: Called with the progress of all runs.
        begun: Called when it is certain that they can be made.
        ended: Called with the result of each run as it ends.
        stop: Asks to stop: no further run starts, and those in progress save a checkpoint.

    Returns:
        The results in the recipe's order; runs that never started are left out.

    Raises:
        NstflowError: The directory can't be used, or the executor can't start.
    """
    stop = stop or Stop()
    stop.polled = True
    results: dict[str, JobResult] = {}
    options = {"overwrite": overwrite, "resume": resume, "device": device, "metadata": metadata}
    with matrix_directory(matrix, out, may_hold_runs=overwrite or resume):
        jobs = {job.name: job for job in jobs_of(matrix, out, **options)}
        if resume and not overwrite:
            _check_resumable(list(jobs.values()))
        begun()
        try:
            for result in _results(matrix, executor, jobs, tell, stop):
                results[result.name] = result
                with contextlib.suppress(OSError):  # it is written again at the end
                    write_table(rows_of(matrix, list(results.values()), out), out)
                ended(result)
            for name in jobs if not stop.requested else ():
                if name not in results:
                    what = "its executor did not report how it ended."
                    results[name] = JobResult.lost(name, what)
                    ended(results[name])
        finally:
            for job, plan in zip(jobs.values(), matrix.plans, strict=True):
                if job.name not in results and (left := left_by(job, plan)):
                    results[job.name] = left
            ordered = [results[name] for name in jobs if name in results]
            write_summary(matrix, ordered, out)
    return ordered


def _results(
    matrix: Matrix, executor: Executor, jobs: Mapping[str, Job], tell: Tell, stop: Stop
) -> Iterator[JobResult]:
    """Yield the result of each run; errors are attributed to the executor."""
    left = set(jobs)
    source, keys = Source(_OPTION, "", {}, {}), (EXECUTOR.name,)
    origin = Origin(source, matrix.plans[0].recipe.installed, {keys: executor})
    with origin.asking(*keys):
        for result in executor.run(list(jobs.values()), work, tell, stop):
            check_type(result, JobResult, "run()")
            if result.name not in left:
                what = f"'{result.name}' twice, or a run that it was not given"
                raise RuntimeError(f"it reported {what}")
            left.remove(result.name)
            yield result


def _check_resumable(jobs: Sequence[Job]) -> None:
    """Check before the first run that the runs that are there are of this recipe.

    Raises:
        NstflowError: With the differences of the first that is not, or it is damaged.
    """
    for job in jobs:
        path = job.folder / RECIPE_FILE
        with contextlib.suppress(OSError, UnicodeDecodeError):
            written = check_regular(path).read_text("utf-8")
            if written != job.lock and read_run_record(job.folder) is not None:
                first, second = (parse_source(text, str(path)) for text in (written, job.lock))
                lock_of(first, needed=False)
                found = differences(first.data, second.data)
                found = found or [Difference("recipe", "another text", "this")]
                hint = "Replace the runs of another recipe with --overwrite --resume."
                names = ("the run that is there has", "now it is")
                raise refusal(found, str(path), "", hint, names)


def jobs_of(matrix: Matrix, out: Path, **options: Any) -> Iterator[Job]:
    """Yield the runs as plain data, each with its lockfile and these options."""
    for cell, plan in zip(matrix.cells, matrix.plans, strict=True):
        folder = (out / cell.name).absolute()
        lock = make_lock(plan, folder).to_text()
        yield Job(cell.name, lock, folder, plugins=plan.recipe.installed.files, **options)


def choose_executor(written: str | None, settings: dict[str, Any], plugins: Plugins) -> Executor:
    """Return the executor of a name, or one written as a stage of a recipe is.

    Args:
        written: A name, such as `processes`, or a mapping, such as `{use: dask, workers: 3}`; by
            default the first installed executor that has the settings.
        settings: More of its settings, from options of the same names; None where not given.
        plugins: What is installed.

    Raises:
        NstflowError: There is none of that name, or it lacks a setting, at the option.
    """
    keys: Keys = (EXECUTOR.name,)
    given = {name: value for name, value in settings.items() if value is not None}
    if written is None:
        offers = plugins.catalog[EXECUTOR.name].items()
        fitting = (name for name, offer in offers if set(given) <= set(offer.stage.model_fields))
        item: Any = next(fitting, EXECUTOR.default)
    else:
        item = parse_yaml(written, _OPTION, controls=False)[0]
    item = (item if isinstance(item, dict) else {"use": item}) | given
    options = {keys: _OPTION} | {(*keys, name): f"--{name}" for name in given}
    positions = {path: (Position(option), Position(option)) for path, option in options.items()}
    source = Source(_OPTION, written or "", {EXECUTOR.name: item}, positions)
    stage = read_stage(source, keys, item, plugins.catalog, {})
    if isinstance(stage, list):
        raise NstflowError(stage)
    return cast("Executor", stage)
