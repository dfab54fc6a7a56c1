"""Optimizers that were tried and did not become built-in ones: see docs/optimizers.md."""

import math
from typing import Literal

from pydantic import Field

from nstflow import Objective, Optimizer, Size, State, Tensor, hookimpl, tf
from nstflow.toolkit import resample


def _moved(
    mean: Tensor, square: Tensor, gradient: Tensor, count: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Adam's moments with β 0.9 and 0.99, and its direction."""
    mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * tf.square(gradient)
    direction = mean / (1 - 0.9**count) / (tf.sqrt(square / (1 - 0.99**count)) + 1e-8)
    return mean, square, direction


class OneCycle(Optimizer):
    """Adam whose rate rises to its maximum in the first part of the steps, then falls to 0.

    Source: Smith and Topin, "Super-Convergence", 2018, with cosine pieces.
    """

    use: Literal["one_cycle"] = "one_cycle"
    learning_rate: float = Field(0.05, gt=0, description="The highest rate.")
    rise: float = Field(0.3, gt=0, lt=1, description="The part of the steps in which it rises.")

    def start(self, canvas: Tensor, steps: int) -> State:
        """Return zero moments."""
        zero = tf.zeros_like(canvas)
        left = tf.constant(float(steps))
        return {"mean": zero, "square": zero, "evaluations": tf.constant(0), "steps": left}

    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Evaluate the objective once, and update the canvas once."""
        losses, gradient = objective(canvas)
        count = tf.cast(state["evaluations"] + 1, tf.float32)
        mean, square, direction = _moved(state["mean"], state["square"], gradient, count)
        part = count / state["steps"]
        up = 0.04 + 0.96 * (1 - tf.cos(math.pi * part / self.rise)) / 2
        down = (1 + tf.cos(math.pi * (part - self.rise) / (1 - self.rise))) / 2
        canvas -= self.learning_rate * tf.where(part < self.rise, up, down) * direction
        moments = {"mean": mean, "square": square}
        state = {**state, **moments, "evaluations": state["evaluations"] + 1}
        return tf.clip_by_value(canvas, 0.0, 1.0), state, losses


class PyramidAdam(Optimizer):
    """Adam on the levels of a Laplacian pyramid of the canvas, with a rate that falls to 0.

    The canvas is x = Σ U_k p_k, with the upsampling U_k of level k, so the gradient of a level is
    U_kᵀ g, the transposed upsampling of the gradient g of the canvas.

    Source: Kolkin, Salavon and Shakhnarovich, "Style Transfer by Relaxed Optimal Transport and
    Self-Similarity" (STROTSS), CVPR 2019, which takes RMSprop.
    """

    use: Literal["pyramid_adam"] = "pyramid_adam"
    learning_rate: float = Field(0.03, gt=0, description="Step size of each level.")
    levels: int = Field(5, ge=1, le=10, description="Number of levels.")

    def _sizes(self, canvas: Tensor) -> list[Size]:
        _, height, width, _ = canvas.shape
        return [(max(1, height >> k), max(1, width >> k)) for k in range(self.levels)]

    def start(self, canvas: Tensor, steps: int) -> State:
        """Return the levels and zero moments."""
        state = {"evaluations": tf.constant(0), "steps": tf.constant(float(steps))}
        left = canvas
        sizes = self._sizes(canvas)
        for k, size in enumerate(sizes):
            last = k == len(sizes) - 1
            smaller = left if last else resample(left, sizes[k + 1], "bilinear")
            detail = left if last else left - resample(smaller, size, "bilinear")
            zero = tf.zeros_like(detail)
            state |= {f"level{k}": detail, f"mean{k}": zero, f"square{k}": zero}
            left = smaller
        return state

    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Evaluate the objective once, and update each level once."""
        losses, gradient = objective(canvas)
        count = tf.cast(state["evaluations"] + 1, tf.float32)
        rate = self.learning_rate * (1 + tf.cos(math.pi * (count - 1) / state["steps"])) / 2
        new = {**state, "evaluations": state["evaluations"] + 1}
        sizes = self._sizes(canvas)
        with tf.GradientTape() as tape:  # of x = Σ U_k p_k, for U_kᵀ g
            levels = [state[f"level{k}"] for k in range(len(sizes))]
            tape.watch(levels)
            merged = self._merged(levels, sizes)
        parts = tape.gradient(merged, levels, output_gradients=gradient)
        moved = []
        for k, part in enumerate(parts):
            mean, square, direction = _moved(state[f"mean{k}"], state[f"square{k}"], part, count)
            moved.append(levels[k] - rate * direction)
            new |= {f"level{k}": moved[k], f"mean{k}": mean, f"square{k}": square}
        return tf.clip_by_value(self._merged(moved, sizes), 0.0, 1.0), new, losses

    def _merged(self, levels: list[Tensor], sizes: list[Size]) -> Tensor:
        canvas = levels[-1]
        for level, size in zip(levels[-2::-1], sizes[-2::-1], strict=True):
            canvas = level + resample(canvas, size, "bilinear")
        return canvas


@hookimpl
def nstflow_stages() -> list[type[Optimizer]]:
    """Offer the optimizers."""
    return [OneCycle, PyramidAdam]
