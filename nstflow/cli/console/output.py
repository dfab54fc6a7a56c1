"""What every command prints with: problems, notices, facts; rich draws it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

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


# Nothing that a user wrote is markup; where the output is no terminal, a line stays a line.
out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1000)


err = Console(highlight=False, markup=False, stderr=True)


def show_problems(error: NstflowError) -> None:
    """Print every problem, and how many there are."""
    for problem in error.problems:
        head = Text(printable(problem.where), style="bold red")
        if problem.what:
            head.append(f"  {printable(problem.what)}", style="default not bold")
        err.print(head, soft_wrap=True)
        body = Text(f"    {printable(problem.got, lines=True)}", style="default")
        if problem.hint:
            body.append(f" {printable(problem.hint, lines=True)}", style="green")
        err.print(body, soft_wrap=True)
    count = len(error.problems)
    where = f" in {printable(error.subject)}" if error.subject else ""
    plural = "" if count == 1 else "s"
    err.print(f"{count} problem{plural}{where}; {error.closing}.", style="bold", soft_wrap=True)


def show_warning(
    message: Warning | str, category: type[Warning], file: str, line: int, *_: object
) -> None:
    """Print what the module `warnings` hands out: ours as notices, others as Python does."""
    if issubclass(category, NstflowWarning):
        show_notice(str(message))
    else:
        err.out(warnings.formatwarning(message, category, file, line), end="")


def show_notice(text: str) -> None:
    """Print a warning that does not stop anything."""
    err.print(Text.assemble(("note: ", "yellow"), printable(text, lines=True)), soft_wrap=True)


def show_ok(what: str, how: str) -> None:
    """Print that something was looked at and is as it should be."""
    out.print(Text.assemble(what, ": ", (how, "green")), soft_wrap=True)


def show_title(name: str, summary: str) -> None:
    """Print what a recipe is called, and what it makes."""
    out.print(Text.assemble((name, "bold"), f"  {summary}" if summary else ""), soft_wrap=True)


def show_facts(rows: Sequence[tuple[str, str | Text]], indent: str = "") -> None:
    """Print labels and values in two columns, a line each, however long."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        out.print(Text.assemble(indent, (label.ljust(width), "dim"), "  ", value), soft_wrap=True)


def fetch(assets: Iterable[Asset]) -> None:
    """Fetch what is missing, with a progress display."""
    for asset in assets:
        if asset.present or asset.fetch is None:
            continue
        columns = (
            *(SpinnerColumn(), TextColumn("{task.description}"), BarColumn()),
            *(DownloadColumn(), TransferSpeedColumn()),
        )
        show_notice(f"fetching the {asset.name} ({asset.note})")
        with Bars(*columns, console=err, transient=True) as bars:
            task = bars.add_task(asset.name, total=None)
            asset.fetch(partial(_advance, bars, task))


def _advance(bars: Bars, task: TaskID, done: int, total: int) -> None:
    bars.update(task, completed=done, total=total)


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"


def loss_text(value: float) -> str:
    """Return a loss as a person reads it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - digits


def runs_text(count: int) -> str:
    """Return how many runs there are."""
    return "1 run" if count == 1 else f"{count} runs"


def show_stopping() -> None:
    """Print that a run will stop soon; called from another thread."""
    where = out if out.is_terminal else err  # beside a live display, where there is one
    text = "stopping after the steps in flight; once more stops at once"
    where.print(Text(text, style="yellow"), soft_wrap=True)


def restore_terminal() -> None:
    """Give the terminal back, its cursor shown, before the process ends at once."""
    if out.is_terminal:
        out.show_cursor()
    text = "\nstopped at once; --resume goes on from the last checkpoint, if there is one\n"
    os.write(2, text.encode())  # no lock that another thread may hold


def show_resume(command: str) -> None:
    """Print how a run that was stopped goes on."""
    out.print(Text.assemble(("go on with  ", "dim"), (command, "bold")), soft_wrap=True)
