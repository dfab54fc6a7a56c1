"""A process that makes one run after another, for the executor that started it."""

from __future__ import annotations

import os
import queue
import signal
import threading
from typing import Any

from nstflow import Job, Stop, Work


def serve(pipe: Any, work: Work, gpu: str | None) -> None:
    """Make the runs that come through a pipe; a None asks the one at work to stop.

    When the other end is gone, the run at work keeps a checkpoint, and the process ends.

    Args:
        pipe: Takes jobs, and gives news and outcomes.
        work: Makes a run.
        gpu: The GPU to use, as `CUDA_VISIBLE_DEVICES` names it; None for all or none.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C is for the process that was started
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):  # they were blocked until now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    stop = Stop()

    def listen() -> None:
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

    threading.Thread(target=listen, name="jobs", daemon=True).start()
    while (job := jobs.get()) is not None:
        try:
            pipe.send(work(job, pipe.send, stop))
        except OSError:  # nobody is there to take it
            return
