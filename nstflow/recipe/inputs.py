"""Files for the images of a recipe, as arguments: `nstflow run RECIPE photo.jpg style.jpg`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, flaw_of, suggest
from nstflow.recipe.matrix import GLOB
from nstflow.recipe.paths import MATRIX, format_path
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import Position
from nstflow.stages.slots import SLOTS
from nstflow.storage.files import user_path

SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)
"""What the names of images end with that `file` reads, where a folder stands for those in it."""


def with_images(source: Source, files: Sequence[str], named: Mapping[str, str]) -> Source:
    """Return a recipe whose images are these files; a folder or a pattern makes a matrix.

    Args:
        source: What was written, with its short forms written out.
        files: A file for each image that the default loader reads and no axis sets, in the
            recipe's order; without those that have a name in `named`.
        named: Image → file.

    Raises:
        NstflowError: There are too many or too few files, or no such image.
    """
    images = source.data.get("images")
    known = images if isinstance(images, dict) else {}
    problems = []
    for name in named:
        if name not in known:
            got = f"no image is called '{name}'."
            hint = f"{suggest(name, known)} {_takes(list(known))}".strip()
            problems.append(Problem(f"image {name}={named[name]}", "", got, hint))
    open_ones = [name for name in images_taken(source) if name not in named]
    if files and len(files) != len(open_ones):
        got = f"there {'is 1 file' if len(files) == 1 else f'are {len(files)} files'}"
        got += f" for {len(open_ones)} image{'s' * (len(open_ones) != 1)}."
        hint = _takes(open_ones)
        if len(files) > len(open_ones):
            hint += " To use many files for one image, put a pattern in quotes: 'photos/*.jpg'."
        problems.append(Problem(f"images {' '.join(files)}", "", got, hint))
    if problems:
        raise NstflowError(problems, source.label)
    for name, file in {**dict(zip(open_ones, files, strict=False)), **named}.items():
        source = _with_image(source, name, file)
    return source


def images_taken(source: Source) -> list[str]:
    """Return the images that arguments fill, in their order.

    Args:
        source: What was written, with its short forms written out.
    """
    images = source.data.get("images")
    return [name for name in images if _is_free(source, name)] if isinstance(images, dict) else []


def _takes(names: Sequence[str]) -> str:
    return f"The recipe takes: {', '.join(names)}." if names else "The recipe takes none."


def _is_free(source: Source, name: str) -> bool:
    """Return whether an image is read by the default loader, and no axis of a matrix sets it."""
    axes = source.data.get(MATRIX)
    setting = f"images.{name}"
    settings: list[str] = []
    for axis, held in axes.items() if isinstance(axes, dict) else ():
        choices = [*held.values()] if isinstance(held, dict) else held
        choices = choices if isinstance(choices, list) else []
        settings += [axis, *(key for each in choices if isinstance(each, dict) for key in each)]
    item: Any = source.data["images"][name]
    is_file = isinstance(item, dict) and item.get("use") == SLOTS["images"].default
    return is_file and not any(f"{each}.".startswith(f"{setting}.") for each in settings)


def is_pattern(file: str) -> bool:
    """Return whether an argument is a pattern, and not the name of a file that has such letters."""
    return bool(GLOB.search(file)) and not os.path.isfile(user_path(file))  # noqa: PTH113


def _with_image(source: Source, name: str, file: str) -> Source:
    where = f"image {name}={file}"
    if not file:
        got = "this is empty, but must be the path of a file."
        raise NstflowError(Problem(where, "", got), source.label)
    if flaw := flaw_of(file):
        raise NstflowError(Problem(where, "", f"this path has {flaw}."), source.label)
    expanded = user_path(file)
    at, start = Position(where), Path.cwd()
    item = source.data["images"][name]
    is_file = isinstance(item, dict) and item.get("use") == SLOTS["images"].default
    path = ("images", name, *(("path",) if is_file else ()))
    if os.path.isdir(expanded):  # noqa: PTH112 - it never raises
        values: Any = sorted(
            os.path.join(file, each.name)  # noqa: PTH118 - as it was typed
            for each in expanded.iterdir()
            if each.suffix.lower() in SUFFIXES and each.is_file() and not flaw_of(each.name)
        )
        if not values:
            got, hint = "there is no image in this folder.", f"Looked for {', '.join(SUFFIXES)}."
            raise NstflowError(Problem(where, "", got, hint), source.label)
    elif is_pattern(file):
        values = file
    else:
        return source.with_value(path, file, at, start)
    return source.with_value((MATRIX, format_path(path)), values, at, start)
