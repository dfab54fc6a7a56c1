"""Recipes in layers: one that `extends` another, and files that change it (`--with`)."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from nstflow.errors import FETCH, NstflowError, Problem, describe_value, is_address, suggest
from nstflow.plugins.manager import Plugins
from nstflow.recipe.attribution import Origin
from nstflow.recipe.model import DEFAULTS, with_defaults
from nstflow.recipe.paths import MATRIX, Keys, relative, with_value
from nstflow.recipe.shipped import named_recipe
from nstflow.recipe.source import Source, read_source
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Stage
from nstflow.storage.files import user_path

EXTENDS = "extends"
APPEND = "append"

T = TypeVar("T")

MOST_LAYERS = 32

_ENTRIES: tuple[Keys, ...] = (
    *(("images",), ("losses",), ("extractor", "layers"), (MATRIX,), ("options",)),
)
"""The mappings from which `null` removes an entry."""


def with_layers(
    source: Source, layers: Sequence[str] = (), installed: Callable[[], Plugins] = Plugins
) -> Source:
    """Return a recipe merged over what it extends, and then the layers over it.

    Short forms and the default `use` are written out first. Mappings are merged key by key. Lists,
    and a stage whose `use` differs, are replaced; `{append: [...]}` adds stages to a list. `null`
    removes an entry of `images`, `losses`, `extractor.layers` or `matrix`, and elsewhere it is the
    value. The name is always the recipe's.

    Args:
        source: The recipe.
        layers: Files over it, or names of recipes; the last one counts most.
        installed: Finds the plugins, which may offer recipes.

    Raises:
        NstflowError: One can't be read, a recipe extends itself, or a `null` removes nothing.
    """
    merged = _extended(source, (), installed)
    for layer in layers:
        if not layer:
            raise NstflowError(Problem("--with", "", "this is empty.", "Name a file."))
        over = _extended(read_source(Path(layer), installed, layer=True), (), installed)
        if over.data.get("lock") is not None:
            got = "a lockfile can't be a layer."
            raise over.error(("lock",), got, "Name its recipe.", key=True)
        merged = _merged(merged, _without(over, "name", "summary"), top=merged)
    return replace(merged, layers=tuple(layers))


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
    if not os.path.exists(path) or path.is_dir():  # noqa: PTH110 - it never raises
        plugins = installed()
        named = named_recipe(Path(base), plugins)
        if named is None:
            hint = suggest(base, [offer.name for offer in plugins.recipes])
            hint = FETCH if is_address(base) else hint
            raise source.error((EXTENDS,), f"there is no file '{path}'.", hint)
        path = named
    below = (*below, Path(source.label).resolve())
    if path.resolve() in below:
        raise source.error((EXTENDS,), "this recipe extends itself.", "Extend another one.")
    if len(below) >= MOST_LAYERS:
        raise source.error((EXTENDS,), f"more than {MOST_LAYERS} recipes extend each other.")
    lower = _extended(read_source(path, installed), below, installed)
    if lower.data.get("lock") is not None:
        raise source.error((EXTENDS,), "a lockfile can't be extended.", "Extend its recipe.")
    return _merged(_without(lower, "name"), _without(source, EXTENDS), top=source)


def _without(source: Source, *names: str) -> Source:
    """Return a source without some keys."""
    kept = {key: value for key, value in source.data.items() if key not in names}
    left_out = {(name,) for name in names}
    places = {keys: at for keys, at in source.positions.items() if keys[:1] not in left_out}
    return replace(source, data=kept, positions=places)


def _merged(base: Source, over: Source, *, top: Source) -> Source:
    """Return a source with all that another one writes put over it.

    Args:
        base: What counts less.
        over: What counts more.
        top: The recipe itself, one of the two: where its folder and its errors are.

    Raises:
        NstflowError: `null` is written for an entry that is not there, or `append` is wrong.
    """
    over = _appended(base, over)
    starts: dict[Keys, Path] = {(key,): base.folder_of((key,)) for key in base.data}
    positions, folders = _Places(base.positions), _Places({**starts, **base.folders})
    over_positions, over_folders = _Places(over.positions), _Places(over.folders)

    def put(into: dict[str, Any], written: dict[str, Any], above: Keys) -> None:
        for key, value in written.items():
            keys = (*above, key)
            held = into.get(key)
            if value is None and above in _ENTRIES and key not in into:
                hint = suggest(key, into)
                raise over.error(keys, "there is no such entry to remove.", hint, key=True)
            if held is None and isinstance(value, dict) and keys in (*_ENTRIES, ("extractor",)):
                held = {}  # so that a `null` in it is noticed
            if isinstance(value, dict) and isinstance(held, dict) and _is_same(keys, held, value):
                into[key] = dict(held)
                put(into[key], value, keys)
                continue
            positions.remove(keys)
            folders.remove(keys)
            if value is None and above in _ENTRIES:
                del into[key]
                continue
            into[key] = value
            folders.put({keys: over.folder_of(keys), **over_folders.below(keys)})
            positions.put(over_positions.below(keys))

    data = dict(base.data)
    put(data, over.data, ())
    return replace(
        top,
        data=data,
        positions={**positions.below(()), (): top.positions[()]},
        folders={**folders.below(()), (): top.folder_of()},
        files=tuple(dict.fromkeys((*base.files, *over.files))),
    )


def _appended(base: Source, over: Source) -> Source:
    """Return a source with whole lists in place of `append`: those of the base, and its own."""
    for name in [name for name, slot in SLOTS.items() if slot.holds == "list"]:
        value = over.data.get(name)
        if not isinstance(value, dict) or APPEND not in value:
            continue
        held, added = base.data.get(name), value[APPEND]
        held = DEFAULTS[name] if held is None else held
        if not isinstance(added, list) or len(value) > 1:
            hint = f"Write {name}: {{{APPEND}: [{{use: …}}]}}, or a whole list."
            raise over.error((name,), f"'{APPEND}' is a list, and stands alone.", hint, key=True)
        if isinstance(held, list):  # what is wrong in the base is reported when it is validated
            over = replace(
                over,
                data={**over.data, name: [*held, *added]},
                positions=_moved(base.positions, over.positions, name, len(held)),
                folders=_moved(base.folders, over.folders, name, len(held))
                | {(name,): base.folder_of((name,))}
                | {(name, len(held) + at): over.folder_of((name,)) for at in range(len(added))},
            )
    return over


def _moved(below: Mapping[Keys, T], over: Mapping[Keys, T], name: str, by: int) -> dict[Keys, T]:
    """Return places of a source, those of an `append` moved behind the ones of its base."""
    places = {keys: each for keys, each in below.items() if keys[:1] == (name,) and keys[1:]}
    for keys, each in over.items():
        if keys[:2] != (name, APPEND):
            places[keys] = each
        elif keys[2:]:
            places[(name, int(keys[2]) + by, *keys[3:])] = each
    return places


class _Places(Generic[T]):
    """Path → something, grouped by the first two keys: there may be thousands of images."""

    def __init__(self, places: Mapping[Keys, T]) -> None:
        self._groups: dict[Keys, dict[Keys, T]] = {}
        self.put(places)

    def put(self, places: Mapping[Keys, T]) -> None:
        for path, each in places.items():
            self._groups.setdefault(path[:2], {})[path] = each

    def below(self, keys: Keys) -> dict[Keys, T]:
        """Return what is at a path or below it."""
        if len(keys) > 1:
            groups = [self._groups.get(keys[:2], {})]
        else:
            groups = [each for top, each in self._groups.items() if top[: len(keys)] == keys]
        found = (item for group in groups for item in group.items())
        return {path: each for path, each in found if path[: len(keys)] == keys}

    def remove(self, keys: Keys) -> None:
        """Remove what is at a path or below it."""
        for path in self.below(keys):
            del self._groups[path[:2]][path]


def _is_same(keys: Keys, held: dict[str, Any], value: dict[str, Any]) -> bool:
    """Return whether a mapping changes the one that is there: it is no stage, or the same."""
    slot = SLOTS.get(str(keys[0]))
    is_stage = slot is not None and len(keys) == (1 if slot.holds == "one" else 2)
    return not is_stage or value.get("use", held.get("use")) == held.get("use", value.get("use"))


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
