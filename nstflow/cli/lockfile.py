"""The commands about locks: write, compare and show them."""

from pathlib import Path
from typing import Annotated

import typer

from nstflow.cli import options as option
from nstflow.cli.console import output as console

Anything = Annotated[
    Path, typer.Argument(metavar="PATH", help="A recipe, a lock, a run directory or a picture.")
]


def lock(
    recipe: option.RecipePath,
    sets: option.Sets = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The lock; by default RECIPE with .lock.yaml."),
    ] = None,
    device: option.Device = "auto",
    block: option.Blocks = None,
    plugin: option.PluginFiles = None,
) -> None:
    """Write the lock of a recipe without running it: all settings, hashes and versions."""
    from nstflow.lockfile.build import write_lock
    from nstflow.plan import make_plans
    from nstflow.recipe.reader import read

    options = option.read_options(sets, block, plugin)
    (plan,) = make_plans(read(recipe, options, single=True))
    console.fetch_assets(plan.assets)
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
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print the lock or recipe itself, as a file to run.")
    ] = False,
) -> None:
    """Print how a picture or a run was made."""
    from nstflow.cli.console.lockfile_view import show_provenance
    from nstflow.lockfile.provenance import read_anything

    source, _ = read_anything(path)
    if as_yaml:
        typer.echo(source.text, nl=False)
    else:
        show_provenance(source)
