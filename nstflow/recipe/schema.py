"""The recipe as a model: what a person may write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny

from nstflow.fields import Name
from nstflow.stages import (
    Extractor,
    Loader,
    Optimizer,
    Output,
    Postprocessor,
    Preprocessor,
    Schedule,
    Start,
)
from nstflow.terms import LossTerm

if TYPE_CHECKING:
    from nstflow.plugins import Plugins
    from nstflow.recipe.source import Source

RESERVED = ("step", "total", "seconds")  # columns of the history

DEFAULTS: dict[str, Any] = {
    "preprocess": [{"use": "resize", "longest_side": 512}],
    "extractor": {"use": "vgg19"},
    "start": {"use": "image", "image": "content"},
    "optimizer": {"use": "adam"},
    "schedule": {"use": "epochs"},
    "postprocess": [],
    "outputs": [{"use": "png"}],
}
"""What the slots hold that a recipe leaves out."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compute(_Section):
    """How the engine computes."""

    precision: Literal["float32"] = Field("float32", description="The type of every number.")
    deterministic: bool = Field(
        True, description="Give the same bytes each time, on a GPU too, where that costs time."
    )


class PluginChoice(_Section):
    """Which plugins take part."""

    block: list[str] = Field([], description="Plugins or distributions that stay out.")


class Recipe(_Section):
    """One neural style transfer, as a person wrote it, with every default filled in."""

    nstflow: Literal[1] = Field(1, description="The format of the recipe.")
    name: Name = Field(description="The recipe's name, and its run directory's.")
    summary: str = Field("", description="What it makes, in a line.")
    seed: int = Field(0, ge=0, lt=2**31, description="Where random numbers start.")
    images: dict[Name, SerializeAsAny[Loader]] = Field(
        min_length=1, description="The images by name. A plain text is a file."
    )
    preprocess: list[SerializeAsAny[Preprocessor]] = Field(
        description="How the images are prepared, in order."
    )
    extractor: SerializeAsAny[Extractor] = Field(description="The network that describes images.")
    start: SerializeAsAny[Start] = Field(description="What the first step sees.")
    losses: dict[Name, SerializeAsAny[LossTerm]] = Field(
        min_length=1, description="The terms of the sum to make small, by name."
    )
    optimizer: SerializeAsAny[Optimizer] = Field(description="Who moves the pixels.")
    schedule: SerializeAsAny[Schedule] = Field(description="How many steps, at which sizes.")
    postprocess: list[SerializeAsAny[Postprocessor]] = Field(
        description="What happens to the finished picture, in order."
    )
    outputs: list[SerializeAsAny[Output]] = Field(
        min_length=1, description="The files that the run leaves."
    )
    compute: Compute = Field(Compute(), description="How the engine computes.")
    plugins: PluginChoice = Field(PluginChoice(), description="Which plugins take part.")

    _source: Source = PrivateAttr()
    _plugins: Plugins = PrivateAttr()
    _folder: Path = PrivateAttr()

    @property
    def folder(self) -> Path:
        """Where relative paths start: the folder of the recipe file."""
        return self._folder

    @property
    def source(self) -> Source:
        """What was written, and where."""
        return self._source

    @property
    def installed(self) -> Plugins:
        """The plugins that it was read with."""
        return self._plugins
