"""The commands that make pictures."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstflow.cli.options import (
    Blocks,
    Device,
    DeviceName,
    ExecutorName,
    Out,
    Overwrite,
    Plain,
    PluginFiles,
    Quiet,
    RecipePath,
    Resume,
    Scheduler,
    Sets,
    Threads,
    Workers,
    choice,
)
from nstflow.cli.signals import resume_command, stoppable
from nstflow.errors import NstflowError, Problem, printable

if TYPE_CHECKING:
    from nstflow.matrix.plan import Matrix
    from nstflow.plan import Plan
    from nstflow.stages.job import JobResult, Stop


def run(
    recipe: RecipePath,
    sets: Sets = None,
    out: Out = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse where anything is not as the lock says.")
    ] = False,
    device: Device = DeviceName.auto,
    plain: Plain = False,
    quiet: Quiet = False,
    block: Blocks = None,
    plugin: PluginFiles = None,
    executor: ExecutorName = None,
    workers: Workers = None,
    threads: Threads = None,
    scheduler: Scheduler = None,
) -> None:
    """Make a picture from a recipe, or many from one with a matrix."""
    from nstflow.matrix.plan import Matrix, plan_any

    planned = plan_any(recipe, sets or (), **choice(block, plugin))
    settings = {"workers": workers, "threads": threads, "scheduler": scheduler}
    options: dict[str, Any] = {
        "overwrite": overwrite,
        "resume": resume,
        "device": device.value,
        "metadata": not plain,
    }
    if isinstance(planned, Matrix):
        refuse("this recipe has a matrix: each of its runs has its own lock.", locked=locked)
        with stoppable() as stop:
            make_many(planned, executor, settings, out, stop, quiet=quiet, **options)
        return
    got = "this recipe has no matrix: it is a single run."
    refuse(got, executor=executor, **settings)
    _make(planned, quiet=quiet, out=out, locked=locked, **options)


def rerun(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A PNG that nstflow wrote.")],
    images: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the inputs are, under whatever names.")
    ],
    out: Out = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    device: Device = DeviceName.auto,
    plain: Plain = False,
    quiet: Quiet = False,
) -> None:
    """Make a picture again from what it says of itself; its inputs are found by their hashes."""
    from nstflow.lockfile.check import warn_differences
    from nstflow.lockfile.provenance import recipe_of
    from nstflow.plan import make_plan

    plan = make_plan(recipe_of(picture, images))
    warn_differences(plan)
    _make(
        plan,
        quiet=quiet,
        out=out,
        overwrite=overwrite,
        resume=resume,
        device=device.value,
        metadata=not plain,
    )


def verify(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run that has ended.")],
    device: Device = DeviceName.auto,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but how the pictures compare.")
    ] = False,
) -> None:
    """Run a run again, and compare the pictures pixel by pixel; exit 1 where they differ."""
    from nstflow.cli.console.lockfile_view import show_comparisons
    from nstflow.cli.console.run_progress import RunDisplay
    from nstflow.runner.verify import verify as verify_run

    observers = () if quiet else (RunDisplay(tell_files=False),)
    with stoppable() as stop:
        found = verify_run(run_dir, device=device.value, observers=observers, stop=stop)
        if found is None:
            raise typer.Exit(128 + (stop.signal or signal.SIGINT))
    show_comparisons(found)
    if not all(each.equal for each in found):
        raise typer.Exit(1)


def _make(plan: Plan, *, quiet: bool, **options: Any) -> None:
    """Make a picture with a display, and say how it ended; `options` are those of `nstflow.run`."""
    from nstflow.cli.console import output as console
    from nstflow.cli.console.run_progress import RunDisplay
    from nstflow.runner.run import run as run_plan

    with stoppable() as stop:
        if not quiet:
            console.fetch(plan.assets)
        observers = () if quiet else (RunDisplay(),)
        result = run_plan(plan, observers=observers, stop=stop, **options)
    if quiet:
        for file in result.files:
            typer.echo(file)
    elif result.already:
        console.show_ok(str(result.folder), "this run has ended already")
    if result.interrupted:
        if not quiet:
            console.show_resume(resume_command())
        raise typer.Exit(128 + (stop.signal or signal.SIGINT))


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
    from nstflow.cli.console import output as console
    from nstflow.cli.console.matrix_progress import MatrixDisplay, show_table
    from nstflow.matrix.run import choose_executor, run_matrix
    from nstflow.matrix.summary import rows_of
    from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE

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
    from nstflow.cli.console import output as console

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
