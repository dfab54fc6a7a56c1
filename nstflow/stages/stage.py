"""The contract of each slot: the base class of its stages. Losses are in `loss`.

A stage is a frozen pydantic model. Its fields are the settings that a recipe may write, its
methods are its behaviour, and the first line of its docstring is what `nstflow stages` prints.
Stages keep nothing between calls, so a recipe always makes the same picture.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from nstflow.stages.tensorflow import Tensor
from nstflow.stages.types import Asset, Cost, Geometry, Image, Objective, Phase, Size, State

if TYPE_CHECKING:
    from nstflow.stages.job import Job, JobResult, Stop, Tell, Work
    from nstflow.stages.result import Result

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""The name of a recipe, an image, a loss or a group of layers."""

IMAGE_REF = "names an image of the recipe"

ImageRef = Annotated[Name, IMAGE_REF]
"""A field that names an image of the recipe. A name that the recipe does not have is an error."""


MASK_REF = "names a mask of the recipe"

MaskRef = Annotated[Name, IMAGE_REF, MASK_REF]
"""A field that names an image whose `alpha` says where something counts."""


def _named(layers: str | tuple[str, ...] | dict[str, float]) -> Any:
    if not layers:
        raise ValueError("a loss needs at least one layer")
    if not isinstance(layers, str) and len(set(layers)) < len(layers):
        raise ValueError("a layer is listed twice")
    return layers


Layers = Annotated[Name | tuple[str, ...] | dict[str, float], AfterValidator(_named)]
"""A group of the extractor, a list of layers (equal shares), or a mapping layer → share."""


class Stage(BaseModel, ABC):
    """One step that a recipe can name with `use:`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    use: str = Field(description="The name of the stage.")

    def files(self, folder: Path) -> Mapping[str, Path]:
        """Return the files that the settings name, as a mapping setting → path.

        A lockfile records the hashes of these files; if it is in another folder than the recipe,
        the paths in it are rewritten to match. By default these are all `Path` values in the
        settings, including those in lists and mappings (for example `paths.0`).

        Args:
            folder: The recipe's folder.
        """
        return {
            setting: folder / os.path.expanduser(path)  # noqa: PTH111 - Path's raises for nobody's home
            for name in type(self).model_fields
            for setting, path in _paths(name, getattr(self, name))
        }


@cache
def _image_fields(stage: type[Stage]) -> Sequence[str]:
    """Return the fields that are or contain an `ImageRef`, those of the class before its base's."""
    found = []
    for name, field in reversed(stage.model_fields.items()):
        parts = [field.annotation, *field.metadata]
        while parts:
            part = parts.pop()
            parts += get_args(part)
            if part == IMAGE_REF:
                found.append(name)
                break
    return found


def image_refs(stage: Stage) -> dict[str, str]:
    """Return the images that a stage names → the setting that names each first."""
    refs: dict[str, str] = {}
    for name in _image_fields(type(stage)):
        value = getattr(stage, name)
        for image in [value] if isinstance(value, str) else value or ():
            refs.setdefault(image, name)
    return refs


def _paths(setting: str, value: object) -> Iterator[tuple[str, Path]]:
    """Yield each path in a value, with the name of its setting, such as `paths.0`."""
    if isinstance(value, Path):
        yield setting, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(f"{setting}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(f"{setting}.{index}", item)


class Loader(Stage):
    """Loads an image. Every file that it reads is one of its `files`."""

    @abstractmethod
    def size(self, folder: Path) -> Size:
        """Return the `(height, width)` of the image, without decoding it."""

    @abstractmethod
    def load(self, folder: Path) -> Image:
        """Return the image. Relative paths start at `folder`, the recipe's folder."""


class Preprocessor(Stage):
    """Prepares images. Preprocessors run in the recipe's order."""

    only: tuple[ImageRef, ...] | None = Field(
        None, description="Names of the images to prepare; by default all."
    )

    @abstractmethod
    def size(self, size: Size) -> Size:
        """Return the `(height, width)` of the result of `apply` for an image of this size."""

    @abstractmethod
    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the prepared image. `images` has all images as they are before this stage."""


LAYER = "layers."
"""What the setting of a problem with one layer begins with: its name follows."""


class Extractor(Stage):
    """Computes the features of an image: the feature maps of a network."""

    layers: dict[Name, tuple[str, ...]] = Field({}, description="Named groups of layers.")

    @abstractmethod
    def layer_names(self) -> Sequence[str] | None:
        """Return the names of all layers, in order, or None if only `build` knows them."""

    @abstractmethod
    def cost(self, layers: Sequence[str], size: Size) -> Cost | None:
        """Return the cost of the features of a `(height, width)` image, or None if it is unknown.

        Raises:
            ValueError: The image is too small for one of the layers.
        """

    @abstractmethod
    def build(
        self, layers: Sequence[str], folder: Path
    ) -> Callable[[Tensor], Mapping[str, Tensor]]:
        """Return a function: image `(1, h, w, 3)`, RGB in [0, 1] → layer → `(1, h', w', c)`.

        The function must be differentiable and traceable. Relative paths start at `folder`, the
        recipe's folder.

        Raises:
            NstflowError: What only `build` can know is wrong. A problem whose setting is
                `layers.NAME` is shown where the recipe names this layer.
        """

    def geometry(self, layer: str) -> Geometry | None:  # noqa: ARG002 - the contract
        """Return how the positions of a layer lie over the pixels; None if it is unknown."""
        return None

    def settled(
        self,
        layers: Sequence[str],  # noqa: ARG002 - the contract
        size: Size,  # noqa: ARG002
        device: Literal["cpu", "gpu"],  # noqa: ARG002
    ) -> Extractor:
        """Return the extractor with every choice made that may depend on the size or the device.

        A plan calls this with the size of its canvas and `cpu`, and a run on a GPU calls it again.
        The result is used for images of all sizes. The lockfile records it, so that another machine
        can compute in the same way. By default there is nothing to choose.
        """
        return self

    def assets(self, folder: Path) -> Sequence[Asset]:  # noqa: ARG002 - the contract
        """Return the files that `build` needs; by default none."""
        return ()


class Start(Stage):
    """Makes the first canvas."""

    like: ImageRef = Field(
        "content",
        description="The image whose size the canvas has. If the recipe has no image called"
        " content, the default is the one that `image` names.",
    )

    @abstractmethod
    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:
        """Return the first canvas, of the given size. The same seed must give the same canvas."""


class Optimizer(Stage):
    """Updates the canvas, by pure functions of tensors. All it remembers is in the state."""

    @abstractmethod
    def start(self, canvas: Tensor, steps: int) -> State:
        """Return the state before the first of `steps` steps: name → tensor.

        A number in the state that is not finite stops the run, at any step.
        """

    @abstractmethod
    def step(
        self, objective: Objective, canvas: Tensor, state: State
    ) -> tuple[Tensor, State, Tensor]:
        """Return the new canvas, the new state, and the losses of the old canvas.

        The canvas is what the next step evaluates, and must be in [0, 1]. An optimizer that updates
        something else, such as pixels that may leave the range, keeps it in its state, and returns
        the canvas for it. The entry `evaluations` of the state counts the calls of `objective`.
        """

    def result(self, canvas: Tensor, state: State) -> Tensor:  # noqa: ARG002 - the contract
        """Return the picture after the steps so far, in [0, 1]; by default the canvas.

        It is shown, written, and resized for the next phase. It is never evaluated.
        """
        return canvas

    def carry(self, state: State, canvas: Tensor, steps: int) -> State:  # noqa: ARG002 - the contract
        """Return the state to continue with at another size; by default a new one from `start`.

        It has the same names. `evaluations` may count on or begin anew.

        Args:
            state: The state at the end of the phase before.
            canvas: The result of the phase before, at the new size.
            steps: The number of steps of the new phase.
        """
        return self.start(canvas, steps)

    def state_size(self, pixels: int) -> int | None:  # noqa: ARG002 - the contract
        """Return the bytes of the state for a canvas of so many pixels, or None if unknown.

        A plan shows it as a part of the checkpoint. Single numbers need not be counted.
        """
        return None


class Schedule(Stage):
    """Sets the number of steps and the sizes of the canvas."""

    @abstractmethod
    def phases(self, size: Size) -> list[Phase]:
        """Return the phases, in order, for a canvas of `size`."""


class Postprocessor(Stage):
    """Changes the finished picture. Postprocessors run in the recipe's order."""

    @abstractmethod
    def apply(self, image: Image, images: Mapping[str, Image]) -> Image:
        """Return the changed picture. `images` has the prepared images."""


class Executor(Stage):
    """Carries out the runs of a matrix, in one or many processes. Chosen on the command line.

    With the same number of threads, all executors make the same pictures.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Make every run once, and yield each result as the run ends.

        If a worker dies, send `job.again()` to another one. No other run is affected.

        Args:
            jobs: The runs, in order, as plain data that can be sent to other processes.
            work: Makes one run in the process that calls it.
            tell: Reports the progress of a run. Call it from one thread at a time, and not after
                the result of the run was yielded.
            stop: Once `stop.requested` is true, start no other run and stop the current ones.
        """


class Output(Stage):
    """Writes the result to a file."""

    name: Name = Field("result", description="The file's name, without its extension.")

    @abstractmethod
    def write(self, result: Result, folder: Path) -> Path:
        """Write a file into `folder`, called `name` with an extension, and return its path.

        `folder` is a temporary folder. The file is moved to the run directory when it is complete.
        Two outputs can't write files of the same name.
        """
