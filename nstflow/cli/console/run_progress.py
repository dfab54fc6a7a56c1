"""What is shown of a run while it lasts: an observer like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from nstflow.cli.console import output
from nstflow.cli.console.output import show_line
from nstflow.hookspecs import hookimpl
from nstflow.runner.progress import FractionDone, facts_of, losses_text, rate_text
from nstflow.stages.text import loss_text
from nstflow.stages.types import size_text

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.result import Progress, Result


class RunDisplay:
    """Watches one run: a live display on a terminal, plain lines elsewhere.

    Args:
        show_files: Say in the end where the files are.
    """

    shows_progress = True

    def __init__(self, *, show_files: bool = True) -> None:
        self._show_files = show_files
        self._begun = False
        self._console = output.stdout()
        spinner = SpinnerColumn("line" if self._console.options.ascii_only else "dots")
        columns: list[Any] = [spinner, BarColumn(bar_width=None)]
        columns.append(TextColumn("step {task.fields[step]}"))
        if not output.is_narrow():
            columns += [TextColumn("epoch {task.fields[epoch]}"), TextColumn("{task.fields[rate]}")]
        columns.append(TimeRemainingColumn(compact=True, elapsed_when_finished=True))
        self._bars = Bars(*columns, console=self._console, expand=True)
        self._task = self._bars.add_task("", total=None, step="–", epoch="–", rate="compiling")
        self._live = Live(self._bars, console=self._console, transient=True, refresh_per_second=8)

    @hookimpl
    def nstflow_run_started(self, plan: Plan) -> None:
        """Print what is about to be done."""
        recipe = plan.recipe
        output.show_title(recipe.name, recipe.summary)
        what = f"{size_text(plan.canvas)} pixels, {plan.steps} steps"
        output.show_text((f"{what}, losses: {', '.join(plan.terms)}", "dim"))
        self._fraction = FractionDone(plan)
        self._bars.update(self._task, total=1.0, step=f"0/{plan.steps}", epoch=f"1/{plan.epochs}")
        if self._console.is_terminal:
            self._live.start()

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        """Draw the bar and the losses; leave a line for each epoch."""
        before = progress.step - len(progress.total)
        if not self._begun and before:
            show_line((f"resumed after step {before}", "dim"))
        self._begun = True
        if progress.ends_epoch:
            width = len(str(progress.epochs))
            line = (
                f"epoch {progress.epoch:{width}}/{progress.epochs}"
                f"  step {progress.step:{len(str(progress.steps))}}"
                f"  loss {loss_text(progress.total[-1]):>14}"
                f"  {progress.seconds[-1]:8.1f} s"
            )
            show_line(" ".join(line.split()) if output.is_narrow() else line)
        if not self._console.is_terminal:
            return
        self._bars.update(
            self._task,
            completed=self._fraction.after(progress),
            step=f"{progress.step}/{progress.steps}",
            epoch=f"{progress.epoch}/{progress.epochs}",
            rate=rate_text(progress),
        )
        losses = losses_text({name: values[-1] for name, values in progress.losses.items()})
        total = Text.assemble("total ", (loss_text(progress.total[-1]), "bold"))
        terms = Text("  ").join([total, *map(Text, losses)])
        # between two losses, never between a name and its value
        lines = output.broken(terms, self._console.width, r"\S+(?: \S+)*")
        self._live.update(Group(self._bars, *lines))

    @hookimpl
    def nstflow_run_finished(self, result: Result) -> None:
        """Print the times, the losses and the files."""
        self._live.stop()
        output.show_facts(
            [
                (label, Text(value, style="bold green" if label == "picture" else ""))
                for label, value in facts_of(result, show_files=self._show_files)
            ]
        )

    @hookimpl
    def nstflow_run_failed(self) -> None:
        """End the live display."""
        self._live.stop()
