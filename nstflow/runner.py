"""A plan becomes a picture: load, prepare, describe, loop, finish."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow import ledger
from nstflow.blame import blaming
from nstflow.errors import NstflowError, Problem
from nstflow.optimization import Optimization
from nstflow.plan import Plan, make_plan
from nstflow.recipe.schema import Recipe
from nstflow.result import Result
from nstflow.store import FACTS_FILE, RECIPE_FILE, RunDirectory
from nstflow.values import Image, Size, size_text

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice
    from nstflow.plugins import Observers


STOPPED = "the run stopped"
"""What closes the problems of a run that had begun to compute."""

SECONDS_PER_HISTORY = 2.0
"""How old the history on the disk may be at the end of an epoch."""


def run(
    plan: Plan | Recipe,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    device: DeviceChoice = "auto",
    observers: Iterable[object] = (),
) -> Result:
    """Run a plan, and leave a run directory.

    Ctrl-C drops the dispatch in flight; the picture as it was before is finished and written.

    Args:
        plan: A plan, or a recipe to plan first.
        out: The run directory; `runs/<name>` under the working directory by default.
        overwrite: Replace a run directory that exists.
        device: Where to compute; `auto` takes a GPU if TensorFlow sees one.
        observers: Objects whose methods are hooks (`@nstflow.hookimpl`), beside the plugins.

    Raises:
        NstflowError: Something that the user can put right.
    """
    began = time.perf_counter()
    plan = make_plan(plan) if isinstance(plan, Recipe) else plan
    watching = plan.recipe.installed.observers(observers)
    directory = RunDirectory(Path(out or Path("runs", plan.recipe.name)), overwrite=overwrite)
    try:
        result = _execute(plan, directory, watching, device, began)
    except BaseException as error:
        directory.abandon()
        if isinstance(error, NstflowError) and directory.has_steps:
            error.closing = STOPPED
        watching.tell("nstflow_run_failed", plan=plan, error=error)
        raise
    watching.tell("nstflow_run_finished", result=result)
    return result


def _execute(
    plan: Plan,
    directory: RunDirectory,
    watching: Observers,
    choice: DeviceChoice,
    began: float,
) -> Result:
    from nstflow.engine.device import choose_device

    optimization = Optimization(plan)
    directory.write(RECIPE_FILE, plan.recipe.source.text)
    directory.write_history(optimization.history)
    watching.tell("nstflow_run_started", plan=plan)
    device = choose_device(choice, deterministic=plan.recipe.compute.deterministic)
    if device.kind != "cpu":
        plan = optimization.plan = plan.on(device.kind)
    with device.scope():
        images = _prepared(plan)
        interrupted = _optimize(optimization, images, directory, watching)
        image = _finished(plan.recipe, optimization.canvas(), images)
    directory.write_history(optimization.history)
    result = Result(
        plan=plan,
        image=image,
        history=optimization.history,
        seconds=optimization.history["seconds"][-1],
        compile_seconds=optimization.compile_seconds,
        total_seconds=time.perf_counter() - began,
        device=device.title,
        folder=directory.path,
        interrupted=interrupted,
    )
    result = replace(result, files=_written(result, directory))
    directory.write(FACTS_FILE, _facts(result))
    ledger.note(result)
    return result


def _facts(result: Result) -> str:
    """Return how the run was computed, so that another machine can compute it the same way."""
    facts = {
        "nstflow": version("nstflow"),
        "tensorflow": sys.modules["tensorflow"].__version__,
        "device": result.device,
        "canvas": {"width": result.plan.canvas[1], "height": result.plan.canvas[0]},
        "extractor": result.plan.extractor.model_dump(mode="json", fallback=repr),
        "steps": len(result.history["step"]),
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 3),
        "compile_seconds": round(result.compile_seconds, 3),
        "total_seconds": round(result.total_seconds, 3),
    }
    return f"{json.dumps(facts, indent=2)}\n"


def _optimize(
    optimization: Optimization,
    images: Mapping[str, Image],
    directory: RunDirectory,
    watching: Observers,
) -> bool:
    """Take the steps; return whether they were interrupted."""
    written = 0.0
    try:
        for progress in optimization.steps(images):
            # the file is written whole each time: not for every one of many short epochs
            if progress.ends_epoch and time.monotonic() - written > SECONDS_PER_HISTORY:
                directory.write_history(optimization.history)
                written = time.monotonic()
            watching.tell("nstflow_progress", progress=progress)
    except KeyboardInterrupt:
        if not optimization.history["step"]:
            raise  # there is nothing to keep yet
        return True
    except NstflowError as error:
        if optimization.compiled:
            error.closing = STOPPED
        raise
    return False


def _prepared(plan: Plan) -> dict[str, Image]:
    """Load and prepare the images, and hold the stages to the sizes that they promised."""
    recipe = plan.recipe
    images: dict[str, Image] = {}
    for name, loader in recipe.images.items():
        with blaming(recipe, ("images", name), loader):
            images[name] = loader.load(recipe.folder)
            _expect(images[name], plan.sources[name], "Has the file changed? Run it again.")
    for index, stage in enumerate(recipe.preprocess):
        before = dict(images)
        for name, image in before.items():
            if stage.only is None or name in stage.only:
                with blaming(recipe, ("preprocess", index), stage):
                    images[name] = stage.apply(image, before)
                    hint = "This is a mistake in the stage: its size() says otherwise."
                    _expect(images[name], stage.size(image.size), hint)
    return images


def _expect(image: Image, size: Size, hint: str) -> None:
    if image.size != size:
        got = f"the image is {size_text(image.size)} where the plan has {size_text(size)}."
        raise NstflowError(Problem("", "", got, hint))


def _finished(recipe: Recipe, image: Image, images: Mapping[str, Image]) -> Image:
    for index, stage in enumerate(recipe.postprocess):
        with blaming(recipe, ("postprocess", index), stage):
            image = stage.apply(image, images)
    return image


def _written(result: Result, directory: RunDirectory) -> Sequence[Path]:
    """Let the outputs write into a scratch folder; move what is whole into the run directory."""
    files = []
    recipe = result.plan.recipe
    for index, stage in enumerate(recipe.outputs):
        with directory.scratch() as folder, blaming(recipe, ("outputs", index), stage):
            files.append(directory.place(stage.write(result, folder), folder))
    return files
