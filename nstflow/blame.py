"""Who is to blame: whatever a stage raises is told with its place in the recipe and its package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.plugins import BUILTIN, Plugins
from nstflow.recipe.draft import Draft
from nstflow.recipe.parsing import Keys, dotted
from nstflow.recipe.schema import Recipe
from nstflow.stages import Stage

_BLAME = "This came from"


@contextlib.contextmanager
def blaming(
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
        yield
    except NstflowError as error:
        placed = [_placed(problem, recipe, keys, stage) for problem in error.problems]
        if into is None:
            raise NstflowError(placed, recipe.source.label) from error
        into += placed
    except SystemExit as error:  # else the command would end as if all were well
        told = RuntimeError(f"it asked Python to exit ({error.code!r})")
        accuse(told, stage, dotted(keys), recipe.installed)
        raise told from error
    except Exception as error:
        accuse(error, stage, dotted(keys), recipe.installed)
        raise


def accuse(error: Exception, stage: Stage, place: str, installed: Plugins) -> None:
    """Note on an error which stage, and whose, it came from: the innermost is the one."""
    offer = installed.catalog.offer_of(stage)
    whose = f", which {offer.package} offers" if offer else ""
    if not any(note.startswith(_BLAME) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{_BLAME} {place} (use: {stage.use}){whose}.")


def require(value: Any, kind: type, call: str) -> Any:
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
        hint = f"{hint} '{offer.name}' is of {offer.package}.".strip()
    return replace(problem, where=recipe.source.where(path), what=dotted(path), hint=hint)
