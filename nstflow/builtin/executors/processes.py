"""Several runs at a time, in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any, Literal

from pydantic import Field

from nstflow import Executor, Job, JobProgress, JobResult, Stop, Tell, Work
from nstflow.builtin.executors.machine import block_signals, gpus_here
from nstflow.builtin.executors.worker import serve
from nstflow.toolkit import cores

POLL_INTERVAL, KILL_TIMEOUT, STOP_TIMEOUT = 0.2, 5, 60
"""Seconds: between two looks at whether to stop, to end a process, and to end those at work."""


class Processes(Executor):
    """Several runs at a time, in processes of this machine: one per GPU, or sharing the cores.

    A run whose process is lost goes on in another one, once.
    """

    use: Literal["processes"] = "processes"
    workers: int | None = Field(
        None, ge=1, le=256, description="Processes; else one per GPU, or one per two cores."
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads that compute in each; else a share of the cores."
    )

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Yield how each run ended, as it ends."""
        gpus = [] if jobs and jobs[0].device == "cpu" else gpus_here()
        count = min(self.workers or len(gpus) or max(2, cores() // 2), len(jobs))
        threads = self.threads or max(1, cores() // max(count, 1))
        waiting = deque(replace(job, threads=threads) for job in jobs)
        lost: set[str] = set()
        workers = [_Worker(work, gpus[i % len(gpus)] if gpus else None, lost) for i in range(count)]
        try:
            yield from _tend(workers, waiting, tell, stop)
        finally:
            _end(workers)


def _tend(
    workers: list[_Worker], waiting: deque[Job], tell: Tell, stop: Stop
) -> Iterator[JobResult]:
    """Give every worker one job after another until none is left, or until it is time to stop."""
    told = False
    while True:
        for worker in workers:
            if worker.job is None and waiting and not stop.requested:
                worker.take(waiting.popleft())
        busy = {worker.pipe: worker for worker in workers if worker.job is not None}
        if not busy:
            return
        for pipe in connection.wait(list(busy), POLL_INTERVAL):
            message = busy[pipe].hear(may_go_on=not stop.requested)
            if isinstance(message, JobProgress):
                tell(message)
            elif isinstance(message, Job):
                waiting.appendleft(message)
            else:
                yield message
        if stop.requested and not told:
            told = True
            for worker in workers:
                worker.ask_to_stop()


def _end(workers: Sequence[_Worker]) -> None:
    """End all processes; those at work keep a checkpoint first."""
    alive = [worker for worker in workers if worker.process is not None]
    for worker in alive:
        worker.pipe.close()  # each hears of it at once
    wait = STOP_TIMEOUT if any(worker.job for worker in alive) else KILL_TIMEOUT
    until = time.monotonic() + wait
    for worker in alive:
        worker.process.join(max(0, until - time.monotonic()))
        worker.kill()


@dataclass
class _Worker:
    """A process, once it has had a job, and what it is at.

    Attributes:
        lost: The jobs that have lost a process, of all workers.
    """

    work: Work
    gpu: str | None
    lost: set[str]
    job: Job | None = None
    process: Any = None
    pipe: Any = None

    def take(self, job: Job) -> None:
        """Give a job to the process, which is started for the first one."""
        if self.process is not None:
            try:
                self.pipe.send(job)
            except OSError:  # it ended while it had nothing to do
                self.kill()
        if self.process is None:
            self._start()
            with contextlib.suppress(OSError):  # it ended at once: to be heard
                self.pipe.send(job)
        self.job = job

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, self.work, self.gpu)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        with block_signals(signal.SIGINT, signal.SIGTERM):
            self.process.start()
        theirs.close()

    def hear(self, *, may_go_on: bool) -> JobProgress | JobResult | Job:
        """Return what the process tells; if it is lost, the job that another is to go on with."""
        job = self.job
        assert job is not None  # noqa: S101 - it is at work
        try:
            message: JobProgress | JobResult = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(KILL_TIMEOUT)
            code = self.process.exitcode
            self.kill()
            if may_go_on and job.name not in self.lost:
                self.lost.add(job.name)
                return job.again()
            how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            return JobResult.lost(job.name, f"its process ended by itself ({how}).")
        if isinstance(message, JobResult):
            self.job = None
        return message

    def ask_to_stop(self) -> None:
        """Ask the process to stop its run after the steps in flight."""
        if self.job is not None:
            with contextlib.suppress(OSError):  # it is lost: to be heard
                self.pipe.send(None)

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process = self.job = None
