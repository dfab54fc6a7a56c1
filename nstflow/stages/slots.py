"""The slots: which kind of stage fills each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nstflow.stages import stage as stages
from nstflow.stages.loss import LossTerm
from nstflow.stages.stage import Stage


@dataclass(frozen=True)
class Slot:
    """A part of a recipe that one kind of stage fills.

    Attributes:
        name: The recipe's key, or the command line's option.
        noun: A word for one of its stages, for messages.
        base: The base class of its stages.
        holds: One stage, a list of stages, or a mapping of names to stages.
        default: The value of `use` if a recipe leaves it out; None if it is required.
    """

    name: str
    noun: str
    base: type[Stage]
    holds: Literal["one", "list", "mapping"]
    default: str | None = None

    def items(self, held: Any) -> dict[tuple[str | int, ...], Any]:
        """Return path → item of what the slot holds in a recipe's data; empty if that is wrong."""
        if self.holds == "one":
            return {(self.name,): held}
        if self.holds == "mapping" and isinstance(held, dict):
            return {(self.name, name): item for name, item in held.items()}
        if self.holds == "list" and isinstance(held, list):
            return {(self.name, index): item for index, item in enumerate(held)}
        return {}


SLOTS: Mapping[str, Slot] = {
    slot.name: slot
    for slot in (
        Slot("images", "loader", stages.Loader, "mapping", default="file"),
        Slot("preprocess", "preprocessor", stages.Preprocessor, "list"),
        Slot("extractor", "extractor", stages.Extractor, "one", default="vgg19"),
        Slot("start", "start", stages.Start, "one", default="image"),
        Slot("losses", "loss", LossTerm, "mapping"),
        Slot("optimizer", "optimizer", stages.Optimizer, "one", default="adam"),
        Slot("schedule", "schedule", stages.Schedule, "one", default="epochs"),
        Slot("postprocess", "postprocessor", stages.Postprocessor, "list"),
        Slot("outputs", "output", stages.Output, "list"),
    )
}
"""The slots of a recipe, in their order."""

EXECUTOR = Slot("executor", "executor", stages.Executor, "one", default="serial")
"""Where the runs of a matrix are made. Not part of a recipe, as it does not change a picture."""

ALL_SLOTS: Mapping[str, Slot] = {**SLOTS, EXECUTOR.name: EXECUTOR}


def slot_of(stage: type[Stage]) -> Slot | None:
    """Return the slot that a stage class fills, or None if it derives from no slot's base."""
    return next((slot for slot in ALL_SLOTS.values() if issubclass(stage, slot.base)), None)
