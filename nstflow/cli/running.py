"""The commands that make pictures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstflow.cli.app import (
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
    app,
    choice,
)
from nstflow.cli.stopping import resume_command, stoppable

if TYPE_CHECKING:
    from nstflow.plan import Plan


@app.command()
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
    from nstflow.cli.many import make_many, refuse
    from nstflow.matrix import Matrix, plan_any

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


@app.command()
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
    from nstflow.agreement import tell_differences
    from nstflow.plan import make_plan
    from nstflow.provenance import recipe_of

    plan = make_plan(recipe_of(picture, images))
    tell_differences(plan)
    _make(
        plan,
        quiet=quiet,
        out=out,
        overwrite=overwrite,
        resume=resume,
        device=device.value,
        metadata=not plain,
    )


@app.command()
def verify(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run that has ended.")],
    device: Device = DeviceName.auto,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but how the pictures compare.")
    ] = False,
) -> None:
    """Run a run again, and compare the pictures pixel by pixel; exit 1 where they differ."""
    from nstflow.display import RunDisplay
    from nstflow.recounting import show_comparisons
    from nstflow.verify import verify as verify_run

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
    from nstflow import console, runner
    from nstflow.display import RunDisplay

    with stoppable() as stop:
        if not quiet:
            console.fetch(plan.assets)
        observers = () if quiet else (RunDisplay(),)
        result = runner.run(plan, observers=observers, stop=stop, **options)
    if quiet:
        for file in result.files:
            typer.echo(file)
    elif result.already:
        console.show_sound(str(result.folder), "this run has ended already")
    if result.interrupted:
        if not quiet:
            console.show_resume(resume_command())
        raise typer.Exit(128 + (stop.signal or signal.SIGINT))
