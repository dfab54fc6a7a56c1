"""What no stage can see by itself: names that others declare."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nstflow.errors import Problem, describe_value, suggest
from nstflow.recipe.model import RESERVED
from nstflow.recipe.paths import Keys, format_path
from nstflow.recipe.source import Source
from nstflow.stages.loss import LossTerm
from nstflow.stages.stage import IMAGE_REF, Extractor, Output, Stage
from nstflow.stages.types import PIXELS

_MOST_HINTS, _MOST_CHOICES, _MOST_LISTED = 50, 200, 20


class _Names:
    """What else a name may be. The first mistakes are told alone: comparing names takes time."""

    def __init__(self) -> None:
        self.hints = 0

    def nearest(self, got: str, choices: Iterable[str]) -> str:
        """Return what `suggest` does, or nothing for all but the first mistakes."""
        self.hints += 1
        return suggest(got, islice(choices, _MOST_CHOICES)) if self.hints <= _MOST_HINTS else ""

    def hint(self, got: str, title: str, choices: Collection[str]) -> str:
        """Return the choice that is nearest to `got`, and a list of them."""
        near = self.nearest(got, choices)
        if self.hints > _MOST_HINTS:
            return ""
        listed = ", ".join(islice(choices, _MOST_LISTED)) or "none"
        more = len(choices) - _MOST_LISTED
        return f"{near} {title}: {listed}{f' and {more} more' if more > 0 else ''}.".strip()


def check(source: Source, stages: Mapping[Keys, Stage]) -> Iterator[Problem]:
    """Yield what is wrong between stages, each of which is right by itself.

    Args:
        source: The recipe as written; images that are broken are declared all the same.
        stages: Path → stage, of those that validated.
    """
    names = _Names()
    images = source.data.get("images")
    if isinstance(images, dict):  # else that is the mistake, and no name can be judged
        for keys, stage in stages.items():
            yield from _images_are_declared(source, keys, stage, images, names)
    losses = source.data.get("losses")
    for name in RESERVED:
        if isinstance(losses, dict) and name in losses:
            path = ("losses", name)
            got = f"'{name}' is a column of the history: no loss can be called that."
            yield Problem(source.where(path, key=True), format_path(path), got)
    extractor = stages.get(("extractor",))
    if isinstance(extractor, Extractor):
        yield from _groups_exist(source, extractor, names)
        for keys, stage in stages.items():
            if isinstance(stage, LossTerm):
                yield from _layers_exist(source, keys, stage, extractor, names)
    yield from _outputs_differ(source, stages)


def _images_are_declared(
    source: Source, keys: Keys, stage: Stage, images: Collection[str], names: _Names
) -> Iterator[Problem]:
    told = set()
    # a stage's own fields before those of its contract
    for name, field in reversed(type(stage).model_fields.items()):
        if not _refers(field.annotation, list(field.metadata)):
            continue
        value = getattr(stage, name)
        if value is None:
            continue
        for image in [value] if isinstance(value, str) else value:
            if image not in images and image not in told:
                told.add(image)  # once a stage: what a field left out follows from another
                path = (*keys, name)
                got = f"no image is called '{image}'."
                hint = names.hint(image, "Declared", images)
                yield Problem(source.where(path), format_path(path), got, hint)


def _refers(annotation: Any, metadata: list[Any]) -> bool:
    """Say whether a field's type is, or holds, an `ImageRef`."""
    if IMAGE_REF in metadata:
        return True
    if get_origin(annotation) is Annotated:
        return IMAGE_REF in annotation.__metadata__ or _refers(annotation.__origin__, [])
    return any(_refers(argument, []) for argument in get_args(annotation))


def _groups_exist(source: Source, extractor: Extractor, names: _Names) -> Iterator[Problem]:
    known = extractor.layer_names()
    for group, layers in extractor.layers.items():
        path = ("extractor", "layers", group)
        if not layers:
            yield Problem(
                source.where(path), format_path(path), "a group needs at least one layer."
            )
        seen = set()
        for index, layer in enumerate(layers):
            place = source.where((*path, index))
            if layer in seen:
                yield Problem(place, format_path(path), f"the layer '{layer}' is listed twice.")
            seen.add(layer)
            if known is not None and layer not in (*known, PIXELS):
                yield Problem(place, format_path(path), *_no_layer(layer, known, names))


def _layers_exist(
    source: Source, keys: Keys, term: LossTerm, extractor: Extractor, names: _Names
) -> Iterator[Problem]:
    path = (*keys, "layers")
    known = extractor.layer_names()
    if isinstance(term.layers, str):
        if term.layers in extractor.layers:
            return
        hint = names.hint(term.layers, "Groups", extractor.layers)
        if known is not None and term.layers in (*known, PIXELS):
            hint = f"For the layer alone, write [{term.layers}]."
        got = f"the extractor has no group of layers called '{term.layers}'."
        yield Problem(source.where(path), format_path(path), got, hint)
    elif known is not None:
        for index, layer in enumerate(term.layers):
            if layer not in (*known, PIXELS):
                item = layer if isinstance(term.layers, dict) else index
                place = source.where((*path, item), key=isinstance(term.layers, dict))
                yield Problem(place, format_path(path), *_no_layer(layer, known, names))


def _no_layer(layer: str, known: Any, names: _Names) -> tuple[str, str]:
    hint = names.nearest(layer, known) or f"There are {known[0]} to {known[-1]}, and {PIXELS}."
    return f"the extractor has no layer '{layer}'.", hint


def _outputs_differ(source: Source, stages: Mapping[Keys, Stage]) -> Iterator[Problem]:
    seen: dict[tuple[str, Any], Keys] = {}
    for keys, stage in stages.items():
        if isinstance(stage, Output):
            file = stage.use, getattr(stage, "name", None)
            if file in seen:
                got = f"{format_path(seen[file])} writes the same file."
                yield Problem(source.where(keys), format_path(keys), got, "Give one another name.")
            seen.setdefault(file, keys)


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
        return Problem(source.where(full, key=True), format_path(full), "unknown setting.", hint)
    if kind == "missing":
        field = _model_at(model, path[:-1]).model_fields.get(str(path[-1]))
        hint = (field.description or "") if field else ""
        return Problem(source.where(full), format_path(full), "this is needed, and missing.", hint)
    if kind == "value_error":
        return Problem(source.where(full), format_path(full), _sentence(item["ctx"]["error"]))
    is_key = item["loc"][-1:] == ("[key]",)
    place = source.where(full, key=is_key)
    got = describe_value(path[-1] if is_key else item["input"])
    wanted = " or ".join(dict.fromkeys(_wanted(items)))
    if not wanted:
        return Problem(place, format_path(full), f"{item['msg']}; this is {got}.")
    return Problem(
        place, format_path(full), f"this should be {wanted}, but is {got}.", _near(items)
    )


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
