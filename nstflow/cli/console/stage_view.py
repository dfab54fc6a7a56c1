"""What the looking commands print of stages and plugins."""

from __future__ import annotations

import inspect
from itertools import groupby

from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import out, show_facts
from nstflow.errors import printable
from nstflow.plugins.catalog import Catalog, Offer, title_of
from nstflow.plugins.manager import BUILTIN, PluginRow, Plugins
from nstflow.recipe.stage_docs import example_of, settings_of, summary_of, text_of
from nstflow.stages.slots import ALL_SLOTS


def show_slots(catalog: Catalog, slot: str | None = None) -> None:
    """Print every stage by slot, with the first line of what it does."""
    for name in ALL_SLOTS if slot is None else [slot]:
        out.print(Text(name, style="bold cyan"))
        show_facts([(offer.name, _summary(offer)) for offer in catalog[name].values()], "  ")


def show_stage(offer: Offer, slot: str) -> None:
    """Print one stage: its text, its settings, an example to paste, and where it is written."""
    stage = offer.stage
    out.print(Text.assemble((offer.name, "bold"), (f" ({slot}, from {offer.title})\n", "dim")))
    out.print(Text(printable(text_of(stage), lines=True)), soft_wrap=True)
    settings = settings_of(stage)
    if settings:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("setting", "type", "default", "meaning"):
            table.add_column(column)
        for setting in settings:
            table.add_row(
                *(Text(printable(cell)) for cell in setting)
            )  # as text: brackets are no markup here
        out.print()
        out.print(table)
    out.print("\nexample", style="dim")
    out.print(Text(printable(example_of(stage, ALL_SLOTS[slot]), lines=True)), soft_wrap=True)
    file = inspect.getsourcefile(stage)
    out.print(Text(f"\nsource: {file}", style="dim"), soft_wrap=True)


def show_plugins(plugins: Plugins) -> None:
    """Print every plugin, what it offers, what is wrong with the broken ones, and what helps."""
    for row in plugins.rows:
        name, package = printable(row.name), printable(title_of(row.package))
        out.print(Text.assemble((name, "bold cyan"), (f"  {package}", "dim")))
        show_facts(_facts(row), "  ")
    for slot, name, claims in plugins.catalog.collisions():
        both = " and ".join(claim.title for claim in claims)
        claim = f" is offered twice, by {both}; neither can be used."
        out.print(Text.assemble((f"{slot}: {name}", "red"), claim), soft_wrap=True)
        out.print(f"    {plugins.catalog.explain_missing(slot, name)[1]}", soft_wrap=True)


def _facts(row: PluginRow) -> list[tuple[str, str | Text]]:
    if row.error == "blocked":
        return [("blocked", Text("by --block-plugin", style="yellow"))]
    if row.error:
        trouble = Text(printable(row.error), style="red")
        return [("not loaded", trouble), ("what to do", printable(row.fix))]
    stages = [offer.split(": ") for offer in row.offers if ": " in offer]
    facts: list[tuple[str, str | Text]] = [
        (slot, ", ".join(name for _, name in offers))
        for slot, offers in groupby(stages, key=lambda offer: offer[0])
    ]
    hooks = [offer.removeprefix("nstflow_") for offer in row.offers if ": " not in offer]
    return [*facts, ("observes", ", ".join(hooks))] if hooks else facts


def _summary(offer: Offer) -> str:
    line = printable(summary_of(offer.stage))
    return line if offer.plugin == BUILTIN else f"{line} ({offer.title})"
