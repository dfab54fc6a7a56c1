"""What every command prints with: problems, notices, facts; rich draws it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

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


@cache
def stdout() -> Console:
    """Return the console of the standard output, the same each time: a live display owns it.

    Nothing that a user wrote is markup. Where the output is not a terminal, a line stays a line.
    """
    width = None if sys.stdout.isatty() else 1000
    return Console(highlight=False, markup=False, width=width)


@cache
def stderr() -> Console:
    """Return the console of the standard error."""
    return Console(highlight=False, markup=False, stderr=True)


def show_line(*parts: str | Text | tuple[str, str], console: Console | None = None) -> None:
    """Print one line, never broken, however long.

    Args:
        parts: Its texts, or pairs of a text and a style.
        console: Where to; the standard output by default.
    """
    (console or stdout()).print(Text.assemble(*parts), soft_wrap=True)


def show_problems(error: NstflowError) -> None:
    """Print every problem, and how many there are."""
    for problem in error.problems:
        what = f"  {printable(problem.what)}" if problem.what else ""
        show_line((printable(problem.where), "bold red"), what, console=stderr())
        hint = f" {printable(problem.hint, lines=True)}" if problem.hint else ""
        body = f"    {printable(problem.got, lines=True)}"
        show_line(body, (hint, "green"), console=stderr())
    count = len(error.problems)
    where = f" in {printable(error.subject)}" if error.subject else ""
    plural = "" if count == 1 else "s"
    closing = f"; {error.closing}" if error.closing else ""
    show_line((f"{count} problem{plural}{where}{closing}.", "bold"), console=stderr())


def show_warning(
    message: Warning | str, category: type[Warning], file: str, line: int, *_: object
) -> None:
    """Print a warning for `warnings.showwarning`: ours as notices, others as Python does."""
    if issubclass(category, NstflowWarning):
        show_notice(str(message))
    else:
        stderr().out(warnings.formatwarning(message, category, file, line), end="")


def show_notice(text: str) -> None:
    """Print a warning that does not stop anything."""
    show_line(("note: ", "yellow"), printable(text, lines=True), console=stderr())


def show_ok(what: str, how: str) -> None:
    """Print that something was checked or done, and is as it should be."""
    show_line(what, ": ", (how, "green"))


def show_title(name: str, summary: str) -> None:
    """Print what a recipe is called, and what it makes."""
    show_line((name, "bold"), f"  {summary}" if summary else "")


def show_facts(rows: Sequence[tuple[str, str | Text]], indent: str = "") -> None:
    """Print labels and values in two columns, a line each, however long."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        show_line(indent, (label.ljust(width), "dim"), "  ", value)


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
