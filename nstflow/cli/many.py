"""The runs of a matrix, made and summed up."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nstflow.cli.stopping import resume_command
from nstflow.errors import NstflowError, Problem, printable

if TYPE_CHECKING:
    from nstflow.jobs import JobResult
    from nstflow.matrix import Matrix
    from nstflow.stopping import Stop


def make_many(
    matrix: Matrix,
    executor: str | None,
    settings: dict[str, Any],
    out: Path | None,
    stop: Stop,
    *,
    quiet: bool,
    **options: Any,
) -> None:
    """Make the runs of a matrix with a display, a table, a summary and a contact sheet.

    Args:
        matrix: What to make.
        executor: What `--executor` says; by default what the settings mean, else `serial`.
        settings: Its settings, from options named like them.
        out: The directory that holds those of the runs; `runs/<name>` by default.
        stop: Asks to stop.
        quiet: Print nothing but the pictures' paths.
        options: Those of `nstflow.batch.run_matrix`.
    """
    from nstflow import console
    from nstflow.batch import run_matrix
    from nstflow.choosing import choose_executor
    from nstflow.facts import SHEET_FILE, SUMMARY_FILE
    from nstflow.matrix_display import MatrixDisplay, show_table
    from nstflow.summary import rows_of

    plugins = matrix.plans[0].recipe.installed
    chosen = choose_executor(executor or _meant(settings), settings, plugins)
    out = out or Path("runs", matrix.name)
    console.fetch(matrix.assets)
    display = MatrixDisplay(matrix, silent=quiet)
    with contextlib.ExitStack() as shown:
        options |= {"begun": lambda: shown.enter_context(display), "ended": display.ended}
        results = run_matrix(matrix, chosen, out, tell=display.tell, stop=stop, **options)
    if quiet:
        for result in results:
            for file in result.files:
                typer.echo(out / result.name / file.name)
    else:
        show_table(matrix, rows_of(matrix, results, out))
        console.out.print()
        names = {"summary": SUMMARY_FILE, "contact sheet": SHEET_FILE}
        files = {name: out / file for name, file in names.items() if (out / file).is_file()}
        console.show_facts([(name, str(file)) for name, file in files.items()])
    _end(matrix, results, stop, quiet=quiet)


def _meant(settings: dict[str, Any]) -> str:
    """Return the executor that settings without a name mean."""
    if settings.get("scheduler") is not None:
        return "dask"
    return "serial" if settings.get("workers") is None else "processes"


def refuse(got: str, **options: object) -> None:
    """Refuse options that a recipe of the other kind has no use for.

    Raises:
        NstflowError: One of them was given.
    """
    given = [f"--{name}" for name, value in options.items() if value]
    if given:
        raise NstflowError(Problem(" ".join(given), "", got, "Leave it out."))


def _end(matrix: Matrix, results: list[JobResult], stop: Stop, *, quiet: bool) -> None:
    """Print what failed and how to go on, and exit as the shell expects."""
    from nstflow import console

    failed = [result for result in results if result.state == "failed"]
    for result in failed:
        if result.trace:
            console.err.print(printable(result.trace, lines=True), soft_wrap=True)
    if failed:
        error = NstflowError([problem for each in failed for problem in each.problems])
        error.closing = f"{len(failed)} of {len(matrix)} runs failed"
        console.show_problems(error)
    finished = sum(result.state == "finished" for result in results)
    if finished < len(matrix) and not quiet:
        console.show_resume(resume_command(keep_overwrite=True))
    if stop.signal and finished + len(failed) < len(matrix):
        raise typer.Exit(128 + stop.signal)
    if failed:
        raise typer.Exit(1)
    if finished < len(matrix):
        raise typer.Exit(128 + signal.SIGINT)
