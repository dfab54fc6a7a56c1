"""A plan becomes a picture: load, prepare, describe, loop, finish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.blame import blaming
from nstflow.optimization import Optimization
from nstflow.plan import Plan, make_plan
from nstflow.recipe.schema import Recipe
from nstflow.result import Result
from nstflow.store import RECIPE_FILE, RunDirectory
from nstflow.values import Image

if TYPE_CHECKING:
    from nstflow.engine.device import DeviceChoice
    from nstflow.plugins import Observers


def run(
    plan: Plan | Recipe,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    device: DeviceChoice = "auto",
    observers: Iterable[object] = (),
) -> Result:
    """Run a plan, and leave a run directory.

    Ctrl-C stops after the dispatch in flight; the picture so far is finished and written.

    Args:
        plan: A plan, or a recipe to plan first.
        out: The run directory; `runs/<name>` under the working directory by default.
        overwrite: Replace a run directory that exists.
        device: Where to compute; `auto` takes a GPU if TensorFlow sees one.
        observers: Objects whose methods are hooks (`@nstflow.hookimpl`), beside the plugins.

    Raises:
        NstflowError: Something that the user can put right.
    """
    plan = make_plan(plan) if isinstance(plan, Recipe) else plan
    directory = RunDirectory(Path(out or Path("runs", plan.recipe.name)), overwrite=overwrite)
    watching = plan.recipe.installed.observers(observers)
    try:
        directory.write(RECIPE_FILE, plan.recipe.source.text)
        watching.tell("nstflow_run_started", plan=plan)
        result = _execute(plan, directory, watching, device)
    except BaseException as error:
        directory.abandon()
        watching.tell("nstflow_run_failed", plan=plan, error=error)
        raise
    watching.tell("nstflow_run_finished", result=result)
    return result


def _execute(
    plan: Plan, directory: RunDirectory, watching: Observers, choice: DeviceChoice
) -> Result:
    from nstflow.engine.device import choose_device

    device = choose_device(choice, deterministic=plan.recipe.compute.deterministic)
    with device.scope():
        images = _prepared(plan.recipe)
        optimization = Optimization(plan, images)
        interrupted = False
        try:
            for progress in optimization.steps():
                if progress.ends_epoch:
                    directory.write_history(optimization.history)
                watching.tell("nstflow_progress", progress=progress)
        except KeyboardInterrupt:
            if not optimization.history["step"]:
                raise  # there is nothing to keep yet
            interrupted = True
        image = _finished(plan.recipe, optimization.canvas(), images)
    result = Result(
        plan=plan,
        image=image,
        history=optimization.history,
        seconds=optimization.history["seconds"][-1],
        compile_seconds=optimization.compile_seconds,
        device=device.title,
        folder=directory.path,
        interrupted=interrupted,
    )
    directory.write_history(result.history)
    return replace(result, files=_written(result, directory))


def _prepared(recipe: Recipe) -> dict[str, Image]:
    images: dict[str, Image] = {}
    for name, loader in recipe.images.items():
        with blaming(recipe, ("images", name), loader):
            images[name] = loader.load(recipe.folder)
    for index, stage in enumerate(recipe.preprocess):
        before = dict(images)
        for name, image in before.items():
            if stage.only is None or name in stage.only:
                with blaming(recipe, ("preprocess", index), stage):
                    images[name] = stage.apply(image, before)
    return images


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
        with directory.scratch() as folder:
            with blaming(recipe, ("outputs", index), stage):
                file = stage.write(result, folder)
            files.append(directory.place(file))
    return files
