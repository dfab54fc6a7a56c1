"""Recipes in layers: one that `extends` another, and files that change it (`--with`)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, describe_value
from nstflow.plugins.manager import Plugins
from nstflow.recipe.attribution import Origin
from nstflow.recipe.model import with_defaults
from nstflow.recipe.paths import MATRIX, Keys, relative, with_value
from nstflow.recipe.source import Source, read_source
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Stage
from nstflow.storage.files import user_path

EXTENDS = "extends"

MOST_LAYERS = 32

_ENTRIES: tuple[Keys, ...] = (("images",), ("losses",), ("extractor", "layers"), (MATRIX,))
"""The mappings from which `null` removes an entry."""


def with_layers(
    source: Source, layers: Sequence[str] = (), installed: Callable[[], Plugins] = Plugins
) -> Source:
    """Return a recipe merged over what it extends, and then the layers over it.

    Short forms and the default `use` are written out first. Mappings are merged key by key. Lists,
    and a stage whose `use` differs, are replaced. `null` removes an entry of `images`, `losses`,
    `extractor.layers` or `matrix`, and elsewhere it is the value. The name is always the recipe's.

    Args:
        source: The recipe.
        layers: The files over it, the last of which counts most; or names of recipes.
        installed: Finds the plugins, which may offer recipes.

    Raises:
        NstflowError: One can't be read, or a recipe extends itself.
    """
    merged = _extended(source, (), installed)
    for layer in layers:
        over = _extended(read_source(Path(layer), installed), (), installed)
        merged = _merged(merged, _without(over, "name", "summary"))
    return merged


def _extended(source: Source, below: tuple[Path, ...], installed: Callable[[], Plugins]) -> Source:
    """Return a recipe merged over what it extends; `below` are the files that extend it."""
    source = replace(source, data=with_defaults(source.data, {}))
    base = source.data.get(EXTENDS)
    if base is None:
        return _without(source, EXTENDS)
    if not isinstance(base, str) or not base:
        got = f"this must be the name or the path of a recipe, but is {describe_value(base)}."
        raise source.error((EXTENDS,), got)
    if source.data.get("lock") is not None:
        raise source.error((EXTENDS,), "a lockfile can't extend a recipe.", "Remove this line.")
    path = Path(source.label).parent / user_path(base)
    try:
        found = read_source(path if path.exists() else Path(base), installed)
    except NstflowError as error:
        problems = [source.problem((EXTENDS,), each.got, each.hint) for each in error.problems]
        is_missing = not Path(error.problems[0].where).is_file()
        raise (NstflowError(problems, source.label) if is_missing else error) from error
    file = Path(found.label).resolve()
    if file in below or len(below) > MOST_LAYERS:
        raise source.error((EXTENDS,), "this recipe extends itself.", "Extend another one.")
    lower = _extended(found, (*below, Path(source.label).resolve(), file), installed)
    if lower.data.get("lock") is not None:
        raise source.error((EXTENDS,), "a lockfile can't be extended.", "Extend its recipe.")
    return _merged(_without(lower, "name"), _without(source, EXTENDS))


def _without(source: Source, *names: str) -> Source:
    """Return a source without some keys."""
    kept = {key: value for key, value in source.data.items() if key not in names}
    return replace(source, data=kept)


def _merged(base: Source, over: Source) -> Source:
    """Return a source with all that another one writes put over it."""
    data, positions, folders = dict(base.data), dict(base.positions), dict(base.folders)

    def put(into: dict[str, Any], written: dict[str, Any], above: Keys) -> None:
        for key, value in written.items():
            keys = (*above, key)
            held = into.get(key)
            lower = held if isinstance(held, dict) and isinstance(value, dict) else None
            if lower and _is_stage(keys) and value.get("use", lower.get("use")) != lower.get("use"):
                lower = None
            if lower is None:
                for places in (positions, folders):
                    for old in [old for old in places if old[: len(keys)] == keys]:
                        del places[old]
            if value is None and above in _ENTRIES:
                into.pop(key, None)
            elif lower is not None:
                into[key] = dict(lower)
                put(into[key], value, keys)
            else:
                into[key] = value
                below = [each for each in over.positions if each[: len(keys)] == keys]
                positions.update({each: over.positions[each] for each in below})
                folders[keys] = over.folder_of(keys)
                folders.update(
                    {each: at for each, at in over.folders.items() if each[: len(keys)] == keys}
                )

    put(data, over.data, ())
    # relative paths start at the recipe itself, the layer with the name, unless written elsewhere
    top = over if over.data.get("name") is not None else base
    for key in base.data:
        folders.setdefault((key,), base.folder_of((key,)))
    folders[()] = top.folder_of()
    return replace(
        top,
        data=data,
        positions={**positions, (): top.positions[()]},
        folders=folders,
        files=tuple(dict.fromkeys((*base.files, *over.files))),
    )


def _is_stage(keys: Keys) -> bool:
    """Return whether a path is that of a stage."""
    slot = SLOTS.get(str(keys[0]))
    return slot is not None and len(keys) == (1 if slot.holds == "one" else 2)


def rebased(source: Source, installed: Plugins, keys: Keys, stage: Stage) -> Source:
    """Return a source whose stage at `keys` names its files from the recipe's folder.

    Args:
        source: What was written.
        installed: The plugins.
        keys: The path of the stage.
        stage: The stage as it was written: its paths may start at the folder of another file.

    Raises:
        NstflowError: The stage's own, when it is asked for its files.
    """
    start = source.folder_of()
    with Origin(source, installed, {keys: stage}).asking(*keys):
        for setting in stage.files(start):
            _, path = with_value(source.data, (*keys, *setting.split(".")), None)
            folder = source.folder_of(path)
            if folder != start:
                file = stage.files(folder)[setting]
                source = source.with_value(
                    path, relative(file, start), source.position(path), start
                )
    return source
