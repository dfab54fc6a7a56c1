"""What runs took on this machine: the only ground on which a plan foretells time.

A line of JSON for each finished run, in the cache folder. It is a convenience: where it can't be
read or written, or a line of it is damaged, nothing is foretold and nothing else happens.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nstflow.engine.weights.cache import folder
from nstflow.plan import Plan
from nstflow.stages.result import Result

MOST_LINES = 400
"""Older lines are dropped beyond twice as many."""


FARTHEST = 5.0
"""A run with so many times more or fewer pixels says nothing of this one."""


_LONGEST_LINE = 2000


_LARGEST_FILE = 4 * MOST_LINES * _LONGEST_LINE


Side = Annotated[int, Field(gt=0, le=1_000_000)]


class Record(BaseModel):
    """What one run took.

    Attributes:
        key: What a run must share with another to take as long for each pixel.
        canvas: Height and width.
        seconds: Seconds a step, the first one left out.
        device: What computed it.
        date: When, as `2026-11-24`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    key: str
    canvas: tuple[Side, Side]
    seconds: float = Field(gt=0, lt=1e6)
    device: str = Field(pattern=r"^[ -~]{0,100}$")
    date: dt.date


def note(result: Result) -> None:
    """Add a run, unless it is too short or too varied to tell what a step takes."""
    times = result.history["seconds"]
    if len(times) < 3 or not _is_plain(result.plan):  # noqa: PLR2004 - a first and two more
        return
    seconds = (times[-1] - times[0]) / (len(times) - 1)
    with contextlib.suppress(ValueError, OSError):  # pydantic's errors are the former
        record = Record(
            key=_key(result.plan),
            canvas=result.plan.canvas,
            seconds=seconds,
            device=result.device,
            date=dt.datetime.now(tz=dt.UTC).date(),
        )
        _append(record.model_dump_json())


def estimate(plan: Plan) -> tuple[float, Record] | None:
    """Return the seconds that a step will take, and the run that says so; None where none does.

    The time is that of the run of the same kind whose canvas is nearest in size, by its pixels.
    """
    if not _is_plain(plan):
        return None
    pixels, key = plan.canvas[0] * plan.canvas[1], _key(plan)
    best: tuple[float, Record] | None = None
    nearest = FARTHEST
    for record in _records():  # of two that are as near, the later one
        if record.key != key:
            continue
        share = pixels / (record.canvas[0] * record.canvas[1])
        distance = max(share, 1 / share)
        if distance <= nearest:
            best, nearest = (record.seconds * share, record), distance
    return best


def _is_plain(plan: Plan) -> bool:
    """Say whether all steps have the canvas's full size."""
    return len(plan.phases) == 1 and plan.phases[0].scale == 1


def _key(plan: Plan) -> str:
    """Return a hash of the machine and of all that a step's time depends on but the size."""
    unlike = {"image", "weight", "layers", "weights"}
    stages = [plan.on("cpu").extractor, plan.recipe.optimizer, *plan.terms.values()]
    settings = [stage.model_dump(mode="json", exclude=unlike, fallback=repr) for stage in stages]
    layers = [sorted(term.shares) for term in plan.terms.values()]
    machine = [platform.node(), platform.machine(), os.cpu_count(), version("nstflow")]
    what = [machine, settings, plan.layers, layers]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _path() -> Path:
    return folder() / "runs.jsonl"


def _records() -> Iterator[Record]:
    with contextlib.suppress(OSError):
        if not _path().is_file() or _path().stat().st_size > _LARGEST_FILE:
            return
        for line in (
            _path().read_text(encoding="utf-8", errors="replace").splitlines()[-2 * MOST_LINES :]
        ):
            if len(line) <= _LONGEST_LINE:
                with contextlib.suppress(ValidationError):
                    yield Record.model_validate_json(line)


def _append(line: str) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not (path.is_file() and path.stat().st_size <= _LARGEST_FILE):
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")  # the line before may have been broken off
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line]
    if len(lines) > 2 * MOST_LINES:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".runs-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines[-MOST_LINES:], ""]))
        Path(name).replace(path)
