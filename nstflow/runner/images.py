"""The images of a run: loaded and prepared before it, finished and written after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.attribution import check_type
from nstflow.recipe.model import Recipe
from nstflow.runner.cache import RunCache, hashes_of
from nstflow.stages.result import Result
from nstflow.stages.types import Image, Size, size_text
from nstflow.storage.run_directory import RunDirectory


def prepare(plan: Plan, shared: RunCache) -> dict[str, Image]:
    """Load and prepare the images, which must have the sizes that the plan has."""
    recipe = plan.recipe
    images: dict[str, Image] = {}
    for name in recipe.images:
        with recipe.asking("images", name) as loader:
            hashes = hashes_of(loader.files(recipe.folder).values())
            # a loader that names no file may yet read one, from the recipe's folder
            key = (loader, hashes, hashes or recipe.folder)
            loaded = shared.images.get(key, partial(loader.load, recipe.folder))
            images[name] = check_type(loaded, Image, "load()")
            _expect(images[name], plan.sources[name], "Has the file changed? Run it again.")
    for index, stage in enumerate(recipe.preprocess):
        before = dict(images)
        for name, image in before.items():
            if stage.only is None or name in stage.only:
                with recipe.asking("preprocess", index):
                    images[name] = check_type(stage.apply(image, before), Image, "apply()")
                    hint = "This is a mistake in the stage: its size() says otherwise."
                    _expect(images[name], stage.size(image.size), hint)
    return images


def finish(recipe: Recipe, image: Image, images: Mapping[str, Image]) -> Image:
    """Return the picture after postprocessing; `images` are the prepared ones.

    It is transparent where the image is whose size it has.
    """
    image = _with_alpha(image, images[recipe.start.like])
    for index in range(len(recipe.postprocess)):
        with recipe.asking("postprocess", index) as stage:
            image = check_type(stage.apply(image, images), Image, "apply()")
    return image


def _with_alpha(image: Image, like: Image) -> Image:
    """Return the picture with the opacity of an image, put on white."""
    import numpy as np

    from nstflow.engine.resampling import resize_image

    if like.alpha is None:
        return image
    alpha = resize_image(like, image.size).alpha
    assert alpha is not None  # noqa: S101 - as that of the image
    # where it is opaque by a, no colour on white is darker than 1 - a
    return Image(np.maximum(image.pixels, 1 - alpha[..., None]), alpha)


def write(result: Result, directory: RunDirectory) -> Sequence[Path]:
    """Let the outputs write into a scratch folder; move what is whole into the run directory."""
    files = []
    recipe = result.plan.recipe
    for index in range(len(recipe.outputs)):
        with directory.scratch() as folder, recipe.asking("outputs", index) as stage:
            file = check_type(stage.write(result, folder), Path, "write()")
            files.append(directory.place(file, folder))
    return files


def _expect(image: Image, size: Size, hint: str) -> None:
    if image.size != size:
        got = f"the image is {size_text(image.size)} where the plan has {size_text(size)}."
        raise NstflowError(Problem("", "", got, hint))
