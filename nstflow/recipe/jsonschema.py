"""The JSON schema of recipes, with which editors complete and check them."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Annotated, Any

from pydantic import ConfigDict, Field, create_model

from nstflow.catalog import Catalog
from nstflow.fields import Name
from nstflow.recipe.schema import DEFAULTS, Recipe
from nstflow.slots import SLOTS, Slot


def json_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the schema of recipes that use the stages of a catalog.

    The model it is made from, with a union of stages in each slot, serves nothing else: reading
    a recipe goes stage by stage, so that one mistake does not hide another.
    """
    fields: dict[str, Any] = {
        name: (_held(SLOTS[name], catalog), Field(DEFAULTS.get(name, ...), description=text))
        if name in SLOTS
        else (field.annotation, field)
        for name, field in Recipe.model_fields.items()
        for text in [field.description]
    }
    model = create_model("recipe", __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "nstflow recipe"
    for slot in SLOTS.values():
        for offer in catalog[slot.name].values():
            if slot.default is None:
                definition = schema["$defs"][offer.stage.__name__]
                definition["required"] = ["use", *definition.get("required", ())]
    return schema


def _held(slot: Slot, catalog: Catalog) -> Any:
    """Return the type of what a slot holds."""
    stages: list[Any] = [offer.stage for offer in catalog[slot.name].values()]
    one = reduce(or_, stages)
    if len(stages) > 1:
        one = Annotated[one, Field(discriminator="use")]
    if slot.name == "images":
        one = one | str
    many = Field(min_length=0 if slot.name in ("preprocess", "postprocess") else 1)
    if slot.holds == "list":
        return Annotated[GenericAlias(list, (one,)), many]
    return Annotated[GenericAlias(dict, (Name, one)), many] if slot.holds == "mapping" else one
