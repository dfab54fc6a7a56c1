"""Copying a recipe to edit it: its text as it is, the files that it names, and the schema."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from nstflow.errors import NstflowError, Problem
from nstflow.plugins.manager import Plugins
from nstflow.recipe.json_schema import json_schema
from nstflow.recipe.model import Recipe
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, read
from nstflow.recipe.shipped import find_recipe
from nstflow.storage.files import write_file

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
    target = target or Path()
    if target.is_dir():
        target /= path.name
    if target.suffix not in (".yaml", ".yml"):
        hint = "Name a file that ends with .yaml, or a folder that exists."
        raise NstflowError(Problem(str(target), "", "this is not the name of a recipe.", hint))
    files = {target.parent / place: data for place, data in _named_files(path, recipes).items()}
    if SCHEMA_FILE in recipes[0].source.text:
        schema = json_schema(recipes[0].installed.catalog)
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        files[target.parent / SCHEMA_FILE] = f"{text}\n".encode()
    files[target] = path.read_bytes()
    new = {file: not (file.is_file() and file.read_bytes() == files[file]) for file in files}
    _check_places([file for file in files if new[file]], overwrite=overwrite)
    for file in [file for file in files if new[file]]:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, files[file])
    return new


def _named_files(path: Path, recipes: Iterable[Recipe]) -> dict[Path, bytes]:
    """Return the files that the runs of a recipe name: path from its folder → bytes."""
    problems: dict[Problem, None] = {}
    files: dict[Path, bytes] = {}
    folder = path.absolute().parent
    for setting, file in (item for each in recipes for item in each.origin.files().items()):
        if not file.is_relative_to(folder):
            continue  # an absolute path, which is right in the copy, too
        place = Path(os.path.normpath(file.relative_to(folder)))
        if place.parts[:1] == (os.pardir,):
            got = f"'{place}' is not below the recipe's folder: a copy would not find it."
            problems[Problem(str(path), setting, got, "Copy both by hand.")] = None
            continue
        try:
            files[place] = file.read_bytes()
        except OSError as error:
            got = f"'{file}' can't be read ({error.strerror or error})."
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
