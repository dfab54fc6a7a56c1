"""Runs on a cluster, by Dask Distributed."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, model_validator

from nstflow import Executor, Job, JobProgress, JobResult, NstflowError, Problem, Stop, Tell, Work
from nstflow.builtin.executors.machine import block_signals, gpus_here
from nstflow.toolkit import cores

POLL_INTERVAL = 0.1  # seconds between two checks of what has ended
START_TIMEOUT = 30  # seconds that the first worker has to appear
STOP_TIMEOUT = 60  # seconds that runs have to stop
_PREFIX = "nstflow-dask-"
_ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d{1,5}")


class Dask(Executor):
    """Carry out runs on the workers of a Dask cluster, one at a time on each.

    Every worker needs nstflow and the recipe's plugins, and must see the run directories and the
    images under the same paths as this machine. If a worker dies, another one resumes its run from
    the last checkpoint. If workers have the Dask resource `GPU`, each run uses one.
    """

    use: Literal["dask"] = "dask"
    scheduler: str | None = Field(
        None,
        description="Address of a running scheduler, such as tcp://host:8786; by default nstflow"
        " starts a cluster on this machine.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of workers to start on this machine, but never more than runs; by"
        " default one with a GPU, or one per two cores but at least two.",
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads that each run computes with; by default workers on this machine share"
        " its cores, and those of another scheduler use all cores.",
    )

    @model_validator(mode="after")
    def _one_cluster(self) -> Dask:
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise ValueError(f"'{self.scheduler}' is not an address: write tcp://host:8786")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("an existing cluster has its own workers: leave `workers` out")
        return self

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Yield how each run ended, as it ends."""
        if not jobs:
            return
        topic = f"{_PREFIX}{uuid.uuid4().hex}"
        flags = jobs[0].folder.parent / f".{topic}"
        with _flag_folder(flags), self._client(jobs) as client:
            has_gpus = _check_workers(client, flags, stop)
            if stop.requested:
                return
            count = len(client.nthreads())
            threads = self.threads or (None if self.scheduler else max(1, cores() // count))
            events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
            client.subscribe_topic(topic, lambda event: events.put(event[1]["progress"]))
            submit = partial(client.submit, make_run, resources={"GPU": 1} if has_gpus else None)
            futures = {}
            for index, job in enumerate(jobs):
                arguments = (replace(job, threads=threads), work, topic, flags)
                future = submit(*arguments, key=f"{topic}-{index}", priority=-index)
                futures[future] = job.name
            yield from _results(client, futures, events, tell, stop, flags)

    @contextlib.contextmanager
    def _client(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Connect to the cluster, or make one for as long as this lasts."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise _refusal("Dask is not installed.", "Install nstflow[dask].") from error
        if self.scheduler is not None:
            host, _, port = self.scheduler.partition("://")[2].rpartition(":")
            try:
                # Dask itself takes long to notice that no scheduler listens
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
                client = Client(self.scheduler, timeout="10s", set_as_default=False)
            except Exception as error:
                got = f"no scheduler answers at '{self.scheduler}' ({error})."
                raise _refusal(got, "Start one with `dask scheduler`.", "--scheduler") from error
            with client:
                yield client
            return
        gpus = [] if jobs[0].device == "cpu" else gpus_here()
        if gpus[1:]:
            got = f"there are {len(gpus)} GPUs, and a cluster that nstflow starts uses only one."
            raise _refusal(got, "Use --executor processes, or start one worker for each GPU.")
        count = min(self.workers or len(gpus) or max(2, cores() // 2), len(jobs))
        try:
            with block_signals(signal.SIGINT):  # not for the workers, nor for Dask's threads
                cluster = LocalCluster(
                    n_workers=count,
                    threads_per_worker=1,
                    dashboard_address=":0",
                    memory_limit=None,
                    silence_logs=logging.ERROR,
                )
        except (OSError, RuntimeError) as error:  # as without a folder for temporary files
            got = f"Dask can't start a cluster here ({error})."
            raise _refusal(got, "Use --executor processes.") from error
        with cluster, Client(cluster, set_as_default=False) as client:
            client.run(silence_logging)
            yield client


def _refusal(got: str, hint: str, option: str = "--executor dask") -> NstflowError:
    return NstflowError(Problem(option, "", got, hint))


@contextlib.contextmanager
def _flag_folder(folder: Path) -> Iterator[None]:
    """Make the folder on the shared storage by whose files this process and the workers signal."""
    for old in folder.parent.glob(f".{_PREFIX}*"):  # of a process that was killed
        shutil.rmtree(old, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        (folder / "owner").write_text(folder.name)
    except OSError as error:
        got = f"'{folder.parent}' can't be written ({error.strerror or error})."
        raise _refusal(got, "Choose another place with --out.") from error
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_workers(client: Any, flags: Path, stop: Stop) -> bool:
    """Check that there are workers which share the storage; return whether any has a GPU."""
    deadline = time.monotonic() + START_TIMEOUT
    while not client.nthreads():
        if stop.requested:
            return False
        if time.monotonic() > deadline:
            raise _refusal("the cluster has no worker.", "Start one with `dask worker`.")
        time.sleep(POLL_INTERVAL)
    answers = client.run(probe, flags, on_error="return")
    failed = [f"{worker} ({e})" for worker, e in answers.items() if isinstance(e, Exception)]
    if failed:
        got = f"not every worker can use '{flags.parent}': {'; '.join(sorted(failed))}."
        hint = "Choose an --out that all workers share, and install nstflow on every worker."
        raise _refusal(got, hint)
    return any(answers.values())


def _results(
    client: Any,
    futures: dict[Any, str],
    events: queue.SimpleQueue[dict[str, Any]],
    tell: Tell,
    stop: Stop,
    flags: Path,
) -> Iterator[JobResult]:
    """Forward the progress of all runs, and yield how each ended."""
    from distributed import as_completed

    waiting = dict(futures)
    completed = as_completed(list(futures), loop=client.loop)
    deadline = float("inf")
    while waiting and time.monotonic() < deadline:
        _forward(events, tell, set(waiting.values()))
        for future in completed.next_batch(block=False):
            name = waiting.pop(future)
            _forward(events, tell, {name, *waiting.values()})
            if (result := _result(name, future)) is not None:
                yield result
        if stop.requested and deadline == float("inf"):
            (flags / "stop").touch()
            deadline = time.monotonic() + STOP_TIMEOUT
            begun = {path.stem for path in flags.glob("*.begun")}
            client.cancel([future for future, name in waiting.items() if name not in begun])
    for name in waiting.values():
        yield JobResult.lost(name, "its worker did not stop in time.")


def _forward(events: queue.SimpleQueue[dict[str, Any]], tell: Tell, names: set[str]) -> None:
    """Forward the events of runs that have not ended; wait for the first one for a moment."""
    with contextlib.suppress(queue.Empty):
        timeout = POLL_INTERVAL
        while True:
            progress = JobProgress(**events.get(timeout=timeout))
            if progress.name in names:
                tell(progress)
            timeout = 0.001


def _result(name: str, future: Any) -> JobResult | None:
    """Return how a run ended; None where it never began."""
    if future.status == "finished":
        return cast("JobResult | None", future.result())
    if future.status == "cancelled":
        return None
    why = "the scheduler died, and workers may still be running"
    if future.status == "error":
        why = future.exception()
    return JobResult.lost(name, f"its worker failed ({why}).")


# in a worker

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
        raise OSError("its folder of that name is another one: the storage is not shared")
    (flags / uuid.uuid4().hex).touch()
    return "GPU" in dask_worker.state.total_resources
