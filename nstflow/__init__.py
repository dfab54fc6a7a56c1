"""Neural style transfer as a pipeline of plugins, written down in YAML recipes.

Everything public is here, imported at first use; `nstflow.toolkit` is for authors of stages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nstflow.errors import NstflowError, NstflowWarning, Problem
    from nstflow.fields import ImageRef, Layers, Name
    from nstflow.hookspecs import hookimpl
    from nstflow.jobs import Job, JobProgress, JobResult, Tell, Work
    from nstflow.lazy import Tensor, tf
    from nstflow.plan import Plan, make_plan
    from nstflow.recipe import load_recipe
    from nstflow.recipe.schema import Recipe
    from nstflow.result import Progress, Result
    from nstflow.runner import run
    from nstflow.stages import (
        Executor,
        Extractor,
        Loader,
        Optimizer,
        Output,
        Postprocessor,
        Preprocessor,
        Schedule,
        Stage,
        Start,
    )
    from nstflow.stopping import Stop
    from nstflow.terms import LossTerm, StatisticTerm
    from nstflow.values import Asset, Cost, Features, Image, Objective, Phase, Size, State

_HOMES = {
    "nstflow.errors": ("NstflowError", "NstflowWarning", "Problem"),
    "nstflow.fields": ("ImageRef", "Layers", "Name"),
    "nstflow.hookspecs": ("hookimpl",),
    "nstflow.jobs": ("Job", "JobProgress", "JobResult", "Tell", "Work"),
    "nstflow.lazy": ("Tensor", "tf"),
    "nstflow.plan": ("Plan", "make_plan"),
    "nstflow.recipe": ("load_recipe",),
    "nstflow.recipe.schema": ("Recipe",),
    "nstflow.result": ("Progress", "Result"),
    "nstflow.runner": ("run",),
    "nstflow.stages": (
        *("Stage", "Loader", "Preprocessor", "Extractor", "Start"),
        *("Optimizer", "Schedule", "Postprocessor", "Output", "Executor"),
    ),
    "nstflow.stopping": ("Stop",),
    "nstflow.terms": ("LossTerm", "StatisticTerm"),
    "nstflow.values": (
        *("Image", "Features", "Phase", "Cost", "Asset", "Size", "State", "Objective"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Asset",
    "Cost",
    "Executor",
    "Extractor",
    "Features",
    "Image",
    "ImageRef",
    "Job",
    "JobProgress",
    "JobResult",
    "Layers",
    "Loader",
    "LossTerm",
    "Name",
    "NstflowError",
    "NstflowWarning",
    "Objective",
    "Optimizer",
    "Output",
    "Phase",
    "Plan",
    "Postprocessor",
    "Preprocessor",
    "Problem",
    "Progress",
    "Recipe",
    "Result",
    "Schedule",
    "Size",
    "Stage",
    "Start",
    "State",
    "StatisticTerm",
    "Stop",
    "Tell",
    "Tensor",
    "Work",
    "hookimpl",
    "load_recipe",
    "make_plan",
    "run",
    "tf",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nstflow' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
