"""Several runs at a time, in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import connection
from typing import Any, Literal

from pydantic import Field

from nstflow import Executor, Job, JobProgress, JobResult, Stop, Tell, Work
from nstflow.builtin.executors.machine import block_signals, gpus_here
from nstflow.toolkit import cores

POLL_INTERVAL = 0.2  # seconds between two checks whether to stop
KILL_TIMEOUT = 5  # seconds that an idle process has to end
STOP_TIMEOUT = 60  # seconds that a process has to end its run


class Processes(Executor):
    """Carry out several runs at a time on this machine, each in its own process.

    There is one process per GPU, or several that share the CPU's cores. If a process dies, its run
    is resumed in another process; if that one dies too, the run has failed.
    """

    use: Literal["processes"] = "processes"
    workers: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Number of processes, but never more than runs; by default one per GPU, or one"
        " per two cores but at least two.",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads in each process; by default they share the cores."
    )

    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Yield how each run ended, as it ends."""
        gpus = [] if jobs and jobs[0].device == "cpu" else gpus_here()
        count = min(self.workers or len(gpus) or max(2, cores() // 2), len(jobs))
        threads = self.threads or max(1, cores() // max(count, 1))
        waiting = deque(replace(job, threads=threads) for job in jobs)
        workers = [_Worker(work, gpus[i % len(gpus)] if gpus else None) for i in range(count)]
        try:
            yield from _results(workers, waiting, tell, stop)
        finally:
            _end(workers)


def _results(
    workers: Sequence[_Worker], waiting: deque[Job], tell: Tell, stop: Stop
) -> Iterator[JobResult]:
    """Give the workers one job after another until none is left, or until it is time to stop."""
    retried: set[str] = set()
    while True:
        for worker in workers:
            if worker.job is None and waiting and not stop.requested:
                worker.begin(waiting.popleft())
        busy = {worker.pipe: (worker, worker.job) for worker in workers if worker.job is not None}
        if not busy:
            return
        for pipe in connection.wait(list(busy), POLL_INTERVAL):
            worker, job = busy[pipe]
            event = worker.receive()
            if isinstance(event, JobProgress):
                tell(event)
            elif isinstance(event, JobResult):
                yield event
            elif stop.requested or job.name in retried:
                yield JobResult.lost(job.name, f"its process died ({event}).")
            else:
                retried.add(job.name)
                waiting.appendleft(job.again())
        for worker in workers if stop.requested else ():
            worker.ask_to_stop()


def _end(workers: Sequence[_Worker]) -> None:
    """End all processes; those that are busy write a checkpoint first."""
    alive = [worker for worker in workers if worker.process is not None]
    timeout = STOP_TIMEOUT if any(worker.job for worker in alive) else KILL_TIMEOUT
    deadline = time.monotonic() + timeout
    for worker in alive:
        worker.pipe.close()  # which asks the process to end
    for worker in alive:
        worker.process.join(max(0, deadline - time.monotonic()))
        worker.kill()


@dataclass
class _Worker:
    """A process, started for its first job, and the job that it works on."""

    work: Work
    gpu: str | None
    job: Job | None = None
    process: Any = None
    pipe: Any = None
    asked: bool = False

    def begin(self, job: Job) -> None:
        """Give a job to the process; start it, if it is not alive."""
        if self.process is not None and not self.process.is_alive():
            self.kill()
        if self.process is None:
            self._start()
        self.job = job
        with contextlib.suppress(OSError):  # it died just now, as `receive` will find
            self.pipe.send(job)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, self.work, self.gpu)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        with block_signals(signal.SIGINT, signal.SIGTERM):
            self.process.start()
        theirs.close()

    def receive(self) -> JobProgress | JobResult | str:
        """Return what the process sent, or how it died."""
        try:
            event: JobProgress | JobResult = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(KILL_TIMEOUT)
            code = self.process.exitcode
            self.kill()
            return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        if isinstance(event, JobResult):
            self.job = None
        return event

    def ask_to_stop(self) -> None:
        """Ask the process, once, to stop its run after the current steps."""
        if self.job is not None and not self.asked:
            self.asked = True
            with contextlib.suppress(OSError):  # it died, as `receive` will find
                self.pipe.send(None)

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.process = self.job = None


def serve(pipe: Any, work: Work, gpu: str | None) -> None:
    """Make the runs whose jobs come through a pipe; None asks the current one to stop.

    When the other end is closed, the current run writes a checkpoint, and the process ends.

    Args:
        pipe: Takes jobs, returns progress and results.
        work: Makes a run.
        gpu: The GPU to use, as `CUDA_VISIBLE_DEVICES` names it; None for all or none.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the process that started this
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # they were blocked until now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    stop = Stop()

    def receive() -> None:
        while True:
            try:
                message = pipe.recv()
            except (EOFError, OSError):
                stop.request()
                jobs.put(None)
                return
            if message is None:
                stop.request()
            else:
                jobs.put(message)

    threading.Thread(target=receive, name="jobs", daemon=True).start()
    while (job := jobs.get()) is not None:
        try:
            pipe.send(work(job, pipe.send, stop))
        except OSError:  # the other end is closed
            return
