"""The options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    options: Mapping[str, str | None] | None = None,
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
    names = [name for name, _, _ in pairs]
    problems += [
        Problem(f"--image {name}=", "", "this is given twice.", "Leave one out.")
        for name in dict.fromkeys(names)
        if names.count(name) > 1
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
        options=options or {},
    )


def recipe_options(
    recipe: Path,
    arguments: list[str] | None,
    named: list[str] | None,
    layers: list[str] | None,
    sets: list[str] | None,
    block: list[str] | None,
    plugins: list[Path] | None,
) -> ReadOptions:
    """Return the options of a command that takes images and a recipe's own options.

    Raises:
        NstflowError: As `read_options`; or an option comes before the recipe, or has no value.
    """
    images, options = _split_arguments(recipe, arguments)
    return read_options(sets, block, plugins, layers, images, named, options)


def _split_arguments(
    recipe: Path, arguments: list[str] | None
) -> tuple[list[str], dict[str, str | None]]:
    """Return the images among the arguments, and values for options that the recipe names.

    Raises:
        NstflowError: An option comes before the recipe.
    """
    from nstflow.errors import NstflowError, Problem

    if str(recipe).startswith("-") and not recipe.exists():
        hint = "Write the recipe first, then its options: RECIPE --size 64."
        raise NstflowError(Problem(str(recipe), "", "there is no such option here.", hint))
    images: list[str] = []
    options: dict[str, str | None] = {}
    waiting = iter(arguments or ())
    for argument in waiting:
        if argument.startswith("--") and len(argument) > len("--"):
            name, equals, value = argument.removeprefix("--").partition("=")
            following = None if equals else next(waiting, None)
            if following and following.startswith("--"):
                got, hint = "a value is missing.", f"Write --{name} VALUE."
                raise NstflowError(Problem(f"--{name}", "", got, hint))
            options[name] = value if equals else following
        elif argument.startswith("-") and len(argument) > 1:
            hint = f"If it is a file, write ./{argument}."
            raise NstflowError(Problem(argument, "", "there is no such option.", hint))
        else:
            images.append(argument)
    return images, options


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
    typer.Option(
        "--with",
        metavar="LAYER",
        help="A file with settings that replace the recipe's, or the name of a layer.",
        autocompletion=completion.layers,
    ),
]
WITH_RECIPE_OPTIONS = {"ignore_unknown_options": True}
"""Settings of a command that takes a recipe's own options, too: see `recipe_options`."""

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
        metavar="DIR",
        help="The run directory; by default runs/NAME, or runs/NAME-IMAGES with images.",
        callback=expand_home,
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
