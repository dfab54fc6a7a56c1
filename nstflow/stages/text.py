"""Values as text for people: settings, stages, times, losses."""

import html
import math
from collections.abc import Iterable
from typing import Any

from nstflow.errors import printable

LEFT_OUT = "–"
"""What a setting is that one of two does not have."""

_SHORT, _HASH = 12, 64

_HOUR = 3600  # seconds

_PREFIXES = ("", "k", "M", "G", "T")

_FILE = {"sha256", "bytes"}


def text_of(value: Any) -> str:
    """Return a setting's value as a person writes it, on one line; hashes are cut short."""
    match value:
        case {"sha256": sha256, "bytes": int(size)} if set(value) == _FILE:
            return f"{text_of(sha256)}, {size:,} bytes"
        case dict():
            return f"{{{', '.join(f'{text_of(key)}: {text_of(value[key])}' for key in value)}}}"
        case list():
            return f"[{', '.join(map(text_of, value))}]"
        case bool() | None:
            return {True: "true", False: "false", None: "null"}[value]
        case float():
            # as a person writes it: `3000` for 3000.0, but never another number
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case str():
            is_hash = len(value) == _HASH and set(value) <= set("0123456789abcdef")
            return value[:_SHORT] + "…" if is_hash else printable(value) or "''"
    return LEFT_OUT if value is ... else str(value)


def stage_text(stage: Any) -> str:
    """Return a stage, as data of YAML, on one line.

    Mappings to texts are left out: an extractor's choice for each layer is long.
    """
    if not isinstance(stage, dict):
        return "" if stage is None else text_of(stage)
    settings = ", ".join(
        f"{text_of(name)} {text_of(value)}"
        for name, value in stage.items()
        if name != "use" and not _maps_to_texts(value)
    )
    if "use" not in stage:
        return settings
    return f"{text_of(stage['use'])} ({settings})" if settings else text_of(stage["use"])


def _maps_to_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def duration_text(seconds: float) -> str:
    """Return a time as a person says it."""
    if round(seconds) >= _HOUR:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours:,} h {minutes} min"
    if round(seconds, 1) >= 60:  # noqa: PLR2004 - a minute
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s"
    return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"


def number_text(value: float, digits: int = 2) -> str:
    """Return a positive number with at least so many digits that count, without an exponent.

    Of a longer whole number, the other digits are 0.
    """
    decimals = digits - 1 - math.floor(math.log10(value)) if value > 0 else 0
    rounded = round(value, decimals)
    return f"{rounded:,.{max(decimals, 0)}f}"


def amount_text(value: float, unit: str, digits: int = 2) -> str:
    """Return an amount with the largest unit that fits: 120e9 "B" as "120 GB"."""
    rounded = float(f"{value:.{digits - 1}e}")  # which may reach the next unit
    power = next((power for power in range(4, 0, -1) if rounded >= 1000**power), 0)
    return f"{number_text(rounded / 1000**power, digits)} {_PREFIXES[power]}{unit}"


def loss_text(value: float) -> str:
    """Return a loss as a person reads it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - digits


def html_table(name: str, summary: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a name, what it is, and labels with values, as HTML for a notebook."""
    cell = '<td style="text-align: left; vertical-align: top">'
    body = "".join(
        f"<tr>{cell}{html.escape(printable(label))}</td>{cell}{html.escape(printable(value))}</td></tr>"
        for label, value in rows
    )
    title = f"<b>{html.escape(printable(name))}</b> {html.escape(printable(summary))}".strip()
    return f"{title}<table>{body}</table>"
