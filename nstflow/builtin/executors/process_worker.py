"""A process that makes one run after another, for the executor that started it."""

from __future__ import annotations

import os
import queue
import signal
import threading
from typing import Any

from nstflow import Job, Stop, Work


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
