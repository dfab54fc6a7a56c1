"""How the commands that make pictures are stopped, and what goes on with them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nstflow.stages.job import Stop


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Listen to Ctrl-C and SIGTERM, and exit as the shell expects where nothing was made."""
    from nstflow.cli.console import output as console
    from nstflow.cli.signals import handle_signals
    from nstflow.stages.job import Stop

    stop = Stop()
    try:
        with handle_signals(stop, console.show_stopping, console.restore_terminal):
            yield stop
    except KeyboardInterrupt:
        console.err.print("Stopped: no picture was written.")
        raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None


def resume_command(*, keep_overwrite: bool = False) -> str:
    """Return the command that goes on with what this one began.

    Args:
        keep_overwrite: What is of another recipe is still to be replaced.
    """
    gone = ("--resume",) if keep_overwrite else ("--resume", "--overwrite")
    words = [word for word in sys.argv[1:] if word not in gone]
    return shlex.join(["nstflow", *words, "--resume"])


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def handle_signals(
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
        if not stop.polled:
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
