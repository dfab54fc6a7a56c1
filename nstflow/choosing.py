"""Which executor the command line asks for."""

from __future__ import annotations

from typing import Any, cast

from nstflow.errors import NstflowError
from nstflow.plugins import Plugins
from nstflow.recipe.draft import read_stage
from nstflow.recipe.parsing import Keys, parse_yaml
from nstflow.recipe.source import Source
from nstflow.slots import EXECUTOR
from nstflow.stages import Executor

_OPTION = "--executor"


def choose_executor(written: str, settings: dict[str, Any], plugins: Plugins) -> Executor:
    """Return the executor of a name, or one written as a stage of a recipe is.

    Args:
        written: A name, such as `processes`, or a mapping, such as `{use: dask, workers: 3}`.
        settings: More of its settings, from options named like them; those that are None are
            left out.
        plugins: What is installed.

    Raises:
        NstflowError: There is none of that name, or it lacks a setting, at the option.
    """
    item = parse_yaml(written, _OPTION, controls=False)[0]
    if not isinstance(item, dict):
        item = {"use": item}
    keys: Keys = (EXECUTOR.name,)
    given = {name: value for name, value in settings.items() if value is not None}
    options: dict[Keys, str] = {(*keys, name): f"--{name}" for name in given}
    options[keys] = _OPTION
    data = {EXECUTOR.name: {**item, **given}}
    source = Source(_OPTION, written, data, {}, options)
    stage = read_stage(source, keys, data[EXECUTOR.name], plugins.catalog)
    if isinstance(stage, list):
        raise NstflowError(stage)
    return cast("Executor", stage)
