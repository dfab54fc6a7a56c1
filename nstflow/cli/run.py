"""The commands that make pictures."""

from __future__ import annotations

import contextlib
import os
import signal
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstflow.cli import options as option
from nstflow.cli.console import output as console
from nstflow.cli.signals import resume_command, stoppable
from nstflow.errors import NstflowError, Problem, printable
from nstflow.storage.files import file_name, fit_name, user_path

if TYPE_CHECKING:
    from nstflow.matrix.plan import Matrix
    from nstflow.plan import Plan
    from nstflow.stages.job import JobResult, Stop


@dataclass(frozen=True)
class RunOptions:
    """The options that all commands share which make pictures."""

    out: Path | None
    overwrite: bool
    resume: bool
    device: option.Device
    metadata: bool
    quiet: bool


def run(
    recipe: option.RecipePath,
    images: option.Images = None,
    named: option.NamedImages = None,
    layers: option.Layers = None,
    sets: option.Sets = None,
    out: option.Out = None,
    overwrite: option.Overwrite = False,
    resume: option.Resume = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Refuse if anything is not as the lock says.")
    ] = False,
    device: option.Device = "auto",
    plain: option.Plain = False,
    quiet: option.Quiet = False,
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
    executor: option.ExecutorName = None,
    workers: option.Workers = None,
    threads: option.Threads = None,
    scheduler: option.Scheduler = None,
) -> None:
    """Make a picture from a recipe, or many from one with a matrix.

    Most recipes have options of their own, such as --size: `nstflow recipes NAME` lists them.
    """
    from nstflow.matrix.plan import Matrix, plan_recipe, unused_images

    given = option.recipe_options(recipe, images, named, layers, sets, block, plugin)
    planned = plan_recipe(recipe, given)
    console.show_notices(unused_images(planned))
    if out is None and (given.images or given.named_images):
        out = Path("runs", run_name(planned.name, given.images, given.named_images))
    options = RunOptions(out, overwrite, resume, device, not plain, quiet)
    settings = {"workers": workers, "threads": threads, "scheduler": scheduler}
    if isinstance(planned, Matrix):
        refuse("this recipe has a matrix: each of its runs has its own lock.", locked=locked)
        make_many(planned, executor, settings, options)
    else:
        got = "this recipe has no matrix: it is a single run."
        refuse(got, executor=executor, **settings)
        make_one(planned, options, locked=locked)


def run_name(recipe: str, images: Sequence[str], named: Mapping[str, str]) -> str:
    """Return the name of a run directory that tells which images a recipe was run with.

    It has at most 120 letters, and bytes that file systems allow; a longer one ends with a number
    made from the whole.
    """
    words = [recipe, *map(_word, images)]
    words += [f"{image}-{_word(file)}" for image, file in named.items()]
    name = "-".join(words)
    return name if fit_name(name) == name else fit_name(name, f"-{zlib.crc32(name.encode())}")


def _word(image: str) -> str:
    """Return the name of a file or a folder; of a pattern, that of the folder it starts in."""
    from nstflow.recipe.inputs import is_pattern

    path = user_path(image)
    if is_pattern(image):
        name = path.absolute().parent.name
    else:
        is_folder = os.path.isdir(path)  # noqa: PTH112 - it never raises
        name = path.absolute().name if is_folder else path.stem
    return file_name(name, "_") or "x"


def rerun(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE", help="A PNG that nstflow wrote.", callback=option.expand_home
        ),
    ],
    images: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="The folder of the inputs, under any names.",
            callback=option.expand_home,
        ),
    ],
    out: option.Out = None,
    overwrite: option.Overwrite = False,
    resume: option.Resume = False,
    device: option.Device = "auto",
    plain: option.Plain = False,
    quiet: option.Quiet = False,
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
) -> None:
    """Make a picture again from its own metadata; its inputs are found by their hashes."""
    from nstflow.lockfile.check import warn_differences
    from nstflow.lockfile.provenance import recipe_of
    from nstflow.plan import make_plan

    plan = make_plan(recipe_of(picture, images, option.read_options(None, block, plugin)))
    warn_differences(plan)
    make_one(plan, RunOptions(out, overwrite, resume, device, not plain, quiet))


def verify(
    run_dir: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR", help="A finished run.", callback=option.expand_home),
    ],
    device: option.Device = "auto",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only how the pictures compare.")
    ] = False,
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
) -> None:
    """Repeat a run, and compare the pictures pixel by pixel; exit 1 if they differ."""
    from nstflow.cli.console.lockfile_view import show_comparisons
    from nstflow.cli.console.run_progress import RunDisplay
    from nstflow.runner.verify import verify as verify_run

    observers = () if quiet else (RunDisplay(show_files=False),)
    options = option.read_options(None, block, plugin)
    with stoppable() as stop:
        found = verify_run(run_dir, options, device=device, observers=observers, stop=stop)
        if found is None:
            raise typer.Exit(128 + (stop.signal or signal.SIGINT))
    show_comparisons(found)
    if not all(each.equal for each in found):
        raise typer.Exit(1)


def make_one(plan: Plan, options: RunOptions, *, locked: bool = False) -> None:
    """Make a picture with a display, and print how it ended."""
    from nstflow.cli.console.run_progress import RunDisplay
    from nstflow.runner.run import run as run_plan

    with stoppable() as stop:
        if not options.quiet:
            console.fetch_assets(plan.assets)
        result = run_plan(
            plan,
            options.out,
            overwrite=options.overwrite,
            resume=options.resume,
            locked=locked,
            device=options.device,
            metadata=options.metadata,
            observers=() if options.quiet else (RunDisplay(),),
            stop=stop,
        )
    if options.quiet:
        for file in result.files:
            typer.echo(file)
    elif result.already:
        console.show_ok(str(result.folder), "finished already")
        console.show_facts([("picture", str(file)) for file in result.files])
    if result.interrupted:
        if not options.quiet:
            console.show_resume(resume_command())
        raise typer.Exit(128 + (stop.signal or signal.SIGINT))


def make_many(
    matrix: Matrix, executor: str | None, settings: dict[str, Any], options: RunOptions
) -> None:
    """Make the runs of a matrix with a display, a table, a summary and a contact sheet.

    Args:
        matrix: What to make.
        executor: The value of `--executor`; by default the one that the settings need.
        settings: The executor's settings, from options of the same names.
        options: The other options.
    """
    from nstflow.cli.console.matrix_progress import MatrixDisplay, show_table
    from nstflow.matrix.run import choose_executor, run_matrix
    from nstflow.matrix.summary import rows_of
    from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE

    plugins = matrix.plans[0].recipe.installed
    chosen = choose_executor(executor, settings, plugins)
    out = options.out or Path("runs", matrix.name)
    display = MatrixDisplay(matrix, silent=options.quiet)
    with stoppable() as stop:
        console.fetch_assets(matrix.assets)
        with contextlib.ExitStack() as stack:
            results = run_matrix(
                matrix,
                chosen,
                out,
                overwrite=options.overwrite,
                resume=options.resume,
                device=options.device,
                metadata=options.metadata,
                tell=display.progress,
                begun=lambda: stack.enter_context(display),
                ended=display.ended,
                stop=stop,
            )
        if options.quiet:
            for result in results:
                for file in result.files:
                    typer.echo(out / result.name / file.name)
        else:
            show_table(matrix, rows_of(matrix, results, out))
            console.stdout().print()
            files = {"summary": out / SUMMARY_FILE, "contact sheet": out / SHEET_FILE}
            console.show_facts([(name, str(f)) for name, f in files.items() if f.is_file()])
        _exit(matrix, results, stop, quiet=options.quiet)


def refuse(got: str, **options: object) -> None:
    """Refuse options that make no sense for a recipe of this kind.

    Raises:
        NstflowError: One of them was given.
    """
    given = [
        f"--{name}" for name, value in options.items() if value is not None and value is not False
    ]
    if given:
        raise NstflowError(Problem(" ".join(given), "", got, "Leave it out."))


def _exit(matrix: Matrix, results: list[JobResult], stop: Stop, *, quiet: bool) -> None:
    """Print what failed and how to resume, and exit as the shell expects."""
    failed = [result for result in results if result.state == "failed"]
    for result in failed:
        if result.trace:
            console.show_line(printable(result.trace, lines=True), console=console.stderr())
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
