"""What runs in a worker of a Dask cluster."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nstflow import Job, JobProgress, JobResult, Problem, Stop, Work

_one_run_at_a_time = threading.Lock()  # TensorFlow takes the whole process


def silence_logging() -> None:
    """Stop this worker's logging: while its cluster closes, it would log many tracebacks."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)


def make_run(job: Job, work: Work, topic: str, flags: Path) -> JobResult | None:
    """Make a run; None where it was time to stop before it began.

    Args:
        job: What to do.
        work: Makes it.
        topic: The topic of the cluster's events that progress is sent to.
        flags: A folder on the shared storage: the file `stop` in it asks to stop, `<name>.begun`
            says that a worker has begun the job.
    """
    from distributed import get_worker

    worker, stop = get_worker(), Stop()

    def tell(progress: JobProgress) -> None:
        if (flags / "stop").exists():
            stop.request()
        worker.log_event(topic, {"progress": asdict(progress)})

    with _one_run_at_a_time:
        if (flags / "stop").exists():
            return None
        try:
            (flags / f"{job.name}.begun").touch(exist_ok=False)
        except FileExistsError:  # by a worker that died
            job = job.again()
        except OSError as error:
            got = f"the worker {worker.address} can't write to '{flags.parent}' ({error})."
            return JobResult(job.name, "failed", problems=(Problem(job.name, "", got),))
        return work(job, tell, stop)


def probe(flags: Path, dask_worker: Any = None) -> tuple[str, bool]:
    """Return why this worker can't use the folder, or "", and whether it announces a GPU."""
    has_gpu = "GPU" in dask_worker.state.total_resources
    try:
        if (flags / "owner").read_text() != flags.name:
            return "it has another folder of that name", has_gpu
        (flags / uuid.uuid4().hex).touch()
    except OSError as error:
        return error.strerror or str(error), has_gpu
    return "", has_gpu
