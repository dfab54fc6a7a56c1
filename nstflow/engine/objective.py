"""The sum of the loss terms, and its gradient with respect to the pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from nstflow.engine.features import Network, describe, seed_of
from nstflow.lazy import Tensor, tf
from nstflow.terms import LossTerm
from nstflow.values import Features

Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""canvas, step → (weighted loss of every term `(terms,)`, gradient of their sum)."""


def make_target(term: LossTerm, name: str, seed: int, features: Features) -> Any:
    """Return what a term keeps of its reference."""
    return term.target(features.only(list(term.shares), seed_of(_term_seed(seed, name), 0)))


def make_objective(
    network: Network | None,
    terms: Mapping[str, LossTerm],
    targets: Mapping[str, Any],
    seed: int,
    guard: Callable[[str], AbstractContextManager[None]],
) -> Evaluate:
    """Return the function that every step evaluates.

    One pass through the network serves all terms.

    Args:
        network: Describes the canvas; None where the terms only see pixels.
        terms: Name → term, its layers resolved to shares.
        targets: Name → what `make_target` returned, or None for a term without a reference.
        seed: The recipe's.
        guard: Gives a context to call the term of a name in, so that its errors find their owner.
    """

    def evaluate(canvas: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(canvas)
            features = describe(network, canvas)
            losses = []
            for name, term in terms.items():
                with guard(name):
                    own = features.only(list(term.shares), seed_of(_term_seed(seed, name), step))
                    loss = tf.ensure_shape(term.score(own, targets[name]), ())
                    losses.append(term.weight * loss)
            total = tf.add_n(losses)
        gradient = tape.gradient(total, canvas, unconnected_gradients="zero")
        return tf.stack(losses), gradient

    return evaluate


def _term_seed(seed: int, name: str) -> int:
    return zlib.crc32(f"{seed}/{name}".encode()) >> 1  # 31 bits
