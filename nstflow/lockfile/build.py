"""The lock: a recipe with nothing left open, and what a run of it depended on."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Any, Literal

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import Keys, format_path, get_path, parse_path, with_value
from nstflow.recipe.source import read_source
from nstflow.recipe.yaml import to_yaml
from nstflow.stages.stage import Extractor, Stage
from nstflow.storage.files import sha256_of, write_file

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice


Data = dict[str, Any]


Kind = Literal["cpu", "gpu"]


def make_lock(plan: Plan, device: str | None, kind: Kind | None, folder: Path) -> Data:
    """Return the data of a lock that lies, or will lie, in `folder`.

    It is a recipe: every default filled in, every override applied, the extractor settled, paths
    relative to `folder`; and a section `lock`.

    Args:
        plan: What to run, on a device of this kind.
        device: What a person calls the device; None where it is open.
        kind: Its kind; None where it is open, and with it what the extractor leaves to it.
        folder: Where relative paths start.

    Raises:
        NstflowError: A file that the recipe names can't be read.
    """
    recipe = plan.recipe
    data = recipe_data(recipe, plan.extractor if kind else recipe.extractor)
    for setting, file in plan.files.items():
        path = relative(file, folder)
        try:
            path.encode()
        except UnicodeEncodeError as error:
            got = f"the name of '{file}' has letters that no text file can hold."
            hint = "Rename it, or the folder that it is in."
            raise file_error(recipe, setting, got, hint) from error
        data, _ = with_value(data, parse_path(data, setting), path)
    data["lock"] = {
        "files": {
            setting: describe_file(recipe, setting, file)
            for setting, file in plan.files.items()
            if not file.is_dir()  # which has no hash
        },
        "weights": {asset.name: asset.sha256 for asset in plan.assets if asset.sha256},
        "plugins": _packages(plan),
        "python": python_version(),
        "tensorflow": version("tensorflow"),
        "libraries": {name: version(name) for name in ("numpy", "pillow", "tifffile")},
    }
    if kind:
        data["lock"] |= {"device": device, "device_kind": kind}
    return data


def recipe_data(recipe: Recipe, extractor: Extractor) -> Data:
    """Return a recipe as data, every default filled in and every override applied.

    Args:
        recipe: What to write.
        extractor: Its extractor, or that settled.
    """
    data: Data = {}
    for name in type(recipe).model_fields:
        if name not in ("matrix", "lock"):  # of which a single run has none, or its own
            data[name] = _plain(getattr(recipe, name))
    for keys, stage in recipe.stages():
        written = copy.deepcopy(get_path(recipe.source.data, keys))
        settings = _settings(extractor if keys == ("extractor",) else stage, written)
        data, _ = with_value(data, keys, settings)
    data["plugins"]["block"] = list(recipe.installed.blocked)
    return data


def with_hashes(plan: Plan) -> Plan:
    """Return the plan with the hash of all weights known, for which some may have to be fetched."""
    unknown = [a for a in plan.assets if a.sha256 is None and not a.present and a.fetch]
    for asset in unknown:
        assert asset.fetch is not None  # noqa: S101 - as above
        asset.fetch(lambda _done, _of: None)
    if not unknown:
        return plan
    return replace(plan, assets=tuple(plan.recipe.extractor.assets(plan.recipe.folder)))


def to_text(data: Data) -> str:
    """Return a lock's text."""
    made = data["lock"]["plugins"]["nstflow"]
    return (
        f"# Written by nstflow {made}: what a run was made of. It runs like any recipe;\n"
        "# with --locked, only where files, weights and plugins are the same.\n"
        f"{to_yaml(data)}"
    )


def without_paths(data: Data, stopped_at: int | None = None, files: Iterable[str] = ()) -> Data:
    """Return a lock with the names of files for their paths: to go with a picture.

    Args:
        data: The lock's data.
        stopped_at: How many steps the picture has, where the run was stopped.
        files: Settings that name more than the files whose hashes the lock has.
    """
    bare: Data = {**data, "lock": dict(data["lock"])}
    for setting in {*data["lock"]["files"], *files}:
        keys = parse_path(data, setting)
        bare, _ = with_value(bare, keys, Path(get_path(data, keys)).name)
    if stopped_at is not None:
        bare["lock"]["stopped_at"] = stopped_at
    return bare


def _plain(value: Any) -> Any:
    """Return a field of the recipe as data; stages are put in by themselves."""
    if isinstance(value, Stage):
        return {}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _settings(stage: Stage, written: Data) -> Data:
    """Return the settings of a stage, as they are read again; as written where that fails."""
    try:
        dumped, fields = stage.model_dump(mode="json", warnings=False), type(stage).model_fields
        data = {name: dumped[name] for name in fields if name in dumped}  # no computed ones
        data = {k: v for k, v in data.items() if v is not None or fields[k].default is not None}
        if type(stage).model_validate_json(json.dumps(data), strict=True) == stage:
            return data
    except ValueError:  # of pydantic: a plugin's own type, which it reads but can't write
        pass
    return written


def keys_of(recipe: Recipe, setting: str) -> Keys:
    """Return the path of a setting, as `images.content.path`, of one of the stages."""
    for keys, _ in recipe.stages():
        if setting.startswith(f"{format_path(keys)}."):
            return (*keys, setting.removeprefix(f"{format_path(keys)}."))
    raise KeyError(setting)


def relative(file: Path, folder: Path) -> str:
    """Return a file's path from a folder; symbolic links on the way are followed first."""
    there, start = file.parent.resolve() / file.name, folder.resolve()
    try:
        path = Path(os.path.relpath(there, start)).as_posix()
    except ValueError:  # another drive of Windows
        return there.as_posix()
    # a path that begins with ~ would mean somebody's home
    return f"../{start.name}/{path}" if path.startswith("~") else path


def describe_file(recipe: Recipe, setting: str, file: Path) -> Data:
    """Return what a lock says of a file.

    Raises:
        NstflowError: It can't be read.
    """
    try:
        return {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    except OSError as error:
        got = f"'{file}' can't be read ({error.strerror or error})."
        raise file_error(recipe, setting, got) from error


def file_error(recipe: Recipe, setting: str, got: str, hint: str = "") -> NstflowError:
    """Return what is wrong with a file, at the line of the setting that names it."""
    return recipe.source.error(keys_of(recipe, setting), got, hint)


def _packages(plan: Plan) -> Mapping[str, str]:
    """Return package → version of everything that supplied a stage."""
    catalog = plan.recipe.installed.catalog
    packages = {"nstflow": version("nstflow")}
    for _, stage in plan.recipe.stages():
        if offer := catalog.offer_of(stage):
            name, _, packages_version = offer.package.partition(" ")
            packages[name] = packages_version
    return packages


def write_lock(plan: Plan, path: Path, choice: DeviceChoice = "auto") -> Path:
    """Write the lock of a plan, with the device that it would run on here.

    Raises:
        NstflowError: It can't be written, or the file that is there is no lock.
    """
    from nstflow.engine.device import choose_device

    if path.exists() and "lock" not in read_source(path).data:
        got = "this file is there already, and is no lock."
        raise NstflowError(Problem(str(path), "", got, "Choose another name with --out."))
    device = choose_device(choice, deterministic=plan.recipe.compute.deterministic)
    plan = with_hashes(plan.on(device.kind))
    text = to_text(make_lock(plan, device.title, device.kind, path.parent))
    try:
        return write_file(path, text.encode())
    except OSError as error:
        got = f"the lock can't be written: {error.strerror or error}."
        hint = "Choose another place with --out."
        raise NstflowError(Problem(str(path), "", got, hint)) from error
