"""What the tests of printed text need: a terminal of a given width."""

import io
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from nstflow.cli.console.output import stderr, stdout


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """What was written, without the codes that move the cursor and choose colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Terminal]]:
    """Put a terminal of so many columns in place of the standard streams."""

    def terminal(width: int) -> Terminal:
        screen = Terminal()
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        for name, console in (("stdout", stdout), ("stderr", stderr)):
            monkeypatch.setattr(sys, name, screen)
            console.cache_clear()
        return screen

    yield terminal
    stdout.cache_clear()
    stderr.cache_clear()
