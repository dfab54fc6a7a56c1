"""`--set PATH=VALUE`: any field of a recipe, from the command line."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.recipe.matrix import MATRIX
from nstflow.recipe.paths import Keys, set_path
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import flaw_of, parse_yaml


def override(source: Source, settings: Sequence[str]) -> Source:
    """Return the source with each `PATH=VALUE` put in place, as if it were written there.

    A path has dots between its keys; items of a list go by their index, from 0, and the index
    after the last adds one; an axis is `matrix.` and the setting. Values are YAML: `512`, `avg`,
    `[block1_conv1]`, `{use: tv}`.

    Raises:
        NstflowError: A setting has no `=`, a value is no YAML, or a path leads nowhere.
    """
    data = copy.deepcopy(source.data)
    options: dict[Keys, str] = {}
    problems = []
    for setting in settings:
        label = f"--set {setting}"
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            hint = "Write --set losses.style.weight=0.3, for example."
            problems.append(Problem(label, "", "this is not PATH=VALUE.", hint))
            continue
        try:
            value = parse_yaml(text, label, controls=False)[0]
            if flaw := flaw_of(path):
                raise LookupError(f"this path has {flaw}.")
            keys = set_path(data, _split(data, path.strip()), value)
        except NstflowError as error:  # a line and column of its own value help nobody
            problems += [replace(problem, where=label) for problem in error.problems]
        except LookupError as error:
            problems.append(Problem(label, path, str(error.args[0])))
        else:
            # what was put below a path before is gone
            options = {old: text for old, text in options.items() if old[: len(keys)] != keys}
            options[keys] = f"--set {path.strip()}"
    if problems:
        raise NstflowError(problems)
    return source.with_data(data, options)


def _split(data: Any, path: str) -> list[str]:
    """Return the keys of a path; an axis of the matrix is one key, whatever dots are in it."""
    first, _, rest = path.partition(".")
    if first == MATRIX and rest and isinstance(data, dict):
        axes = data.get(MATRIX)
        if rest.partition(".")[0] not in (axes if isinstance(axes, dict) else ()):
            return [MATRIX, rest]
    return path.split(".")
