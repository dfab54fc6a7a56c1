"""Runs on a cluster, by Dask Distributed."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from nstflow import Executor, Job, JobProgress, JobResult, NstflowError, Problem, Stop, Tell, Work
from nstflow.builtin.executors.dask_worker import make_run, sees, silence_logging
from nstflow.builtin.executors.machine import block_signals, gpus_here
from nstflow.toolkit import cores

_SESSION = "nstflow-dask-"
POLL_INTERVAL = 0.1  # seconds between two looks at what has ended
STOP_TIMEOUT = 60  # seconds that runs at work have to stop
_ADDRESS = re.compile(r"(tcp|tls)://[^/\s]+:\d{1,5}")
_WAIT = 30  # seconds for a first worker


class Dask(Executor):
    """Runs on the workers of a Dask cluster: one at a time on each, one per GPU if they say so.

    The workers have nstflow and the recipe's plugins installed, and the storage of the run
    directories and of the images under the same paths. A run whose worker is lost goes on from its
    last checkpoint on another. Where workers announce the resource `GPU`, a run takes one.
    """

    use: Literal["dask"] = "dask"
    scheduler: str | None = Field(
        None, description="The scheduler, tcp://host:8786; else a cluster on this machine."
    )
    workers: int | None = Field(
        None, ge=1, le=256, description="Workers of a cluster here; else one per two cores."
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads in each; else a share.")

    @model_validator(mode="after")
    def _one_cluster(self) -> Dask:
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise ValueError(f"'{self.scheduler}' is no address: write tcp://host:8786")
        if self.scheduler is not None and self.workers is not None:
            raise ValueError("a cluster that is there has its own workers: leave `workers` out")
        return self

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Yield how each run ended, as it ends."""
        if not jobs:
            return
        session = f"{_SESSION}{uuid.uuid4().hex}"
        marks = jobs[0].folder.parent / f".{session}"
        with _marks(marks), self._client(jobs) as client:
            gpus = _check(client, marks, stop)
            if stop.requested:
                return
            count = len(client.nthreads())
            threads = self.threads or (None if self.scheduler else max(1, cores() // count))
            heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
            client.subscribe_topic(session, lambda event: heard.put(event[1]["news"]))
            futures = {}
            for index, job in enumerate(jobs):
                future = client.submit(
                    *(make_run, replace(job, threads=threads), work, session, marks),
                    key=f"{session}-{index}",
                    priority=-index,
                    pure=False,
                    resources={"GPU": 1} if gpus else None,
                )
                futures[future] = job.name
            yield from _follow(client, futures, heard, tell, stop, marks)

    @contextlib.contextmanager
    def _client(self, jobs: Sequence[Job]) -> Iterator[Any]:
        """Connect to the cluster, or make one for as long as this lasts."""
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise _refused("Dask is not installed.", "Install nstflow[dask].") from error
        if self.scheduler is not None:
            _look(self.scheduler)
            try:
                client = Client(self.scheduler, timeout="10s", set_as_default=False)
            except Exception as error:
                raise _no_scheduler(self.scheduler, error) from error
            with client:
                yield client
            return
        gpus = [] if jobs[0].device == "cpu" else gpus_here()
        if gpus[1:]:
            got = "a cluster on this machine has one GPU at most."
            raise _refused(got, "Use --executor processes, or start one worker for each GPU.")
        count = min(self.workers or len(gpus) or max(2, cores() // 2), len(jobs))
        with block_signals(
            signal.SIGINT
        ):  # Ctrl-C is not for the workers, nor for the thread of Dask
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address=":0",
                memory_limit=None,
                silence_logs=logging.ERROR,
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            client.run(silence_logging)
            yield client


def _look(address: str) -> None:
    """Find that somebody listens at an address: Dask itself takes long to say so.

    Raises:
        NstflowError: Nobody does.
    """
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise _no_scheduler(address, error) from error


def _no_scheduler(address: str, error: Exception) -> NstflowError:
    got = f"no scheduler answers at '{address}' ({error})."
    return NstflowError(Problem("--scheduler", "", got, "Start one with `dask scheduler`."))


@contextlib.contextmanager
def _marks(folder: Path) -> Iterator[None]:
    """Make the folder on shared storage in which this process and the workers leave marks."""
    for old in folder.parent.glob(f".{_SESSION}*"):  # of a process that was killed
        shutil.rmtree(old, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
        (folder / "here").write_text(folder.name)
    except OSError as error:
        got = f"'{folder.parent}' can't be written ({error.strerror or error})."
        raise _refused(got, "Choose another place with --out.") from error
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check(client: Any, marks: Path, stop: Stop) -> bool:
    """Find that there are workers and all share the storage; return whether any has a GPU."""
    until = time.monotonic() + _WAIT
    while not client.nthreads():
        if stop.requested:
            return False
        if time.monotonic() > until:
            raise _refused("the cluster has no worker.", "Start one with `dask worker`.")
        time.sleep(POLL_INTERVAL)
    answers = client.run(sees, marks, on_error="return")
    blind = [
        f"{worker} ({answer if isinstance(answer, Exception) else answer[0]})"
        for worker, answer in answers.items()
        if isinstance(answer, Exception) or answer[0]
    ]
    if blind:
        got = f"not every worker shares '{marks.parent}': {'; '.join(sorted(blind))}."
        raise _refused(got, "Give --out a folder that all have, and install nstflow there.")
    return any(has_gpu for _, has_gpu in answers.values())


def _follow(
    client: Any,
    futures: dict[Any, str],
    heard: queue.SimpleQueue[dict[str, Any]],
    tell: Tell,
    stop: Stop,
    marks: Path,
) -> Iterator[JobResult]:
    """Pass on what is heard of all runs, and yield how they end."""
    from distributed import as_completed

    waiting = dict(futures)
    ended = as_completed(list(futures), loop=client.loop)
    until = float("inf")
    while waiting and time.monotonic() < until:
        _pass_on(heard, tell, set(waiting.values()))
        for future in ended.next_batch(block=False):
            name = waiting.pop(future)
            _pass_on(heard, tell, {name, *waiting.values()})
            if (result := _result(name, future)) is not None:
                yield result
        if stop.requested and until == float("inf"):
            (marks / "stop").touch()
            until = time.monotonic() + STOP_TIMEOUT
            begun = {path.stem for path in marks.glob("*.taken")}
            client.cancel([future for future, name in waiting.items() if name not in begun])
    for name in waiting.values():
        yield JobResult.lost(name, "its worker did not stop in time.")


def _pass_on(heard: queue.SimpleQueue[dict[str, Any]], tell: Tell, names: set[str]) -> None:
    """Tell all that was heard of runs that have not ended; wait a moment for the first."""
    with contextlib.suppress(queue.Empty):
        wait = POLL_INTERVAL
        while True:
            news = JobProgress(**heard.get(timeout=wait))
            if news.name in names:
                tell(news)
            wait = 0.001


def _result(name: str, future: Any) -> JobResult | None:
    """Return how a run ended; None where it never began."""
    if future.status == "finished":
        result: JobResult | None = future.result()
        return result
    if future.status == "cancelled":
        return None
    why = "the scheduler is gone, and workers may still be at work"
    if future.status == "error":
        why = future.exception()
    return JobResult.lost(name, f"its workers were lost ({why}).")


def _refused(got: str, hint: str) -> NstflowError:
    return NstflowError(Problem("--executor dask", "", got, hint))
