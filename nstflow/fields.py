"""Types of settings that mean something to a recipe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
"""What a recipe may call itself, an image, a loss or a group of layers."""

IMAGE_REF = "names an image of the recipe"
ImageRef = Annotated[Name, IMAGE_REF]
"""A field that names one of the recipe's images; a name that no one declared is an error."""


def _named(layers: str | tuple[str, ...] | dict[str, float]) -> Any:
    if not layers:
        raise ValueError("a loss needs at least one layer")
    if not isinstance(layers, str) and len(set(layers)) < len(layers):
        raise ValueError("a layer is listed twice")
    return layers


Layers = Annotated[Name | tuple[str, ...] | dict[str, float], AfterValidator(_named)]
"""A group of the extractor, a list of layers (equal shares), or a mapping layer → share."""
