"""The sum of the loss terms, and its gradient with respect to the pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from nstflow.engine.features import Network, describe, seed_of
from nstflow.stages.loss import LossTerm
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import Features


def make_target(term: LossTerm, name: str, seed: int, features: Features) -> Any:
    """Return what a term keeps of its reference."""
    return term.target(features.only(list(term.shares), seed_of(_term_seed(seed, name), 0)))


class Objective:
    """What every step evaluates: all losses, and the gradient of their sum.

    One pass through the network serves all terms. What differs between runs of one kind, the
    targets, the weights and the seeds, is in `given`, so that such runs can share a program.

    Args:
        network: Describes the canvas; None where the terms only see pixels.
        terms: Name → term, its layers resolved to shares.
        targets: Name → what `make_target` returned, or None for a term without a reference.
        seed: The recipe's.
        guard: Gives a context to call the term of a name in, so that its errors find their owner.

    Attributes:
        given: Tensors: the weights `(terms,)`, the seeds `(terms,)`, and those of the targets.
        kind: What a run must have in common with another to share its program, but for the
            network; None where that can't be told.
    """

    def __init__(
        self,
        network: Network | None,
        terms: Mapping[str, LossTerm],
        targets: Mapping[str, Any],
        seed: int,
        guard: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._network, self._guard = network, guard
        self._terms = {name: term.computing() for name, term in terms.items()}
        tensors: list[Tensor] = []
        self._targets = {name: _without_tensors(targets[name], tensors) for name in terms}
        seeds = tf.constant([_term_seed(seed, name) for name in terms])
        weights = tf.constant([term.weight for term in terms.values()], tf.float32)
        self.given = (weights, seeds, *tensors)
        self.kind = self._kind()

    def __call__(self, canvas: Tensor, step: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss of every term `(terms,)`, and the gradient of their sum.

        Args:
            canvas: `(1, h, w, 3)`.
            step: The step's number, from 1.
            *given: Those of a run of the same kind; one's own by default.
        """
        weights, seeds, *tensors = given or self.given
        targets = {name: _with_tensors(target, tensors) for name, target in self._targets.items()}
        with tf.GradientTape() as tape:
            tape.watch(canvas)
            features = describe(self._network, canvas)
            losses = []
            for index, (name, term) in enumerate(self._terms.items()):
                with self._guard(name):
                    own = features.only(list(term.shares), seed_of(seeds[index], step))
                    loss = tf.ensure_shape(term.score(own, targets[name]), ())
                    losses.append(weights[index] * loss)
            total = tf.add_n(losses)
        gradient = tape.gradient(total, canvas, unconnected_gradients="zero")
        return tf.stack(losses), gradient

    def _kind(self) -> Any:
        terms = tuple(self._terms.values())
        shapes = tuple((tensor.dtype, tuple(tensor.shape)) for tensor in self.given)
        targets = tuple(_frozen(target) for target in self._targets.values())
        return None if None in targets else (terms, shapes, targets)


class _Place(int):
    """Where a tensor is among those given."""


def _without_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Return a target with places for its tensors, which are added to the list."""
    if tf.is_tensor(value):
        tensors.append(value)
        return _Place(len(tensors) - 1)
    if type(value) is dict:
        return {key: _without_tensors(item, tensors) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_without_tensors(item, tensors) for item in value)
    return value


def _with_tensors(value: Any, tensors: Sequence[Tensor]) -> Any:
    if isinstance(value, _Place):
        return tensors[value]
    if type(value) is dict:
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_tensors(item, tensors) for item in value)
    return value


def _frozen(value: Any) -> Any:
    """Return what a target is but for its tensors, to compare with another; None if unknown."""
    if type(value) is dict:
        items = tuple((key, _frozen(item)) for key, item in value.items())
        return None if any(item is None for _, item in items) else ("dict", items)
    if type(value) in (list, tuple):
        parts = tuple(_frozen(item) for item in value)
        return None if None in parts else (type(value), parts)
    plain = value is None or type(value) in (_Place, str, bytes, bool, int, float)
    return (type(value), value) if plain else None


def _term_seed(seed: int, name: str) -> int:
    return zlib.crc32(f"{seed}/{name}".encode()) >> 1  # 31 bits
