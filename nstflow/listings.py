"""What the looking commands print: plans, stages, plugins, weights."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from rich.table import Table
from rich.text import Text

from nstflow.catalog import Catalog, Offer
from nstflow.console import out
from nstflow.plan import Plan
from nstflow.plugins import Plugins
from nstflow.stages import SLOTS
from nstflow.values import Asset, Size


def show_plan(plan: Plan) -> None:
    """Print what a run would do."""
    recipe = plan.recipe
    out.print(Text.assemble((recipe.name, "bold"), f"  {recipe.summary}"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    for name, size in plan.sizes.items():
        table.add_row(f"image {name}", f"{_size(plan.sources[name])} → {_size(size)}")
    table.add_row("canvas", f"{_size(plan.canvas)}, starts as {recipe.start.use}")
    for name, term in plan.terms.items():
        layers = ", ".join(f"{layer} × {share:.3g}" for layer, share in term.shares.items())
        table.add_row(f"loss {name}", f"{term.weight:g} × {term.use} on {layers}")
    table.add_row("optimizer", _settings(recipe.optimizer))
    table.add_row("steps", f"{plan.steps} in {plan.epochs} epochs")
    if plan.cost is None:
        table.add_row("arithmetic", "unknown until the extractor is built")
    else:
        step = plan.cost.forward + plan.cost.backward
        table.add_row(
            "arithmetic",
            f"{step / 1e9:,.0f} GFLOP a step at full size, convolutions computed directly",
        )
    for asset in plan.assets:
        table.add_row(asset.name, _presence(asset))
    out.print(table, soft_wrap=True)


def show_slots(catalog: Catalog, slot: str | None = None) -> None:
    """Print every stage by slot, with the first line of what it does."""
    for name in SLOTS if slot is None else [slot]:
        table = Table.grid(padding=(0, 2))
        for offer in catalog[name].values():
            origin = "" if offer.plugin == "nstflow" else f" ({offer.package})"
            table.add_row(f"  [bold]{offer.name}[/bold]", f"{_summary(offer)}[dim]{origin}[/dim]")
        out.print(f"[bold cyan]{name}[/bold cyan]")
        out.print(table, soft_wrap=True)


def show_stage(offer: Offer, slot: str) -> None:
    """Print one stage: its text, its settings, and an example to paste."""
    stage = offer.stage
    out.print(f"[bold]{offer.name}[/bold] [dim]({slot}, from {offer.package})[/dim]\n")
    out.print(Text(inspect.getdoc(stage) or ""), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("setting", "type", "default", "meaning"):
        table.add_column(column)
    for name, field in stage.model_fields.items():
        if name == "use":
            continue
        default = "needed" if field.is_required() else _value(field.default)
        table.add_row(name, _type(field.annotation), default, field.description or "")
    out.print()
    out.print(table)
    file = inspect.getsourcefile(stage)
    out.print(f"\n[dim]source: {file}[/dim]", soft_wrap=True)


def show_plugins(plugins: Plugins) -> None:
    """Print every plugin, what it offers, and what is wrong with the broken ones."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("plugin", "package", "offers"):
        table.add_column(column)
    for row in plugins.rows:
        offers = Text(", ".join(row.offers))
        if row.trouble == "blocked":
            offers = Text("blocked", style="yellow")
        elif row.trouble:
            offers = Text(f"not loaded: {row.trouble}", style="red")
        table.add_row(row.name, row.package, offers)
    out.print(table)
    for slot, name, offers in plugins.catalog.collisions():
        both = " and ".join(offer.package for offer in offers)
        out.print(f"[red]{slot}: {name}[/red] is offered twice, by {both}; neither can be used.")
        out.print(f"    {plugins.catalog.why_not(slot, name)[1]}")


def show_weights(assets: list[Asset]) -> None:
    """Print the named weights, and whether they are there."""
    table = Table.grid(padding=(0, 2))
    for asset in assets:
        table.add_row(f"[bold]{asset.name}[/bold]", _presence(asset))
    out.print(table, soft_wrap=True)


def _presence(asset: Asset) -> Text:
    state = ("here", "green") if asset.present else ("not here yet", "yellow")
    return Text.assemble(state, f"; {asset.note}")


def _size(size: Size) -> str:
    return f"{size[1]}×{size[0]}"


def _settings(stage: Any) -> str:
    settings = stage.model_dump(exclude={"use"})
    return f"{stage.use} ({', '.join(f'{k} {_value(v)}' for k, v in settings.items())})"


def _summary(offer: Offer) -> str:
    return (inspect.getdoc(offer.stage) or "").partition("\n")[0]


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def _type(annotation: Any) -> str:
    """Return a type as a person would say it."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])}: {_type(arguments[1])}"
    if arguments:
        return " | ".join(dict.fromkeys(_type(a) for a in arguments if a is not type(None)))
    names = {str: "text", int: "whole number", float: "number", bool: "true | false"}
    return names.get(annotation) or getattr(annotation, "__name__", str(annotation)).lower()
