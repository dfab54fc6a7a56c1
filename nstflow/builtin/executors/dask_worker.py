"""What runs in a worker of a Dask cluster."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nstflow import Job, JobProgress, JobResult, Problem, Stop, Work

_one_at_a_time = threading.Lock()  # TensorFlow takes the whole process


def silence_logging() -> None:
    """Let this worker log nothing: when its cluster closes it is full of tracebacks."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


def make_run(job: Job, work: Work, session: str, marks: Path) -> JobResult | None:
    """Make a run; None where it was time to stop before it began.

    Args:
        job: What to do.
        work: Makes it.
        session: The topic of the news.
        marks: A folder on the shared storage: `stop` in it asks to stop, `<name>.taken` says that
            a worker has begun the job.
    """
    from distributed import get_worker

    worker, stop = get_worker(), Stop()

    def tell(news: JobProgress) -> None:
        if (marks / "stop").exists():
            stop.request()
        worker.log_event(session, {"news": asdict(news)})

    with _one_at_a_time:
        if (marks / "stop").exists():
            return None
        try:
            (marks / f"{job.name}.taken").touch(exist_ok=False)
        except FileExistsError:  # by a worker that was lost
            job = job.again()
        except OSError as error:
            got = f"the worker {worker.address} does not share '{marks.parent}' ({error})."
            return JobResult(job.name, "failed", problems=(Problem(job.name, "", got),))
        return work(job, tell, stop)


def sees(marks: Path, dask_worker: Any = None) -> tuple[str, bool]:
    """Return why a worker can't work with a folder, if so, and whether it announces a GPU."""
    has_gpu = "GPU" in dask_worker.state.total_resources
    try:
        if (marks / "here").read_text() != marks.name:
            return "it has another one", has_gpu
        (marks / uuid.uuid4().hex).touch()
    except OSError as error:
        return error.strerror or str(error), has_gpu
    return "", has_gpu
