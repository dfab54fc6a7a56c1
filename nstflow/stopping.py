"""Stopping a run: at once before its first step, between two dispatches from then on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Asks a run to stop after the dispatch in flight, from any thread.

    Attributes:
        requested: Whether it was asked.
        signal: The number of the signal that asked, or 0.
        patient: Whether the run looks here by itself; where it does not, a signal is raised as
            `KeyboardInterrupt`.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal = 0
        self.patient = False

    def request(self, number: int = 0) -> None:
        """Ask."""
        self.requested, self.signal = True, number


@contextlib.contextmanager
def listening(
    stop: Stop, first: Callable[[], object], second: Callable[[], object]
) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a request to stop, and a second one into the end at once.

    Python's own handlers wait for the compiled call in flight; a thread of its own that the
    signals wake does not. For the main thread.

    Args:
        stop: What to ask.
        first: Called, in another thread, when the run is asked to stop.
        second: Called before the process ends at once.
    """
    ours, theirs = socket.socketpair()  # not a pipe: Windows can only wake by a socket
    theirs.setblocking(False)

    def watch() -> None:
        while data := ours.recv(1):
            number = data[0]
            if number not in SIGNALS:
                continue
            if stop.requested:
                with contextlib.suppress(Exception):
                    second()
                os._exit(128 + number)
            stop.request(number)
            # in a thread of its own: a terminal that takes no more must not keep a second waiting
            threading.Thread(target=first, daemon=True).start()

    def handle(number: int, _frame: FrameType | None) -> None:
        if not stop.patient:
            stop.signal = number
            raise KeyboardInterrupt

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    before: dict[int, Any] = {number: signal.signal(number, handle) for number in SIGNALS}
    woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()
        watcher.join()
        ours.close()
