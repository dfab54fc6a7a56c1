"""What a loss must do: a score that compiles, with the right gradient, the same each time."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nstflow import Image, LocalTerm, LossTerm, NstflowError, RegionTerm, StatisticTerm, Tensor, tf
from nstflow.engine.features import describe, region_weights
from nstflow.engine.objective import Objective, make_target
from nstflow.engine.resampling import canvas_of
from nstflow.stages.loss import Region
from nstflow.testing.tiny import tiny_images

_EPSILONS = (3e-2, 1e-2, 3e-3, 1e-3)
_TOLERANCE = 0.05  # of the slope

Score = Callable[[Tensor], Tensor]


def check(term: LossTerm) -> None:
    """Check that a loss meets its contract, on smooth features of tiny images."""
    groups = {term.layers: ("tiny_1", "tiny_2")} if isinstance(term.layers, str) else {}
    names = {"region", "image_region"} & type(term).model_fields.keys()
    term = term.with_shares(groups).model_copy(update=dict.fromkeys(names))  # these name images
    title = type(term).__name__
    images = tiny_images()
    network = _Network(layer for layer in term.shares if layer != "image")
    canvas = canvas_of(images["content"])
    target = None
    if term.image is not None:
        reference = describe(network, canvas_of(_reference(term, images)))
        target = make_target(term.computing(), "checked", 0, reference)
    objective = Objective(network, {"checked": term}, {"checked": target}, 0, _unattributed)
    losses, gradient = objective(canvas, tf.constant(1))
    _check_value(title, losses, gradient)
    again, _ = objective(canvas, tf.constant(1))
    assert losses[0].numpy().tobytes() == again[0].numpy().tobytes(), (
        f"{title} gives a different score for the same canvas and step: draw random numbers from"
        " `features.seed`, by tf.random.stateless_normal and the like."
    )
    _check_gradient(title, lambda x: objective(x, tf.constant(1))[0][0], canvas, gradient)
    _check_compiled(title, objective, canvas)
    if isinstance(term, StatisticTerm) and term.additive:
        _check_additive(title, term.computing(), canvas)
    if isinstance(term, RegionTerm):
        _check_region(title, term, network, canvas, target)


def _reference(term: LossTerm, images: Mapping[str, Image]) -> Image:
    """Return an image of another size than the canvas, or of its size if the term requires that."""
    canvas, style = images["content"], images["style"]
    try:
        term.check(canvas.size, style.size)
    except NstflowError:
        return Image(np.ascontiguousarray(canvas.pixels[::-1]))
    return style


class _Network:
    """An extractor of smooth feature maps of several sizes, for layers of any name."""

    def __init__(self, layers: Any) -> None:
        generator = np.random.default_rng(2)
        self._kernels = {
            layer: 0.4 * generator.standard_normal((3, 3, 3, 6), np.float32) for layer in layers
        }

    def __call__(self, canvas: Tensor) -> dict[str, Tensor]:
        return {
            layer: tf.tanh(tf.nn.conv2d(canvas, kernel, 1 + index % 2, "SAME")) + 1
            for index, (layer, kernel) in enumerate(self._kernels.items())
        }


def _check_value(title: str, losses: Tensor, gradient: Tensor) -> None:
    value = float(losses[0])
    assert math.isfinite(value), (
        f"{title} gives {value}: guard roots and divisions, as by tf.math.divide_no_nan."
    )
    assert bool(tf.reduce_all(tf.math.is_finite(gradient))), (
        f"the gradient of {title} is not finite: the root of 0 has none: add a small number first."
    )
    assert float(tf.reduce_max(tf.abs(gradient))) > 0, (
        f"the gradient of {title} is zero: the canvas would not change. Rounding, argmax and"
        " .numpy() have no gradient."
    )


def _check_gradient(title: str, score: Score, canvas: Tensor, gradient: Tensor) -> None:
    """Compare the slope along the gradient with finite differences, at the best of some steps."""
    size = tf.norm(gradient)
    direction = gradient / size
    found = []
    for epsilon in _EPSILONS:
        up, down = score(canvas + epsilon * direction), score(canvas - epsilon * direction)
        slope = float(up - down) / (2 * epsilon)
        found.append(abs(slope / float(size) - 1))
    assert min(found) < _TOLERANCE, (
        f"the gradient of {title} is not the slope of its score: they differ by {min(found):.0%}"
        " at best. Does tf.stop_gradient or a custom gradient hide a part of it?"
    )


def _check_compiled(title: str, objective: Objective, canvas: Tensor) -> None:
    program = tf.function(lambda x: objective(x, tf.constant(1)), jit_compile=True, autograph=False)
    try:
        losses, _ = program(canvas)
    except Exception as error:
        raise AssertionError(
            f"{title} can't be compiled by XLA: leave out Python (tf.py_function) and shapes that"
            f" depend on values (tf.unique).\n{type(error).__name__}: {error}"
        ) from error
    # not compared with the uncompiled score: random numbers differ
    assert math.isfinite(float(losses[0])), f"{title} gives {float(losses[0])} once compiled."


def _check_additive(title: str, term: StatisticTerm, canvas: Tensor) -> None:
    """Compare the summary of all points with the mean of the summaries of two halves."""
    points = tf.reshape(canvas, (-1, 3))
    half = points.shape[0] // 2
    weights = tf.fill((half, 1), 1.0 / half)
    parts = [term.summarize(points[:half], weights), term.summarize(points[half:], weights)]
    whole = term.summarize(points, tf.fill((2 * half, 1), 0.5 / half))
    for one, two, both in zip(*map(tf.nest.flatten, [*parts, whole]), strict=True):
        apart = float(tf.reduce_max(tf.abs((one + two) / 2 - both)))
        assert apart <= 1e-3 * float(tf.reduce_max(tf.abs(both))) + 1e-6, (
            f"the summary of {title} is not a weighted mean over positions: that of all points"
            f" differs from the mean over two halves by {apart:.3g}."
            " Write `additive: ClassVar[bool] = False`."
        )


def _check_region(
    title: str,
    term: LossTerm,
    network: Callable[[Tensor], Mapping[str, Tensor]],
    canvas: Tensor,
    target: Any,
) -> None:
    """Check a term in a region of everything, and in the left half, beyond the layers' reach."""
    margin = term.margin if isinstance(term, LocalTerm) else 0
    sizes = {
        layer: tuple(x.shape[1:3]) for layer, x in {"image": canvas, **network(canvas)}.items()
    }
    left = np.zeros(sizes["image"], np.float32)
    left[:, : left.shape[1] // 2] = 1

    def evaluate(mask: Any, region: Region | None) -> tuple[Tensor, Tensor]:
        weights = {layer: region_weights(mask, sizes[layer]) for layer in term.shares}
        own = term.model_copy(update={"region": region and region.mask})
        objective = Objective(
            *(network, {"checked": own}, {"checked": target}, 0, _unattributed),
            regions={None: {}, region: weights if region else {}},
        )
        result: tuple[Tensor, Tensor] = objective(canvas, tf.constant(1))
        return result

    plain, whole = evaluate(left, None), evaluate(np.ones_like(left), Region("it"))
    assert all(bool(tf.reduce_all(a == b)) for a, b in zip(plain, whole, strict=True)), (
        f"{title} in a region of everything is not what it is without one: take how much each"
        " position counts from `features` alone."
    )
    losses, gradient = evaluate(left, Region("it"))
    _check_value(f"{title} in a region", losses, gradient)
    right = gradient[:, :, canvas.shape[2] // 2 + 2 * margin + 3 :]
    assert not bool(tf.reduce_any(right != 0)), (
        f"{title} in a region depends on pixels outside of it: use the weights of the points, and"
        " declare how far around its own a position sees as `margin`."
    )


def _unattributed(_: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()
