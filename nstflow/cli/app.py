"""What all commands share: the application, and the options that several have."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Neural style transfer as a pipeline of plugins, written down in YAML recipes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug deserves its whole traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)


class DeviceName(enum.StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    gpu = "gpu"


RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe file (YAML).")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set any field: losses.style.weight=0.3"),
]
Blocks = Annotated[
    list[str] | None,
    typer.Option("--block-plugin", metavar="NAME", help="Leave a plugin out."),
]
Device = Annotated[DeviceName, typer.Option(help="Where to compute.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run directory; else runs/NAME.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was stopped or killed.")
]
Plain = Annotated[
    bool, typer.Option("--no-metadata", help="Do not write into the picture how it was made.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result's path.")]
