"""What a recipe leaves out, written out before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nstflow.recipe.schema import DEFAULTS
from nstflow.slots import SLOTS


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data with short forms written out: plain strings, absent slots, absent `use`."""
    full = {**DEFAULTS, **{key: value for key, value in data.items() if value is not None}}
    if isinstance(images := full.get("images"), dict):
        full["images"] = {
            name: {"path": image} if isinstance(image, str) else image
            for name, image in images.items()
        }
    for slot in SLOTS.values():
        held = full.get(slot.name)
        if slot.default is None or not isinstance(held, dict):
            continue
        if slot.holds == "one":
            full[slot.name] = {"use": slot.default, **held}
        else:
            full[slot.name] = {
                name: {"use": slot.default, **item} if isinstance(item, dict) else item
                for name, item in held.items()
            }
    return full


def with_canvas_size(data: dict[str, Any]) -> dict[str, Any]:
    """Return the data with a start that has its own image's size where none is called content."""
    images, start = data.get("images"), data.get("start")
    if not (isinstance(images, dict) and isinstance(start, dict)):
        return data
    if "content" in images or "like" in start or start.get("image") not in [*images]:
        return data
    return {**data, "start": {**start, "like": start["image"]}}
