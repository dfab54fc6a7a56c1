"""Many runs from one recipe, planned together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan, plan_draft, plan_file
from nstflow.plugins.single_file import PluginFile
from nstflow.recipe.matrix import Cell
from nstflow.recipe.reader import read_cells
from nstflow.stages.types import Asset


@dataclass(frozen=True)
class Matrix:
    """The runs of a recipe with a matrix, planned.

    Attributes:
        name: The recipe's.
        summary: The recipe's.
        label: The recipe file, as it was given.
        cells: What each run is called, and what was put into it.
        plans: What each run will do, in the same order.
    """

    name: str
    summary: str
    label: str
    cells: Sequence[Cell] = field(repr=False)
    plans: Sequence[Plan] = field(repr=False)

    @property
    def assets(self) -> Sequence[Asset]:
        """What the runs need beside their own files, each once."""
        return list({asset.name: asset for plan in self.plans for asset in plan.assets}.values())

    def __len__(self) -> int:
        return len(self.cells)


def plan_matrix(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Matrix | None:
    """Read and plan every run of a recipe with a matrix; None for a recipe without one.

    Args:
        path: The YAML file.
        overrides: `PATH=VALUE` each, put into the recipe before the matrix's values.
        block: Plugins or distributions to leave out.
        plugins: Files that are plugins.

    Raises:
        NstflowError: With every problem of every run; one that several have is told once.
    """
    drafts = read_cells(Path(path), overrides, block=block, plugins=plugins)
    if drafts is None:
        return None
    plans: list[Plan] = []
    problems: list[Problem] = []
    for _, draft in drafts:
        try:
            plans.append(plan_draft(draft))
        except NstflowError as error:
            problems += error.problems
    if problems:
        raise NstflowError(list(dict.fromkeys(problems)), str(path))
    cells = [cell for cell, _ in drafts]
    recipe = plans[0].recipe
    return Matrix(recipe.name, recipe.summary, str(path), cells, plans)


def plan_any(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Plan | Matrix:
    """Plan a recipe, or every run of one with a matrix.

    Raises:
        NstflowError: With every problem found.
    """
    chosen: dict[str, Any] = {"block": block, "plugins": plugins}
    return plan_matrix(path, overrides, **chosen) or plan_file(path, overrides, **chosen)
