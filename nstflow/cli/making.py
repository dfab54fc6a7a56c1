"""The command that begins a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nstflow.cli.app import app


@app.command("new-plugin")
def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package's name, and folder's.")],
    slot: Annotated[
        str,
        typer.Option(metavar="SLOT", help="losses, preprocess, postprocess, or observers."),
    ] = "losses",
) -> None:
    """Write a new plugin package that works, to be changed into what you have in mind."""
    from nstflow import console, scaffold

    folder = scaffold.new_plugin(name, slot, Path())
    console.show_sound(str(folder), "written")
    module = f"{name.replace('-', '_')}.py"
    console.show_facts(
        [
            ("try it", f"pip install -e './{folder}[test]' && pytest {folder}"),
            ("change it", str(folder / module)),
        ]
    )
