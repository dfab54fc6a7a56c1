"""The commands that compute nothing."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nstflow.cli import completion
from nstflow.cli.console import output as console
from nstflow.cli.options import (
    Blocks,
    Images,
    Layers,
    NamedImages,
    PluginFiles,
    RecipePath,
    Sets,
    installed,
    read_options,
    recipe_options,
)
from nstflow.errors import NstflowError, Problem, describe_exception, suggest

if TYPE_CHECKING:
    from nstflow.plugins.catalog import RecipeOffer


def validate(
    recipes: Annotated[
        list[Path],
        typer.Argument(
            metavar="RECIPE...",
            help="Recipe files, or names of recipes.",
            autocompletion=completion.recipes,
        ),
    ],
    named: NamedImages = None,
    layers: Layers = None,
    sets: Sets = None,
    block: Blocks = None,
    plugin: PluginFiles = None,
) -> None:
    """Check recipes, and that the files they name exist. Computes nothing."""
    from nstflow.matrix.plan import Matrix, plan_recipe, unused_images

    failed = False
    for recipe in recipes:
        try:
            options = read_options(sets, block, plugin, layers, (), named)
            planned = plan_recipe(recipe, options)
        except NstflowError as error:
            console.show_problems(error)
            failed = True
        else:
            console.show_notices(unused_images(planned))
            many = f", {console.runs_text(len(planned))}" if isinstance(planned, Matrix) else ""
            console.show_ok(str(recipe), f"valid{many}")
    if failed:
        raise typer.Exit(2)


def plan(
    recipe: RecipePath,
    images: Images = None,
    named: NamedImages = None,
    layers: Layers = None,
    sets: Sets = None,
    block: Blocks = None,
    plugin: PluginFiles = None,
) -> None:
    """Show what a run, or each run of a matrix, would do: sizes, layers, steps, time, memory."""
    from nstflow.cli.console.plan_view import show_matrix, show_plan
    from nstflow.matrix.plan import Matrix, plan_recipe, unused_images

    options = recipe_options(recipe, images, named, layers, sets, block, plugin)
    planned = plan_recipe(recipe, options)
    console.show_notices(unused_images(planned))
    if isinstance(planned, Matrix):
        show_matrix(planned)
    else:
        show_plan(planned)


def recipes(
    name: Annotated[
        Path | None,
        typer.Argument(
            metavar="[NAME]",
            help="A recipe, to show the images and the options that it takes.",
            autocompletion=completion.recipes,
            show_default=False,
        ),
    ] = None,
    block: Blocks = None,
    plugin: PluginFiles = None,
) -> None:
    """List the recipes that have a name: what each makes, its size, and its time if known."""
    from nstflow.cli.console.plan_view import show_layers, show_recipes
    from nstflow.cli.console.recipe_view import show_usage
    from nstflow.matrix.plan import Matrix, plan_recipe
    from nstflow.plan import Plan
    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.layers import with_layers
    from nstflow.recipe.reader import read
    from nstflow.recipe.source import read_source

    options = read_options(None, block, plugin)
    if name is not None:
        find = partial(Plugins, options.block, options.plugins)
        recipe = read(name, options)[0].recipe_or_raise()
        show_usage(str(name), with_layers(read_source(name, find), (), find), recipe)
        return
    planned: dict[RecipeOffer, Plan | Matrix | NstflowError] = {}
    plugins = installed(block, plugin)
    for offer in plugins.recipes:
        try:
            planned[offer] = plan_recipe(offer.path, options)
        except NstflowError as error:
            planned[offer] = error
        except Exception as error:  # noqa: BLE001 - a stage of a plugin may raise anything
            planned[offer] = NstflowError(Problem(str(offer.path), "", describe_exception(error)))
    show_recipes(planned)
    more = "nstflow recipes NAME shows what one takes; nstflow copy NAME lets you edit it"
    console.show_text((more, "dim"))
    show_layers({offer.name: _summary(offer) for offer in plugins.layers})


def _summary(layer: "RecipeOffer") -> str:
    """Return what a layer does, or why it can't be read."""
    from nstflow.recipe.source import read_source

    try:
        return str(read_source(layer.path).data.get("summary", ""))
    except NstflowError as error:
        return " ".join(str(error).split())


def copy(
    recipe: RecipePath,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The copy, or its folder; by default NAME.yaml here."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    block: Blocks = None,
    plugin: PluginFiles = None,
) -> None:
    """Copy a recipe to edit it, with its pictures and the schema."""
    from nstflow.recipe.copy import copy_recipe

    written = copy_recipe(recipe, file, read_options(None, block, plugin), overwrite=overwrite)
    for path, new in written.items():
        console.show_ok(str(path), "written" if new else "there already")
    console.show_next("run it with", shlex.join(["nstflow", "run", str(path)]))


def schema(block: Blocks = None, plugin: PluginFiles = None) -> None:
    """Print the JSON schema of recipes, with every installed stage, for editors."""
    from nstflow.recipe.json_schema import json_schema

    catalog = installed(block, plugin).catalog
    typer.echo(json.dumps(json_schema(catalog), indent=2, ensure_ascii=False))


def stages(
    slot: Annotated[
        str | None,
        typer.Argument(help="A slot, such as losses.", autocompletion=completion.slots),
    ] = None,
    name: Annotated[
        str | None,
        typer.Argument(help="A stage, such as gram.", autocompletion=completion.stages),
    ] = None,
    block: Blocks = None,
    plugin: PluginFiles = None,
) -> None:
    """List the installed stages; with a slot and a name, show one stage."""
    from nstflow.cli.console.stage_view import show_slots, show_stage
    from nstflow.stages.slots import ALL_SLOTS

    catalog = installed(block, plugin).catalog
    if slot is not None and slot not in ALL_SLOTS:
        hint = f"{suggest(slot, ALL_SLOTS)} Slots: {', '.join(ALL_SLOTS)}.".strip()
        raise NstflowError(Problem("nstflow stages", "", f"there is no slot '{slot}'.", hint))
    if slot is None or name is None:
        show_slots(catalog, slot)
    elif name in catalog[slot]:
        show_stage(catalog[slot][name], slot)
    else:
        raise NstflowError(
            Problem(f"nstflow stages {slot}", "", *catalog.explain_missing(slot, name))
        )


def plugins(block: Blocks = None, plugin: PluginFiles = None) -> None:
    """List the plugins, what they offer, and the errors of those that are broken."""
    from nstflow.cli.console.stage_view import show_plugins

    show_plugins(installed(block, plugin))
