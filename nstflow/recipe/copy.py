"""Copying a recipe to edit it: its text as it is, the files that it names, and the schema."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from nstflow.errors import NstflowError, Problem
from nstflow.plugins.manager import Plugins
from nstflow.recipe.json_schema import json_schema
from nstflow.recipe.model import Recipe
from nstflow.recipe.paths import parse_path
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, read
from nstflow.recipe.shipped import find_recipe
from nstflow.storage.files import check_regular, user_path, write_file

SCHEMA_FILE = "nstflow.schema.json"


def copy_recipe(
    recipe: str | Path,
    target: Path | None = None,
    options: ReadOptions = NO_OPTIONS,
    *,
    overwrite: bool = False,
) -> dict[Path, bool]:
    """Copy a recipe, so that it can be run and edited where the copy is.

    The files that it names keep their places beside it. A file that is there already with the same
    bytes stays.

    Args:
        recipe: The YAML file or the name of a recipe.
        target: The new file, or its folder; by default `NAME.yaml` in the working directory.
        options: What else decides how the recipe is read.
        overwrite: Replace files that are there.

    Returns:
        File → whether it was written, or was there already; the recipe is the last one.

    Raises:
        NstflowError: The recipe is not valid, it names a file that is not below its folder, or a
            file is in the way.
    """
    path = find_recipe(recipe, Plugins(options.block, options.plugins))
    recipes = [draft.recipe_or_raise() for draft in read(path, options)]
    target = user_path(target or Path())
    if target.is_dir():
        target /= path.name
    if target.suffix not in (".yaml", ".yml"):
        hint = "Name a file that ends with .yaml, or a folder that exists."
        raise NstflowError(Problem(str(target), "", "this is not the name of a recipe.", hint))
    named = {**_layers(path, recipes[0]), **_named_files(path, recipes)}
    files = {target.parent / place: data for place, data in named.items()}
    if SCHEMA_FILE in recipes[0].source.text:
        schema = json_schema(recipes[0].installed.catalog)
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        files[target.parent / SCHEMA_FILE] = f"{text}\n".encode()
    if target in files:
        got = "this is the name of a file of the recipe, too."
        raise NstflowError(Problem(str(target), "", got, "Name another file."))
    files[target] = path.read_bytes()
    new = {file: not (file.is_file() and file.read_bytes() == files[file]) for file in files}
    _check_places([file for file in files if new[file]], overwrite=overwrite)
    for file in [file for file in files if new[file]]:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, files[file])
        except OSError as error:
            got = f"it can't be written ({error.strerror or error})."
            raise NstflowError(Problem(str(file), "", got, "Name another folder.")) from error
    return new


def _layers(path: Path, recipe: Recipe) -> dict[Path, bytes]:
    """Return the recipes that a recipe extends by their paths: path from its folder → bytes."""
    folder = path.absolute().parent
    names = {offer.path.absolute() for offer in recipe.installed.recipes}
    files = {}
    for file in (Path(label).absolute() for label in recipe.source.files):
        place = Path(os.path.relpath(file, folder))
        if place.parts[:1] == (os.pardir,) and file not in names:
            got = f"it extends '{place}', which is not below its folder: a copy would not find it."
            raise NstflowError(Problem(str(path), "extends", got, "Copy both by hand."))
        if place.parts[:1] != (os.pardir,) and file != path.absolute():
            files[place] = file.read_bytes()
    return files


def _named_files(path: Path, recipes: Iterable[Recipe]) -> dict[Path, bytes]:
    """Return the files that the runs of a recipe name: path from its folder → bytes."""
    problems: dict[Problem, None] = {}
    files: dict[Path, bytes] = {}
    folder = path.absolute().parent
    for recipe, setting, file in (
        (each, setting, file) for each in recipes for setting, file in each.origin.files().items()
    ):
        writer = Path(recipe.source.position(parse_path(setting)).file)
        if not file.is_relative_to(folder) or not writer.absolute().is_relative_to(folder):
            continue  # an absolute path, or one of a recipe that is found by its name
        place = Path(os.path.normpath(file.relative_to(folder)))
        if place.parts[:1] == (os.pardir,):
            got = f"'{place}' is not below the recipe's folder: a copy would not find it."
            problems[Problem(str(path), setting, got, "Copy both by hand.")] = None
            continue
        try:
            files[place] = check_regular(file).read_bytes()
        except (OSError, ValueError) as error:
            got = f"'{file}' can't be read ({getattr(error, 'strerror', None) or error})."
            problems[Problem(str(path), setting, got)] = None
    if problems:
        raise NstflowError([*problems])
    return files


def _check_places(files: Iterable[Path], *, overwrite: bool) -> None:
    """Check that files may be written."""
    problems = []
    for file in files:
        if file.is_dir():
            problems.append(Problem(str(file), "", "this is a folder.", "Name another file."))
        elif os.path.lexists(file) and not overwrite:
            got = "this file is there already, with other contents."
            hint = "Name another file, or replace it with --overwrite."
            problems.append(Problem(str(file), "", got, hint))
    if problems:
        raise NstflowError(problems)
