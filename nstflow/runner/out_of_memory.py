"""Not enough memory: how much was needed, how much there is, what would fit."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.stages.types import scaled

_STEP = 32
"""Pixels between the sizes that are tried."""


@contextlib.contextmanager
def explain_out_of_memory(plan: Plan, kind: Literal["cpu", "gpu"]) -> Iterator[None]:
    """Turn an error because memory ran out into an `NstflowError` that says what to do.

    Args:
        plan: The run's.
        kind: What computes it; how much memory a GPU has is not known.
    """
    try:
        yield
    except BaseException as error:
        if not is_out_of_memory(error):
            raise
        raise out_of_memory(plan, available() if kind == "cpu" else None) from error


def out_of_memory(plan: Plan, there_is: int | None) -> NstflowError:
    """Return the error of a run that needs more memory than there is.

    Args:
        plan: The run's.
        there_is: Bytes that the device has for it, or None where that is not known.
    """
    needed = plan.memory
    got = "there is not enough memory."
    if needed is not None:
        got += f" This run needs about {_gigabytes(needed)}."
    if there_is is not None:
        got += f" {_gigabytes(there_is)} are free."
    return NstflowError(Problem("", "", got, _advice(plan, needed, there_is)))


def _advice(plan: Plan, needed: int | None, there_is: int | None) -> str:
    longest = max(plan.canvas)
    setting = _setting(plan)
    if needed is None or there_is is None:
        return f"Take a smaller size{f': --set {setting}={longest // 2}' if setting else ''}."
    if needed <= there_is:
        other = f", or take a smaller size: --set {setting}={longest * 3 // 4}" if setting else ""
        return f"Close other programs{other}."
    for side in range((longest - 1) // _STEP * _STEP, 0, -_STEP):
        smaller = memory_at(plan, side / longest)
        if smaller is not None and smaller <= there_is:
            how = f"--set {setting}={side}" if setting else f"a longest side of {side} pixels"
            return f"What would fit: {how} (about {_gigabytes(smaller)})."
    return "No size would fit: close other programs, or take a larger machine."


def memory_at(plan: Plan, scale: float) -> int | None:
    """Return the bytes that a run takes with all images at another scale."""
    sizes = {name: scaled(size, scale) for name, size in plan.sizes.items()}
    canvas = scaled(plan.canvas, scale)
    saved = round((plan.checkpoint_size or 0) * math.prod(canvas) / math.prod(plan.canvas))
    try:
        return replace(plan, sizes=sizes, canvas=canvas, checkpoint_size=saved).memory
    except ValueError:  # too small for a layer
        return None


def _setting(plan: Plan) -> str:
    """Return the setting of a preprocessor that decides the longest side, or an empty string.

    It is found by trying: a whole number that makes the images smaller as it gets smaller. If the
    recipe has an option for it, it is the name of that.
    """
    groups = {
        name: held if isinstance(held, list) else [held]
        for name, held in plan.recipe.options.items()
    }
    options = {path: name for name, paths in groups.items() for path in paths}
    smaller = max(1, max(plan.canvas) // 2)
    for index, stage in enumerate(plan.recipe.preprocess):
        for name, value in stage:
            setting = f"preprocess.{index}.{name}"
            is_whole = stage.only is None or len(groups.get(options.get(setting, ""), ())) > 1
            if is_whole and type(value) is int:
                with contextlib.suppress(Exception):  # a hint is not worth a second error
                    changed = stage.model_copy(update={name: smaller})
                    if max(changed.size(plan.canvas)) == smaller:
                        return options.get(setting, setting)
    return ""


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
