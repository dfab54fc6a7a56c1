"""What `nstflow show` prints of a recipe: all of it, and where each value was written."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import getitem
from typing import Any

from rich.text import Text

from nstflow.cli.console.output import show_facts, show_line, show_next, show_title
from nstflow.errors import printable
from nstflow.lockfile.build import recipe_data
from nstflow.recipe.inputs import images_taken
from nstflow.recipe.model import Recipe, with_defaults
from nstflow.recipe.paths import Keys, option_paths, parse_path
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import to_yaml_line

_WIDEST = 72  # columns of a setting before its origin


def show_recipe(recipe: Recipe) -> None:
    """Print a recipe with every default, one setting a line, and behind each its origin.

    Of a matrix, it is the recipe of one run, whose name is printed first.
    """
    if recipe.origin.cell is not None:
        show_line((f"# {printable(recipe.origin.cell.name)}", "dim"))
    offers = recipe.installed
    names = {str(offer.path): offer.name for offer in (*offers.recipes, *offers.layers)}
    data = recipe_data(recipe, recipe.extractor)
    lines = []
    for line, origin in _lines(data, recipe.source, ()):
        file, _, number = origin.rpartition(":")
        lines.append((line, f"{names[file]}:{number}" if file in names else origin))
    width = min(max(len(line) for line, _ in lines), _WIDEST)
    for line, origin in lines:
        comment = f"{'':{max(0, width - len(line))}}  # {origin}" if origin else ""
        show_line(printable(line), (comment, "dim"))


def show_usage(name: str, source: Source, recipe: Recipe) -> None:
    """Print what a recipe takes on the command line: images, and options with their values.

    Args:
        name: What it is called on the command line.
        source: What was written, with its matrix.
        recipe: The recipe, or the first of its matrix.
    """
    source = replace(source, data=with_defaults(source.data))
    data: Any = recipe_data(recipe, recipe.extractor)
    show_title(str(data.get("name")), str(data.get("summary", "")))
    images = images_taken(source)
    rows: list[tuple[str, str | Text]] = [("images", ", ".join(images) or "none")]
    for option, held in recipe.options.items():
        paths = option_paths(held)
        values = [to_yaml_line(reduce(getitem, parse_path(path), data)) for path in paths]
        shown = " and ".join(dict.fromkeys(values))
        rows.append((f"--{option}", f"{shown}, which is {' and '.join(paths)}"))
    show_facts(rows)
    files = [f"{image}.jpg" for image in images]
    show_next("with your own images", shlex.join(["nstflow", "run", name, *files]))


def _lines(value: Any, source: Source, keys: Keys) -> Iterator[tuple[str, str]]:
    """Yield each line of a collection as YAML, and the origin of its value."""
    indent = "  " * len(keys)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        at = (*keys, key)
        if isinstance(value, list):  # of stages: each begins behind a dash
            (first, origin), *rest = _lines(item, source, at)
            yield f"{indent}- {first.lstrip()}", origin
            yield from rest
        elif (isinstance(item, dict) and item) or (isinstance(item, list) and _has_stages(item)):
            yield f"{indent}{to_yaml_line(key)}:", ""
            yield from _lines(item, source, at)
        else:
            yield f"{indent}{to_yaml_line(key)}: {to_yaml_line(item)}", _origin(source, at)


def _has_stages(items: list[Any]) -> bool:
    return any(isinstance(item, dict) for item in items)


def _origin(source: Source, keys: Keys) -> str:
    """Return the file and line of a value, or the option that wrote it."""
    try:
        reduce(getitem, keys, source.data)
    except (LookupError, TypeError):
        return "default"
    for length in range(len(keys), 0, -1):
        path = keys[:length]
        if path in source.positions:
            inside = any(other[:length] == path != other for other in source.positions)
            at = source.positions[path][1]
            if length < len(keys) and inside:
                break  # the mapping was written, but not this key of it
            return f"{at.file}:{at.line}" if at.line else at.file
    return "default"
