"""The documentation of a stage, from its class: its docstring, its settings, an example."""

import inspect
import json
import typing
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from nstflow.plugins.catalog import name_of
from nstflow.recipe.yaml import to_yaml, to_yaml_line
from nstflow.stages.slots import EXECUTOR, Slot
from nstflow.stages.stage import IMAGE_REF, Stage

_OPEN = "\0"


class Setting(NamedTuple):
    """One setting of a stage.

    Attributes:
        type: In words, such as `whole number`.
        default: As YAML; or `needed`, `none`, or `made` if it depends on other settings.
    """

    name: str
    type: str
    default: str
    meaning: str


def summary_of(stage: type[Stage]) -> str:
    """Return the first line of a stage's docstring."""
    return docstring_of(stage).partition("\n")[0] or "(it has no docstring)"


def docstring_of(stage: type[Stage]) -> str:
    """Return a stage's docstring."""
    return inspect.cleandoc(stage.__doc__ or "")  # not inspect.getdoc: it takes a base's


def settings_of(stage: type[Stage]) -> list[Setting]:
    """Return a stage's settings, in their order, without `use`."""
    return [
        Setting(name, _type(field.annotation), _default(field), field.description or "")
        for name, field in stage.model_fields.items()
        if name != "use"
    ]


def example_of(stage: type[Stage], slot: Slot) -> str:
    """Return an example for a recipe or the command line, with all settings that have a value.

    An empty mapping or list is shown as the field's first example, if it has any.
    """
    settings: dict[str, Any] = {"use": name_of(stage)}
    for name, field in stage.model_fields.items():
        if field.is_required() or (field.examples and _plain(field) in ({}, [])):
            settings[name] = _sample(field)
        elif name != "use" and _plain(field) not in (None, {}, [], _OPEN):
            settings[name] = _plain(field)
    if slot == EXECUTOR:
        return f"nstflow run recipe.yaml --executor '{to_yaml_line(settings)}'"
    key = "content" if slot.name == "images" else name_of(stage)
    held = {"mapping": {key: settings}, "list": [settings], "one": settings}[slot.holds]
    return to_yaml({slot.name: held}).strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = _plain(field)
    if value == _OPEN:
        return "made"
    return "none" if value is None else to_yaml_line(value)


def _plain(field: FieldInfo) -> Any:
    """Return a default as data of YAML, or `_OPEN` if it depends on other settings."""
    try:
        default = field.get_default(call_default_factory=True, validated_data={})
        return json.loads(to_json(default, inf_nan_mode="strings"))
    except Exception:  # noqa: BLE001 - a factory may raise anything, a default be anything
        return _OPEN


def _sample(field: FieldInfo) -> Any:
    """Return a value for a required setting: the field's first example, if it has any."""
    if field.examples:
        return field.examples[0]
    if IMAGE_REF in field.metadata:
        return "content"
    least = max((n for m in field.metadata if (n := getattr(m, "ge", None)) is not None), default=1)
    samples: dict[Any, Any] = {str: "text", int: least, float: float(least), bool: True}
    arguments = typing.get_args(field.annotation)
    if typing.get_origin(field.annotation) is typing.Literal:
        return arguments[0]
    return next((samples[kind] for kind in (field.annotation, *arguments) if kind in samples), "…")


def _type(annotation: Any) -> str:
    """Return a type in words."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"{_type(arguments[0])}: {_type(arguments[1])}"
    if arguments:
        return " | ".join(dict.fromkeys(_type(a) for a in arguments if a is not type(None)))
    names = {str: "text", int: "whole number", float: "number", bool: "true | false"}
    return names.get(annotation) or getattr(annotation, "__name__", str(annotation)).lower()
