"""What differs between two recipes or locks, setting by setting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nstflow.errors import NstflowError, Problem

LEFT_OUT = "–"
"""What a setting is that one of two does not have."""

_SHORT, _HASH = 12, 64


@dataclass(frozen=True)
class Difference:
    """A setting that two recipes or locks do not agree on.

    Attributes:
        setting: Its path, such as `losses.style.weight`.
        first: What the first has, as a person reads it.
        second: What the second has.
    """

    setting: str
    first: str
    second: str


def differences(first: Any, second: Any) -> list[Difference]:
    """Return every setting in which the data of two recipes or locks differ, in their order.

    Files of equal hash are equal, wherever they lie.
    """
    one, other = dict(_leaves(first)), dict(_leaves(second))
    for setting in _same_files(first, second):
        one.pop(setting, None)
        other.pop(setting, None)
    return [
        Difference(setting, _text(one.get(setting, ...)), _text(other.get(setting, ...)))
        for setting in dict.fromkeys([*one, *other])
        if not _equal(one.get(setting, ...), other.get(setting, ...))
    ]


def under(found: Iterable[Difference], *sections: str) -> list[Difference]:
    """Return the differences in sections, such as `lock.files`."""
    return [each for each in found if any(each.setting.startswith(f"{name}.") for name in sections)]


def refusal(
    found: Sequence[Difference], where: str, subject: str, hint: str, names: tuple[str, str]
) -> NstflowError:
    """Return the error that lists differences.

    Args:
        found: At least one.
        where: The file or folder that was compared with.
        subject: What the problems are in.
        hint: What to do, said once, at the last.
        names: What the first and the second are, such as `("the lock has", "here it is")`.
    """
    problems = [
        Problem(
            where,
            each.setting,
            f"{names[0]} {each.first}, {names[1]} {each.second}.",
            hint if each is found[-1] else "",
        )
        for each in found
    ]
    return NstflowError(problems, subject)


def _leaves(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    found = False
    for key, value in items:
        found = True
        yield from _leaves(value, f"{path}.{key}" if path else str(key))
    if not found and path:
        yield path, data


def _same_files(first: Any, second: Any) -> Iterator[str]:
    files = [(data.get("lock") or {}).get("files") or {} for data in (first, second)]
    for setting, what in files[0].items():
        if setting in files[1] and what["sha256"] == files[1][setting]["sha256"]:
            yield setting


def _equal(first: Any, second: Any) -> bool:
    return type(first) is type(second) and bool(first == second)


def _text(value: Any) -> str:
    if value is ...:
        return LEFT_OUT
    if isinstance(value, str):
        is_hash = len(value) == _HASH and set(value) <= set("0123456789abcdef")
        return value[:_SHORT] + "…" if is_hash else value or "''"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
