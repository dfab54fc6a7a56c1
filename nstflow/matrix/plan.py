"""Planning all runs of a recipe with a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nstflow.plan import Plan, make_plans
from nstflow.recipe.matrix import Cell
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, read
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import image_refs
from nstflow.stages.types import Asset


@dataclass(frozen=True)
class Matrix:
    """The runs of a recipe with a matrix, planned.

    Attributes:
        cells: The name and the values of each run.
        plans: The plan of each run, in the same order.
    """

    cells: Sequence[Cell] = field(repr=False)
    plans: Sequence[Plan] = field(repr=False)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.plans[0].recipe.name

    @property
    def summary(self) -> str:
        """The recipe's summary."""
        return self.plans[0].recipe.summary

    @property
    def assets(self) -> Sequence[Asset]:
        """The other files that the runs need, each once."""
        return list({asset.name: asset for plan in self.plans for asset in plan.assets}.values())

    def __len__(self) -> int:
        return len(self.cells)


def plan_recipe(path: str | Path, options: ReadOptions = NO_OPTIONS) -> Plan | Matrix:
    """Read and plan a recipe, or every run of one with a matrix.

    Raises:
        NstflowError: With all problems of all runs; a problem of several runs is reported once.
    """
    drafts = read(path, options)
    plans = make_plans(drafts)
    cells = [draft.origin.cell for draft in drafts if draft.origin.cell is not None]
    return Matrix(cells, plans) if cells else plans[0]


def unused_images(planned: Plan | Matrix) -> list[str]:
    """Return a sentence, with its place, for each image that no stage of any run uses.

    To prepare an image is not to use it. A run from a lockfile has none: it was said before.
    """
    plans = planned.plans if isinstance(planned, Matrix) else [planned]
    first = plans[0].recipe
    used = {
        image
        for plan in plans
        for slot in SLOTS.values()
        for stage in slot.items(getattr(plan.recipe, slot.name)).values()
        for image, setting in image_refs(stage).items()
        if setting != "only"
    }
    return [
        f"{first.source.position(('images', name), key=True)}: no stage uses the image '{name}'"
        for name in plans[0].sources
        if name not in used and first.lock is None
    ]
