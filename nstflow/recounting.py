"""What is printed about runs that are over: how they were made, what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nstflow.compare import Difference
from nstflow.console import out, show_facts, show_sound, show_title
from nstflow.listings import value_text
from nstflow.recipe.source import Source
from nstflow.slots import SLOTS
from nstflow.verify import Comparison

_SHORT = 12  # letters of a hash


def show_differences(found: Sequence[Difference], first: str, second: str) -> None:
    """Print a row for each setting that differs."""
    if not found:
        show_sound(f"{first} and {second}", "no difference")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("setting", first, second):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(each.setting, Text(each.first, "red"), Text(each.second, "green"))
    out.print(table)


def show_comparisons(found: Sequence[Comparison]) -> None:
    """Print of each file of a run whether it came out the same again."""
    for each in found:
        if each.equal:
            how = "every byte is equal" if each.largest is None else "every pixel is equal"
            show_sound(each.name, how)
        elif each.largest is None or each.mean is None:
            out.print(Text.assemble(each.name, ": ", ("the bytes differ", "red")))
        else:
            apart = f"differs by {each.largest} of 255 at most, by {each.mean:.3g} in the mean"
            out.print(Text.assemble(each.name, ": ", (apart, "red")))


def show_provenance(source: Source) -> None:
    """Print what a recipe or a lock says, in words; it may name plugins that are not here."""
    data, lock = source.data, source.data.get("lock")
    show_title(value_text(data.get("name")), value_text(data.get("summary") or ""))
    rows: list[tuple[str, str | Text]] = []
    for slot in SLOTS.values():
        held = data.get(slot.name)
        if slot.holds == "one":
            rows.append((slot.name, _stage(held)))
        elif isinstance(held, dict):
            rows += [(f"{slot.noun} {name}", _stage(item)) for name, item in held.items()]
        elif isinstance(held, list):
            rows += [(slot.noun, _stage(item)) for item in held]
    rows.append(("seed", value_text(data.get("seed", 0))))
    if isinstance(lock, dict):
        rows += _lock(lock)
    show_facts([(label, value) for label, value in rows if value])


def _lock(lock: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for setting, what in (lock.get("files") or {}).items():
        yield setting, f"sha256 {what['sha256'][:_SHORT]}…, {what['bytes']} bytes"
    for name, sha256 in (lock.get("weights") or {}).items():
        yield name, f"sha256 {sha256[:_SHORT]}…"
    made = [f"{name} {number}" for name, number in (lock.get("plugins") or {}).items()]
    made += [f"Python {lock.get('python')}", f"TensorFlow {lock.get('tensorflow')}"]
    yield "made with", ", ".join(made)
    yield "device", value_text(lock.get("device"))
    if lock.get("stopped_at") is not None:
        yield "stopped", f"after step {lock['stopped_at']}"


def _stage(item: Any) -> str:
    """Return a stage as it was written, the many choices of single layers left out."""
    if not isinstance(item, dict):
        return "" if item is None else value_text(item)
    settings = [
        f"{name} {value_text(value)}"
        for name, value in item.items()
        if name not in ("use", "convolution")
    ]
    use = item.get("use")
    return f"{use} ({', '.join(settings)})" if use else ", ".join(settings)
