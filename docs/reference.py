"""A MkDocs hook that generates the references of stages, recipe keys and hooks from the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

from nstflow import hookspecs
from nstflow.hookspecs import HOOKS
from nstflow.plan import Plan
from nstflow.plugins.manager import Plugins
from nstflow.recipe.model import DEFAULTS, Checkpoints, Compute, Lock, PluginChoice, Recipe
from nstflow.recipe.stage_docs import Setting, docstring_of, example_of, settings_of
from nstflow.stages.loss import LocalTerm, LossTerm, StatisticTerm
from nstflow.stages.result import Progress, Result
from nstflow.stages.slots import ALL_SLOTS, SLOTS

SECTIONS = {
    "compute": Compute,
    "checkpoints": Checkpoints,
    "plugins": PluginChoice,
    "lock": Lock,
}


def stages() -> str:
    """Return every built-in stage by slot: text, settings, example."""
    others = {entry.name for entry in metadata.entry_points(group="nstflow")}
    catalog = Plugins(others).catalog
    parts = []
    for slot in ALL_SLOTS.values():
        parts.append(f"## {slot.name}\n\n{inspect.getdoc(slot.base)}")
        parts.append(_contract(slot.base))
        if slot.base is LossTerm:
            for base in (StatisticTerm, LocalTerm):
                parts.append(f"A `{base.__name__}`: {inspect.getdoc(base)}")
                parts.append(_contract(base))
        for name, offer in catalog[slot.name].items():
            language = "sh" if slot.name not in SLOTS else "yaml"
            parts += [
                f"### {slot.name}: {name}",
                docstring_of(offer.stage),
                _table(settings_of(offer.stage)),
                f"```{language}\n{example_of(offer.stage, slot)}\n```",
            ]
    return "\n\n".join(part for part in parts if part)


def recipe() -> str:
    """Return every key of a recipe, and the keys of its sections."""
    keys = [
        setting._replace(
            type=f"[{SLOTS[setting.name].noun}](stages.md#{setting.name}): {_holds(setting.name)}"
            if setting.name in SLOTS
            else f"[section](#{setting.name})"
            if setting.name in SECTIONS
            else setting.type,
            default=_default(setting),
        )
        for setting in settings_of(Recipe)
    ]
    parts = [_table(keys)]
    for name, section in SECTIONS.items():
        parts += [f"### {name}", inspect.getdoc(section) or "", _table(settings_of(section))]
    return "\n\n".join(parts)


def hooks() -> str:
    """Return every hook: its signature and its docstring."""
    parts = []
    for name in HOOKS:
        hook = getattr(hookspecs, name)
        parts += [
            f"### {name}",
            f"```python\ndef {name}{_signature(hook)}: ...\n```",
            inspect.getdoc(hook) or "",
        ]
    return "\n\n".join(parts)


def received() -> str:
    """Return the classes that hooks receive: their attributes, from their docstrings."""
    parts = []
    for kind in (Plan, Progress, Result):
        before, _, after = (inspect.getdoc(kind) or "").partition("Attributes:\n")
        rows = [" ".join(row.split()) for row in re.split(r"\n(?=    \w+: )", after.rstrip())]
        attributes = (row.partition(": ") for row in rows)
        parts += [
            f"### {kind.__name__}",
            before.strip(),
            "| attribute | meaning |\n|---|---|\n"
            + "\n".join(f"| `{name}` | {_cell(text)} |" for name, _, text in attributes),
        ]
    return "\n\n".join(parts)


MARKS: dict[str, Callable[[], str]] = {
    "<!-- every stage -->": stages,
    "<!-- every key -->": recipe,
    "<!-- every hook -->": hooks,
    "<!-- what hooks receive -->": received,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each mark in a page by its reference. MkDocs calls this for every page."""
    lines = markdown.split("\n")
    for mark, make in MARKS.items():
        lines = [make() if line.endswith(mark) else line for line in lines]
    return "\n".join(lines)


def _contract(base: type) -> str:
    """Return the methods of a base class, with their docstrings."""
    rows = []
    for name, method in vars(base).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            text, _, arguments = (inspect.getdoc(method) or "").partition("\n\nArgs:\n")
            rows.append(f"- `{name}{_signature(method)}`: {' '.join(text.split())}")
            for argument in re.split(r"\n(?=    \w+: )", arguments) if arguments else ():
                about, _, meaning = " ".join(argument.split()).partition(": ")
                rows.append(f"    - `{about}`: {meaning}")
    return "\n".join(rows)


def _signature(function: Callable[..., Any]) -> str:
    """Return the signature of a function as written, without `self`."""
    return re.sub(r"'|\bself(, )?", "", str(inspect.signature(function)))


def _holds(slot: str) -> str:
    return {"one": "one", "list": "a list", "mapping": "by name"}[SLOTS[slot].holds]


def _default(setting: Setting) -> str:
    if setting.name in SECTIONS and setting.name != "lock":
        return "as below"
    used = DEFAULTS.get(setting.name)
    if not used:
        return "none" if setting.name in DEFAULTS else setting.default
    return ", ".join(item["use"] for item in (used if isinstance(used, list) else [used]))


def _table(settings: Iterable[Setting]) -> str:
    rows = [
        f"| `{name}` | {_cell(kind)} | {_code(default)} | {_cell(meaning)} |"
        for name, kind, default, meaning in settings
    ]
    if not rows:
        return ""
    return "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows])


def _code(default: str) -> str:
    return default if default in ("needed", "none", "as below") else f"`{_cell(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
