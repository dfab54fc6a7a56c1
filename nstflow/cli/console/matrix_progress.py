"""What is shown of many runs while they last, and the table in the end."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from rich.cells import cell_len
from rich.measure import Measurement
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from nstflow.cli.console import output
from nstflow.cli.console.output import runs_text, show_line
from nstflow.matrix.plan import Matrix
from nstflow.matrix.summary import means_of
from nstflow.stages.job import JobProgress, JobResult
from nstflow.stages.text import duration_text, loss_text

_MOST_ROWS = 200  # of the table: the file has them all

_LEAST_NAME = 12  # letters of a run's name that a narrow table leaves


class MatrixDisplay:
    """Shows the current runs, and prints a line for each that ended; a context manager.

    Args:
        matrix: What is made.
        silent: Show nothing but warnings.
    """

    def __init__(self, matrix: Matrix, *, silent: bool = False) -> None:
        self._silent = silent
        self._matrix = matrix
        self._width = max(cell_len(cell.name) for cell in matrix.cells)
        steps = {cell.name: p.steps for cell, p in zip(matrix.cells, matrix.plans, strict=True)}
        self._left, self._steps, self._ended = steps, sum(steps.values()), 0
        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(20)]
        columns += [TextColumn("{task.fields[status]}"), TimeElapsedColumn()]
        columns += [TextColumn("left"), TimeRemainingColumn()]
        if output.is_narrow():
            columns = [columns[0], columns[2]]
        self._bars = Bars(*columns, console=output.stdout(), transient=True)
        self._all = self._bars.add_task("all runs", total=self._steps, status="")
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._silent:
            return self
        output.show_title(self._matrix.name, self._matrix.summary)
        show_line((f"{runs_text(len(self._matrix))}, {self._steps:,} steps in all", "dim"))
        if output.stdout().is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars.live.is_started:
            self._bars.stop()

    def progress(self, event: JobProgress) -> None:
        """Move the bar of a run."""
        if event.name not in self._tasks:
            self._tasks[event.name] = self._bars.add_task(event.name, total=event.steps, status="")
        loss = "compiling" if math.isnan(event.total) else f"loss {loss_text(event.total)}"
        status = f"step {event.step}/{event.steps}  {loss}"
        self._bars.update(self._tasks[event.name], completed=event.step, status=status)
        self._advance(event.name, event.steps - event.step)

    def ended(self, result: JobResult) -> None:
        """Print a line for a run that ended."""
        if (task := self._tasks.pop(result.name, None)) is not None:
            self._bars.remove_task(task)
        self._ended += 1
        self._advance(result.name, 0)
        for note in result.notes:
            output.show_notice(f"{result.name}: {note}")
        if not self._silent:
            show_line(self._line(result))

    def _advance(self, name: str, left: int) -> None:
        """Move the bar of all runs: by steps, since runs may differ."""
        self._left[name] = left
        status = f"{self._ended} of {runs_text(len(self._matrix))}"
        done = self._steps - sum(self._left.values())
        self._bars.update(self._all, completed=done, status=status)

    def _line(self, result: JobResult) -> Text:
        line = Text(result.name)
        line.pad_right(self._width - line.cell_len)
        if result.state == "failed":
            line.append(f"  failed: {result.problems[0].got}", "red")
        elif result.already:
            line.append("  finished already", "dim")
        elif result.steps:
            line.append(f"  {duration_text(result.total_seconds):>9}")
            line.append(f"  loss {loss_text(result.losses['total']):>13}")
        if result.resumed_from:
            line.append(f"  resumed after step {result.resumed_from}", "dim")
        if result.state == "stopped":
            line.append("  stopped", "yellow")
        return line


def show_table(matrix: Matrix, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the times and losses of all runs, of single terms where they fit, and the means."""
    out = output.stdout()
    losses = dict(zip(("halfway", "total"), _loss_headers(matrix), strict=True))
    terms = {name: name.removeprefix("loss.") for name in rows[0] if name.startswith("loss.")}
    table = _table(rows, losses | terms)
    if _least_width(table) > out.width:
        table = _table(rows, losses)
    longest = max(len(row["cell"]) for row in rows)
    if _least_width(table) - max(0, longest - _LEAST_NAME) > out.width:
        table = _table(rows, {"total": "loss"})
    out.print()
    out.print(table)
    if len(rows) > _MOST_ROWS:
        show_line((f"and {len(rows) - _MOST_ROWS} more", "dim"))


def _least_width(table: Table) -> int:
    """Return the width at which nothing is cut."""
    out = output.stdout()
    return Measurement.get(out, out.options.update(max_width=10_000), table).maximum


def _table(rows: Sequence[Mapping[str, Any]], losses: Mapping[str, str]) -> Table:
    """Return the table with these columns of losses: name → header."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run")  # the one column that rich may narrow
    for header in ("time", *losses.values()):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows[:_MOST_ROWS]:
        name = Text(row["cell"], no_wrap=True, overflow="ellipsis")
        table.add_row(name, *_cells(row, losses))
    if means := means_of(rows):
        numbers = [loss_text(means[name]) for name in losses if name in means]
        table.add_section()
        table.add_row("mean", f"{means['seconds']:.1f} s", *numbers, style="bold")
    return table


def _cells(row: Mapping[str, Any], names: Iterable[str]) -> list[Text]:
    if row["steps"] is None:
        return [Text(row["state"], style="red" if row["state"] == "failed" else "dim")]
    time = Text(f"{row['seconds']:.1f} s")
    if row["state"] != "finished":
        time = Text(f"{row['state']} after {row['steps']}", style="yellow")
    return [time, *(Text("" if row[name] is None else loss_text(row[name])) for name in names)]


def _loss_headers(matrix: Matrix) -> tuple[str, str]:
    """Return what the columns of the losses are called."""
    epochs = {plan.epochs if len(plan.phases) == 1 else 0 for plan in matrix.plans}
    if len(epochs) == 1 and (count := epochs.pop()) and count % 2 == 0:
        return f"loss, epoch {count // 2}", f"epoch {count}"
    return "loss halfway", "at the end"
