"""The command line: parse, call the library, render."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Annotated, Any

import typer

# each adds its commands, in this order
from nstflow.cli import running  # noqa: F401  # isort: skip
from nstflow.cli import looking  # noqa: F401  # isort: skip
from nstflow.cli import locks  # noqa: F401  # isort: skip
from nstflow.cli import weights  # noqa: F401  # isort: skip
from nstflow.cli import making  # noqa: F401  # isort: skip
from nstflow.cli.app import app
from nstflow.errors import NstflowError


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


def _show_warning(*warning: Any) -> None:
    from nstflow.console import show_warning

    show_warning(*warning)


def main() -> None:
    """Run the command line; exit 2 for what the user can put right, 1 with a traceback for bugs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may lack our letters
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # what it takes, it hands on
    try:
        app()
    except NstflowError as error:
        from nstflow.console import show_problems

        show_problems(error)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
