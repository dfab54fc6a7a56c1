"""What is seen of a run while it lasts: an observer like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import duration, loss_text, out, show_facts, show_title
from nstflow.hookspecs import hookimpl
from nstflow.stages.types import size_text
from nstflow.storage.run_record import HISTORY_FILE

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.result import Progress, Result


class RunDisplay:
    """Watches one run: a live display on a terminal, plain lines elsewhere.

    Args:
        tell_files: Say in the end where the files are.
    """

    def __init__(self, *, tell_files: bool = True) -> None:
        self._tell_files = tell_files
        self._begun = False
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
        before = progress.step - len(progress.total)
        if not self._begun and before:
            out.print(f"resumed after step {before}", style="dim")
        self._begun = True
        if progress.ends_epoch:
            width = len(str(progress.epochs))
            out.print(
                f"epoch {progress.epoch:{width}}/{progress.epochs}"
                f"  step {progress.step:{len(str(progress.steps))}}"
                f"  loss {loss_text(progress.total[-1]):>14}"
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
        terms = [f"{k} {loss_text(v)}" for k, v in result.losses.items() if k != "total"]
        compiling, whole = duration(result.compile_seconds), duration(result.total_seconds)
        rest = f"{compiling} to compile, {whole} in all"
        loss = "loss so far" if result.interrupted else "final loss"
        rows: list[tuple[str, str | Text]] = [
            ("time", f"{duration(result.seconds)} for {steps} steps; {rest}"),
            (loss, f"{loss_text(result.losses['total'])}  ({', '.join(terms)})"),
            ("device", result.device),
        ]
        if self._tell_files:
            rows += [("picture", Text(str(file), style="bold green")) for file in result.files]
            rows.append(("history", str(result.folder / HISTORY_FILE)))
        if result.interrupted:
            rows.insert(0, ("stopped", f"after step {steps} of {result.plan.steps}"))
        show_facts(rows)

    @hookimpl
    def nstflow_run_failed(self) -> None:
        """Give the terminal back."""
        self._live.stop()


def _losses(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    cells = [Text.assemble(("total ", "dim"), (loss_text(progress.total[-1]), "bold"))]
    cells += [
        Text.assemble((f"{name} ", "dim"), loss_text(values[-1]))
        for name, values in progress.losses.items()
    ]
    table.add_row(*cells)
    return table
