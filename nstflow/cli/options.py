"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nstflow.cli import completion

if TYPE_CHECKING:
    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.reader import ReadOptions


def read_options(
    sets: list[str] | None, block: list[str] | None, plugins: list[Path] | None
) -> ReadOptions:
    """Return the options of reading a recipe, as the library's functions take them.

    Raises:
        NstflowError: A plugin file can't be read.
    """
    from nstflow.plugins.single_file import read_plugin
    from nstflow.recipe.reader import ReadOptions

    return ReadOptions(
        tuple(sets or ()), tuple(block or ()), tuple(map(read_plugin, plugins or ()))
    )


def installed(block: list[str] | None, plugins: list[Path] | None) -> Plugins:
    """Return the installed plugins and the given files, without the blocked ones.

    Raises:
        NstflowError: A plugin file can't be read or is not valid, or a blocked plugin is unknown.
    """
    from nstflow.errors import NstflowError
    from nstflow.plugins.manager import Plugins

    chosen = read_options(None, block, plugins)
    found = Plugins(chosen.block, chosen.plugins)
    if found.unknown_blocks:
        raise NstflowError([found.unknown(name) for name in found.unknown_blocks])
    return found


RecipePath = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe file, or a name that `nstflow recipes` lists.",
        autocompletion=completion.recipes,
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set any field, such as losses.style.weight=0.3.",
        autocompletion=completion.settings,
    ),
]
Blocks = Annotated[
    list[str] | None,
    typer.Option(
        "--block-plugin",
        metavar="NAME",
        help="Leave a plugin out.",
        autocompletion=completion.plugins,
    ),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Use a Python file as a plugin."),
]
Device = Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Where to compute.")]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The run directory; by default runs/NAME.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing run.")]
Resume = Annotated[bool, typer.Option("--resume", help="Resume a run that was stopped or killed.")]
Plain = Annotated[
    bool, typer.Option("--no-metadata", help="Do not write into the picture how it was made.")
]
ExecutorName = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Where the runs of a matrix are made: serial, processes, dask, or a plugin's.",
        autocompletion=completion.executors,
    ),
]
Workers = Annotated[int | None, typer.Option(help="How many runs of a matrix are made at a time.")]
Threads = Annotated[
    int | None, typer.Option(help="How many threads compute in each worker of a matrix.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Dask's scheduler; by default a cluster on this machine."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the paths of the results.")]
