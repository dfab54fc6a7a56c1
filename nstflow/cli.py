"""The command line: parse, call the library, render."""

from __future__ import annotations

import enum
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from nstflow.errors import NstflowError, Problem, suggest

app = typer.Typer(
    help="Neural style transfer as a pipeline of plugins, written down in YAML recipes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug deserves its whole traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
weights_app = typer.Typer(help="The weights of the networks.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")


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


@app.command()
def run(
    recipe: RecipePath,
    sets: Sets = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run directory; else runs/NAME.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run directory if it exists.")
    ] = False,
    device: Annotated[DeviceName, typer.Option(help="Where to compute.")] = DeviceName.auto,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the result's path.")
    ] = False,
    block: Blocks = None,
) -> None:
    """Make a picture from a recipe."""
    from nstflow import console, runner
    from nstflow.plan import plan_file

    plan = plan_file(recipe, sets or (), block=block or ())
    folder = out or Path("runs", plan.recipe.name)
    if not quiet:
        console.fetch(plan.assets)
    observers = () if quiet else (console.RunDisplay(),)
    try:
        result = runner.run(
            plan, folder, overwrite=overwrite, device=device.value, observers=observers
        )
    except KeyboardInterrupt:
        console.err.print("Stopped: no picture was written.")
        raise typer.Exit(130) from None
    if quiet:
        for file in result.files:
            typer.echo(file)
    if result.interrupted:
        raise typer.Exit(130)


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


@weights_app.command("list")
def weights_list() -> None:
    """List the weights that recipes can name."""
    from nstflow.listings import show_weights
    from nstflow.weights import named_assets

    show_weights(named_assets())


@weights_app.command("fetch")
def weights_fetch() -> None:
    """Fetch the ImageNet weights ahead of the first run; replace them if they are damaged."""
    from nstflow import console
    from nstflow.weights import imagenet

    console.fetch([imagenet.asset(replace_damaged=True)])
    console.show_sound(str(imagenet.path), "whole")


@weights_app.command("verify")
def weights_verify() -> None:
    """Check the fetched weights against their sha256."""
    from nstflow import console
    from nstflow.weights import imagenet

    state = imagenet.state()
    if state == "missing":
        hint = "`nstflow weights fetch` fetches them; so does the first run."
        raise NstflowError(Problem(str(imagenet.path), "", "the weights are not here yet.", hint))
    if state == "damaged":
        raise NstflowError(imagenet.damage())
    console.show_sound(str(imagenet.path), "whole")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"nstflow {version('nstflow')}")
        raise typer.Exit


@app.callback()
def _options(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _show_warning(*warning: Any) -> None:
    from nstflow.console import show_warning

    show_warning(*warning)


def main() -> None:
    """Run the command line; exit 2 for what the user can put right, 1 with a traceback for bugs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may lack our letters
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # what it takes, it hands on
    try:
        app()
    except NstflowError as error:
        from nstflow.console import show_problems

        show_problems(error)
        sys.exit(2)
