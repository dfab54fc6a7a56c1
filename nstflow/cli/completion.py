"""Completion in shells: recipes, settings and their values, slots, stages, plugins.

Typer completes commands and options, and calls these functions for the rest. Where they return
nothing, the shell completes file names.
"""

from __future__ import annotations

import contextlib
import io
import os
import textwrap
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.reader import ReadOptions

VARIABLE = "_NSTFLOW_COMPLETE"
"""What a shell sets for Typer: `complete_bash`, `complete_zsh`, …"""

_LONGEST = 60  # letters of a text that explains: longer ones would be broken

Candidate = str | tuple[str, str]
"""A word, or a word and a text that explains it."""

Completer = Callable[..., list[Candidate]]


def answer(app: Callable[..., object]) -> None:
    """Answer a shell that asks for completion.

    Bash splits a word at `=`: `--set seed=1` has four words for it. They are joined here, and the
    answer is what follows the last `=`.
    """
    begun = _join_words() if os.environ[VARIABLE] == "complete_bash" else ""
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            app(prog_name="nstflow")
    finally:
        for line in text.getvalue().splitlines():
            # of `--set=seed=`, Typer completes `seed=`
            starts = [start for start in (begun, begun.partition("=")[2]) if start]
            start = next(filter(line.startswith, starts), "")
            typer.echo(line.removeprefix(start))


def _join_words() -> str:
    """Join the words that bash has split; return what is before its last word in ours."""
    last = int(os.environ["COMP_CWORD"])
    words = os.environ["COMP_WORDS"].split("\n")[: last + 1]
    joined: list[str] = []
    for word in words:
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    return joined[-1] if words[-1] == "=" else joined[-1].removesuffix(words[-1])


def _quiet(complete: Completer) -> Completer:
    """Return a function that prints nothing, and returns nothing if it fails."""

    @wraps(complete)
    def quiet(ctx: typer.Context, incomplete: str) -> list[Candidate]:
        nothing: list[Candidate] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for redirect in (contextlib.redirect_stdout, contextlib.redirect_stderr):
                stack.enter_context(redirect(io.StringIO()))
            stack.enter_context(contextlib.suppress(Exception))
            return complete(ctx, incomplete)
        return nothing

    return quiet


@_quiet
def recipes(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return names of recipes, `.yaml` files, and folders to look for them in."""
    names = [offer.name for offer in _installed(ctx).recipes if offer.name.startswith(incomplete)]
    found = [*names, *_recipe_files(incomplete)]
    while len(found) == 1 and found[0].endswith(os.sep):  # the word does not end here
        found = _recipe_files(found[0])
    return [*found]


@_quiet
def layers(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return names of layers, `.yaml` files, and folders to look for them in."""
    names = [offer.name for offer in _installed(ctx).layers if offer.name.startswith(incomplete)]
    return [*names, *_recipe_files(incomplete)]


@_quiet
def settings(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return `PATH=VALUE` of the recipe in the command: up to the next key, or with values."""
    path, equals, _ = incomplete.partition("=")
    if equals and path.endswith(".use"):
        slot = path.partition(".")[0]
        return [(f"{path}={name}", text) for name, text in _stages(ctx, slot)]
    known = _values(ctx)
    if equals:
        return [f"{path}={value}" for value in known.get(path, ())]
    begun = [name for name in known if name.startswith(incomplete)]
    found, size = [incomplete], len(incomplete)
    while len(found) == 1 and not found[0].endswith("="):
        ends = {name: name.find(".", size) + 1 for name in begun}
        found = list(dict.fromkeys(name[:end] if end else f"{name}=" for name, end in ends.items()))
        size = len(found[0]) if found else size
    if len(found) == 1:  # with a second candidate, a shell does not end the word
        found += [found[0] + value for value in known[found[0].removesuffix("=")]]
    return [*found]


@_quiet
def slots(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return the slots."""
    from nstflow.stages.slots import ALL_SLOTS

    del ctx, incomplete
    return [*ALL_SLOTS]


@_quiet
def stages(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return the stages of the slot in the command."""
    del incomplete
    return [*_stages(ctx, ctx.params["slot"])]


@_quiet
def executors(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return the executors."""
    del incomplete
    return [*_stages(ctx, "executor")]


@_quiet
def plugins(ctx: typer.Context, incomplete: str) -> list[Candidate]:
    """Return the plugins that can be blocked."""
    from nstflow.plugins.manager import BUILTIN

    del incomplete
    return [(row.name, row.package) for row in _installed(ctx).rows if row.name != BUILTIN]


def _recipe_files(begun: str) -> list[str]:
    """Return the `.yaml` files and the folders whose paths begin with a text."""
    parent, name = os.path.split(begun)
    hidden = name.startswith(".")
    return [
        begun[: len(begun) - len(name)] + entry.name + (os.sep if entry.is_dir() else "")
        for entry in sorted(os.scandir(parent or os.curdir), key=lambda entry: entry.name)
        if entry.name.startswith(name)
        and (hidden or not entry.name.startswith("."))
        and (entry.is_dir() or entry.name.endswith((".yaml", ".yml")))
    ]


def _installed(ctx: typer.Context) -> Plugins:
    from nstflow.plugins.manager import Plugins

    options = _options(ctx)
    return Plugins(options.block, options.plugins)


def _options(ctx: typer.Context) -> ReadOptions:
    from nstflow.plugins.single_file import read_plugin
    from nstflow.recipe.reader import ReadOptions

    sets, block, files = (ctx.params.get(name) or () for name in ("sets", "block", "plugin"))
    return ReadOptions(tuple(sets), tuple(block), tuple(map(read_plugin, files)))


def _stages(ctx: typer.Context, slot: str) -> list[tuple[str, str]]:
    """Return the stages of a slot: name and what it does."""
    from nstflow.recipe.stage_docs import summary_of

    catalog = _installed(ctx).catalog
    return [
        (name, textwrap.shorten(summary_of(offer.stage), _LONGEST, placeholder="…"))
        for name, offer in catalog[slot].items()
    ]


def _values(ctx: typer.Context) -> dict[str, list[str]]:
    """Return the settings of the recipe in the command: path → values it may have, as far as known.

    Of a matrix these are the settings of its first run.
    """
    from nstflow.recipe.paths import format_path
    from nstflow.recipe.reader import read

    # while the value of an option is missing, Typer leaves arguments where they are
    given = [ctx.params.get("recipe"), *(ctx.params.get("recipes") or ()), *ctx.args]
    draft = read(next(filter(None, given)), _options(ctx))[0]
    parts: dict[tuple[str | int, ...], BaseModel] = {**draft.origin.stages}
    if draft.recipe is not None:
        parts |= {("compute",): draft.recipe.compute, ("checkpoints",): draft.recipe.checkpoints}
    values = {
        format_path((*keys, name)): _possible(field.annotation, getattr(part, name))
        for keys, part in parts.items()
        for name, field in type(part).model_fields.items()
    }
    return {"seed": [str(draft.origin.source.data.get("seed", 0))], **values}


def _possible(kind: Any, value: Any) -> list[str]:
    """Return the values of a setting, or the one it has."""
    from nstflow.stages.text import text_of

    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    if kind is bool:
        return ["true", "false"]
    return [text_of(value)] if isinstance(value, str | int | float) else []
