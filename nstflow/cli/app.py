"""The application: every command, and what happens to errors and warnings."""

import errno
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nstflow.cli import completion, inspect, lockfile, new_plugin, run, weights
from nstflow.cli.console.output import PLAIN_LETTERS, show_problems, show_warning
from nstflow.cli.options import WITH_RECIPE_OPTIONS
from nstflow.errors import NstflowError, Problem

app = typer.Typer(
    help="Neural style transfer as a pipeline of plugins, configured by YAML recipes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # bugs have plain tracebacks
    context_settings={"help_option_names": ["-h", "--help"]},
)

commands: list[Callable[..., None]] = [run.run, run.rerun, run.verify]
commands += [inspect.validate, inspect.plan, inspect.recipes, inspect.copy]
commands += [inspect.schema, inspect.stages, inspect.plugins]
commands += [lockfile.lock, lockfile.diff, lockfile.show]
for command in commands:
    takes_options = command in (run.run, inspect.plan, lockfile.lock, lockfile.show)
    app.command(context_settings=WITH_RECIPE_OPTIONS if takes_options else None)(command)
app.add_typer(weights.app, name="weights")
app.command("new-plugin")(new_plugin.command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nstflow {version('nstflow')}")
        raise typer.Exit


@app.callback()
def _options(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit 2 for a user's mistakes, 1 with a traceback for bugs."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors=PLAIN_LETTERS)
    warnings.showwarning = show_warning  # type: ignore[assignment]  # all are positional
    try:
        if completion.VARIABLE in os.environ:
            completion.answer(app)
        app(prog_name="nstflow")
    except NstflowError as error:
        _refuse(error)
    except BrokenPipeError:  # such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        problem = _problem_of(error)
        if problem is None:
            raise
        _refuse(NstflowError(problem))


def _replace_closed_streams() -> None:
    """Put the null device in place of standard streams that were closed before this process.

    Else the first file that is opened has the number of the standard output, and gets what is
    written there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, number)
            if null != number:
                os.close(null)
            os.set_inheritable(number, True)
        stream = Path(os.devnull).open("w" if number else "r", encoding="utf-8")  # noqa: SIM115
        setattr(sys, name, stream)


def _refuse(error: NstflowError) -> NoReturn:
    """Print the problems, and exit."""
    if not error.closing and sys.argv[1] in ("run", "rerun"):
        error.closing = "nothing was run"
    show_problems(error)
    sys.exit(2)


def _problem_of(error: OSError) -> Problem | None:
    """Return what is wrong with a path that a user gave, or None if the error may be a bug's."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return Problem(os.curdir, "", "the working folder was deleted.", "Change to another one.")
    if error.filename and error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
        return Problem(str(error.filename), "", f"it can't be used: {error.strerror}.")
    return None
