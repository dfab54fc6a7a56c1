"""The JSON schema of recipes, with which editors complete and check them."""

from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any

from pydantic import ConfigDict, Field, create_model
from pydantic.json_schema import JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from nstflow.plugins.catalog import Catalog, name_of
from nstflow.plugins.manager import Lenient
from nstflow.recipe.layers import APPEND
from nstflow.recipe.matrix import EXCLUDE
from nstflow.recipe.model import DEFAULTS, Recipe
from nstflow.stages.slots import SLOTS, Slot, slot_of
from nstflow.stages.stage import Name


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the schema of recipes that use the stages of a catalog.

    It comes from a model with a union of stages in each slot, which is used for nothing else:
    recipes are read stage by stage, so that one mistake does not hide another.
    """
    fields: dict[str, Any] = {
        name: (_held(SLOTS[name], catalog), Field(DEFAULTS.get(name, ...), description=text))
        if name in SLOTS
        else (field.annotation, field)
        for name, field in Recipe.model_fields.items()
        for text in [field.description]
    }
    model = create_model("recipe", __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema(schema_generator=_Generator)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "nstflow recipe"
    return _with_nulls(_with_matrix(_with_layers(schema)))


def _with_nulls(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which a key that has a default may be left empty."""
    for name, held in schema["properties"].items():
        if name not in ("name", *schema["else"]["required"]):
            text = {"description": Recipe.model_fields[name].description}
            text |= {key: held.pop(key) for key in (*text, "default", "title") if key in held}
            kinds = held["anyOf"] if [*held] == ["anyOf"] else [held]
            kinds = [kind for kind in kinds if kind != {"type": "null"}]
            schema["properties"][name] = {**text, "anyOf": [*kinds, {"type": "null"}]}
    return schema


def _with_matrix(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which a matrix has an axis, and its `exclude` is a list of mappings."""
    matrix = schema["properties"]["matrix"]["anyOf"][0]
    matrix["properties"] = {
        EXCLUDE: {
            "description": "Values that no run has together.",
            "type": ["array", "null"],
            "items": {"type": "object", "minProperties": 1},
        }
    }
    matrix["not"] = {"required": [EXCLUDE], "maxProperties": 1}
    return schema


def _with_layers(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which a recipe with `extends` needs a name alone, parts, `append`."""
    whole = [name for name in schema["required"] if name != "name"]
    part = [{"type": "object", "not": {"required": ["use"]}}, {"type": "null"}]
    strict: dict[str, Any] = {}
    for name in whole:
        stages = schema["properties"][name]["patternProperties"]
        strict[name] = {"patternProperties": dict(stages)}
        stages.update({each: {"anyOf": [stage, *part]} for each, stage in stages.items()})
    for name in [name for name, slot in SLOTS.items() if slot.holds == "list"]:
        held = schema["properties"][name]
        strict[name] = {"type": ["array", "null"]}
        whole_list = {key: held.pop(key) for key in ("items", "minItems", "type") if key in held}
        more = {"type": "object", "properties": {APPEND: whole_list}, "required": [APPEND]}
        held["anyOf"] = [whole_list, {**more, "additionalProperties": False}]
    schema["required"] = ["name"]
    schema["if"] = {"required": ["extends"]}
    schema["else"] = {"required": whole, "properties": strict}
    return schema


_IGNORED: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}


class _Generator(Lenient):
    """Pydantic's generator, with `use` required of all stages but a slot's default."""

    ignored_warning_kinds = _IGNORED

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        slot = slot_of(schema["cls"])
        if slot is not None and name_of(schema["cls"]) != slot.default:
            made["required"] = ["use", *made.get("required", ())]
        if slot is not None and "description" in made:  # editors show that of a key
            made["properties"]["use"]["description"] = made["description"]
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        if "patternProperties" in made:  # else any value is valid under a bad name
            made["additionalProperties"] = False
        return made


def _held(slot: Slot, catalog: Catalog) -> Any:
    """Return the type of a slot."""
    stages: list[Any] = [offer.stage for offer in catalog[slot.name].values()]
    one = reduce(or_, stages) if stages else Any  # two packages may claim the only one
    if len(stages) > 1:
        one = Annotated[one, Field(discriminator="use")]
    if slot.name == "images":
        one = one | str
    many = Field(min_length=0 if slot.name in ("preprocess", "postprocess") else 1)
    if slot.holds == "list":
        return Annotated[GenericAlias(list, (one,)), many]
    return Annotated[GenericAlias(dict, (Name, one)), many] if slot.holds == "mapping" else one
