"""The lockfile: a recipe with nothing left open, and what a run of it depends on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from importlib.metadata import version
from operator import getitem
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any, Literal

from nstflow.engine.device import environment
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import format_path, relative, with_settings, with_value
from nstflow.recipe.source import read_source
from nstflow.recipe.yaml import to_yaml
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Extractor, Stage
from nstflow.storage.files import sha256_of, write_file

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice

Data = dict[str, Any]

Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True, eq=False)
class Lockfile:
    """The content of a lockfile.

    Attributes:
        plan: What to run.
        paths: Setting that names a file → its path from the lockfile's folder.
        files: Setting that names a file → the file's sha256 and size; folders are left out.
        environment: Environment variable that changes how numbers round → its value.
        device: What a person calls the device; empty before it is chosen.
        kind: The device's kind, for which the plan is made; None before it is chosen.
    """

    plan: Plan
    paths: Mapping[str, str]
    files: Mapping[str, Data]
    environment: Mapping[str, str]
    device: str = ""
    kind: Kind | None = None

    def on(self, device: str, kind: Kind) -> Lockfile:
        """Return the lockfile of a run on a device, with the extractor settled for it."""
        return replace(self, plan=self.plan.on(kind), device=device, kind=kind)

    def after(self, phases: Sequence[int]) -> Lockfile:
        """Return the lockfile of a finished run, whose phases took these numbers of steps."""
        return replace(self, plan=self.plan.taking(phases)) if phases else self

    @property
    def ended_sooner(self) -> bool:
        """Whether a phase took fewer steps than it could."""
        return self.plan.steps_of != tuple(phase.steps for phase in self.plan.phases)

    @cached_property
    def data(self) -> Data:
        """The content as plain data, equal to what is read back from its text.

        It is a recipe: every default filled in, every override applied, the extractor settled if
        the device is known, paths relative to the lockfile's folder; and a section `lock`.
        """
        plan = self.plan
        data = recipe_data(plan.recipe, plan.extractor if self.kind else plan.recipe.extractor)
        data = with_settings(data, self.paths)
        data["lock"] = {
            "files": dict(self.files),
            "weights": {asset.name: asset.sha256 for asset in plan.assets if asset.sha256},
            "plugins": _packages(plan),
            "python": python_version(),
            "tensorflow": version("tensorflow"),
            "libraries": {name: version(name) for name in ("numpy", "pillow", "tifffile")},
        }
        if self.environment:
            data["lock"]["environment"] = dict(self.environment)
        if self.kind:
            data["lock"] |= {"device": self.device, "device_kind": self.kind}
        if self.ended_sooner:
            data["lock"]["steps"] = list(plan.steps_of)
        return data

    def to_text(self) -> str:
        """Return the text of the file."""
        return to_text(self.data)

    def without_paths(self, stopped_at: int | None = None) -> Data:
        """Return the data with file names in place of paths, to be stored in a picture.

        Args:
            stopped_at: How many steps the picture has, if the run was stopped.
        """
        settings: Data = {setting: Path(path).name for setting, path in self.paths.items()}
        if stopped_at is not None:
            settings["lock.stopped_at"] = stopped_at
        return with_settings(self.data, settings)

    def check_unchanged(self) -> None:
        """Check that the files are still what they were; to be called when all have been read.

        Raises:
            NstflowError: One was changed in between.
        """
        for setting, known in self.files.items():
            file = self.plan.files[setting]
            if describe_file(self.plan.recipe, setting, file) != known:
                got = f"'{file}' was changed while the run read it."
                hint = "Run it again when the file is whole."
                raise _file_error(self.plan.recipe, setting, got, hint)


def make_lock(plan: Plan, folder: Path) -> Lockfile:
    """Return the lockfile of a plan that lies, or will lie, in `folder`.

    Every file that the recipe names is read, and weights whose hash is not known are downloaded.

    Raises:
        NstflowError: A file can't be read.
    """
    for asset in plan.assets:
        if asset.sha256 is None and not asset.present and asset.fetch:
            asset.fetch(lambda _done, _of: None)
            plan = replace(plan, assets=tuple(plan.recipe.extractor.assets(plan.recipe.folder)))
    paths, files = {}, {}
    for setting, file in plan.files.items():
        paths[setting] = relative(file, folder)
        try:
            paths[setting].encode()
        except UnicodeEncodeError as error:
            got = f"the name of '{file}' has letters that no text file can hold."
            hint = "Rename it, or the folder that it is in."
            raise _file_error(plan.recipe, setting, got, hint) from error
        if not file.is_dir():  # which has no hash
            files[setting] = describe_file(plan.recipe, setting, file)
    return Lockfile(plan, paths, files, environment())


def recipe_data(recipe: Recipe, extractor: Extractor) -> Data:
    """Return a recipe as data, every default filled in and every override applied.

    Args:
        recipe: What to write.
        extractor: Its extractor, or that settled for a device.
    """
    # a single run has no matrix, and its own lock
    dumped = recipe.model_dump(
        mode="json", exclude={*SLOTS, "matrix", "options", "extends", "lock"}
    )
    dumped |= {slot.name: [] if slot.holds == "list" else {} for slot in SLOTS.values()}
    data: Data = {name: dumped[name] for name in type(recipe).model_fields if name in dumped}
    for keys, stage in recipe.stages():
        written = reduce(getitem, keys, recipe.source.data)
        settings = _settings(extractor if keys == ("extractor",) else stage, written)
        data, _ = with_value(data, keys, settings)
    data["plugins"]["block"] = list(recipe.installed.blocked)
    return data


def to_text(data: Data) -> str:
    """Return the text of a lockfile with this data."""
    made = data["lock"]["plugins"]["nstflow"]
    return (
        f"# Written by nstflow {made}: what a run was made of. It runs like any recipe;\n"
        "# with --locked, only where files, weights and plugins are the same.\n"
        f"{to_yaml(data)}"
    )


def _settings(stage: Stage, written: Data) -> Data:
    """Return the settings of a stage as they can be read again, or as written if they can't."""
    try:
        dumped, fields = stage.model_dump(mode="json", warnings=False), type(stage).model_fields
        text = json.dumps(
            {
                name: dumped[name]
                for name, field in fields.items()  # no computed ones
                if name in dumped and (dumped[name] is not None or field.default is not None)
            }
        )
        if type(stage).model_validate_json(text, strict=True) == stage:
            return dict(json.loads(text))
    except ValueError:  # pydantic's, for a plugin's own type that it can read but not write
        pass
    return written


def describe_file(recipe: Recipe, setting: str, file: Path) -> Data:
    """Return the hash and size of a file that a setting names.

    Raises:
        NstflowError: It can't be read.
    """
    try:
        return {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    except OSError as error:
        got = f"'{file}' can't be read ({error.strerror or error})."
        raise _file_error(recipe, setting, got) from error


def _file_error(recipe: Recipe, setting: str, got: str, hint: str = "") -> NstflowError:
    """Return the error for a file, at the line of the stage or setting that names it."""
    keys = next(keys for keys, _ in recipe.stages() if setting.startswith(f"{format_path(keys)}."))
    name = setting.removeprefix(f"{format_path(keys)}.")
    return recipe.source.error((*keys, name), got, hint)


def _packages(plan: Plan) -> Data:
    """Return package → version of everything that supplied a stage."""
    catalog = plan.recipe.installed.catalog
    offers = (catalog.offer_of(stage) for _, stage in plan.recipe.stages())
    packages = (offer.package.partition(" ") for offer in offers if offer)
    return {"nstflow": version("nstflow")} | {name: number for name, _, number in packages}


def write_lock(plan: Plan, path: Path, choice: DeviceChoice = "auto") -> Path:
    """Write the lockfile of a plan, with the device that it would run on here.

    Raises:
        NstflowError: It can't be written, or the file that is there is not a lockfile.
    """
    from nstflow.engine.device import choose_device

    exists = os.path.lexists(path)  # a link that leads nowhere, too
    if exists and not (path.exists() and "lock" in read_source(path).data):
        got = "this file exists already, and is not a lockfile."
        raise NstflowError(Problem(str(path), "", got, "Choose another name with --out."))
    device = choose_device(choice, deterministic=plan.recipe.compute.deterministic)
    lockfile = make_lock(plan, path.parent).on(device.title, device.kind)
    try:
        return write_file(path, lockfile.to_text().encode())
    except OSError as error:
        got = f"the lockfile can't be written: {error.strerror or error}."
        hint = "Choose another place with --out."
        raise NstflowError(Problem(str(path), "", got, hint)) from error
