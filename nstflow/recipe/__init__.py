"""What was written: from a file to a `Recipe`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.errors import NstflowError, Problem
from nstflow.plugin_files import PluginFile
from nstflow.plugins import Plugins
from nstflow.recipe.axes import MATRIX
from nstflow.recipe.defaults import with_canvas_size, with_defaults
from nstflow.recipe.draft import blocked_names, draft
from nstflow.recipe.matrix import cells_of
from nstflow.recipe.overrides import override
from nstflow.recipe.source import read_source

if TYPE_CHECKING:
    from nstflow.recipe.draft import Draft
    from nstflow.recipe.matrix import Cell
    from nstflow.recipe.schema import Recipe
    from nstflow.recipe.source import Source

__all__ = ["draft_of", "load_recipe", "read_cells", "read_draft"]


def load_recipe(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file. Relative paths in it start at its folder.
        overrides: `PATH=VALUE` each, such as `losses.style.weight=0.3`.
        block: Plugins or distributions to leave out, beside those that the recipe blocks.
        plugins: Files that are plugins, from `read_plugin`.

    Raises:
        NstflowError: With every problem that the text has. Files that it names are looked at by
            `make_plan`.
    """
    return read_draft(path, overrides, block=block, plugins=plugins).whole()


def read_draft(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Draft:
    """Read a recipe file as far as possible; what is wrong is in the draft's `problems`.

    Raises:
        NstflowError: The text is no YAML, or an override can't be applied.
    """
    path = Path(path)
    source, folder = read_source(path), path.absolute().parent
    return draft_of(source, folder, overrides, block=block, plugins=plugins)


def draft_of(
    source: Source,
    folder: Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> Draft:
    """Read what was written, wherever it came from; relative paths in it start at `folder`.

    Raises:
        NstflowError: An override can't be applied, or the recipe has a matrix.
    """
    source = written_out(source, overrides)
    if source.data.get(MATRIX) is not None:
        got = "this recipe is many runs, and one is asked for."
        hint = "`nstflow run` makes them all; run the recipe.yaml of one in its directory."
        raise NstflowError(Problem(source.where((MATRIX,), key=True), MATRIX, got, hint))
    return _draft(source, folder, block, plugins)


def read_cells(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    block: Collection[str] = (),
    plugins: Sequence[PluginFile] = (),
) -> list[tuple[Cell, Draft]] | None:
    """Read every run of a recipe with a matrix; None where it has none.

    Raises:
        NstflowError: The text is no YAML, an override can't be applied, or the matrix is wrong.
    """
    source, folder = written_out(read_source(path), overrides), path.absolute().parent
    if source.data.get(MATRIX) is None:
        return None
    if source.data.get("lock") is not None:
        place, got = source.where((MATRIX,), key=True), "a lock is of a single run."
        raise NstflowError(Problem(place, MATRIX, got, "Leave one of them out."))
    cells = cells_of(source, folder)
    return [(cell, _draft(cell.source, folder, block, plugins)) for cell in cells]


def written_out(source: Source, overrides: Sequence[str]) -> Source:
    """Return the source with its short forms written out and its overrides applied."""
    return override(source.with_data(with_defaults(source.data)), overrides)


def _draft(
    source: Source, folder: Path, block: Collection[str], plugins: Sequence[PluginFile]
) -> Draft:
    source = source.with_data(with_canvas_size(with_defaults(source.data)))
    named = [name for name in blocked_names(source.data) if isinstance(name, str)]
    return draft(source, Plugins({*block, *named}, plugins), folder)
