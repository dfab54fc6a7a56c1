"""Whether what a plugin offers is a stage that recipes can name."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any, get_args

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from nstflow.mishaps import told_of
from nstflow.slots import slot_of
from nstflow.stages import Stage

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Lenient(GenerateJsonSchema):
    """Pydantic's generator, for which a type that it can't describe is one of any values."""

    def handle_invalid_for_json_schema(
        self,
        schema: Any,  # noqa: ARG002 - pydantic's
        error_info: str,  # noqa: ARG002
    ) -> JsonSchemaValue:
        """Return what any value fits: only the plugin can judge its own types."""
        return {}


class UnsoundPluginError(Exception):
    """A plugin that does not keep to the contract; the text says where."""


def check_stage(stage: Any) -> None:
    """Raise where something is no stage, or lacks what every one has."""
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise UnsoundPluginError(f"nstflow_stages gives {stage!r}, which is no stage class")
    if slot_of(stage) is None:
        raise UnsoundPluginError(f"{stage.__name__} derives from no slot's base class")
    use = stage.model_fields["use"]
    if not isinstance(use.default, str) or get_args(use.annotation) != (use.default,):
        raise UnsoundPluginError(f'{stage.__name__} has no name: give it `use: Literal["x"] = "x"`')
    if not _NAME.fullmatch(use.default) or use.default in ("null", "true", "false"):
        raise UnsoundPluginError(
            f"{stage.__name__} can't be called '{use.default}': a name is of small letters, digits"
            " and _, and begins with a letter"
        )
    if abstract := ", ".join(sorted(stage.__abstractmethods__)):
        raise UnsoundPluginError(f"{stage.__name__} lacks {abstract}")


def check_schema(stage: type[Stage]) -> None:
    """Raise where a stage would break the schema of all recipes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stage.model_json_schema(schema_generator=Lenient)
        except Exception as error:
            raise UnsoundPluginError(
                f"the settings of {stage.__name__} have no schema: {told_of(error)}"
            ) from error
