"""How the commands that make pictures are stopped, and what goes on with them."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nstflow.stopping import Stop


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Listen to Ctrl-C and SIGTERM, and exit as the shell expects where nothing was made."""
    from nstflow import console
    from nstflow.stopping import Stop, listening

    stop = Stop()
    try:
        with listening(stop, console.show_stopping, console.give_back):
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
