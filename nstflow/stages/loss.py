"""The contract of losses: one term of the sum, and terms that compare statistics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field

from nstflow.stages.stage import ImageRef, Layers, Stage
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import Features, Size


class LossTerm(Stage):
    """One term of the sum that the optimizer makes small."""

    image: ImageRef | None = Field(
        None, description="The reference; without one there is no target."
    )
    layers: Layers = Field(description="A group, a list of layers, or a mapping layer: share.")
    weight: float = Field(1.0, description="What the term is multiplied by.")

    def share_of_each(self, count: int) -> float:
        """Return the share that each of `count` plainly listed layers has."""
        return 1 / count

    def with_shares(self, groups: Mapping[str, Sequence[str]]) -> Self:
        """Return the term with its layers as a mapping layer → share.

        Args:
            groups: The extractor's groups of layers.
        """
        layers = groups[self.layers] if isinstance(self.layers, str) else self.layers
        if isinstance(layers, dict):
            return self
        shares = dict.fromkeys(layers, self.share_of_each(len(layers)))
        return self.model_copy(update={"layers": shares})

    @property
    def shares(self) -> Mapping[str, float]:
        """Layer → share. A plan turns every way of writing `layers` into this one."""
        if not isinstance(self.layers, dict):
            raise TypeError(f"the layers of {self!r} are not resolved yet: only a plan's terms are")
        return self.layers

    def computing(self) -> Self:
        """Return the term as it computes: its weight is 1, because the engine multiplies.

        So runs that differ in the weight alone share one compiled program.
        """
        return self.model_copy(update={"weight": 1.0})

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the layers' losses, each times its share."""
        return tf.add_n([share * losses[layer] for layer, share in self.shares.items()])

    def check(self, canvas: Size, reference: Size | None) -> None:
        """Raise an `NstflowError` where the term can't compare these sizes; asked by the plan."""

    def target(self, features: Features) -> Any:
        """Return what to keep of the reference: tensors and plain values, nested as you like."""
        return dict(features)

    @abstractmethod
    def score(self, features: Features, target: Any) -> Tensor:
        """Return the loss of the canvas, a scalar before `weight`; `self.shares` are yours to use.

        Called at every step, compiled; `target` is what `target` returned, or None without `image`.
        """


class StatisticTerm(LossTerm):
    """A loss that compares statistics of positions, wherever they occur.

    Maps are flattened to weighted points and the layers' shares applied here, so that a term is
    two functions: `summarize` and `distance`. A summary depends on the points, their weights and
    the term's settings: terms that differ in `image`, `layers` and `weight` alone share one.

    Attributes:
        additive: The summary of a whole is the weighted mean of its parts' summaries, so that a
            large image can be described tile by tile. Ask a term, not its class: it may depend on
            settings. A term that draws random directions is a plain `LossTerm`, with
            `features.points` and `features.seed`.
    """

    additive: ClassVar[bool] = True

    image: ImageRef = Field(description="The image whose statistics to match.", examples=["style"])
    layers: Layers = Field("style", description="A group, a list of layers, or layer: share.")

    @abstractmethod
    def summarize(self, points: Tensor, weights: Tensor) -> Any:
        """Return the summary of points `(n, c)` that count by weights `(n, 1)`, which sum to 1."""

    @abstractmethod
    def distance(self, summary: Any, target: Any) -> Tensor:
        """Return how far a summary is from the target's, a scalar."""

    def target(self, features: Features) -> Any:
        """Return the summary of each layer."""
        # Terms that differ in their image, layers and weight alone summarise alike: two styles
        # share one summary of the canvas, and one pass of its gradient.
        shared = [item for item in self if item[0] not in ("image", "layers", "weight")]
        return {
            layer: features.once(
                (type(self), shared, layer), partial(self._summary, features, layer)
            )
            for layer in features
        }

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the sum over the layers of share * distance."""
        summaries = StatisticTerm.target(self, features)
        return self.total(
            {layer: self.distance(summaries[layer], target[layer]) for layer in features}
        )

    def _summary(self, features: Features, layer: str) -> Any:
        return self.summarize(*features.points(layer))
