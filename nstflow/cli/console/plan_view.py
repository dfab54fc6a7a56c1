"""What is printed of plans and weights."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import (
    broken,
    is_narrow,
    runs_text,
    show_facts,
    show_line,
    show_text,
    show_title,
    stdout,
)
from nstflow.errors import NstflowError, printable
from nstflow.matrix.plan import Matrix
from nstflow.plan import Plan
from nstflow.plan.facts import facts_of, memory_text, presence_text
from nstflow.plan.timings import estimate
from nstflow.plugins.catalog import RecipeOffer
from nstflow.plugins.manager import BUILTIN
from nstflow.stages.text import duration_text
from nstflow.stages.types import Asset, size_text


def show_plan(plan: Plan) -> None:
    """Print what a run would do."""
    show_title(plan.recipe.name, plan.recipe.summary)
    show_facts([*facts_of(plan), *((asset.name, _presence(asset)) for asset in plan.assets)])


def show_recipes(recipes: Mapping[RecipeOffer, Plan | Matrix | NstflowError]) -> None:
    """Print the recipes that have a name, a row each; of one that is not valid, its error.

    Args:
        recipes: Recipe → what was planned, or why it could not be.
    """
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("recipe", "what it makes", "size", "time here"):
        table.add_column(column, no_wrap=column == "recipe")
    for offer, planned in recipes.items():
        origin = "" if offer.plugin == BUILTIN else f" ({offer.title})"
        if isinstance(planned, NstflowError):
            first, *more = planned.problems
            words = (first.where, first.what, first.got, first.hint)
            error = " ".join(" ".join(words).split()) + (f" And {len(more)} more." if more else "")
            made, size, time = Text(printable(f"{error}{origin}"), style="red"), "", ""
        else:
            plans = planned.plans if isinstance(planned, Matrix) else [planned]
            summary = planned.summary if isinstance(planned, Matrix) else planned.recipe.summary
            made = Text(printable(f"{summary}{origin}"))
            size = _canvas(plans) + (f", {runs_text(len(plans))}" if len(plans) > 1 else "")
            whole, unknown = _whole_time(plans)
            time = "" if unknown else f"about {duration_text(whole)}"
        name = Text(printable(offer.name), style="bold cyan")
        table.add_row(name, made, size, time)
        if is_narrow():
            show_text(name)
            about = ", ".join(filter(None, (size, time)))
            body = Text.assemble(made, f" ({about})" if about else "")
            show_line("  ", Text("\n  ").join(broken(body, stdout().width - 2)))
    if not is_narrow():
        stdout().print(table)


def show_layers(layers: Mapping[str, str]) -> None:
    """Print the layers that have a name, a row each: name → what it changes."""
    show_text("\n", ("layers, as in nstflow run RECIPE --with keep_color", "dim"))
    show_facts([(name, text) for name, text in layers.items()])


def show_matrix(matrix: Matrix) -> None:
    """Print what the runs of a matrix would do: how many, how long, how large."""
    plans = matrix.plans
    show_title(matrix.name, matrix.summary)
    largest = max(plans, key=lambda plan: plan.memory or 0)
    whole, unknown = _whole_time(plans)
    time = (
        f"about {duration_text(whole)} one after another, without compiling" if whole else "unknown"
    )
    if unknown:
        which = "them" if unknown == len(plans) else f"{unknown} of them"
        time += f"; no run like {which} on this machine yet"
    rows: list[tuple[str, str | Text]] = [
        ("runs", str(len(matrix))),
        ("canvas", _canvas(plans)),
        ("steps", f"{sum(plan.steps for plan in plans):,} in all"),
        ("memory", memory_text(largest, each=True)),
        ("time", time),
    ]
    rows += [(asset.name, _presence(asset)) for asset in matrix.assets]
    show_facts(rows)
    stdout().print()
    for cell in matrix.cells:
        show_line(f"  {cell.name}")


def _canvas(plans: Sequence[Plan]) -> str:
    """Return the size of the canvas, or the smallest and the largest."""
    sizes = sorted({plan.canvas for plan in plans}, key=lambda size: size[0] * size[1])
    return size_text(sizes[0]) + (f" to {size_text(sizes[-1])}" if sizes[1:] else "")


def _whole_time(plans: Sequence[Plan]) -> tuple[float, int]:
    """Return the seconds of all runs whose time can be estimated, and how many can't."""
    times = [estimate(plan) for plan in plans]
    return sum(known[0] for known in times if known), sum(known is None for known in times)


def show_weights(assets: list[Asset]) -> None:
    """Print the named weights, and whether they are there."""
    show_facts([(asset.name, _presence(asset)) for asset in assets])


def _presence(asset: Asset) -> Text:
    state, _, note = presence_text(asset).partition(";")
    return Text.assemble((state, "green" if asset.present else "yellow"), f";{note}")
