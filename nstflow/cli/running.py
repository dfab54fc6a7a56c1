"""The commands that make pictures."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nstflow.cli.app import (
    Blocks,
    Device,
    DeviceName,
    Out,
    Overwrite,
    Plain,
    Quiet,
    RecipePath,
    Resume,
    Sets,
    app,
)

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stopping import Stop


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
) -> None:
    """Make a picture from a recipe."""
    from nstflow.plan import plan_file

    _make(
        plan_file(recipe, sets or (), block=block or ()),
        quiet=quiet,
        out=out,
        overwrite=overwrite,
        resume=resume,
        locked=locked,
        device=device.value,
        metadata=not plain,
    )


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
    with _stoppable() as stop:
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

    with _stoppable() as stop:
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
            console.show_resume(_resume_command())
        raise typer.Exit(128 + (stop.signal or signal.SIGINT))


@contextmanager
def _stoppable() -> Iterator[Stop]:
    """Listen to Ctrl-C and SIGTERM, and exit as the shell expects where nothing was made."""
    from nstflow import console
    from nstflow.stopping import Stop, listening

    stop = Stop()
    try:
        with listening(stop, console.show_stopping, console.give_back):
            yield stop
    except KeyboardInterrupt:
        console.err.print("Stopped: no picture was written.")
        raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None


def _resume_command() -> str:
    words = [word for word in sys.argv[1:] if word not in ("--overwrite", "--resume")]
    return shlex.join(["nstflow", *words, "--resume"])
