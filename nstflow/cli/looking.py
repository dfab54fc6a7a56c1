"""The commands that only look: nothing is computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nstflow.cli.app import Blocks, RecipePath, Sets, app
from nstflow.errors import NstflowError, Problem, suggest


@app.command()
def validate(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE...", help="Recipe files.")],
    sets: Sets = None,
    block: Blocks = None,
) -> None:
    """Check recipes, and that the files they name are there. Computes nothing."""
    from nstflow import console
    from nstflow.plan import plan_file

    wrong = False
    for recipe in recipes:
        try:
            plan_file(recipe, sets or (), block=block or ())
        except NstflowError as error:
            console.show_problems(error)
            wrong = True
        else:
            console.show_sound(str(recipe), "sound")
    if wrong:
        raise typer.Exit(2)


@app.command()
def plan(recipe: RecipePath, sets: Sets = None, block: Blocks = None) -> None:
    """Show what a run would do: sizes, layers, steps, arithmetic, weights."""
    from nstflow.listings import show_plan
    from nstflow.plan import plan_file

    show_plan(plan_file(recipe, sets or (), block=block or ()))


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, with every stage that is installed, for editors."""
    from nstflow.plugins import Plugins
    from nstflow.recipe.jsonschema import json_schema

    typer.echo(json.dumps(json_schema(Plugins().catalog), indent=2, ensure_ascii=False))


@app.command()
def stages(
    slot: Annotated[str | None, typer.Argument(help="A slot, such as losses.")] = None,
    name: Annotated[str | None, typer.Argument(help="A stage, such as gram.")] = None,
) -> None:
    """List what recipes can name; with a slot and a name, show one stage and its settings."""
    from nstflow.listings import show_slots, show_stage
    from nstflow.plugins import Plugins
    from nstflow.slots import SLOTS

    catalog = Plugins().catalog
    if slot is not None and slot not in SLOTS:
        hint = f"{suggest(slot, SLOTS)} Slots: {', '.join(SLOTS)}.".strip()
        raise NstflowError(Problem("nstflow stages", "", f"there is no slot '{slot}'.", hint))
    if slot is None or name is None:
        show_slots(catalog, slot)
    elif name in catalog[slot]:
        show_stage(catalog[slot][name], slot)
    else:
        raise NstflowError(Problem(f"nstflow stages {slot}", "", *catalog.why_not(slot, name)))


@app.command()
def plugins() -> None:
    """List the plugins, what they offer, and what is wrong with the broken ones."""
    from nstflow.listings import show_plugins
    from nstflow.plugins import Plugins

    show_plugins(Plugins())
