"""Recipes that have a name: those that ship with nstflow, and those that plugins offer."""

from pathlib import Path

from nstflow.errors import FETCH, NstflowError, Problem, is_address, suggest
from nstflow.plugins.manager import BUILTIN, Plugins
from nstflow.storage.files import user_path
from nstflow.storage.run_record import LOCK_FILE


def find_recipe(recipe: str | Path, plugins: Plugins | None = None, *, layer: bool = False) -> Path:
    """Return the file at a path or, if no file is there, the recipe of that name.

    A recipe of nstflow comes before one of the same name that a plugin offers.

    Args:
        recipe: A path, or a name such as `quickstart`.
        plugins: The plugins whose recipes have names; by default all that are installed.
        layer: Look for a layer of this name first.

    Raises:
        NstflowError: There is no such file or name, or two plugins offer the name.
    """
    path = user_path(recipe)
    if path.exists() and not path.is_dir():
        return path
    plugins = plugins or Plugins()
    offers = [*plugins.layers, *plugins.recipes] if layer else plugins.recipes
    if named := named_recipe(path, plugins, layer=layer):
        return named
    if path.is_dir():
        hint = "Name one recipe file in it."
        if (path / LOCK_FILE).is_file():
            hint = f"Name the lock in it: {path / LOCK_FILE}"
        raise _error(path, "this is a folder.", hint)
    hint = suggest(path.name, sorted(each.name for each in path.parent.glob("*")))
    hint = hint or suggest(path.stem, (offer.name for offer in offers))
    if not layer and path in [Path(offer.name) for offer in plugins.layers]:
        hint = f"This is a layer, which changes a recipe: nstflow run RECIPE --with {path}"
    elif not path.suffix and len(path.parts) == 1:
        hint = f"{hint} `nstflow recipes` lists the recipes that have a name.".strip()
    if is_address(path):
        raise _error(path, "this is a web address, not a path.", FETCH)
    raise _error(path, "there is no such file.", hint)


def named_recipe(name: Path, plugins: Plugins, *, layer: bool = False) -> Path | None:
    """Return the file of the recipe, or first the layer, of this name; None if there is none.

    Raises:
        NstflowError: Two plugins offer the name.
    """
    named = [offer for offer in plugins.layers if layer and Path(offer.name) == name]
    named = named or [offer for offer in plugins.recipes if Path(offer.name) == name]
    if len(named) > 1 and named[0].plugin != BUILTIN:
        both = " and ".join(offer.title for offer in named)
        files = " or ".join(str(offer.path) for offer in named)
        raise _error(name, f"a recipe of this name is offered by {both}.", f"Name a file: {files}.")
    return named[0].path if named else None


def _error(path: Path, got: str, hint: str) -> NstflowError:
    return NstflowError(Problem(str(path), "", got, hint), str(path))
