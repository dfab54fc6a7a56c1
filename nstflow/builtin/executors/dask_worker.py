"""What runs in a worker of a Dask cluster."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nstflow import Job, JobProgress, JobResult, Stop, Work

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
        return work(job, tell, stop)


def probe(flags: Path, dask_worker: Any = None) -> bool:
    """Return whether this worker announces a GPU.

    Raises:
        OSError: It can't use the folder.
    """
    if (flags / "owner").read_text() != flags.name:
        raise OSError("it has another folder of that name")
    (flags / uuid.uuid4().hex).touch()
    return "GPU" in dask_worker.state.total_resources
