"""L-BFGS on the pixels."""

from typing import Literal

from pydantic import Field

from nstflow import Objective, Optimizer, State, Tensor, tf
from nstflow.toolkit import running_mean

# What the step control does; see the class.
_RISE, _TRIES, _SHORTEST, _LONGEST, _CURVATURE = 0.1, 5, 0.1, 0.5, 1e-6
_DECAY, _FLOOR = 0.9, 1e-3  # of the mean of squared gradients


class Lbfgs(Optimizer):
    """Update the pixels by L-BFGS, with one evaluation a step.

    x is the iterate, whose pixels may leave [0, 1]; the canvas is clip(x, 0, 1), and g the gradient
    there. Each step gives a pair: the move s of x, and the change y of the gradient. It is kept if
    s·y > 10⁻⁶ |s| |y|, and only the last `history` pairs are kept. They improve a diagonal matrix
    γ D to a matrix H ≈ the inverse Hessian, by which

        x ← x - lr · H g

    H g takes two loops over the pairs, the newest first and the oldest first:

        q ← g;  a_i = s_i·q / s_i·y_i,  q ← q - a_i y_i
        r ← γ D q;  r ← r + (a_i - y_i·r / s_i·y_i) s_i

    where γ = s·y / y·Dy of the last pair. D = 1 / (v + 10⁻³ mean(v)), where v ← 0.9 v + 0.1 g² is a
    running mean of each pixel value's squared gradients. With `diagonal: false`, D = 1, as in
    ordinary L-BFGS. Without a pair, as at the first step, H = min(1, 1 / Σ|g|).

    There is no line search. Two rules limit the steps: no pixel changes by more than `max_change`,
    and a step that raises the total loss by more than a tenth is undone. x then returns to where it
    was, and moves along the same direction by 0.1 to 0.5 of the way, to the minimum of the parabola
    through the two totals and the first slope. After five undone steps in a row, the next one is
    kept even if it raises the total as much; if it does, all pairs are discarded.

    The picture is the last canvas that was evaluated and kept. With `average: d`, it is the mean of
    all canvases at this size, those of undone steps too, each with d times the weight of the next.
    At another size, x starts at the canvas, without pairs.

    Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., algorithm 7.4 and section 3.5.
    Gilbert and Lemaréchal, "Some numerical experiments with variable-storage quasi-Newton
    algorithms", 1989, have other diagonal matrices; this one is measured in docs/optimizers.md.
    As in `torch.optim.LBFGS`, only the first step is scaled, by min(1, 1 / Σ|g|).
    """

    use: Literal["lbfgs"] = "lbfgs"
    learning_rate: float = Field(
        1.0, gt=0, le=100, description="Multiplies every step; 1 is ordinary L-BFGS."
    )
    history: int = Field(
        10,
        ge=1,
        le=1000,
        description="Number of earlier steps to remember, each as its move and the change of the"
        " gradient.",
    )
    diagonal: bool = Field(
        True,
        description="Let each pixel value have its own step size, which is smaller where the last"
        " gradients were larger. If false, all have the same, as in ordinary L-BFGS.",
    )
    max_change: float = Field(
        0.1,
        gt=0,
        le=1e6,
        description="The most that a pixel value may change in a step; pixels are in [0, 1].",
    )
    average: float | None = Field(
        None,
        ge=0,
        le=0.9999,
        description="If set, the picture is a mean of the canvases, each with this many times the"
        " weight of the next; if not, it is the last canvas that was kept.",
    )

    def start(self, canvas: Tensor, steps: int) -> State:  # noqa: ARG002 - the contract
        """Return the canvas as the iterate; zeros in place of pairs have no effect."""
        flat = tf.reshape(canvas, (-1,))
        pairs = tf.zeros((self.history, *flat.shape))
        return {
            "iterate": flat,
            "last": flat,  # the iterate before, with its gradient and total
            "gradient": tf.zeros_like(flat),
            "total": tf.constant(0.0),
            "moves": pairs,
            "changes": pairs,
            "inverse_products": tf.zeros((self.history,)),
            **({"squares": tf.zeros_like(flat)} if self.diagonal else {}),
            "pairs": tf.constant(0),  # so far: the next one replaces number `pairs % history`
            "rejected": tf.constant(0),  # steps in a row
            "evaluations": tf.constant(0),
            **running_mean(canvas, self.average),
        }

    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Evaluate the objective once; take the next step, or undo the last one and shorten it."""
        losses, gradient = objective(canvas)
        total, gradient = tf.reduce_sum(losses), tf.reshape(gradient, (-1,))
        move = state["iterate"] - state["last"]
        first = state["evaluations"] == 0
        rose = ~first & (total > state["total"] + _RISE * tf.abs(state["total"]))
        back, lost = rose & (state["rejected"] < _TRIES), rose & (state["rejected"] >= _TRIES)

        if self.diagonal:
            mean = _DECAY * state["squares"] + (1 - _DECAY) * tf.square(gradient)
            state = {**state, "squares": tf.where(back, state["squares"], mean)}
        known = self._learn(state, move, gradient - state["gradient"], ~first & ~rose, lost)
        x = tf.where(back, state["last"], state["iterate"])
        ahead = -self.learning_rate * self._direction(known, gradient)
        ahead = tf.clip_by_value(ahead, -self.max_change, self.max_change)
        slope = _dot(state["gradient"], move)
        part = -slope / (2 * (total - state["total"] - slope))
        shorter = tf.clip_by_value(part, _SHORTEST, _LONGEST) * move
        iterate = x + tf.where(back, shorter, ahead)

        canvas = tf.reshape(tf.clip_by_value(iterate, 0.0, 1.0), canvas.shape)
        state = {
            **known,
            "iterate": iterate,
            "last": x,
            "gradient": tf.where(back, state["gradient"], gradient),
            "total": tf.where(back, state["total"], total),
            "rejected": tf.where(back, state["rejected"] + 1, 0),
            "evaluations": state["evaluations"] + 1,
            **running_mean(canvas, self.average, state),
        }
        return canvas, state, losses

    def result(self, canvas: Tensor, state: State) -> Tensor:
        """Return the mean of the canvases, or the last one that was evaluated and kept."""
        best = state["last"] if self.average is None else state["average"]
        return tf.clip_by_value(tf.reshape(best, canvas.shape), 0.0, 1.0)

    def state_size(self, pixels: int) -> int:
        """Return the bytes of the pairs, two iterates, a gradient, and the two means."""
        means = self.diagonal + (self.average is not None)
        return (2 * self.history + 3 + means) * pixels * 3 * 4

    def _learn(
        self, state: State, move: Tensor, change: Tensor, taken: Tensor, lost: Tensor
    ) -> State:
        """Return the state with one more pair if the step was taken, with none if it was lost."""
        product = _dot(move, change)
        bound = _CURVATURE * tf.sqrt(_dot(move, move)) * tf.sqrt(_dot(change, change))
        good = taken & (product > bound)
        slot = state["pairs"] % self.history
        here = good & (tf.range(self.history) == slot)
        inverse = tf.where(here, 1 / product, state["inverse_products"])
        return {
            **state,
            "moves": _put(state["moves"], slot, good, move),
            "changes": _put(state["changes"], slot, good, change),
            "inverse_products": tf.where(lost, 0.0, inverse),
            "pairs": tf.where(lost, 0, state["pairs"] + tf.cast(good, tf.int32)),
        }

    def _direction(self, state: State, gradient: Tensor) -> Tensor:
        """Return H g; the slots without a pair have the inverse product 0."""
        moves, changes, inverse = state["moves"], state["changes"], state["inverse_products"]
        newest, numbers = state["pairs"] - 1, tf.range(self.history)

        def down(i: Tensor, q: Tensor, factors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            k = (newest - i) % self.history
            factor = tf.gather(inverse, k) * _dot(tf.gather(moves, k), q)
            return (
                i + 1,
                q - factor * tf.gather(changes, k),
                tf.where(numbers == k, factor, factors),
            )

        def up(i: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
            k = (newest + 1 + i) % self.history
            factor = tf.gather(factors, k) - tf.gather(inverse, k) * _dot(tf.gather(changes, k), r)
            return i + 1, r + factor * tf.gather(moves, k)

        # tf.gather: where XLA finds moves[k], it spends seconds to compute k while it compiles
        begin = tf.constant(0), gradient, tf.zeros((self.history,))
        _, q, factors = tf.while_loop(lambda i, *_: i < self.history, down, begin)
        steepest = tf.minimum(1.0, 1 / tf.reduce_sum(tf.abs(gradient)))
        scale = self._scale(state)
        last = newest % self.history
        change = tf.gather(changes, last)
        gamma = 1 / (tf.gather(inverse, last) * _dot(change, scale * change))
        r = tf.where(state["pairs"] > 0, gamma * scale * q, steepest * q)
        _, r = tf.while_loop(lambda i, _: i < self.history, up, (tf.constant(0), r))
        return r

    def _scale(self, state: State) -> Tensor:
        """Return the diagonal of D, up to a factor: 1 where all squared gradients are the mean."""
        if not self.diagonal:
            return tf.constant(1.0)
        squares = state["squares"]
        mean = tf.reduce_mean(squares)
        return tf.where(mean > 0, mean / (squares + _FLOOR * mean), 1.0)


def _dot(x: Tensor, y: Tensor) -> Tensor:
    return tf.reduce_sum(x * y)


def _put(pairs: Tensor, slot: Tensor, good: Tensor, row: Tensor) -> Tensor:
    """Return the rows with another one in a slot, if it is good."""
    row = tf.where(good, row, tf.gather(pairs, slot))
    return tf.tensor_scatter_nd_update(pairs, [[slot]], [row])
