"""The sum of the loss terms, and its gradient with respect to the pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

from nstflow.engine.features import NO_SEED, Network, describe, seed_of
from nstflow.stages.loss import LossTerm, Region, StatisticTerm
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import Features, common_value

Weights = Mapping[str, Tensor]
"""Layer → how much each of its positions counts, `(1, h, w, 1)`, with the sum 1."""


def make_target(
    term: LossTerm, name: str, seed: int, features: Features, region: Weights | None = None
) -> Any:
    """Return what a term keeps of its reference, or of a region of it."""
    return term.target(_own(term, name, seed, features, region))


def make_mixed_target(
    term: StatisticTerm,
    name: str,
    seed: int,
    parts: Iterable[tuple[Features, float, Weights | None]],
) -> Any:
    """Return what a term keeps of several images, whose summaries are mixed.

    Args:
        term: The term.
        name: Its name.
        seed: The recipe's.
        parts: The features of each image, its share, and the weights of a region of it. They are
            asked for one after another.
    """
    mixed: Any = None
    for features, share, region in parts:
        summaries = term.summaries(_own(term, name, seed, features, region))
        part = tf.nest.map_structure(lambda x, share=share: share * x, summaries)
        mixed = part if mixed is None else tf.nest.map_structure(tf.add, mixed, part)
    return term.keep(mixed)


def _own(
    term: LossTerm, name: str, seed: int, features: Features, region: Weights | None
) -> Features:
    """Return the features that a term sees of a reference."""
    return features.only(list(term.shares), seed_of(_term_seed(seed, name), 0), region)


class Objective:
    """What every step evaluates: all losses, and the gradient of their sum.

    One pass through the network serves all terms. What differs between runs of one kind, the
    targets, the regions, the weights and the seeds, is in `given`, so that such runs can share a
    program.

    Args:
        network: Describes the canvas; None where the terms only see pixels.
        terms: Name → term, its layers resolved to shares.
        targets: Name → what `make_target` returned, or None for a term without a reference.
        seed: The recipe's.
        attributed: Gives a context to call the term of a name in, so that its errors name it.
        factors: Name → the factor of the term's weight, 1 by default. With 0 the term is not
            computed, and its loss is 0.
        regions: Region of the canvas, or None for the whole → its weights. Those of a layer that
            are known to be equal are not used.

    Attributes:
        given: Tensors: the weights `(terms,)`, the seeds `(terms,)`, those of the regions, those of
            the targets.
        kind: What a run must have in common with another to share its program, but for the
            network; None if that is not known.
    """

    def __init__(
        self,
        network: Network | None,
        terms: Mapping[str, LossTerm],
        targets: Mapping[str, Any],
        seed: int,
        attributed: Callable[[str], AbstractContextManager[None]],
        factors: Mapping[str, float] = MappingProxyType({}),
        regions: Mapping[Region | None, Weights] = MappingProxyType({}),
    ) -> None:
        self._network, self._attributed = network, attributed
        self._terms = {name: term.computing() for name, term in terms.items()}
        self._skipped = {name for name in terms if factors.get(name) == 0}
        try:
            leaves = tf.nest.flatten(targets)
            self._nesting = tf.nest.map_structure(lambda _: 0, targets)
        except TypeError:  # a mapping that TensorFlow can't rebuild: no program is shared
            leaves, self._nesting = [targets], 0
        tensors = [leaf for leaf in leaves if tf.is_tensor(leaf)]
        self._leaves = [_TENSOR if tf.is_tensor(leaf) else leaf for leaf in leaves]
        seeds = tf.constant([_term_seed(seed, name) for name in terms])
        scaled = [term.weight * factors.get(name, 1) for name, term in terms.items()]
        uneven = {
            region: {layer: x for layer, x in weights.items() if common_value(x) is None}
            for region, weights in regions.items()
        }
        self._regions = {region: list(weights) for region, weights in uneven.items()}
        masks = [weights for region in uneven.values() for weights in region.values()]
        self.given = (tf.constant(scaled, tf.float32), seeds, *masks, *tensors)
        self.kind = self._kind()

    def __call__(self, canvas: Tensor, step: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted loss of every term `(terms,)`, and the gradient of their sum.

        Args:
            canvas: `(1, h, w, 3)`.
            step: The step's number, from 1.
            *given: Those of a run of the same kind; its own by default.
        """
        weights, seeds, *tensors = given or self.given
        rest = iter(tensors)
        regions = {
            each: {layer: next(rest) for layer in layers} for each, layers in self._regions.items()
        }
        leaves = [next(rest) if leaf is _TENSOR else leaf for leaf in self._leaves]
        targets = tf.nest.pack_sequence_as(self._nesting, leaves)
        with tf.GradientTape() as tape:
            tape.watch(canvas)
            features = describe(self._network, canvas)
            parts: dict[Region | None, Features] = {None: features}
            for each, some in regions.items():
                parts[each] = features.only(list(features), NO_SEED, some) if some else features
            losses = []
            for index, (name, term) in enumerate(self._terms.items()):
                if name in self._skipped:
                    losses.append(tf.constant(0.0))
                    continue
                with self._attributed(name):
                    part = parts[term.regions[0]]
                    own = part.only(list(term.shares), seed_of(seeds[index], step))
                    loss = tf.ensure_shape(term.score(own, targets[name]), ())
                    losses.append(weights[index] * loss)
            total = tf.add_n(losses)
        gradient = tape.gradient(total, canvas, unconnected_gradients="zero")
        return tf.stack(losses), gradient

    def _kind(self) -> Any:
        if not all(
            leaf is _TENSOR or leaf is None or type(leaf) in _PLAIN for leaf in self._leaves
        ):
            return None
        leaves = [(type(leaf), leaf) for leaf in self._leaves]  # 1 is not True
        shapes = [(tensor.dtype, tuple(tensor.shape)) for tensor in self.given]
        terms = [(term, name in self._skipped) for name, term in self._terms.items()]
        return terms, self._regions, shapes, leaves, repr(self._nesting)


_TENSOR = object()
"""In place of a tensor of a target: its value is in `Objective.given`."""

_PLAIN = (str, bytes, bool, int, float)


def _term_seed(seed: int, name: str) -> int:
    return zlib.crc32(f"{seed}/{name}".encode()) >> 1  # 31 bits
