"""The mean of an optimizer's iterates."""

from __future__ import annotations

from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import State


def running_mean(canvas: Tensor, decay: float | None, state: State | None = None) -> State:
    """Return the entries of an optimizer's state for the mean of its canvases; none without decay.

    With n canvases so far, of which x is the last:

        average ← average + (1 - decay) / (1 - decayⁿ) · (x - average)

    This is their mean with the weights decay^(n - i), i = 1 … n: the exponential mean with its bias
    corrected, as Adam's moments. The average of one canvas is this canvas.

    Args:
        canvas: The last canvas.
        decay: How much the mean keeps at each step, below 1; None for no mean.
        state: The state before, or None to begin.
    """
    if decay is None:
        return {}
    if state is None:
        return {"average": canvas, "averaged": tf.constant(1)}
    count = state["averaged"] + 1
    share = (1 - decay) / (1 - decay ** tf.cast(count, tf.float32))
    average = state["average"] + share * (canvas - state["average"])
    return {"average": average, "averaged": count}
