"""What a step took in earlier runs on this machine, from which a plan estimates its time.

A small JSON file in the cache folder for each kind of run. Where one can't be read or written,
nothing is estimated, and nothing else happens.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import math
import os
import platform
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter

from nstflow.plan import Plan
from nstflow.stages.loss import LossTerm
from nstflow.stages.result import Result
from nstflow.storage.files import cache_folder, write_file

_LARGEST_RATIO = 5.0  # of the numbers of pixels of a run and of one that it is estimated from


class Timing(BaseModel):
    """What a step of a run took.

    Attributes:
        canvas: Height and width.
        seconds: The mean over its steps, the first one left out.
        device: What computed it.
        date: When, as `2026-11-24`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    canvas: tuple[PositiveInt, PositiveInt]
    seconds: float = Field(gt=0, allow_inf_nan=False)
    device: str = Field(pattern=r"^[ -~]{0,100}$")
    date: dt.date


_FILE = TypeAdapter(list[Timing])


def record(result: Result) -> None:
    """Remember what a step of a run took, unless its steps are too few or of several sizes."""
    plan, times = result.plan, result.history["seconds"]
    if len(times) < 3 or not _has_one_size(plan):  # noqa: PLR2004 - a first and two more
        return
    with contextlib.suppress(ValueError, OSError):  # pydantic's errors are the former
        timing = Timing(
            canvas=plan.canvas,
            seconds=(times[-1] - times[0]) / (len(times) - 1),
            device=result.device,
            date=dt.datetime.now(tz=dt.UTC).date(),
        )
        path = _path_of(plan)
        others = [each for each in _read(path) if each.canvas != timing.canvas]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, _FILE.dump_json([*others, timing]))


def estimate(plan: Plan) -> tuple[float, Timing] | None:
    """Return the seconds that a step will take, and the timing that says so; None if unknown.

    It is the time of the run of the same kind whose number of pixels is nearest, times the ratio of
    these numbers.
    """

    def ratio(timing: Timing) -> float:
        return math.prod(plan.canvas) / math.prod(timing.canvas)

    timings = _read(_path_of(plan)) if _has_one_size(plan) else []
    near = [each for each in timings if 1 / _LARGEST_RATIO <= ratio(each) <= _LARGEST_RATIO]
    nearest = min(near, key=lambda each: abs(math.log(ratio(each))), default=None)
    return (nearest.seconds * ratio(nearest), nearest) if nearest else None


def _read(path: Path) -> list[Timing]:
    with contextlib.suppress(ValueError, OSError):
        return _FILE.validate_json(path.read_bytes())
    return []


def _has_one_size(plan: Plan) -> bool:
    """Say whether all steps have the canvas's full size."""
    return len(plan.phases) == 1 and plan.phases[0].scale == 1


def _path_of(plan: Plan) -> Path:
    """Return the file of the runs that take as long as a plan's for each pixel."""
    not_timed = set(LossTerm.model_fields) - {"use"}
    stages = [
        stage.model_dump(mode="json", exclude=not_timed, fallback=repr)
        for stage in (plan.on("cpu").extractor, plan.recipe.optimizer, *plan.terms.values())
    ]
    layers = [sorted(term.shares) for term in plan.terms.values()]
    machine = [platform.node(), platform.machine(), os.cpu_count(), version("nstflow")]
    kind = json.dumps([machine, stages, plan.layers, layers], sort_keys=True)
    return _folder() / f"{hashlib.sha256(kind.encode()).hexdigest()[:16]}.json"


def _folder() -> Path:
    return cache_folder() / "timings"
