"""Everything that rich draws: an observer like any other, and the tables of the other commands."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from nstflow.errors import NstflowError, NstflowWarning
from nstflow.hookspecs import hookimpl
from nstflow.store import HISTORY_FILE
from nstflow.values import size_text

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.result import Progress, Result
    from nstflow.values import Asset

# Nothing that a user wrote is markup; where the output is no terminal, a line stays a line.
out = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 1000)
err = Console(highlight=False, markup=False, stderr=True)


def show_problems(error: NstflowError) -> None:
    """Print every problem, and how many there are."""
    for problem in error.problems:
        head = Text(problem.where, style="bold red")
        if problem.what:
            head.append(f"  {problem.what}", style="default not bold")
        err.print(head, soft_wrap=True)
        body = Text(f"    {problem.got}", style="default")
        if problem.hint:
            body.append(f" {problem.hint}", style="green")
        err.print(body, soft_wrap=True)
    count = len(error.problems)
    where = f" in {error.subject}" if error.subject else ""
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
    err.print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)


def show_sound(what: str, how: str) -> None:
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


class RunDisplay:
    """Watches one run: a live display on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        columns = (
            *(SpinnerColumn(), BarColumn(bar_width=None)),
            *(TextColumn("step"), MofNCompleteColumn()),
            *(TextColumn("epoch {task.fields[epoch]}"), TextColumn("{task.fields[rate]}")),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self._bars = Bars(*columns, console=out, expand=True)
        self._task = self._bars.add_task("", total=None, epoch="–", rate="compiling")
        self._live = Live(self._bars, console=out, transient=True, refresh_per_second=8)

    @hookimpl
    def nstflow_run_started(self, plan: Plan) -> None:
        """Say what is about to be done."""
        recipe = plan.recipe
        show_title(recipe.name, recipe.summary)
        what = f"{size_text(plan.canvas)} pixels, {plan.steps} steps"
        out.print(f"{what}, losses: {', '.join(plan.terms)}", style="dim", soft_wrap=True)
        self._bars.update(self._task, total=plan.steps, epoch=f"1/{plan.epochs}")
        if out.is_terminal:
            self._live.start()

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        """Draw the bar and the losses; leave a line for each epoch."""
        if progress.ends_epoch:
            width = len(str(progress.epochs))
            out.print(
                f"epoch {progress.epoch:{width}}/{progress.epochs}"
                f"  step {progress.step:{len(str(progress.steps))}}"
                f"  loss {_loss(progress.total[-1]):>14}"
                f"  {progress.seconds[-1]:8.1f} s"
            )
        if not out.is_terminal:
            return
        rate = progress.step / progress.seconds[-1]
        self._bars.update(
            self._task,
            completed=progress.step,
            epoch=f"{progress.epoch}/{progress.epochs}",
            rate=f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step",
        )
        self._live.update(Group(self._bars, _losses(progress)))

    @hookimpl
    def nstflow_run_finished(self, result: Result) -> None:
        """Sum up."""
        self._live.stop()
        steps = len(result.history["step"])
        terms = [f"{k} {_loss(v)}" for k, v in result.losses.items() if k != "total"]
        compiling, whole = duration(result.compile_seconds), duration(result.total_seconds)
        rest = f"{compiling} to compile, {whole} in all"
        rows: list[tuple[str, str | Text]] = [
            ("time", f"{duration(result.seconds)} for {steps} steps; {rest}"),
            ("final loss", f"{_loss(result.losses['total'])}  ({', '.join(terms)})"),
            ("device", result.device),
            *(("picture", Text(str(file), style="bold green")) for file in result.files),
            ("history", str(result.folder / HISTORY_FILE)),
        ]
        if result.interrupted:
            rows.insert(0, ("stopped", f"after step {steps} of {result.plan.steps}"))
        show_facts(rows)

    @hookimpl
    def nstflow_run_failed(self) -> None:
        """Give the terminal back."""
        self._live.stop()


def _losses(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    cells = [Text.assemble(("total ", "dim"), (_loss(progress.total[-1]), "bold"))]
    cells += [
        Text.assemble((f"{name} ", "dim"), _loss(values[-1]))
        for name, values in progress.losses.items()
    ]
    table.add_row(*cells)
    return table


def _loss(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - digits


def duration(seconds: float) -> str:
    """Return a time as a person says it."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
