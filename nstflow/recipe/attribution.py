"""Who is to blame: whatever a stage raises is told with its place in the recipe and its package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.plugins.manager import BUILTIN, Plugins
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import Keys, format_path
from nstflow.recipe.reader import Draft
from nstflow.stages.stage import Stage

_BLAME = "This came from"


@contextlib.contextmanager
def attribute_errors(
    recipe: Recipe | Draft, keys: Keys, stage: Stage, into: list[Problem] | None = None
) -> Iterator[None]:
    """Call a stage's methods in here: its problems get their line, its bugs their owner.

    Args:
        recipe: Where the stage was written.
        keys: The stage's path in it.
        stage: The stage.
        into: Takes the problems, where several stages are asked before giving up.

    Raises:
        NstflowError: The stage's own, placed, unless `into` takes it.
    """
    try:
        with note_origin(stage, format_path(keys), recipe.installed):
            yield
    except NstflowError as error:
        placed = [_placed(problem, recipe, keys, stage) for problem in error.problems]
        if into is None:
            raise NstflowError(placed, recipe.source.label) from error
        into += placed


@contextlib.contextmanager
def note_origin(stage: Stage, place: str, installed: Plugins) -> Iterator[None]:
    """Note on what a stage raises in here which it is, and whose; problems pass as they are."""
    try:
        yield
    except NstflowError:
        raise
    except (Exception, SystemExit) as error:
        told: Exception = RuntimeError(f"it asked Python to exit ({error})")
        if isinstance(error, Exception):  # an exit would end the command as if all were well
            told = error
        offer = installed.catalog.offer_of(stage)
        whose = f", which {offer.title} offers" if offer else ""
        if not any(note.startswith(_BLAME) for note in getattr(told, "__notes__", ())):
            # the innermost stage is the one
            told.add_note(f"{_BLAME} {place} (use: {stage.use}){whose}.")
        if told is error:
            raise
        raise told from error


def check_type(value: Any, kind: type, call: str) -> Any:
    """Return what a stage's method gave, or raise a `TypeError` that names the method."""
    if not isinstance(value, kind):
        raise TypeError(f"its {call} should give {kind.__name__}, but gave {value!r:.200}")
    return value


def _placed(problem: Problem, recipe: Recipe | Draft, keys: Keys, stage: Stage) -> Problem:
    if problem.where:
        return problem
    path = (*keys, problem.what) if problem.what else keys
    offer = recipe.installed.catalog.offer_of(stage)
    hint = problem.hint
    if offer is not None and offer.plugin != BUILTIN:
        hint = f"{hint} '{offer.name}' is of {offer.title}.".strip()
    return replace(problem, where=recipe.source.where(path), what=format_path(path), hint=hint)
