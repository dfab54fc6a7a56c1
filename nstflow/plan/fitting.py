"""Which size of a plan fits into the memory that there is."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from nstflow.recipe.paths import option_names, option_paths
from nstflow.stages.text import amount_text
from nstflow.stages.types import scaled

if TYPE_CHECKING:
    from nstflow.plan import Plan

_STEP = 32
"""Pixels between the sizes that are tried."""


def fitting_size(plan: Plan, there_is: int) -> str:
    """Return which smaller size would fit, as a sentence; empty if none does.

    Args:
        plan: The run's.
        there_is: Bytes that the device has for it.
    """
    longest, setting = max(plan.canvas), size_setting(plan)
    for side in range((longest - 1) // _STEP * _STEP, 0, -_STEP):
        smaller = memory_at(plan, side / longest)
        if smaller is not None and smaller <= there_is:
            how = f"--set {setting}={side}" if setting else f"a longest side of {side} pixels"
            return f"What would fit: {how} (about {amount_text(smaller, 'B')})."
    return ""


def memory_at(plan: Plan, scale: float) -> int | None:
    """Return the bytes that a run takes with all images at another scale."""
    sizes = {name: scaled(size, scale) for name, size in plan.sizes.items()}
    canvas = scaled(plan.canvas, scale)
    saved = round((plan.checkpoint_size or 0) * math.prod(canvas) / math.prod(plan.canvas))
    try:
        return replace(plan, sizes=sizes, canvas=canvas, checkpoint_size=saved).memory
    except ValueError:  # too small for a layer
        return None


def size_setting(plan: Plan) -> str:
    """Return the setting of a preprocessor that decides the longest side, or an empty string.

    It is found by trying: a whole number that makes the images smaller as it gets smaller. If the
    recipe has an option for it, it is the name of that.
    """
    groups, options = plan.recipe.options, option_names(plan.recipe.options)
    smaller = max(1, max(plan.canvas) // 2)
    for index, stage in enumerate(plan.recipe.preprocess):
        for name, value in stage:
            setting = f"preprocess.{index}.{name}"
            together = option_paths(groups.get(options.get(setting, ""), []))
            is_whole = stage.only is None or len(together) > 1
            if is_whole and type(value) is int:
                with contextlib.suppress(Exception):  # a hint is not worth a second error
                    changed = stage.model_copy(update={name: smaller})
                    if max(changed.size(plan.canvas)) == smaller:
                        return options.get(setting, setting)
    return ""
