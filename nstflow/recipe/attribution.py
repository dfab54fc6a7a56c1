"""Where a recipe came from, so that errors of its stages name their place and their package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstflow.errors import FETCH, SINGLE_QUOTES, NstflowError, Problem, is_address
from nstflow.plugins.manager import BUILTIN, Plugins
from nstflow.recipe.paths import Keys, format_path
from nstflow.recipe.source import Source
from nstflow.stages.loss import LossTerm
from nstflow.stages.stage import LAYER, Extractor, Stage

if TYPE_CHECKING:
    from nstflow.recipe.matrix import Cell

_NOTE = "Raised in"

_ESCAPED = "\t\n\xa0\u2028\u2029"
"""What YAML's escapes such as \\t, \\_, \\L and \\P stand for, and no path has."""


@dataclass(frozen=True)
class Origin:
    """Where a recipe came from.

    Attributes:
        source: What was written, with its defaults.
        installed: The plugins that it was read with.
        stages: Path → stage, of those that are valid by themselves, in the order of the slots.
        cell: The run of a matrix that it is, if it is one.
    """

    source: Source
    installed: Plugins
    stages: Mapping[Keys, Stage]
    cell: Cell | None = None

    def files(self) -> dict[str, Path]:
        """Return the files that stages name: setting, as `images.content.path` → where it is."""
        files: dict[str, Path] = {}
        folder = self.source.folder_of()
        for keys in self.stages:
            with self.asking(*keys) as stage:
                named = stage.files(folder)
                files |= {format_path((*keys, setting)): file for setting, file in named.items()}
        return files

    @contextlib.contextmanager
    def asking(self, *keys: str | int, into: list[Problem] | None = None) -> Iterator[Any]:
        """Yield the stage at a path, to call its methods: errors get its place and its package.

        Args:
            keys: The stage's path.
            into: Collects the problems instead of raising them.

        Raises:
            NstflowError: The stage's own, with its place.
        """
        stage = self.stages[keys]
        try:
            yield stage
        except NstflowError as error:
            placed = [self._placed(problem, keys, stage) for problem in error.problems]
            placed.sort(key=lambda problem: problem.order)
            if into is None:
                raise NstflowError(placed, self.source.label) from error
            into += placed
        except (Exception, SystemExit) as error:
            raised = error
            if isinstance(error, SystemExit):  # it would end the command without an error
                raised = RuntimeError(f"it asked Python to exit ({error})")
            if not any(note.startswith(_NOTE) for note in getattr(raised, "__notes__", ())):
                offer = self.installed.catalog.offer_of(stage)
                provided = f", provided by {offer.title}" if offer else ""
                # the innermost stage is the one
                raised.add_note(f"{_NOTE} {format_path(keys)} (use: {stage.use}){provided}.")
            if raised is error:
                raise
            raise raised from error

    def _placed(self, problem: Problem, keys: Keys, stage: Stage) -> Problem:
        if problem.where:
            return problem
        offer = self.installed.catalog.offer_of(stage)
        hint = problem.hint
        if offer is not None and offer.plugin != BUILTIN:
            hint = f"{hint} '{offer.name}' is provided by {offer.title}.".strip()
        if isinstance(stage, Extractor) and problem.what.startswith(LAYER):
            at = self._place_of_layer(problem.what.removeprefix(LAYER))
            return self.source.problem(at, problem.got, hint, key=True)
        path = (*keys, problem.what) if problem.what else keys
        written = getattr(stage, problem.what, None)
        if isinstance(written, str | Path) and is_address(written):
            return self.source.problem(path, "this is a web address, not a path.", FETCH)
        if isinstance(written, Path) and any(each in str(written) for each in _ESCAPED):
            hint = SINGLE_QUOTES  # "C:\temp" has a tab in it, "D:\Photos" a paragraph's end
        return self.source.problem(path, problem.got, hint)

    def _place_of_layer(self, layer: str) -> Keys:
        """Return where the recipe names a layer first."""
        for keys, stage in self.stages.items():
            lists: dict[Keys, Any] = {}
            if isinstance(stage, Extractor):
                lists = {(*keys, "layers", group): named for group, named in stage.layers.items()}
            elif isinstance(stage, LossTerm) and not isinstance(stage.layers, str):
                lists = {(*keys, "layers"): stage.layers}
            for path, named in lists.items():
                if layer in named:
                    return (*path, layer if isinstance(named, dict) else named.index(layer))
        return ("extractor", "layers")


def check_type(value: Any, kind: type, call: str) -> Any:
    """Return what a stage's method returned, or raise a `TypeError` that names the method."""
    if not isinstance(value, kind):
        raise TypeError(f"its {call} should give {kind.__name__}, but gave {value!r:.200}")
    return value
