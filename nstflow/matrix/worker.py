"""Makes one run of a matrix, in whatever process it is called."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial

from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.hookspecs import hookimpl
from nstflow.plan import Plan, make_plan
from nstflow.recipe.reader import ReadOptions, parse
from nstflow.recipe.source import parse_source
from nstflow.runner.cache import RunCache
from nstflow.runner.result import read_result
from nstflow.runner.run import run
from nstflow.stages.job import Job, JobProgress, JobResult, Stop, Tell
from nstflow.stages.result import Progress, Result
from nstflow.storage.files import check_regular
from nstflow.storage.run_record import RECIPE_FILE, read_run_record


def work(job: Job, tell: Tell, stop: Stop) -> JobResult:
    """Make the run of a job; what earlier runs of this process made is reused.

    Args:
        job: What to do.
        tell: Called with the progress, from this thread.
        stop: Asks to stop between two dispatches; a run that has not started does not start.
    """
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NstflowWarning)
        ended = _work(job, tell, stop)
    own = (w.message for w in caught if isinstance(w.message, NstflowWarning))
    notes = tuple(str(message.args[0]) for message in own)  # with the options of the command line
    for other in caught:
        if not issubclass(other.category, NstflowWarning):
            warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    seconds = ended.total_seconds or time.perf_counter() - began
    return replace(ended, total_seconds=seconds, notes=notes)


def _work(job: Job, tell: Tell, stop: Stop) -> JobResult:
    if stop.requested:
        return JobResult(job.name, "stopped")
    try:
        result = _run(job, tell, stop)
    except NstflowError as error:
        return JobResult(job.name, "failed", problems=tuple(_placed(job, error)))
    except KeyboardInterrupt:
        stop.request(signal.SIGINT)  # no signal handler has asked the other runs to stop
        return JobResult(job.name, "stopped")
    except BaseException as error:  # noqa: BLE001 - an error in one run does not stop the others
        said = traceback.format_exception_only(error)[0].strip()  # whose text may raise, too
        problem = Problem(job.name, "", said)
        return JobResult(job.name, "failed", problems=(problem,), trace=traceback.format_exc())
    if result.interrupted and not stop.requested:
        stop.request(signal.SIGINT)
    return result_of(job.name, result)


def _placed(job: Job, error: NstflowError) -> Iterator[Problem]:
    """Yield the problems of a run, with its name for a file in its directory, which may be gone."""
    own = str(job.folder / RECIPE_FILE)
    for problem in error.problems:
        known = problem.where and not problem.where.startswith(own)
        yield problem if known else replace(problem, where=job.name)


def _run(job: Job, tell: Tell, stop: Stop) -> Result:
    if job.threads is not None:
        from nstflow.engine.device import use_threads

        use_threads(job.threads)
    try:
        job.folder.mkdir(parents=True, exist_ok=True)  # where the paths of the lockfile start
    except OSError as error:
        got = f"the folder can't be made ({error.strerror or error})."
        raise NstflowError(Problem(str(job.folder), "", got)) from error
    source = parse_source(job.lock, str(job.folder / RECIPE_FILE), job.folder)
    recipe = parse(source, ReadOptions(plugins=tuple(job.plugins))).recipe_or_raise()
    run_job = partial(
        run,
        make_plan(recipe),
        job.folder,
        device=job.device,
        metadata=job.metadata,
        locked=True,
        quiet=True,
        observers=[_Progress(job.name, tell)],
        stop=stop,
        shared=_shared(),
    )
    if job.resume and job.overwrite:
        with contextlib.suppress(NstflowError):  # it is of another recipe, or another processor's
            return run_job(resume=True)
        return run_job(overwrite=True)
    return run_job(resume=job.resume, overwrite=job.overwrite)


def left_by(job: Job, plan: Plan) -> JobResult | None:
    """Return the result of a job's run that has ended, or None if there is none."""
    with contextlib.suppress(NstflowError, OSError, ValueError):
        record = read_run_record(job.folder)
        written = check_regular(job.folder / RECIPE_FILE).read_text("utf-8")
        if record and record.state == "finished" and written == job.lock:
            return result_of(job.name, read_result(plan, job.folder, record, ""))
    return None


_shared = cache(RunCache)  # one for all runs of this process


def result_of(name: str, result: Result) -> JobResult:
    """Return the part of a run's result that a job reports."""
    totals = result.history["total"]
    return JobResult(
        name,
        "stopped" if result.interrupted else "finished",
        steps=len(totals),
        seconds=result.seconds,
        compile_seconds=result.compile_seconds,
        total_seconds=result.total_seconds,
        losses=dict(result.losses),
        halfway=totals[max(len(totals) // 2, 1) - 1],
        files=tuple(result.files),
        device=result.device,
        already=result.already,
        resumed_from=result.resumed_from,
    )


class _Progress:
    """Reports the progress of a run."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name, self._tell = name, tell

    @hookimpl
    def nstflow_run_started(self, plan: Plan) -> None:
        self._tell(JobProgress(self._name, 0, plan.steps))

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        self._tell(JobProgress(self._name, progress.step, progress.steps, progress.total[-1]))
