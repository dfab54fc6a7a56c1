"""Who is to blame: whatever a stage raises is told with its place in the recipe and its package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from nstflow.errors import NstflowError, Problem
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
        placed = [_placed(problem, recipe, keys) for problem in error.problems]
        if into is None:
            raise NstflowError(placed, recipe.source.label) from error
        into += placed
    except Exception as error:
        offer = recipe.installed.catalog.offer_of(stage)
        whose = f", which {offer.package} offers" if offer else ""
        if not any(note.startswith(_BLAME) for note in getattr(error, "__notes__", ())):
            # the innermost stage is the one
            error.add_note(f"{_BLAME} {dotted(keys)} (use: {stage.use}){whose}.")
        raise


def _placed(problem: Problem, recipe: Recipe | Draft, keys: Keys) -> Problem:
    if problem.where:
        return problem
    path = (*keys, problem.what) if problem.what else keys
    return replace(problem, where=recipe.source.where(path), what=dotted(path))
