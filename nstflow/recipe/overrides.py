"""`--set PATH=VALUE`: any field of a recipe, from the command line."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem, flaw_of
from nstflow.recipe.paths import MATRIX
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import Position, parse_yaml


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
        try:
            value = parse_yaml(text, label, controls=False)[0]
            if flaw := flaw_of(path):
                raise LookupError(f"this path has {flaw}.")
            options = source.data.get("options")
            paths = options.get(path, path) if isinstance(options, dict) else path
            for full in paths if isinstance(paths, list) else [paths]:
                keys, at = _split(source.data, str(full)), Position(f"--set {path}")
                source = source.with_value(keys, value, at, Path.cwd())
        except NstflowError as error:  # its line and column are those of the value alone
            problems += [replace(problem, where=label) for problem in error.problems]
        except LookupError as error:
            problems.append(Problem(label, "", str(error.args[0])))
    if problems:
        raise NstflowError(problems)
    return source


def _split(data: Any, path: str) -> list[str]:
    """Return the keys of a path; an axis of the matrix is one key, whatever dots are in it."""
    first, _, rest = path.partition(".")
    if first == MATRIX and rest and isinstance(data, dict):
        axes = data.get(MATRIX)
        if rest.partition(".")[0] not in (axes if isinstance(axes, dict) else ()):
            return [MATRIX, rest]
    return path.split(".")
