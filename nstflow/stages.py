"""The contracts of the slots: what a stage of each kind has to offer.

A stage is a frozen pydantic model. Its fields are the settings that a recipe may write, its
methods are its behaviour, the first line of its docstring is what `nstflow stages` says about it.
A stage is pure: it keeps nothing between calls, so a recipe always makes the same picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from nstflow.fields import ImageRef, Layers, Name
from nstflow.lazy import Tensor, tf
from nstflow.values import Asset, Cost, Features, Image, Objective, Phase, Size, State

if TYPE_CHECKING:
    from nstflow.result import Result


class Stage(BaseModel, ABC):
    """One step that a recipe can name with `use:`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    use: str = Field(description="The name of the stage.")


class Loader(Stage):
    """Brings an image into the recipe."""

    @abstractmethod
    def size(self, folder: Path) -> Size:
        """Return `(height, width)` as `load` will, without decoding; `folder` is the recipe's."""

    @abstractmethod
    def load(self, folder: Path) -> Image:
        """Return the image; relative paths start at `folder`."""


class Preprocessor(Stage):
    """Prepares the images before they are described. Stages run in the recipe's order."""

    only: tuple[ImageRef, ...] | None = Field(None, description="The images to prepare; else all.")

    @abstractmethod
    def size(self, size: Size) -> Size:
        """Return the `(height, width)` that `apply` makes of an image of this size."""

    @abstractmethod
    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the prepared image; `images` holds all, as the stages before this left them."""


class Extractor(Stage):
    """Describes an image by the feature maps of a network."""

    layers: dict[Name, tuple[str, ...]] = Field({}, description="Named groups of layers.")

    @abstractmethod
    def layer_names(self) -> Sequence[str] | None:
        """Return every layer there is, in order, or None where only `build` can tell."""

    @abstractmethod
    def cost(self, layers: Sequence[str], size: Size) -> Cost | None:
        """Return what describing a `(height, width)` image takes, or None where it is unknown.

        Raises:
            ValueError: The image is too small for one of the layers.
        """

    @abstractmethod
    def build(
        self, layers: Sequence[str], folder: Path
    ) -> Callable[[Tensor], Mapping[str, Tensor]]:
        """Return a function: canvas `(1, h, w, 3)`, RGB in [0, 1] → layer → `(1, h', w', c)`.

        The function is differentiable and traceable. Files are relative to `folder`, the recipe's.
        """

    def assets(self, folder: Path) -> Sequence[Asset]:  # noqa: ARG002 - the contract
        """Return the files that `build` will need; none by default."""
        return ()


class Start(Stage):
    """Paints the canvas that the first step sees."""

    like: ImageRef = Field("content", description="The image whose size the canvas has.")

    @abstractmethod
    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:
        """Return the first canvas, `size` high and wide; the same for the same seed."""


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

    @property
    def shares(self) -> Mapping[str, float]:
        """Layer → share. A plan turns every way of writing `layers` into this one."""
        if not isinstance(self.layers, dict):
            raise TypeError(f"the layers of {self!r} are not resolved yet: only a plan's terms are")
        return self.layers

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
    two functions: `summarize` and `distance`.

    Attributes:
        additive: The summary of a whole is the weighted mean of its parts' summaries, so that a
            large image can be described tile by tile.
    """

    additive: ClassVar[bool] = True

    image: ImageRef = Field(description="The image whose statistics to match.")
    layers: Layers = Field("style", description="A group, a list of layers, or layer: share.")

    @abstractmethod
    def summarize(self, points: Tensor, weights: Tensor) -> Any:
        """Return the summary of points `(n, c)` that count by weights `(n, 1)`, which sum to 1."""

    @abstractmethod
    def distance(self, summary: Any, target: Any) -> Tensor:
        """Return how far a summary is from the target's, a scalar."""

    def target(self, features: Features) -> Any:
        """Return the summary of each layer."""
        return {layer: self._summary(features, layer) for layer in features}

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the sum over the layers of share * distance."""
        return tf.add_n(
            [
                share * self.distance(self._summary(features, layer), target[layer])
                for layer, share in self.shares.items()
            ]
        )

    def _summary(self, features: Features, layer: str) -> Any:
        points = tf.reshape(features[layer], (-1, features[layer].shape[-1]))
        return self.summarize(points, tf.reshape(features.weights[layer], (-1, 1)))


class Optimizer(Stage):
    """Moves the pixels. Pure functions of tensors: what it remembers is in the state."""

    @abstractmethod
    def start(self, canvas: Tensor, steps: int) -> State:
        """Return the state before the first of `steps` steps; each name is a tensor."""

    @abstractmethod
    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Return the moved canvas, the new state, and the losses of the canvas that came in.

        A canvas that leaves [0, 1] is the optimizer's to clip. The state counts evaluations under
        the name `evaluations`.
        """

    def carry(self, state: State, canvas: Tensor, steps: int) -> State:  # noqa: ARG002 - the contract
        """Return the state after a change of size to `canvas`'s; by default it starts anew."""
        return self.start(canvas, steps)


class Schedule(Stage):
    """Says how many steps are taken, at which sizes."""

    @abstractmethod
    def phases(self, size: Size) -> list[Phase]:
        """Return the phases, in order, of a canvas that is prepared at `size`."""


class Postprocessor(Stage):
    """Finishes the picture. Stages run in the recipe's order."""

    @abstractmethod
    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the finished picture; `images` are the prepared references."""


class Output(Stage):
    """Writes the result to a file."""

    @abstractmethod
    def write(self, result: Result, folder: Path) -> Path:
        """Write a file into `folder` and return its path.

        `folder` is a scratch folder: the runner moves the file to the run directory when it is
        whole. A name that another output uses too is an error.
        """
