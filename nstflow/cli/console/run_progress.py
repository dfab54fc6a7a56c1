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
from nstflow.cli.console.output import duration_text, loss_text, show_line
from nstflow.hookspecs import hookimpl
from nstflow.stages.types import size_text
from nstflow.storage.run_record import HISTORY_FILE

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.result import Progress, Result


class RunDisplay:
    """Watches one run: a live display on a terminal, plain lines elsewhere.

    Args:
        show_files: Say in the end where the files are.
    """

    def __init__(self, *, show_files: bool = True) -> None:
        self._show_files = show_files
        self._begun = False
        self._console = output.stdout()
        columns: list[Any] = [SpinnerColumn(), BarColumn(bar_width=None)]
        columns += [TextColumn("step {task.fields[step]}")]
        columns += [TextColumn("epoch {task.fields[epoch]}"), TextColumn("{task.fields[rate]}")]
        columns += [TimeRemainingColumn(elapsed_when_finished=True)]
        self._bars = Bars(*columns, console=self._console, expand=True)
        self._task = self._bars.add_task("", total=None, step="–", epoch="–", rate="compiling")
        self._live = Live(self._bars, console=self._console, transient=True, refresh_per_second=8)

    @hookimpl
    def nstflow_run_started(self, plan: Plan) -> None:
        """Print what is about to be done."""
        recipe = plan.recipe
        output.show_title(recipe.name, recipe.summary)
        what = f"{size_text(plan.canvas)} pixels, {plan.steps} steps"
        show_line((f"{what}, losses: {', '.join(plan.terms)}", "dim"))
        self._steps, self._scales = plan.steps_of, [phase.scale for phase in plan.phases]
        self._phase, self._first = -1, 0
        total = self._work(len(self._steps), 0)
        self._bars.update(self._task, total=total, step=f"0/{plan.steps}", epoch=f"1/{plan.epochs}")
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
            show_line(
                f"epoch {progress.epoch:{width}}/{progress.epochs}"
                f"  step {progress.step:{len(str(progress.steps))}}"
                f"  loss {loss_text(progress.total[-1]):>14}"
                f"  {progress.seconds[-1]:8.1f} s"
            )
        if not self._console.is_terminal:
            return
        if progress.phase != self._phase:
            is_known = self._phase >= 0  # else it was resumed, perhaps in the middle of the phase
            self._first = before if is_known else min(before, sum(self._steps[: progress.phase]))
            self._phase = progress.phase
        rate = progress.step / progress.seconds[-1]
        self._bars.update(
            self._task,
            completed=self._work(progress.phase, progress.step - self._first),
            step=f"{progress.step}/{progress.steps}",
            epoch=f"{progress.epoch}/{progress.epochs}",
            rate=f"{rate:.2f} steps/s" if rate >= 1 else f"{1 / rate:.2f} s/step",
        )
        terms = {name: values[-1] for name, values in progress.losses.items()}
        losses = [f"{name} {loss_text(value)}" for name, value in terms.items()]
        total = Text.assemble("total ", (loss_text(progress.total[-1]), "bold"))
        self._live.update(Group(self._bars, Text("  ").join([total, *map(Text, losses)])))

    def _work(self, phase: int, steps: int) -> float:
        """Return what the phases before one and some of its steps take, in steps at full size."""
        counts = [*self._steps[:phase], steps]
        return sum(n * scale**2 for n, scale in zip(counts, self._scales, strict=False))

    @hookimpl
    def nstflow_run_finished(self, result: Result) -> None:
        """Print the times, the losses and the files."""
        self._live.stop()
        steps = len(result.history["step"])
        terms = [f"{k} {loss_text(v)}" for k, v in result.losses.items() if k != "total"]
        compiling = duration_text(result.compile_seconds)
        rest = f"{compiling} to compile, {duration_text(result.total_seconds)} in all"
        loss = "loss so far" if result.interrupted else "final loss"
        rows: list[tuple[str, str | Text]] = [
            ("time", f"{duration_text(result.seconds)} for {steps} steps; {rest}"),
            (loss, f"{loss_text(result.losses['total'])}  ({', '.join(terms)})"),
            ("device", result.device),
        ]
        if self._show_files:
            rows += [("picture", Text(str(file), style="bold green")) for file in result.files]
            rows.append(("history", str(result.folder / HISTORY_FILE)))
        if result.interrupted:
            rows.insert(0, ("stopped", f"after step {steps} of {result.plan.steps}"))
        output.show_facts(rows)

    @hookimpl
    def nstflow_run_failed(self) -> None:
        """End the live display."""
        self._live.stop()
