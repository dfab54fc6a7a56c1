"""Adam on the pixels."""

from typing import Literal

from pydantic import Field, field_validator

from nstflow import Objective, Optimizer, State, Tensor, tf

# In float32, in which the canvas moves, what is smaller than the first is 0 to TensorFlow; from the
# second on, numbers round to 1, from the third on to infinity.
_SMALLEST, _ONE, _INFINITE = 2.0**-126, 1 - 2.0**-25, 2.0**128 - 2.0**103


class Adam(Optimizer):
    """Update the pixels by Adam, then clip the canvas to [0, 1].

    With the gradient g at step t:

        m ← β1 m + (1 - β1) g          v ← β2 v + (1 - β2) g²
        canvas ← clip(canvas - lr · √(1 - β2ᵗ) / (1 - β1ᵗ) · m / (√v + ε))

    as Keras defines it: ε is added to the uncorrected √v. The defaults are the original report's.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, section 2.
    """

    use: Literal["adam"] = "adam"
    learning_rate: float = Field(0.02, gt=0, description="Step size; pixels are in [0, 1].")
    beta_1: float = Field(0.99, ge=0, lt=1, description="Decay of the mean gradient.")
    beta_2: float = Field(0.999, ge=0, lt=1, description="Decay of the mean squared gradient.")
    epsilon: float = Field(0.1, gt=0, description="Added to the root of the mean squared gradient.")

    @field_validator("beta_1", "beta_2")
    @classmethod
    def _is_below_one(cls, beta: float) -> float:
        if beta >= _ONE:
            raise ValueError(f"in float32, {beta!r} is 1, which ignores every gradient")
        return beta

    @field_validator("learning_rate", "epsilon")
    @classmethod
    def _is_in_range(cls, value: float) -> float:
        if value < _SMALLEST or value >= _INFINITE:
            raise ValueError(f"in float32, {value!r} is {'0' if value < 1 else 'infinite'}")
        return value

    def start(self, canvas: Tensor, steps: int) -> State:  # noqa: ARG002 - the contract
        """Return zero moments."""
        return {
            "mean": tf.zeros_like(canvas),
            "square": tf.zeros_like(canvas),
            "evaluations": tf.constant(0),
        }

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
        canvas = canvas - rate * mean / (tf.sqrt(square) + self.epsilon)
        state = {"mean": mean, "square": square, "evaluations": t}
        return tf.clip_by_value(canvas, 0.0, 1.0), state, losses
