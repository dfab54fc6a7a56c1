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
from nstflow.stages.types import Asset, Cost, Image, Objective, Phase, Size, State

if TYPE_CHECKING:
    from nstflow.stages.job import Job, JobResult, Stop, Tell, Work
    from nstflow.stages.result import Result


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""What a recipe may call itself, an image, a loss or a group of layers."""


IMAGE_REF = "names an image of the recipe"


ImageRef = Annotated[Name, IMAGE_REF]
"""A field that names one of the recipe's images; a name that no one declared is an error."""


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
        """Return the files that the settings name: setting → where it is; `folder` is the recipe's.

        A lock records their hashes, and rewrites the settings where it lies elsewhere. By default,
        every setting that is or holds a `Path` names one, such as `paths.0`.
        """
        return {
            setting: folder / os.path.expanduser(path)  # noqa: PTH111 - Path's raises for nobody's home
            for name in type(self).model_fields
            for setting, path in _paths(name, getattr(self, name))
        }


@cache
def _image_fields(stage: type[Stage]) -> Sequence[str]:
    """Return the fields that are, or hold, an `ImageRef`, a stage's own before its contract's."""
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
    """Yield every path in a value, with the format_path setting that it is."""
    if isinstance(value, Path):
        yield setting, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(f"{setting}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _paths(f"{setting}.{index}", item)


class Loader(Stage):
    """Brings an image into the recipe. Every file that it reads is one of its `files`."""

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

    def settled(
        self,
        layers: Sequence[str],  # noqa: ARG002 - the contract
        size: Size,  # noqa: ARG002
        device: Literal["cpu", "gpu"],  # noqa: ARG002
    ) -> Extractor:
        """Return the extractor with nothing left open: what may depend on the size or device.

        The plan asks this for a canvas of `size` and the CPU, a run on a GPU once more; the answer
        serves images of all sizes and is recorded, so that another machine can compute the same
        way. By default nothing is open.
        """
        return self

    def assets(self, folder: Path) -> Sequence[Asset]:  # noqa: ARG002 - the contract
        """Return the files that `build` will need; none by default."""
        return ()


class Start(Stage):
    """Paints the canvas that the first step sees."""

    like: ImageRef = Field(
        "content",
        description="The image whose size the canvas has; if none is called content, `image`.",
    )

    @abstractmethod
    def paint(self, images: Mapping[str, Image], size: Size, seed: int) -> Image:
        """Return the first canvas, `size` high and wide; the same for the same seed."""


class Optimizer(Stage):
    """Moves the pixels. Pure functions of tensors: what it remembers is in the state."""

    @abstractmethod
    def start(self, canvas: Tensor, steps: int) -> State:
        """Return the state before the first of `steps` steps; each name is a tensor.

        Its numbers are finite and stay so: one that is not stops the run.
        """

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


class Executor(Stage):
    """Says where the runs of a matrix are computed. Chosen on the command line, not in a recipe.

    It never changes a picture at a given number of threads.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], work: Work, tell: Tell, stop: Stop) -> Iterator[JobResult]:
        """Make every run once, and yield each result as the run ends; no progress of it may follow.

        If a worker dies, its run is rescheduled with `job.again()`; no other run is affected.

        Args:
            jobs: The runs, in the recipe's order: plain data that can be sent to other processes.
            work: Makes a run in the calling process: `work(job, tell, stop) -> JobResult`.
            tell: Takes the progress of all runs, one call at a time.
            stop: Once it is `requested`, no further run begins, and running ones are to stop.
        """


class Output(Stage):
    """Writes the result to a file."""

    @abstractmethod
    def write(self, result: Result, folder: Path) -> Path:
        """Write a file into `folder` and return its path.

        `folder` is a scratch folder: the runner moves the file to the run directory when it is
        whole. A name that another output uses too is an error.
        """
