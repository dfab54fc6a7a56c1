"""Checks between stages, and the errors of a single one in plain words."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from functools import reduce
from itertools import islice
from operator import getitem
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from nstflow.errors import Problem, describe_value, suggest
from nstflow.recipe.model import COMMAND_OPTIONS, RESERVED, Recipe
from nstflow.recipe.paths import Keys, format_path, with_value
from nstflow.recipe.source import Source
from nstflow.stages.loss import LossTerm
from nstflow.stages.slots import SLOTS
from nstflow.stages.stage import Extractor, Output, Stage, image_refs
from nstflow.stages.types import PIXELS

_MOST_LISTED = 20

_NO_INTEGER = ("int_type", "int_from_float")

_MOST_HINTS = 50  # of a recipe's mistakes: finding the nearest name takes time


def check(source: Source, stages: Mapping[Keys, Stage]) -> list[Problem]:
    """Check that stages fit together, each of which is valid by itself.

    Args:
        source: The recipe as written; an image that is not valid is declared all the same.
        stages: Path → stage, of those that are valid.
    """
    problems: list[Problem] = []
    images, losses = source.data.get("images"), source.data.get("losses")
    outputs: dict[tuple[str, Any], Keys] = {}
    for keys, stage in stages.items():
        for image, setting in image_refs(stage).items():
            # if the images are not a mapping, that is the mistake
            if isinstance(images, dict) and image not in images:
                hint = _hint(image, images, f"Declared: {_listed(images)}.", problems)
                got = f"no image is called '{image}'."
                problems.append(source.problem((*keys, setting), got, hint))
        if isinstance(stage, Output):
            file = stage.use, stage.name
            if file in outputs:
                got = f"{format_path(outputs[file])} writes the same file."
                problems.append(source.problem(keys, got, "Give one another name."))
            outputs.setdefault(file, keys)
    for name in RESERVED:
        if isinstance(losses, dict) and name in losses:
            got = f"'{name}' is a column of the history: no loss can be called that."
            problems.append(source.problem(("losses", name), got, key=True))
    if options := source.data.get("options"):
        problems += _check_options(source, options, stages)
    extractor = stages.get(("extractor",))
    if isinstance(extractor, Extractor):
        terms = {keys: stage for keys, stage in stages.items() if isinstance(stage, LossTerm)}
        problems += _check_layers(source, extractor, terms)
    return problems


def _check_options(source: Source, options: Any, stages: Mapping[Keys, Stage]) -> Iterator[Problem]:
    """Yield a problem for each option that the recipe itself writes and that leads nowhere.

    One of a recipe that it extends may lead to what this one, or the command line, has removed.
    """
    if any(not at.line for at, _ in source.positions.values()):
        return
    written = options.items() if isinstance(options, dict) else ()
    for name, path in [
        (name, each)
        for name, held in written
        for each in (held if isinstance(held, list) else [held])
    ]:
        if name in COMMAND_OPTIONS or name in Recipe.model_fields:
            taken = "a key of recipes" if name in Recipe.model_fields else "an option of commands"
            got = f"'{name}' is {taken}: no option of a recipe can be called that."
            yield source.problem(("options", name), got, key=True)
            continue
        if source.positions["options", name][0].file != source.label:
            continue
        first, _, rest = str(path).partition(".")
        known: Collection[str] = Recipe.model_fields
        if slot := SLOTS.get(first):
            items = slot.items(source.data.get(first))
            at = next((at for at in items if f"{path}.".startswith(f"{format_path(at)}.")), ())
            if at in items and at not in stages:
                continue  # the stage itself is reported
            known = type(stages[at]).model_fields if at in stages else ()
            first = str(path).removeprefix(f"{format_path(at)}.").partition(".")[0]
        elif rest:
            known, first = _model_at(Recipe, (first,)).model_fields, rest
        if first not in known:
            got = f"there is no setting '{path}' in this recipe."
            yield source.problem(("options", name), got, suggest(first, known))


def _check_layers(
    source: Source, extractor: Extractor, terms: Mapping[Keys, LossTerm]
) -> list[Problem]:
    """Check the groups of layers, and the layers that terms name."""
    problems: list[Problem] = []
    known = extractor.layer_names()
    lists: dict[Keys, Collection[str]] = {
        ("extractor", "layers", group): layers for group, layers in extractor.layers.items()
    }
    for keys, term in terms.items():
        if not isinstance(term.layers, str):
            lists[*keys, "layers"] = term.layers
        elif term.layers not in extractor.layers:
            there_are = f"Groups: {_listed(extractor.layers)}."
            hint = _hint(term.layers, extractor.layers, there_are, problems)
            if known is not None and term.layers in (*known, PIXELS):
                hint = f"For the layer alone, write [{term.layers}]."
            got = f"the extractor has no group of layers called '{term.layers}'."
            problems.append(source.problem((*keys, "layers"), got, hint))
    for path, layers in lists.items():
        seen: set[str] = set()
        for index, layer in enumerate(layers):
            at = (*path, layer if isinstance(layers, dict) else index)
            if layer in seen:
                problems.append(source.problem(at, f"the layer '{layer}' is listed twice."))
            elif known is not None and layer not in (*known, PIXELS):
                there_are = f"There are {known[0]} to {known[-1]}, and {PIXELS}."
                got = f"the extractor has no layer '{layer}'."
                hint = _hint(layer, known, there_are, problems)
                problems.append(source.problem(at, got, hint, key=True))
            seen.add(layer)
        if not layers:
            problems.append(source.problem(path, "a group needs at least one layer."))
    return problems


def _hint(got: str, choices: Iterable[str], there_are: str, earlier: Sized) -> str:
    """Return the nearest choice, unless there are many mistakes, and all choices."""
    near = suggest(got, choices) if len(earlier) < _MOST_HINTS else ""
    return f"{near} {there_are}".strip()


def _listed(names: Collection[str]) -> str:
    more = len(names) - _MOST_LISTED
    listed = ", ".join(islice(names, _MOST_LISTED)) or "none"
    return f"{listed} and {more} more" if more > 0 else listed


_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "path_type": "a path",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "left out",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_short": "a text that is not empty",
    "string_too_long": "at most {max_length} letters long",
    "too_short": "not empty",
    "too_long": "at most {max_length} items long",
    "string_pattern_mismatch": "a name: small letters, digits and _, a letter first",
}


def explain(
    error: ValidationError,
    source: Source,
    keys: Keys,
    model: type[BaseModel],
    known: Collection[Keys] = (),
    stages: Mapping[Keys, Stage] = MappingProxyType({}),
) -> list[Problem]:
    """Return the problems of a model whose data is at `keys` of the source.

    Paths in `known` are left out: their problems are reported already. The settings of `stages`
    are suggested for a key that is one of them.
    """
    data = reduce(getitem, keys, source.data)
    grouped: dict[Keys, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        if item["loc"] not in known:
            grouped.setdefault(_path(data, item), []).append(item)
    above = {path[:length] for path in grouped for length in range(len(path))}
    return [
        _problem(source, keys, path, items, model, stages)
        for path, items in grouped.items()
        # of a union's branches, the one with the longest path is the one that was meant
        if path not in above or items[0]["type"] in ("extra_forbidden", "missing")
    ]


def with_whole_numbers(error: ValidationError, data: Any) -> Any:
    """Return the data with whole numbers where one is needed and written as `1e3` or `2.0`."""
    for item in error.errors(include_url=False):
        if item["type"] in _NO_INTEGER:
            path = _path(data, item)
            value = reduce(getitem, path, data)
            if isinstance(value, float) and value.is_integer():
                data = with_value(data, path, int(value))[0]
    return data


def _path(data: Any, item: Mapping[str, Any]) -> Keys:
    """Return the part of an error's location that is in the data; pydantic adds its own keys."""
    path: Keys = ()
    for key in item["loc"]:
        if (isinstance(data, dict) and key in data) or (
            isinstance(data, list) and isinstance(key, int) and key < len(data)
        ):
            data = data[key]
            path = (*path, key)
        elif item["type"] == "missing" and key == item["loc"][-1]:
            path = (*path, key)
    return path


def _problem(
    source: Source,
    keys: Keys,
    path: Keys,
    items: list[Mapping[str, Any]],
    model: type[BaseModel],
    stages: Mapping[Keys, Stage],
) -> Problem:
    full = (*keys, *path)
    item = items[0]
    kind = item["type"]
    fields = _model_at(model, path[:-1]).model_fields
    if kind == "extra_forbidden":
        owners = [at for at, stage in stages.items() if path[-1] in type(stage).model_fields]
        hint = suggest(str(path[-1]), fields) or f"Known: {', '.join(fields)}."
        if owners and not keys and not path[:-1]:
            hint = f"Did you mean '{format_path((*owners[0], *path))}'?"
        return source.problem(full, "unknown setting.", hint, key=True)
    if kind == "missing":
        field = fields.get(str(path[-1]))
        hint = (field and field.description) or ""
        return source.problem(full, "this is required, but missing.", hint)
    if kind == "value_error":
        text = str(item["ctx"]["error"])  # a suggestion at its end may be a question
        return source.problem(full, text if text.endswith("?") else f"{text}.")
    is_key = item["loc"][-1:] == ("[key]",)
    value = describe_value(path[-1] if is_key else item["input"])
    wanted = {
        _WANTED[each["type"]].format(**each.get("ctx", {})): each
        for each in items
        if each["type"] in _WANTED
    }
    got = f"this must be {' or '.join(wanted)}, but is {value}."
    if not wanted:
        got = f"{item['msg']}; this is {value}."
    literal = next((text for text, each in wanted.items() if each["type"] == "literal_error"), "")
    hint = suggest(str(item["input"]), re.findall("'(.*?)'", literal))
    return source.problem(full, got, hint, key=is_key)


def _model_at(model: type[BaseModel], path: Keys) -> type[BaseModel]:
    """Return the model at a path inside a model, or the last one that is known."""
    for key in path:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model
