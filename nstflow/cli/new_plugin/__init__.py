"""The command that begins a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package's name, and folder's.")],
    slot: Annotated[
        str,
        typer.Option(metavar="SLOT", help="losses, preprocess, postprocess, or observers."),
    ] = "losses",
) -> None:
    """Write a new plugin package that works, to be changed into what you have in mind."""
    from nstflow.cli.console import output as console
    from nstflow.cli.new_plugin.package import new_plugin

    folder = new_plugin(name, slot, Path())
    console.show_ok(str(folder), "written")
    module = f"{name.replace('-', '_')}.py"
    console.show_facts(
        [
            ("try it", f"pip install -e './{folder}[test]' && pytest {folder}"),
            ("change it", str(folder / module)),
        ]
    )
