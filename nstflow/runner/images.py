"""The images of a run: loaded and prepared before it, finished and written after it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nstflow.builtin.loaders.profile import UnfitProfileError, converted
from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.plan import Plan
from nstflow.recipe.attribution import check_type
from nstflow.recipe.model import Recipe
from nstflow.runner.cache import RunCache, hashes_of
from nstflow.stages.result import Result
from nstflow.stages.types import Image, Size, size_text
from nstflow.storage.run_directory import RunDirectory

_NOT_8_BITS = 0.49  # how near to the middle of two levels a value is, of images with more bits


def prepare(plan: Plan, shared: RunCache) -> dict[str, Image]:
    """Load and prepare the images, which must have the sizes that the plan has.

    All have the profile of the image `start.like`.
    """
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
    like = images[recipe.start.like]
    for name, image in images.items():
        with recipe.asking("images", name):
            images[name] = _in_profile(image, name, like.profile)
    for index, stage in enumerate(recipe.preprocess):
        before = dict(images)
        for name, image in before.items():
            if stage.only is None or name in stage.only:
                with recipe.asking("preprocess", index):
                    images[name] = check_type(stage.apply(image, before), Image, "apply()")
                    hint = "This is a mistake in the stage: its size() says otherwise."
                    _expect(images[name], stage.size(image.size), hint)
    return {name: _described_as(image, like) for name, image in images.items()}


def _described_as(image: Image, like: Image) -> Image:
    """Return what stages made, with the profile and EXIF that they need not know of."""
    if (image.profile, image.exif) == (like.profile, like.exif):
        return image
    return replace(image, profile=like.profile, exif=like.exif)


def _in_profile(image: Image, name: str, profile: bytes | None) -> Image:
    """Return an image with its colours in a profile; itself if they are."""
    import numpy as np

    if image.profile == profile:
        return image
    try:
        pixels = converted(image.pixels, image.profile, profile)
    except UnfitProfileError as error:
        got = f"the image's colour profile can't be used ({error})."
        raise NstflowError(Problem("", "", got)) from error
    if (
        pixels is not image.pixels
        and image.alpha is None
        and np.abs(image.pixels * 255 % 1 - 0.5).min() < _NOT_8_BITS
    ):
        text = f"the colours of '{name}' are converted to the picture's profile with 8 bits"
        warnings.warn(text, NstflowWarning, stacklevel=3)
    return replace(image, pixels=pixels, profile=profile)


def finish(recipe: Recipe, image: Image, images: Mapping[str, Image]) -> Image:
    """Return the picture after postprocessing; `images` are the prepared ones.

    It is transparent where the image is whose size it has, and has its profile and EXIF.
    """
    like = images[recipe.start.like]
    image = _with_alpha(image, like)
    for index in range(len(recipe.postprocess)):
        with recipe.asking("postprocess", index) as stage:
            image = check_type(stage.apply(image, images), Image, "apply()")
    return _described_as(image, like)


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
