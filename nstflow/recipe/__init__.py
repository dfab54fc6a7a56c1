"""What was written: from a file to a `Recipe`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.plugins import Plugins
from nstflow.recipe.draft import blocked_names, draft, with_canvas_size, with_defaults
from nstflow.recipe.overrides import override
from nstflow.recipe.source import read_source

if TYPE_CHECKING:
    from nstflow.recipe.draft import Draft
    from nstflow.recipe.schema import Recipe
    from nstflow.recipe.source import Source

__all__ = ["draft_of", "load_recipe", "read_draft"]


def load_recipe(
    path: str | Path, overrides: Sequence[str] = (), *, block: Collection[str] = ()
) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file. Relative paths in it start at its folder.
        overrides: `PATH=VALUE` each, such as `losses.style.weight=0.3`.
        block: Plugins or distributions to leave out, beside those that the recipe blocks.

    Raises:
        NstflowError: With every problem that the text has. Files that it names are looked at by
            `make_plan`.
    """
    return read_draft(path, overrides, block=block).whole()


def read_draft(
    path: str | Path, overrides: Sequence[str] = (), *, block: Collection[str] = ()
) -> Draft:
    """Read a recipe file as far as possible; what is wrong is in the draft's `problems`.

    Raises:
        NstflowError: The text is no YAML, or an override can't be applied.
    """
    path = Path(path)
    return draft_of(read_source(path), path.absolute().parent, overrides, block=block)


def draft_of(
    source: Source, folder: Path, overrides: Sequence[str] = (), *, block: Collection[str] = ()
) -> Draft:
    """Read what was written, wherever it came from; relative paths in it start at `folder`.

    Raises:
        NstflowError: An override can't be applied.
    """
    source = source.with_data(with_defaults(source.data))
    source = override(source, overrides)
    source = source.with_data(with_canvas_size(with_defaults(source.data)))
    named = [name for name in blocked_names(source.data) if isinstance(name, str)]
    return draft(source, Plugins({*block, *named}), folder)
