"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nstflow.cli import completion

if TYPE_CHECKING:
    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.reader import ReadOptions


def read_options(
    sets: list[str] | None,
    block: list[str] | None,
    plugins: list[Path] | None,
    layers: list[str] | None = None,
    images: Sequence[str] = (),
    named: list[str] | None = None,
) -> ReadOptions:
    """Return the options of reading a recipe, as the library's functions take them.

    Raises:
        NstflowError: A plugin file can't be read, or an image has no name.
    """
    from nstflow.errors import NstflowError, Problem
    from nstflow.plugins.single_file import read_plugin
    from nstflow.recipe.reader import ReadOptions

    pairs = [text.partition("=") for text in named or ()]
    problems = [
        Problem(f"--image {name}{equals}{file}", "", "this is not NAME=FILE.", "Write style=a.jpg.")
        for name, equals, file in pairs
        if not (name and file)
    ]
    if problems:
        raise NstflowError(problems)
    return ReadOptions(
        tuple(sets or ()),
        tuple(block or ()),
        tuple(map(read_plugin, plugins or ())),
        layers=tuple(layers or ()),
        images=tuple(images),
        named_images={name: file for name, _, file in pairs},
    )


def split_arguments(
    context: typer.Context, recipe: Path, layers: list[str] | None, arguments: list[str] | None
) -> tuple[list[str], list[str]]:
    """Return the images among the arguments, and the recipe's options as `PATH=VALUE`.

    Raises:
        NstflowError: An option is neither the command's nor the recipe's, or has no value.
    """
    images: list[str] = []
    options: list[tuple[str, str, str | None]] = []
    waiting = iter(arguments or ())
    for argument in waiting:
        if not argument.startswith("-") or argument == "-":
            images.append(argument)
            continue
        option, equals, value = argument.partition("=")
        options.append(
            (option, option.removeprefix("--"), value if equals else next(waiting, None))
        )
    if not options:
        return images, []
    from nstflow.errors import NstflowError, Problem, suggest
    from nstflow.recipe.layers import with_layers
    from nstflow.recipe.source import read_source

    written = with_layers(read_source(recipe), layers or ()).data.get("options")
    known = [f"--{name}" for name in written] if isinstance(written, dict) else []
    own = [name for each in context.command.params for name in each.opts if name[:2] == "--"]
    problems = []
    for option, _, given in options:
        if option not in known:
            offers = f"Options of this recipe: {', '.join(known)}." if known else ""
            hint = f"{suggest(option, [*known, *own])} {offers}".strip()
            problems.append(Problem(option, "", "there is no such option.", hint))
        elif given is None:
            problems.append(Problem(option, "", "a value is missing.", f"Write {option} VALUE."))
    if problems:
        raise NstflowError(problems)
    return images, [f"{name}={value}" for _, name, value in options]


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


def expand_home(path: Path | None) -> Path | None:
    """Return a path with the home folder in place of `~`, which shells leave in `--out=~/x`."""
    from nstflow.storage.files import user_path

    return None if path is None else user_path(path)


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
Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[IMAGE]...",
        help="Files for the recipe's images, in its order; a folder or 'photos/*.jpg' for many.",
        show_default=False,
    ),
]
NamedImages = Annotated[
    list[str] | None,
    typer.Option("--image", metavar="NAME=FILE", help="A file for one image of the recipe."),
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="FILE", help="A file with settings that replace the recipe's."),
]
WITH_RECIPE_OPTIONS = {"ignore_unknown_options": True}
"""Settings of a command that takes a recipe's own options, too: see `split_arguments`."""

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
    Path | None,
    typer.Option(
        metavar="DIR", help="The run directory; by default runs/NAME.", callback=expand_home
    ),
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
