"""Images that are too small for the layers or the losses: which size is large enough."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from nstflow.errors import Problem
from nstflow.recipe.attribution import Origin
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import Keys, option_names, option_paths, parse_path
from nstflow.stages.stage import Preprocessor, Stage
from nstflow.stages.types import Size, scaled

LARGEST = 16384
"""Pixels: no longer side is tried."""

_MOST_CHECKS = 1000
"""How often stages are asked at most: a hint is not worth more time."""

Check = Callable[[Mapping[str, Size]], list[Problem]]
"""Image → its size in a phase; returns the problems. Those of the extractor have no hint."""


def too_small(
    origin: Origin,
    recipe: Recipe,
    sources: Mapping[str, Size],
    sizes: Mapping[str, Size],
    check: Check,
    scale: float = 1.0,
) -> list[Problem]:
    """Return the problems of images in a phase, with the size that is large enough.

    Args:
        origin: The recipe's.
        recipe: The recipe.
        sources: Image → size when it is loaded.
        sizes: Image → size at full scale.
        check: Finds the problems.
        scale: The phase's.
    """
    problems = check({name: scaled(size, scale) for name, size in sizes.items()})
    if not problems:
        return []
    if settings := _large_enough(origin, recipe, sources, check):
        hint = f"Large enough: {settings}."
        return [replace(each, hint=f"{each.hint} {hint}".strip()) for each in problems]
    hints: dict[Problem, str] = {}
    for name, size in sizes.items():
        if alone := check({name: scaled(size, scale)}):
            hints |= dict.fromkeys(alone, _larger(name, size, check, scale))
    return [replace(each, hint=each.hint or hints.get(each, "")) for each in problems]


def _larger(name: str, size: Size, check: Check, scale: float) -> str:
    """Return what to do with an image whose size no setting decides."""

    def is_enough(side: int) -> bool:
        return not check({name: scaled(scaled(size, side / max(size)), scale)})

    side = _least(is_enough)
    if side > LARGEST:
        return "Crop it, or use other layers: it is too narrow for these at any size."
    if scale != 1:
        return f"Prepare it with a longest side of {side} pixels, or begin the schedule larger."
    return f"Prepare it at a larger size: a longest side of {side} pixels is enough."


def _large_enough(origin: Origin, recipe: Recipe, sources: Mapping[str, Size], check: Check) -> str:
    """Return the settings with which all images are large enough in every phase, as options.

    They are found by trying: the least whole numbers of preprocessors, and of the schedule. If the
    recipe has an option for one, it is the name of that. Empty if there are none.
    """
    asked = 0

    def problems(values: Mapping[str, int], *, all_phases: bool) -> int:
        nonlocal asked
        stages = _changed(origin.stages, recipe.options, values)
        sizes = {name: _prepared(stages.values(), name, size) for name, size in sources.items()}
        scales = {1.0}
        if all_phases:
            schedule: Any = stages["schedule",]
            scales |= {phase.scale for phase in schedule.phases(sizes[recipe.start.like])}
        asked += len(scales)
        if asked > _MOST_CHECKS:
            raise TimeoutError
        return sum(
            len(check({name: scaled(size, scale) for name, size in sizes.items()}))
            for scale in scales
        )

    def is_enough(
        found: dict[str, int], setting: str, few: int, all_phases: bool, value: int
    ) -> bool:
        return problems(found | {setting: value}, all_phases=all_phases) <= few

    found: dict[str, int] = {}
    with contextlib.suppress(Exception):  # a hint is not worth a second error
        # full size first: the schedule's settings are relative to it
        for slot, all_phases in (("preprocess", False), ("schedule", True), ("preprocess", True)):
            for setting in _settings(origin, recipe.options, slot):
                before = problems(found, all_phases=all_phases)
                after = problems(found | {setting: LARGEST}, all_phases=all_phases)
                if after < before:
                    few = partial(is_enough, dict(found), setting, after, all_phases)
                    found |= {setting: _least(few)}
        if found and not problems(found, all_phases=True):
            changed = _changed(origin.stages, recipe.options, found)
            for stage in [changed[at] for at in changed if changed[at] is not origin.stages[at]]:
                type(stage).model_validate(stage.model_dump())  # each setting has its own limits
            return " ".join(f"--set {name}={value}" for name, value in found.items())
    return ""


def _least(is_enough: Callable[[int], bool]) -> int:
    """Return about the least number of pixels that is enough, or one more than is tried.

    It is rounded up to two digits, as a person would choose it.
    """
    side = bisect_left(range(1, LARGEST + 1), True, key=is_enough) + 1
    step = 10 ** max(0, len(str(side)) - 2)
    rounded = min(-(-side // step) * step, LARGEST)
    return rounded if side <= LARGEST and is_enough(rounded) else side


def _prepared(stages: Collection[Stage], name: str, size: Size) -> Size:
    """Return the size of an image after preprocessing."""
    for stage in stages:
        if isinstance(stage, Preprocessor) and (stage.only is None or name in stage.only):
            size = stage.size(size)
    return size


def _settings(origin: Origin, options: Mapping[str, str | list[str]], slot: str) -> Iterator[str]:
    """Yield the whole numbers of the stages of a slot, the last stage first, as options.

    Those that a matrix sets are left out, as no option can change them.
    """
    set_there = set(origin.cell.values) if origin.cell is not None else set()
    names = option_names(options)
    paths = [
        ".".join(map(str, (*keys, name)))
        for keys, stage in reversed(list(origin.stages.items()))
        if keys[0] == slot
        for name, value in stage
        if type(value) is int
    ]
    yield from dict.fromkeys(
        names.get(path, path) for path in paths if not {path, names.get(path)} & set_there
    )


def _changed(
    stages: Mapping[Keys, Stage],
    options: Mapping[str, str | list[str]],
    values: Mapping[str, int],
) -> dict[Keys, Stage]:
    """Return the stages with other values of settings."""
    changed = dict(stages)
    for setting, value in values.items():
        for path in option_paths(options.get(setting, setting)):
            *keys, name = parse_path(path)
            if stage := changed.get(tuple(keys)):
                changed[tuple(keys)] = stage.model_copy(update={str(name): value})
    return changed
