"""Adam on the pixels."""

import math
from typing import Literal

from pydantic import Field, field_validator

from nstflow import Objective, Optimizer, State, Tensor, tf
from nstflow.toolkit import resample, running_mean

# Limits of float32, the type of the canvas: TensorFlow takes numbers below _SMALLEST as 0; numbers
# from _ONE on round to 1, and from _INFINITE on to infinity.
_SMALLEST, _ONE, _INFINITE = 2.0**-126, 1 - 2.0**-25, 2.0**128 - 2.0**103


class Adam(Optimizer):
    """Update the pixels by Adam, then clip the canvas to [0, 1].

    With the gradient g at step t:

        m ← β1 m + (1 - β1) g          v ← β2 v + (1 - β2) g²
        canvas ← clip(canvas - lr · √(1 - β2ᵗ) / (1 - β1ᵗ) · m / (√v + ε))

    as Keras defines it: ε is added to the uncorrected √v. The defaults are those of the
    capstone report (docs/report.md).

    A phase is the steps at one size. With `decay: cosine`, step k of a phase of n steps has
    lr · ½ (1 + cos(π (k - 1) / n)).

    With `average: d`, the picture is the mean of the canvases of the phase, each with d times the
    weight of the next. The mean has less noise than a single canvas. The losses are always those of
    the single canvases.

    At the next size, m is resized by bicubic and v by bilinear interpolation, and t continues. With
    r = old pixels / new pixels, m is multiplied by r and v by r²: most losses are means over the
    positions, so the gradient of a pixel falls with their number (not with `scale: sum`). The
    cosine of `decay` and the mean of the canvases start again. With `carry_moments: false`, m, v
    and t start again too.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, sections 2 and
    7.2; Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017.
    """

    use: Literal["adam"] = "adam"
    learning_rate: float = Field(0.02, gt=0, description="Step size; pixels are in [0, 1].")
    beta_1: float = Field(0.99, ge=0, lt=1, description="Decay of the mean gradient.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Decay of the mean squared gradient.")
    epsilon: float = Field(0.1, gt=0, description="Added to the root of the mean squared gradient.")

    decay: Literal["none", "cosine"] = Field(
        "none",
        description="none: a constant step size; cosine: it falls along a cosine, almost to 0, in"
        " the steps at each size.",
    )
    average: float | None = Field(
        None,
        ge=0,
        le=0.9999,
        description="If set, the picture is a mean of the canvases, each with this many times the"
        " weight of the next; if not, it is the last canvas.",
    )

    carry_moments: bool = Field(True, description="Keep m and v from one size to the next.")

    @field_validator("beta_1", "beta_2")
    @classmethod
    def _is_below_one(cls, beta: float) -> float:
        if beta >= _ONE:
            raise ValueError(f"in float32, {beta!r} rounds to 1, which ignores every gradient")
        return beta

    @field_validator("learning_rate", "epsilon")
    @classmethod
    def _is_in_range(cls, value: float) -> float:
        if value < _SMALLEST or value >= _INFINITE:
            raise ValueError(f"in float32, {value!r} is {'0' if value < 1 else 'infinite'}")
        return value

    def start(self, canvas: Tensor, steps: int) -> State:
        """Return zero moments."""
        zeros = tf.zeros_like(canvas)
        return self._begin({"mean": zeros, "square": zeros}, tf.constant(0), canvas, steps)

    def _begin(self, moments: State, evaluations: Tensor, canvas: Tensor, steps: int) -> State:
        """Return the state before the first step of a phase."""
        state = {**moments, "evaluations": evaluations, **running_mean(canvas, self.average)}
        if self.decay == "cosine":
            state |= {"before": evaluations, "steps": tf.constant(steps)}
        return state

    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Evaluate the objective once, and update the canvas once."""
        losses, gradient = objective(canvas)
        t = state["evaluations"] + 1
        power = tf.cast(t, tf.float32)
        mean = self.beta_1 * state["mean"] + (1 - self.beta_1) * gradient
        square = self.beta_2 * state["square"] + (1 - self.beta_2) * tf.square(gradient)
        rate = self.learning_rate * tf.sqrt(1 - self.beta_2**power) / (1 - self.beta_1**power)
        if self.decay == "cosine":
            done = tf.cast(state["evaluations"] - state["before"], tf.float32)
            part = done / tf.cast(state["steps"], tf.float32)
            rate *= 0.5 + 0.5 * tf.cos(math.pi * part)
        canvas = canvas - rate * mean / (tf.sqrt(square) + self.epsilon)
        canvas = tf.clip_by_value(canvas, 0.0, 1.0)
        state = {**state, "mean": mean, "square": square, "evaluations": t}
        return canvas, state | running_mean(canvas, self.average, state), losses

    def result(self, canvas: Tensor, state: State) -> Tensor:
        """Return the mean of the canvases, or the canvas itself."""
        return canvas if self.average is None else tf.clip_by_value(state["average"], 0.0, 1.0)

    def carry(self, state: State, canvas: Tensor, steps: int) -> State:
        """Return the moments at the new size; the mean of the canvases begins with this canvas."""
        if not self.carry_moments:
            return self.start(canvas, steps)
        size = canvas.shape[1], canvas.shape[2]
        ratio = state["mean"].shape.num_elements() / canvas.shape.num_elements()
        mean = ratio * resample(state["mean"], size, "bicubic")
        square = ratio**2 * tf.nn.relu(resample(state["square"], size, "bilinear"))
        moments = {"mean": mean, "square": square}
        return self._begin(moments, state["evaluations"], canvas, steps)

    def state_size(self, pixels: int) -> int:
        """Return the bytes of two moments, and of the mean of the canvases."""
        return (2 + (self.average is not None)) * pixels * 3 * 4
