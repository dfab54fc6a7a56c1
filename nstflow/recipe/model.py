"""The recipe as pydantic models."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SerializeAsAny, StringConstraints

from nstflow.recipe.paths import Keys
from nstflow.stages import stage
from nstflow.stages.loss import LossTerm
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Name

if TYPE_CHECKING:
    from nstflow.plugins.manager import Plugins
    from nstflow.recipe.attribution import Origin
    from nstflow.recipe.source import Source

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

RESERVED = ("step", "total", "seconds")  # columns of the history

COMMAND_OPTIONS = (
    *("device", "executor", "help", "image", "images", "locked", "out", "overwrite", "plugin"),
    *("quiet", "resume", "scheduler", "set", "threads", "version", "with", "workers", "yaml"),
)
"""Options of the command line, which no option of a recipe can be called."""

DEFAULTS: dict[str, Any] = {
    "preprocess": [{"use": "resize", "longest_side": 512}],
    "extractor": {"use": "vgg19"},
    "start": {"use": "image", "image": "content"},
    "optimizer": {"use": "adam"},
    "schedule": {"use": "epochs"},
    "postprocess": [],
    "outputs": [{"use": "png"}],
}
"""The content of the slots that a recipe leaves out."""


def with_defaults(
    data: Mapping[str, Any], defaults: Mapping[str, Any] = DEFAULTS
) -> dict[str, Any]:
    """Return the data with short forms written out: plain strings, absent slots, absent `use`.

    Args:
        data: What was written.
        defaults: The content of slots that are absent or null; empty to leave these as they are.
    """
    full = {
        **defaults,
        **{key: value for key, value in data.items() if value is not None or not defaults},
    }
    if isinstance(images := full.get("images"), dict):
        full["images"] = {
            name: {"path": image} if isinstance(image, str) else image
            for name, image in images.items()
        }
    for slot in [slot for slot in SLOTS.values() if slot.default is not None]:
        items = {
            keys[-1]: {"use": slot.default, **item} if isinstance(item, dict) else item
            for keys, item in slot.items(full.get(slot.name)).items()
        }
        if items and slot.name in full:
            full[slot.name] = items if slot.holds == "mapping" else items[slot.name]
    return full


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Compute(_Section):
    """How the engine computes."""

    precision: Literal["float32"] = Field("float32", description="The type of all numbers.")
    deterministic: bool = Field(
        True, description="Give the same bytes each time. On a GPU, this is slower."
    )


class Checkpoints(_Section):
    """How often a run saves a checkpoint: at the limit that comes first."""

    every_seconds: float | None = Field(
        30, gt=0, allow_inf_nan=False, description="Seconds between checkpoints; null for no limit."
    )
    every_steps: int | None = Field(
        100, ge=1, le=1_000_000, description="Steps between checkpoints; null for no limit."
    )


class LockedFile(_Section):
    """The hash and size of a file that a setting names."""

    sha256: Sha256 = Field(description="The hash, in hexadecimal.")
    bytes: int = Field(ge=0, description="The size in bytes.")


class Lock(_Section):
    """What a run depends on besides the recipe. nstflow writes it, to reproduce the picture."""

    files: dict[str, LockedFile] = Field({}, description="Setting of a file: its hash and size.")
    weights: dict[str, Sha256] = Field({}, description="Name of weights: their hash.")
    plugins: dict[str, str] = Field({}, description="Package that supplied a stage: its version.")
    python: str = Field(description="The version of Python.")
    tensorflow: str = Field(description="The version of TensorFlow.")
    libraries: dict[str, str] = Field(
        {}, description="Package that reads images or makes random numbers: its version."
    )
    environment: dict[str, str] = Field(
        {}, description="Environment variable that changed how numbers round: its value."
    )
    device: str | None = Field(None, description="The device that computed it; none before a run.")
    device_kind: Literal["cpu", "gpu"] | None = Field(None, description="The kind of the device.")
    steps: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, description="Number of steps of each phase, of a run that ended some sooner."
    )
    stopped_at: int | None = Field(
        None, ge=0, description="Number of steps, in the picture of an interrupted run."
    )


_Choices = (
    Annotated[list[Any], Field(min_length=1)] | Annotated[dict[str, Any], Field(min_length=1)] | str
)


class PluginChoice(_Section):
    """Which plugins are used."""

    block: list[str] = Field([], description="Plugins or distributions to leave out.")


class Recipe(_Section):
    """One neural style transfer, as written, with all defaults filled in."""

    nstflow: Literal[1] = Field(1, description="The version of the recipe format.")
    extends: str | None = Field(
        None, description="The recipe that this one changes: a name, or the path of a file."
    )
    name: Name = Field(description="The name of the recipe and of its run directory.")
    summary: str = Field("", description="A description in one line.")
    seed: int = Field(0, ge=0, lt=2**31, description="The seed of all random numbers.")
    images: dict[Name, SerializeAsAny[stage.Loader]] = Field(
        min_length=1, description="The images by name. A string is the path of a file."
    )
    preprocess: list[SerializeAsAny[stage.Preprocessor]] = Field(
        description="How the images are prepared, in order."
    )
    extractor: SerializeAsAny[stage.Extractor] = Field(
        description="The network that computes features."
    )
    start: SerializeAsAny[stage.Start] = Field(description="The first canvas.")
    losses: dict[Name, SerializeAsAny[LossTerm]] = Field(
        min_length=1, description="The terms to minimise, by name."
    )
    optimizer: SerializeAsAny[stage.Optimizer] = Field(description="How the pixels are updated.")
    schedule: SerializeAsAny[stage.Schedule] = Field(
        description="The number of steps, and the sizes."
    )
    postprocess: list[SerializeAsAny[stage.Postprocessor]] = Field(
        description="Changes to the finished picture, in order."
    )
    outputs: list[SerializeAsAny[stage.Output]] = Field(
        min_length=1, description="The files to write."
    )
    compute: Compute = Field(Compute(), description="How the engine computes.")
    checkpoints: Checkpoints = Field(
        Checkpoints(), description="How often a run saves a checkpoint."
    )
    plugins: PluginChoice = Field(PluginChoice(), description="Which plugins are used.")
    options: dict[Name, str | Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="Short names for settings that are often changed: name → path, or paths."
    )
    matrix: dict[str, _Choices] | None = Field(
        None,
        min_length=1,
        description="Axes, groups and `exclude`, for many runs from one recipe.",
    )
    lock: Lock | None = Field(None, description="What a run depends on; written by nstflow.")

    _origin: Origin = PrivateAttr()

    def model_post_init(self, origin: Origin, /) -> None:
        """Keep where the recipe came from, which is the context of the validation."""
        self._origin = origin

    @property
    def origin(self) -> Origin:
        """Where it came from."""
        return self._origin

    @property
    def source(self) -> Source:
        """What was written, and where."""
        return self._origin.source

    @property
    def folder(self) -> Path:
        """Where relative paths start: the folder of the recipe file."""
        return self._origin.source.folder_of()

    @property
    def installed(self) -> Plugins:
        """The plugins that it was read with."""
        return self._origin.installed

    def stages(self) -> ItemsView[Keys, stage.Stage]:
        """Return every stage with its path, in the order of the slots."""
        return self._origin.stages.items()

    @property
    def asking(self) -> Callable[..., AbstractContextManager[Any]]:
        """How to call a stage's methods: `Origin.asking`."""
        return self._origin.asking
