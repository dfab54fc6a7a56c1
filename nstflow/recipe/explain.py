"""What pydantic found, as a person would say it, at the line where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from nstflow.errors import Problem, suggest
from nstflow.recipe.parsing import Keys, describe, dotted
from nstflow.recipe.source import Source

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
    error: ValidationError, source: Source, keys: Keys, model: type[BaseModel]
) -> list[Problem]:
    """Return the problems of a model whose data stands at `keys` of the source."""
    data = _at(source.data, keys)
    grouped: dict[Keys, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        grouped.setdefault(_path(data, item), []).append(item)
    above = {path[:length] for path in grouped for length in range(len(path))}
    return [
        _problem(source, keys, path, items, model)
        for path, items in grouped.items()
        # of a union's branches, the one that got furthest is the one that was meant
        if path not in above or items[0]["type"] in ("extra_forbidden", "missing")
    ]


def _at(data: Any, keys: Keys) -> Any:
    for key in keys:
        data = data[key]
    return data


def _path(data: Any, item: Mapping[str, Any]) -> Keys:
    """Return the part of an error's location that the data has; pydantic mixes in its own."""
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
    source: Source, keys: Keys, path: Keys, items: list[Mapping[str, Any]], model: type[BaseModel]
) -> Problem:
    full = (*keys, *path)
    item = items[0]
    kind = item["type"]
    if kind == "extra_forbidden":
        known = _model_at(model, path[:-1]).model_fields
        hint = suggest(str(path[-1]), known) or f"Known: {', '.join(known)}."
        return Problem(source.where(full, key=True), dotted(full), "unknown setting.", hint)
    if kind == "missing":
        field = _model_at(model, path[:-1]).model_fields.get(str(path[-1]))
        hint = (field.description or "") if field else ""
        return Problem(source.where(full), dotted(full), "this is needed, and missing.", hint)
    if kind == "value_error":
        return Problem(source.where(full), dotted(full), _sentence(item["ctx"]["error"]))
    is_key = item["loc"][-1:] == ("[key]",)
    place = source.where(full, key=is_key)
    got = describe(path[-1] if is_key else item["input"])
    wanted = " or ".join(dict.fromkeys(_wanted(items)))
    if not wanted:
        return Problem(place, dotted(full), f"{item['msg']}; this is {got}.")
    return Problem(place, dotted(full), f"this should be {wanted}, but is {got}.", _near(items))


def _wanted(items: list[Mapping[str, Any]]) -> Iterator[str]:
    for item in items:
        if item["type"] in _WANTED:
            yield _WANTED[item["type"]].format(**item.get("ctx", {}))


def _near(items: list[Mapping[str, Any]]) -> str:
    for item in items:
        if item["type"] == "literal_error" and isinstance(item["input"], str):
            choices = item["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            return suggest(item["input"], choices)
    return ""


def _model_at(model: type[BaseModel], path: Keys) -> type[BaseModel]:
    """Return the model that a path inside a model leads to, or the outermost known."""
    for key in path:
        field = model.model_fields.get(str(key))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return model


def _sentence(text: object) -> str:
    """Return a stage's own words as a sentence, which a suggestion may have made a question."""
    return str(text) if str(text).endswith("?") else f"{text}."
