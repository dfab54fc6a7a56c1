"""How the commands that make pictures are stopped, and what continues them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer

from nstflow.cli.console import output as console

if TYPE_CHECKING:
    from nstflow.stages.job import Stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Stop on Ctrl-C and SIGTERM, and exit as the shell expects where no picture was written.

    Where the standard output ends, the run goes on.
    """
    from nstflow.stages.job import Stop

    stop = Stop()
    try:
        with (
            console.without_output(),
            handle_signals(stop, console.show_stopping, console.restore_terminal),
        ):
            yield stop
    except KeyboardInterrupt:
        console.show_line("Stopped: no picture was written.", console=console.stderr())
        raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None


def resume_command(*, keep_overwrite: bool = False) -> str:
    """Return the command that resumes what this one began.

    Args:
        keep_overwrite: Runs of another recipe are still to be replaced.
    """
    dropped = ("--resume",) if keep_overwrite else ("--resume", "--overwrite")
    words = [word for word in sys.argv[1:] if word not in dropped]
    return shlex.join(["nstflow", *words, "--resume"])


@contextlib.contextmanager
def handle_signals(
    stop: Stop, first: Callable[[], object], second: Callable[[], object]
) -> Iterator[None]:
    """Request a stop at the first Ctrl-C or SIGTERM; end the process at once at the second.

    Python's own handlers wait for the compiled call in flight; a thread that the signals wake up
    does not. A signal that the parent has this process ignore, as `nohup` and `&` in a script do,
    stays ignored. For the main thread.

    Args:
        stop: What to request a stop from.
        first: Called, in another thread, at the first signal.
        second: Called before the process ends at once.
    """
    ours, theirs = socket.socketpair()  # not a pipe: Windows can only wake up by a socket
    theirs.setblocking(False)

    def watch() -> None:
        while data := ours.recv(1):
            number = data[0]
            if number not in taken:
                continue
            if stop.requested:
                with contextlib.suppress(Exception):
                    second()
                os._exit(128 + number)
            stop.request(number)
            # in another thread: a terminal that blocks must not delay a second signal
            threading.Thread(target=first, daemon=True).start()

    def handle(number: int, _frame: FrameType | None) -> None:
        if not stop.polled:
            stop.signal = number
            raise KeyboardInterrupt

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    taken = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before: dict[int, Any] = {number: signal.signal(number, handle) for number in taken}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()
        watcher.join()
        ours.close()
