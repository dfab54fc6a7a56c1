"""Recipes that have a name: those that ship with nstflow, and those that plugins offer."""

from pathlib import Path

from nstflow.errors import NstflowError, Problem, suggest
from nstflow.plugins.manager import BUILTIN, Plugins
from nstflow.storage.run_record import LOCK_FILE


def find_recipe(recipe: str | Path, plugins: Plugins | None = None) -> Path:
    """Return the file at a path or, if no file is there, the recipe of that name.

    A recipe of nstflow comes before one of the same name that a plugin offers.

    Args:
        recipe: A path, or a name such as `quickstart`.
        plugins: The plugins whose recipes have names; by default all that are installed.

    Raises:
        NstflowError: There is no such file or name, or two plugins offer the name.
    """
    path = Path(recipe)
    if path.exists() and not path.is_dir():
        return path
    offers = (plugins or Plugins()).recipes
    named = [offer for offer in offers if Path(offer.name) == path]
    if named and (len(named) == 1 or named[0].plugin == BUILTIN):
        return named[0].path
    if named:
        both = " and ".join(offer.title for offer in named)
        files = " or ".join(str(offer.path) for offer in named)
        raise _error(path, f"a recipe of this name is offered by {both}.", f"Name a file: {files}.")
    if path.is_dir():
        hint = "Name one recipe file in it."
        if (path / LOCK_FILE).is_file():
            hint = f"Name the lock in it: {path / LOCK_FILE}"
        raise _error(path, "this is a folder.", hint)
    hint = suggest(path.name, sorted(each.name for each in path.parent.glob("*")))
    hint = hint or suggest(path.stem, (offer.name for offer in offers))
    if not path.suffix and len(path.parts) == 1:
        hint = f"{hint} `nstflow recipes` lists the recipes that have a name.".strip()
    raise _error(path, "there is no such file.", hint)


def _error(path: Path, got: str, hint: str) -> NstflowError:
    return NstflowError(Problem(str(path), "", got, hint), str(path))
