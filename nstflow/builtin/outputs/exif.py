"""A setting of several outputs."""

from typing import Annotated

from pydantic import Field

CopyExif = Annotated[
    bool,
    Field(
        description="Copy from the content image how, when and where the camera took it. It may"
        " name a person and a place."
    ),
]
