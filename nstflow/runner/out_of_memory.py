"""Not enough memory: how much was needed, how much there is, what would fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.plan.fitting import fitting_size, size_setting
from nstflow.stages.text import amount_text


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
        got += f" This run needs about {amount_text(needed, 'B', 3)}."
    if there_is is not None:
        got += f" {amount_text(there_is, 'B', 3)} are free."
    return NstflowError(Problem("", "", got, _advice(plan, needed, there_is)))


def _advice(plan: Plan, needed: int | None, there_is: int | None) -> str:
    longest, setting = max(plan.canvas), size_setting(plan)
    if needed is None or there_is is None:
        return f"Take a smaller size{f': --set {setting}={longest // 2}' if setting else ''}."
    if needed <= there_is:
        other = f", or take a smaller size: --set {setting}={longest * 3 // 4}" if setting else ""
        return f"Close other programs{other}."
    return fitting_size(plan, there_is) or (
        "No size would fit: close other programs, or take a larger machine."
    )
