"""What is printed about finished runs: how they were made, what differs."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nstflow.cli.console.output import (
    is_narrow,
    show_facts,
    show_line,
    show_ok,
    show_title,
    stdout,
)
from nstflow.errors import printable
from nstflow.lockfile.diff import Difference
from nstflow.recipe.source import Source
from nstflow.runner.verify import Comparison
from nstflow.stages.slots import SLOTS
from nstflow.stages.text import stage_text, text_of


def show_differences(found: Sequence[Difference], first: str, second: str) -> None:
    """Print a row for each setting that differs."""
    if not found:
        show_ok(f"{first} and {second}", "no difference")
        return
    if is_narrow():
        _show_narrow(found, first, second)
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    widest = max(len(each.setting) for each in found)
    table.add_column("setting", overflow="fold", no_wrap=widest <= stdout().width // 2)
    for column in (first, second):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(each.setting, Text(each.first, "red"), Text(each.second, "green"))
    stdout().print(table)


def _show_narrow(found: Sequence[Difference], first: str, second: str) -> None:
    """Print the settings below one another, each with what the first and the second have."""
    for sign, name in (("-", first), ("+", second)):
        show_line((f"{sign} {name}", "dim"))
    for each in found:
        show_line(each.setting)
        for sign, value in (("-", Text(each.first, "red")), ("+", Text(each.second, "green"))):
            lines = value.wrap(stdout(), stdout().width - 4)
            show_line(f"  {sign} ", Text("\n    ").join(lines))


def show_comparisons(found: Sequence[Comparison]) -> None:
    """Print for each file of a run whether it is the same as before."""
    for each in found:
        if each.equal:
            how = "every byte is equal" if each.largest is None else "every pixel is equal"
            show_ok(each.name, how)
        elif each.largest is None or each.mean is None:
            show_line(each.name, ": ", ("the bytes differ", "red"))
        else:
            how = f"differs by {each.largest} of {each.levels} at most"
            how += f", by {each.mean:.3g} on average"
            show_line(each.name, ": ", (how, "red"))


def show_provenance(source: Source) -> None:
    """Print the settings of a recipe or a lock, which may name plugins that are not installed.

    Args:
        source: What was read. Its lock, if any, is valid; the rest may be anything.
    """
    data = source.data
    show_title(text_of(data.get("name")), text_of(data["summary"]) if data.get("summary") else "")
    rows: list[tuple[str, str | Text]] = []
    for slot in SLOTS.values():
        held = data.get(slot.name)
        noun = "image" if slot.name == "images" else slot.noun
        if slot.holds == "one":
            rows.append((slot.name, stage_text(held)))
        elif isinstance(held, dict):
            rows += [(f"{noun} {text_of(name)}", stage_text(item)) for name, item in held.items()]
        elif isinstance(held, list):
            rows += [(noun, stage_text(item)) for item in held]
    rows += [("seed", text_of(data.get("seed", 0))), ("compute", stage_text(data.get("compute")))]
    if data.get("lock"):
        rows += _lock(data["lock"])
    show_facts([(label, value) for label, value in rows if value])


def _lock(lock: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, what in {**lock.get("files", {}), **lock.get("weights", {})}.items():
        yield printable(name), f"sha256 {text_of(what)}"
    made = [f"{name} {number}" for name, number in lock.get("plugins", {}).items()]
    made += [f"Python {lock['python']}", f"TensorFlow {lock['tensorflow']}"]
    yield "made with", printable(", ".join(made))
    variables = [f"{name}={value}" for name, value in lock.get("environment", {}).items()]
    yield "environment", printable(", ".join(variables))
    yield "device", text_of(lock["device"]) if lock.get("device") else ""
    if lock.get("stopped_at") is not None:
        yield "stopped", f"after step {lock['stopped_at']}"
