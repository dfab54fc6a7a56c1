"""Whether images are large enough for what a recipe does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nstflow.blame import blaming
from nstflow.errors import Problem
from nstflow.recipe.parsing import dotted
from nstflow.recipe.schema import Recipe
from nstflow.terms import LossTerm
from nstflow.values import Size


def size_problems(
    recipe: Recipe,
    terms: Mapping[str, LossTerm],
    layers: Sequence[str],
    sizes: Mapping[str, Size],
) -> list[Problem]:
    """Return what the extractor and the terms say of the sizes of a phase."""
    problems: list[Problem] = []
    # each of these goes through the whole network: the canvas, and what terms refer to
    described = {recipe.start.like, *(term.image for term in terms.values())}
    for name, size in sizes.items():
        if name in described and (small := _too_small(recipe, layers, size)):
            keys, hint = ("images", name), "Prepare it, or begin the schedule, at a larger size."
            problems.append(Problem(recipe.source.where(keys), dotted(keys), small, hint))
    if problems or not described - {None} <= set(sizes):
        return problems
    for name, term in terms.items():
        with blaming(recipe, ("losses", name), term, into=problems):
            reference = None if term.image is None else sizes[term.image]
            term.check(sizes[recipe.start.like], reference)
    return problems


def _too_small(recipe: Recipe, layers: Sequence[str], size: Size) -> str:
    """Return why an image of this size can't be described by these layers, or an empty string."""
    with blaming(recipe, ("extractor",), recipe.extractor):
        try:
            recipe.extractor.cost(layers, size)
        except ValueError as error:
            return f"{error}."
    return ""
