"""What is printed of stages and plugins."""

import inspect
from itertools import groupby

from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import is_narrow, show_facts, show_line, show_text, stdout
from nstflow.errors import printable
from nstflow.plugins.catalog import Catalog, Offer, title_of
from nstflow.plugins.manager import BUILTIN, PluginRow, Plugins
from nstflow.recipe.stage_docs import Setting, docstring_of, example_of, settings_of, summary_of
from nstflow.stages.slots import ALL_SLOTS


def show_slots(catalog: Catalog, slot: str | None = None) -> None:
    """Print every stage by slot, with the first line of what it does."""
    for name in ALL_SLOTS if slot is None else [slot]:
        show_line((name, "bold cyan"))
        show_facts([(offer.name, _summary(offer)) for offer in catalog[name].values()], "  ")


def show_stage(offer: Offer, slot: str) -> None:
    """Print one stage: its text, its settings, an example to paste, and its source file."""
    stage = offer.stage
    show_line((offer.name, "bold"), (f" ({slot}, from {offer.title})\n", "dim"))
    for line in docstring_of(stage).splitlines():
        show_text(printable(line))
    settings = settings_of(stage)
    if settings and is_narrow():
        show_line(("\nsettings", "dim"))
        show_facts([(each.name, printable(_setting(each))) for each in settings], "  ")
    elif settings:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("setting", "type", "default", "meaning"):
            table.add_column(column, overflow="fold")
        for setting in settings:
            cells = [Text(printable(cell)) for cell in setting]  # as text: brackets aren't markup
            table.add_row(*cells)
        stdout().print()
        stdout().print(table)
    show_line(("\nexample", "dim"))
    show_line(printable(example_of(stage, ALL_SLOTS[slot]), lines=True))
    show_line((f"\nsource: {inspect.getsourcefile(stage)}", "dim"))


def show_plugins(plugins: Plugins) -> None:
    """Print every plugin, what it offers, and the errors of broken ones with a fix."""
    for row in plugins.rows:
        name, package = printable(row.name), printable(title_of(row.package))
        show_text((name, "bold cyan"), (f"  {package}", "dim"))
        show_facts(_facts(row), "  ")
    for slot, name, _ in plugins.catalog.collisions():
        got, hint = plugins.catalog.explain_missing(slot, name)
        show_line((f"{slot}: ", "red"), f"{got} {hint}")


def _facts(row: PluginRow) -> list[tuple[str, str | Text]]:
    if row.error == "blocked":
        return [("blocked", Text("by --block-plugin", style="yellow"))]
    if row.error:
        error = Text(printable(row.error), style="red")
        return [("not loaded", error), ("what to do", printable(row.fix))]
    stages = [offer.split(": ") for offer in row.offers if ": " in offer]
    facts: list[tuple[str, str | Text]] = [
        (slot, ", ".join(name for _, name in offers))
        for slot, offers in groupby(stages, key=lambda offer: offer[0])
    ]
    hooks = [offer.removeprefix("nstflow_") for offer in row.offers if ": " not in offer]
    return [*facts, ("observes", ", ".join(hooks))] if hooks else facts


def _setting(setting: Setting) -> str:
    """Return a setting as a sentence: its meaning, its type, its default."""
    default = setting.default if setting.default == "needed" else f"default {setting.default}"
    return f"{setting.meaning} ({setting.type}, {default})".strip()


def _summary(offer: Offer) -> str:
    line = printable(summary_of(offer.stage))
    return line if offer.plugin == BUILTIN else f"{line} ({offer.title})"
