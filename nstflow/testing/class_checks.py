"""What all stages must have: texts, settings that can be written down, a cheap import."""

import inspect
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nstflow import NstflowError, Stage
from nstflow.plugins.catalog import name_of
from nstflow.plugins.manager import check_schema, check_stage_class
from nstflow.plugins.observers import InvalidPluginError
from nstflow.recipe.stage_docs import example_of
from nstflow.recipe.yaml import parse_yaml, to_yaml
from nstflow.stages.slots import EXECUTOR, Slot

IMPORT_TIMEOUT = 120  # seconds
IMPORTS_TENSORFLOW = 3  # exit status of the process that imports a stage's module


def check_class(stage: type[Stage]) -> Slot:
    """Check that a class is a stage with a name and texts, and that its fields hide no method."""
    try:
        slot = check_stage_class(stage)
        check_schema(stage)
    except InvalidPluginError as error:
        raise AssertionError(f"{error}.") from error
    title = stage.__name__
    assert (vars(stage).get("__doc__") or "").strip(), (
        f"{title} has no docstring: its first line is what `nstflow stages` says of it."
    )
    for name, field in stage.model_fields.items():
        assert field.description or name == "use", (
            f"the setting '{name}' of {title} has no description:"
            f' write `{name}: … = Field(…, description="…")`.'
        )
        for base in stage.__mro__[1:]:
            assert name not in vars(base), (
                f"the setting '{name}' of {title} hides {base.__name__}.{name}: rename it."
            )
    return slot


def make(stage: type[Stage], settings: dict[str, Any]) -> Stage:
    """Return the stage as a recipe would make it."""
    if "image" in stage.model_fields and "image" not in settings:
        needed = stage.model_fields["image"].is_required()
        settings = {**settings, "image": "style"} if needed else settings
    data = {"use": stage.model_fields["use"].default, **settings}
    try:
        return stage.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise AssertionError(
            f"{stage.__name__} can't be made from {settings or 'its defaults'}: give check_stage"
            f" the required settings, `check_stage({stage.__name__}, setting=…)`.\n{error}"
        ) from error


def check_round_trip(stage: Stage) -> None:
    """Check that settings can be written into a lock and read again."""
    kind = type(stage)
    try:
        written = to_yaml(stage.model_dump(mode="json"))
        data = {k: v for k, v in parse_yaml(written, "lock")[0].items() if v is not None}
        again: object = kind.model_validate_json(json.dumps(data), strict=True)
    except Exception as error:
        raise AssertionError(
            f"the settings of {kind.__name__} can't be written to YAML and read again"
            f" ({type(error).__name__}: {error}): use plain types, or give the type a"
            " serializer and a validator."
        ) from error
    assert again == stage, (
        f"the settings of {kind.__name__} change when written to YAML and read again:"
        f" {stage!r} became {again!r}."
    )


def check_example(stage: type[Stage], slot: Slot) -> None:
    """Check that the example which `nstflow stages` shows is valid."""
    text = example_of(stage, slot)
    try:
        data = parse_yaml(text, "")[0] if slot != EXECUTOR else None
        while isinstance(data, dict | list) and "use" not in data:
            data = next(iter(data.values())) if isinstance(data, dict) else data[0]
        stage.model_validate_json(json.dumps(data or {"use": name_of(stage)}))
    except (NstflowError, ValidationError) as error:
        raise AssertionError(
            f"the example of {stage.__name__} is not valid; give its required settings examples,"
            f" `Field(examples=[…], …)`:\n{text}\n{error}"
        ) from error


_IMPORT = f"""\
import importlib.util, sys
import nstflow.testing
nstflow.testing.check_stage = lambda *_, **__: None  # in a script that checks its own stage
name, path = sys.argv[1:]
try:
    spec = importlib.util.find_spec(name)
except (ImportError, ValueError):
    spec = None
if spec is None:
    spec = importlib.util.spec_from_file_location("checked", path)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
sys.exit({IMPORTS_TENSORFLOW} if "tensorflow" in sys.modules else 0)
"""


def check_import(stage: type[Stage]) -> None:
    """Check that the stage's module does not import TensorFlow before something computes."""
    try:
        file = inspect.getsourcefile(stage)
    except TypeError:  # made without a file, as in a notebook
        file = None
    if file is None or not Path(file).is_file():
        return
    done = _import(stage.__module__, file, Path(file).stat().st_mtime_ns)
    assert done.returncode != IMPORTS_TENSORFLOW, (
        f"{file} imports TensorFlow, which takes seconds of every `nstflow --help`: write"
        " `from nstflow import tf`, and annotate with `nstflow.Tensor`."
    )
    assert done.returncode == 0, f"{file} can't be imported by itself:\n{done.stderr}"


@cache
def _import(module: str, file: str, _changed: int) -> subprocess.CompletedProcess[str]:
    """Import a module in a new process, once for all of its stages."""
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", _IMPORT, module, file],
        capture_output=True,
        text=True,
        check=False,
        timeout=IMPORT_TIMEOUT,
    )
