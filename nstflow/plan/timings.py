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
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter

from nstflow.engine.device import cores
from nstflow.errors import NstflowError
from nstflow.stages.loss import LossTerm
from nstflow.stages.types import Size, scaled
from nstflow.storage.files import cache_folder, write_file

if TYPE_CHECKING:
    from nstflow.plan import Plan
    from nstflow.stages.result import Result

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


_UNREADABLE = ValueError, OSError, NstflowError
"""What is raised of a file: pydantic's errors are the first; the last is that there is no cache."""

_FILE = TypeAdapter(list[Timing])


def record(result: Result) -> None:
    """Remember what a step took at the size of each phase that has enough steps."""
    plan, times = result.plan, result.history["seconds"]
    with contextlib.suppress(*_UNREADABLE):
        made: dict[Size, Timing] = {}
        first = 0
        for phase, steps in zip(plan.phases, result.phases, strict=False):
            own = times[first : first + steps]
            first += steps
            if len(own) >= 3:  # noqa: PLR2004 - a first and two more
                canvas = scaled(plan.canvas, phase.scale)
                made[canvas] = Timing(
                    canvas=canvas,
                    seconds=(own[-1] - own[0]) / (len(own) - 1),
                    device=result.device,
                    date=dt.datetime.now(tz=dt.UTC).date(),
                )
        if made:
            path = _path_of(plan)
            others = [each for each in _read(path) if each.canvas not in made]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, _FILE.dump_json([*others, *made.values()]))


def estimate(plan: Plan) -> tuple[float, Timing] | None:
    """Return the seconds that all steps will take, and the timing for the largest size.

    A step takes the time of the run of the same kind whose number of pixels is nearest, times the
    ratio of these numbers. None if the time of a phase is unknown.
    """
    timings = []
    with contextlib.suppress(NstflowError):
        timings = _read(_path_of(plan))
    total = largest = 0.0
    used: Timing | None = None
    for steps, phase in zip(plan.steps_of, plan.phases, strict=True):
        pixels = math.prod(plan.canvas) * phase.scale**2
        ratios = {pixels / math.prod(timing.canvas): timing for timing in timings}
        ratio = min(ratios, key=lambda ratio: abs(math.log(ratio)), default=None)
        if ratio is None or max(ratio, 1 / ratio) > _LARGEST_RATIO:
            return None
        total += steps * ratios[ratio].seconds * ratio
        if pixels > largest:
            largest, used = pixels, ratios[ratio]
    return (total, used) if used else None


def _read(path: Path) -> list[Timing]:
    with contextlib.suppress(*_UNREADABLE):
        return _FILE.validate_json(path.read_bytes())
    return []


def _path_of(plan: Plan) -> Path:
    """Return the file of the runs that take as long as a plan's for each pixel."""
    not_timed = set(LossTerm.model_fields) - {"use"}
    stages = [
        stage.model_dump(mode="json", exclude=not_timed, fallback=repr)
        for stage in (plan.recipe.extractor, plan.recipe.optimizer, *plan.terms.values())
    ]
    layers = [sorted(term.shares) for term in plan.terms.values()]
    machine = [platform.node(), platform.machine(), cores(), version("nstflow")]
    kind = json.dumps([machine, stages, plan.layers, layers], sort_keys=True)
    return _folder() / f"{hashlib.sha256(kind.encode()).hexdigest()[:16]}.json"


def _folder() -> Path:
    return cache_folder() / "timings"
