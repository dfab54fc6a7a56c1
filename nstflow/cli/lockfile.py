"""The commands about locks: write, compare and show them."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nstflow.cli import completion
from nstflow.cli import options as option
from nstflow.cli.console import output as console
from nstflow.errors import NstflowError, Problem

Anything = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A recipe, a lock, a run directory or a picture.",
        autocompletion=completion.recipes,
        callback=option.expand_home,
    ),
]


def lock(
    recipe: option.RecipePath,
    images: option.Images = None,
    named: option.NamedImages = None,
    layers: option.Layers = None,
    sets: option.Sets = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The lock; by default RECIPE with .lock.yaml.",
            callback=option.expand_home,
        ),
    ] = None,
    device: option.Device = "auto",
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
) -> None:
    """Write the lock of a recipe without running it: all settings, hashes and versions."""
    from nstflow.lockfile.build import write_lock
    from nstflow.plan import make_plans
    from nstflow.recipe.reader import read
    from nstflow.storage.files import user_path

    given = option.recipe_options(recipe, images, named, layers, sets, block, plugin)
    (plan,) = make_plans(read(recipe, given, single=True))
    console.fetch_assets(plan.assets)
    recipe = user_path(recipe)
    stem = recipe.name.removesuffix(recipe.suffix).removesuffix(".lock")
    path = out or recipe.with_name(f"{stem}.lock.yaml")
    console.show_ok(str(write_lock(plan, path, device)), "written")


def diff(first: Anything, second: Anything, plugin: option.PluginFiles = None) -> None:
    """Show what differs between two recipes, locks, runs or pictures; exit 1 if anything does."""
    from nstflow.cli.console.lockfile_view import show_differences
    from nstflow.lockfile.diff import compare_anything

    found = compare_anything(first, second, option.read_options(None, None, plugin))
    show_differences(found, str(first), str(second))
    if found:
        raise typer.Exit(1)


def show(
    path: Anything,
    images: option.Images = None,
    named: option.NamedImages = None,
    layers: option.Layers = None,
    sets: option.Sets = None,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the lock or recipe itself, as a file to run.")
    ] = False,
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
) -> None:
    """Print how a picture or a run was made, or a recipe with the origin of every value."""
    from nstflow.cli.console.lockfile_view import show_provenance
    from nstflow.cli.console.recipe_view import show_recipe
    from nstflow.lockfile.provenance import read_anything
    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.reader import read

    given = option.recipe_options(path, images, named, layers, sets, block, plugin)
    source, _ = read_anything(path, partial(Plugins, given.block, given.plugins))
    is_lock = source.data.get("lock") is not None
    changes = [*given.images, *map("--{}".format, given.options), *(named or ())]
    changes += [*given.layers, *given.overrides]
    if changes and (is_lock or as_yaml):
        got = "this is printed as it is: nothing can change it."
        raise NstflowError(Problem(" ".join(changes), "", got, "Leave it out."))
    if as_yaml:
        typer.echo(source.text, nl=False)
    elif is_lock:
        show_provenance(source)
    else:
        for draft in read(path, given):
            show_recipe(draft.recipe_or_raise())
