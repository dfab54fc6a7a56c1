"""`--set PATH=VALUE`: any field of a recipe, from the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, flaw_of, suggest
from nstflow.recipe.model import COMMAND_OPTIONS
from nstflow.recipe.paths import MATRIX
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import Position, parse_yaml


def with_options(source: Source, options: Mapping[str, str | None]) -> Source:
    """Return the source with values for options that it names: option → value, as YAML.

    Raises:
        NstflowError: The recipe has no such option, or a value is missing or not YAML.
    """
    named = source.data.get("options")
    known = named if isinstance(named, dict) else {}
    problems = []
    for name, text in options.items():
        label = f"--{name}"
        if name not in known:
            there_are = f"This recipe has: {', '.join(f'--{each}' for each in known)}."
            if not known:
                there_are = "This recipe names no options; --set changes any setting."
            near = suggest(label, [f"--{each}" for each in (*known, *COMMAND_OPTIONS)])
            hint = f"{near} {there_are}".strip()
            problems.append(Problem(label, "", "there is no such option.", hint))
        elif text is None:
            problems.append(Problem(label, "", "a value is missing.", f"Write {label} VALUE."))
        else:
            source, found = _put(source, name, text, label, Position(label))
            problems += found
    if problems:
        raise NstflowError(problems)
    return source


def override(source: Source, settings: Sequence[str]) -> Source:
    """Return the source with each `PATH=VALUE` put in place, as if it were written there.

    A path has dots between its keys; items of a list go by their index, from 0, and the index
    after the last adds one; an axis is `matrix.` and the setting. A path can also be the name of
    one of the recipe's options. Values are YAML: `512`, `avg`, `[block1_conv1]`, `{use: tv}`.
    Files in them start at the working directory.

    Raises:
        NstflowError: A setting has no `=`, a value is not YAML, or a path leads nowhere.
    """
    problems = []
    for setting in settings:
        label = f"--set {setting}"
        path, equals, text = setting.partition("=")
        path = path.strip()
        if not equals or not path:
            hint = "Write --set losses.style.weight=0.3, for example."
            problems.append(Problem(label, "", "this is not PATH=VALUE.", hint))
            continue
        source, found = _put(source, path, text, label, Position(f"--set {path}"))
        problems += found
    if problems:
        raise NstflowError(problems)
    return source


def _put(
    source: Source, path: str, text: str, label: str, at: Position
) -> tuple[Source, list[Problem]]:
    """Return the source with a value at a path, or at those that an option stands for."""
    try:
        value = parse_yaml(text, label, controls=False)[0]
        if flaw := flaw_of(path):
            raise LookupError(f"this path has {flaw}.")
        options = source.data.get("options")
        paths = options.get(path, path) if isinstance(options, dict) else path
        for full in paths if isinstance(paths, list) else [paths]:
            source = source.with_value(_split(source.data, str(full)), value, at, Path.cwd())
    except NstflowError as error:  # its line and column are those of the value alone
        return source, [replace(problem, where=label) for problem in error.problems]
    except LookupError as error:
        return source, [Problem(label, "", str(error.args[0]))]
    return source, []


def _split(data: Any, path: str) -> list[str]:
    """Return the keys of a path; an axis of the matrix is one key, whatever dots are in it."""
    first, _, rest = path.partition(".")
    if first == MATRIX and rest and isinstance(data, dict):
        axes = data.get(MATRIX)
        if rest.partition(".")[0] not in (axes if isinstance(axes, dict) else ()):
            return [MATRIX, rest]
    return path.split(".")
