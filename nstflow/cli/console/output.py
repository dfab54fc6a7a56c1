"""What every command prints with: problems, notices, facts; rich draws it."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, partial
from typing import IO, TYPE_CHECKING, Any, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from nstflow.errors import NstflowError, NstflowWarning, printable

if TYPE_CHECKING:
    from nstflow.stages.types import Asset

PLAIN_LETTERS = "nstflow-plain-letters"
"""How a stream treats letters that a terminal without UTF-8 lacks: it writes others for them."""

_PLAIN = str.maketrans(
    {
        "×": "x",
        "→": "->",
        "…": "...",
        "·": ".",
        "–": "-",
        "—": "-",
        "−": "-",
        "≥": ">=",
        "²": "^2",
        "³": "^3",
        "⁴": "^4",
        "ᵀ": "^T",
        "Σ": "sum",
        "½": "1/2",
        "α": "alpha",
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "✓": "ok",
    }
)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end].translate(_PLAIN)
    return letters.encode("ascii", "replace").decode(), error.end


codecs.register_error(PLAIN_LETTERS, _plain)

_NARROW, _LEAST_ROOM = 64, 16  # columns


class _Output:
    """The standard output or error. While a run goes on, what can't be written is dropped."""

    encoding = "utf-8"  # as without a file; the stream itself has an answer to other letters
    goes_on = False

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream(), name)

    def write(self, text: str) -> None:
        self._try("write", text)

    def flush(self) -> None:
        self._try("flush")

    def _try(self, method: str, *arguments: str) -> None:
        try:
            getattr(self._stream(), method)(*arguments)
        except OSError:
            if not self.goes_on:
                raise
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream().fileno())
            os.close(null)

    def _stream(self) -> Any:
        stream = getattr(sys, self._name)
        # a live display puts its own in place
        return getattr(stream, "rich_proxied_file", stream)


@contextlib.contextmanager
def without_output() -> Iterator[None]:
    """Go on in here where an output ends, as `| head` ends it, or its disk is full."""
    _Output.goes_on = True
    try:
        yield
    finally:
        _Output.goes_on = False


@cache
def stdout() -> Console:
    """Return the console of the standard output, the same each time: a live display owns it.

    Nothing that a user wrote is markup. Where the output is not a terminal, a line stays a line.
    """
    width = None if sys.stdout.isatty() else 1000
    return Console(
        file=cast("IO[str]", _Output("stdout")), highlight=False, markup=False, width=width
    )


@cache
def stderr() -> Console:
    """Return the console of the standard error."""
    return Console(file=cast("IO[str]", _Output("stderr")), highlight=False, markup=False)


def show_line(*parts: str | Text | tuple[str, str], console: Console | None = None) -> None:
    """Print one line, never broken, however long.

    Args:
        parts: Its texts, or pairs of a text and a style.
        console: Where to; the standard output by default.
    """
    (console or stdout()).print(Text.assemble(*parts), soft_wrap=True)


def show_problems(error: NstflowError) -> None:
    """Print every problem, and how many there are."""
    room = stderr().width - 4 if is_narrow(stderr()) else None
    for problem in error.problems:
        what = f"  {printable(problem.what)}" if problem.what else ""
        show_line((printable(problem.where), "bold red"), what, console=stderr())
        hint = f" {printable(problem.hint, lines=True)}" if problem.hint else ""
        body = Text.assemble(printable(problem.got, lines=True), (hint, "green"))
        show_line("    ", Text("\n    ").join(broken(body, room)), console=stderr())
    count = len(error.problems)
    where = f" in {printable(error.subject)}" if error.subject else ""
    plural = "" if count == 1 else "s"
    closing = f"; {error.closing}" if error.closing else ""
    show_text((f"{count} problem{plural}{where}{closing}.", "bold"), console=stderr())


def show_warning(
    message: Warning | str, category: type[Warning], file: str, line: int, *_: object
) -> None:
    """Print a warning for `warnings.showwarning`: ours as notices, others as Python does."""
    if isinstance(message, NstflowWarning):
        show_notice(str(message.args[0]))  # with options, where its own text has arguments
    else:
        stderr().out(warnings.formatwarning(message, category, file, line), end="")


def show_notice(text: str) -> None:
    """Print a warning that does not stop anything."""
    show_text(("note: ", "yellow"), printable(text, lines=True), console=stderr())


def show_notices(texts: Iterable[str]) -> None:
    """Print several of them."""
    for text in texts:
        show_notice(text)


def show_ok(what: str, how: str) -> None:
    """Print that something was checked or done, and is as it should be."""
    show_line(what, ": ", (how, "green"))


def show_title(name: str, summary: str) -> None:
    """Print what a recipe is called, and what it makes."""
    show_text((name, "bold"), f"  {summary}" if summary else "")


def show_facts(rows: Sequence[tuple[str, str | Text]], indent: str = "") -> None:
    """Print labels and values in two columns: a line each, but on a terminal no word is broken."""
    width = max((len(label) for label, _ in rows), default=0)
    start = len(indent) + width + 2
    room = stdout().width - start if stdout().is_terminal else None
    for label, value in rows:
        lines = Text("\n" + " " * start).join(broken(value, room))
        show_line(indent, (label.ljust(width), "dim"), "  ", lines)


def show_text(*parts: str | Text | tuple[str, str], console: Console | None = None) -> None:
    """Print one line, which breaks between words on a narrow terminal."""
    out = console or stdout()
    room = out.width if is_narrow(out) else None
    show_line(Text("\n").join(broken(Text.assemble(*parts), room)), console=out)


def is_narrow(console: Console | None = None) -> bool:
    """Return whether this is a terminal too narrow for tables of several columns."""
    out = console or stdout()
    return out.is_terminal and out.width < _NARROW


def broken(value: str | Text, room: int | None, unit: str = r"\S+") -> list[Text]:
    """Return the lines of a value, which break between words where it is longer than the room.

    A word that is longer, such as a path, stays whole.

    Args:
        value: The value.
        room: Columns of a line, at least some; None for a single line, however long.
        unit: The pattern of what stays together.
    """
    text = Text(value) if isinstance(value, str) else value
    offsets: list[int] = []
    start = 0
    for word in re.finditer(unit, text.plain) if room is not None else ():
        if word.end() - start > max(room or 0, _LEAST_ROOM) and word.start() > start:
            start = word.start()
            offsets.append(start)
    lines = [*text.divide(offsets)]
    for line in lines:
        line.rstrip()
    return lines


def fetch_assets(assets: Iterable[Asset]) -> None:
    """Fetch what is missing, with a progress display."""
    for asset in assets:
        if asset.present or asset.fetch is None:
            continue
        show_notice(f"fetching the {asset.name} ({asset.note})")
        columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
        columns += [DownloadColumn(), TransferSpeedColumn()]
        with Bars(*columns, console=stderr(), transient=True) as bars:
            task = bars.add_task(asset.name, total=None)
            asset.fetch(partial(_advance, bars, task))


def _advance(bars: Bars, task: TaskID, done: int, total: int) -> None:
    bars.update(task, completed=done, total=total)


def runs_text(count: int) -> str:
    """Return how many runs there are."""
    return "1 run" if count == 1 else f"{count} runs"


def show_stopping() -> None:
    """Print that a run will stop soon; called from another thread."""
    console = stdout() if stdout().is_terminal else stderr()  # with a live display, if any
    text = "stopping after the current steps; press Ctrl-C again to stop at once"
    show_line((text, "yellow"), console=console)


def restore_terminal() -> None:
    """Show the cursor again, and say what to do, before the process ends at once."""
    if stdout().is_terminal:
        stdout().show_cursor()
    text = "\nstopped at once; --resume continues from the last checkpoint, if there is one\n"
    os.write(2, text.encode())  # not through a console, whose lock another thread may hold


def show_resume(command: str) -> None:
    """Print the command that continues a run that was stopped."""
    show_next("continue with", command)


def show_next(what: str, command: str) -> None:
    """Print the command for what comes next."""
    show_line((f"{what}  ", "dim"), (command, "bold"))
