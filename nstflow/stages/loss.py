"""The contract of losses: one term of the sum, local terms, and terms that compare statistics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from nstflow.stages.stage import ImageRef, Layers, MaskRef, Stage
from nstflow.stages.tensorflow import Tensor, tf
from nstflow.stages.types import Features, Size

Normalize = Annotated[
    Literal["rms"] | None,
    Field(
        description="`rms` divides the loss by a power of the root mean square of the image's"
        " features, so that their size has no effect."
    ),
]
"""A setting that makes a loss independent of how large the features of a network are."""

Edge = Literal["resize", "inside"]
"""How a mask reaches a layer; see `Region`."""


class Region(NamedTuple):
    """Where a loss counts.

    Attributes:
        mask: The image whose alpha is the mask.
        edge: `resize`: the mask is resized to the layer. `inside`: a position counts by the least
            value of the mask in its whole view; what is outside of the image is no obstacle.
        grow: By how many positions of the layer the region then grows, or shrinks if negative.
    """

    mask: str
    edge: Edge = "resize"
    grow: int = 0


class LossTerm(Stage):
    """One term of the sum that the optimizer minimises."""

    image: ImageRef | None = Field(
        None, description="The reference image; without one there is no target."
    )
    layers: Layers = Field(
        description="A group, a list of layers, or a mapping of layers to shares (factors)."
    )
    weight: float = Field(1.0, description="The factor of the term in the sum.")

    def share_of_each(self, count: int) -> float:
        """Return the share of each layer, if `layers` is a list of `count` layers."""
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
        """Layer → share. Known in a plan, which converts `layers` to a mapping."""
        if not isinstance(self.layers, dict):
            raise TypeError(f"the layers of {self!r} are not resolved yet: only a plan's terms are")
        return self.layers

    def computing(self) -> Self:
        """Return the term to compute with: its weight is 1, because the engine multiplies by it.

        So runs that differ only in their weights share one compiled program.
        """
        return self.model_copy(update={"weight": 1.0})

    @property
    def references(self) -> Mapping[str, float]:
        """The images that make the target → their shares in it, with the sum 1; `image` first."""
        return {} if self.image is None else {self.image: 1.0}

    @property
    def regions(self) -> tuple[Region | None, Region | None]:
        """The regions that limit the term: on the canvas, and on its image. A `RegionTerm` can."""
        return None, None

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the sum of the losses of the layers, each multiplied by its share."""
        return tf.add_n([share * losses[layer] for layer, share in self.shares.items()])

    def check(self, canvas: Size, reference: Size | None) -> None:
        """Raise an `NstflowError` if the term can't compare these sizes. A plan calls this."""

    def target(self, features: Features) -> Any:
        """Return what to keep of the reference: tensors and plain values, in any nesting."""
        return dict(features)

    @abstractmethod
    def score(self, features: Features, target: Any) -> Tensor:
        """Return the loss of the canvas, a scalar, multiplied by the shares but not the weight.

        It is compiled and called at every step. `target` is the result of `target` for the
        reference, or None without `image`.
        """


class RegionTerm(LossTerm):
    """A loss that uses `features.weights`, so that masks can limit it.

    Derive a loss from `LocalTerm` or `StatisticTerm` if it is one: these use the weights.
    """

    region: MaskRef | None = Field(
        None, description="A mask for the canvas: where this image is opaque, the loss counts."
    )
    edge: Edge | None = Field(
        None,
        description="Which positions of a layer are in a mask. resize, the default: each as far as"
        " the mask covers it; inside: only those that see nothing outside of it.",
    )
    grow: int | None = Field(
        None, ge=-64, le=64, description="Positions of a layer by which to grow each region."
    )

    @property
    def regions(self) -> tuple[Region | None, Region | None]:
        """The region on the canvas, and that on the image if a subclass has one."""
        return self.region_of(self.region), None

    def region_of(self, mask: str | None) -> Region | None:
        """Return the region of a mask, as `edge` and `grow` say; None without a mask."""
        return None if mask is None else Region(mask, self.edge or "resize", self.grow or 0)


class LocalTerm(RegionTerm):
    """A loss that each position has by itself: the weighted mean of a map.

    This class takes the mean over the positions and multiplies by the shares of the layers, so a
    region needs no code in a subclass. A subclass has only one method, `differences`.

    Attributes:
        margin: How many positions around its own a value of the map depends on.
    """

    margin: ClassVar[int] = 0

    @abstractmethod
    def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:
        """Return layer → the loss of each position, `(1, h, w, 1)`."""

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the sum of share * weighted mean over the layers."""
        maps = self.differences(features, target)
        return self.total({layer: features.mean(layer, maps[layer]) for layer in features})


class StatisticTerm(RegionTerm):
    """A loss that compares statistics of the features, independent of their positions.

    This class flattens feature maps to weighted points and multiplies by the shares of the layers.
    A subclass has only two methods, `summarize` and `distance`. A summary may depend on the points,
    their weights and the settings of the term, except those of images, layers, weight and regions:
    terms that differ only in these share one summary. A loss that uses random numbers derives from
    `LossTerm` instead, and uses `features.points` and `features.seed`.

    Attributes:
        additive: Whether the summary of an image is the weighted mean of the summaries of its
            parts. This may depend on settings. At present only `check_stage` uses it, to test that
            it is true.
    """

    additive: ClassVar[bool] = True

    image: ImageRef = Field(description="The image whose statistics to match.", examples=["style"])
    layers: Layers = Field(
        "style",
        description="A group, a list of layers, or a mapping of layers to shares (factors).",
    )
    image_region: MaskRef | None = Field(
        None, description="A mask for `image`: where this image is opaque, `image` counts."
    )
    blend: dict[ImageRef, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="More images whose statistics are mixed into one target with those of `image`:"
        " name: how much it counts, where `image` counts 1.",
    )

    @model_validator(mode="after")
    def _require_additive(self) -> Self:
        if self.blend and not self.additive:
            raise ValueError("`blend` needs a loss whose statistics are means over the positions")
        if self.image in self.blend:
            raise ValueError(f"`blend` names '{self.image}', which is `image`: it counts 1")
        return self

    @property
    def regions(self) -> tuple[Region | None, Region | None]:
        """The regions on the canvas and on `image`."""
        return self.region_of(self.region), self.region_of(self.image_region)

    @property
    def references(self) -> Mapping[str, float]:
        """`image` and the images of `blend` → their shares in the target, with the sum 1."""
        parts = {self.image: 1.0, **self.blend}
        return {name: part / sum(parts.values()) for name, part in parts.items()}

    @abstractmethod
    def summarize(self, points: Tensor, weights: Tensor) -> Any:
        """Return the summary of points `(n, c)` with weights `(n, 1)`, whose sum is 1."""

    @abstractmethod
    def distance(self, summary: Any, target: Any) -> Tensor:
        """Return the distance of a summary from the target, a scalar."""

    def target(self, features: Features) -> Any:
        """Return what to keep of the summaries of the reference."""
        return self.keep(self.summaries(features))

    def keep(self, summaries: Mapping[str, Any]) -> Any:
        """Return what to keep of the summary of each layer; override this, not `target`."""
        return dict(summaries)

    def summaries(self, features: Features) -> dict[str, Any]:
        """Return the summary of each layer."""
        # Terms that differ only in these compute the same summary of the same points: two styles
        # share one summary of the canvas and one gradient pass.
        skip = ("image", "blend", "image_region", "region", "edge", "grow", "layers", "weight")
        shared = [item for item in self if item[0] not in skip]
        return {
            layer: features.once(
                (type(self), shared, layer), partial(self._summary, features, layer)
            )
            for layer in features
        }

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the sum of share * distance over the layers."""
        summaries = self.summaries(features)
        return self.total(
            {layer: self.distance(summaries[layer], target[layer]) for layer in features}
        )

    def _summary(self, features: Features, layer: str) -> Any:
        return self.summarize(*features.points(layer))
