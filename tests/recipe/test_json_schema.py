"""The JSON schema of recipes agrees with the program, whatever is installed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from nstflow.errors import NstflowError
from nstflow.plugins.manager import Plugins
from nstflow.recipe.json_schema import json_schema
from nstflow.recipe.reader import load_recipe
from nstflow.stages.slots import SLOTS

SOUND: dict[str, Any] = {
    "name": "x",
    "images": {"content": "a.png", "style": {"use": "noise", "height": 5}},
    "losses": {"a": {"use": "content"}, "b": {"use": "gram", "image": "style"}},
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    others = {entry.name for entry in metadata.entry_points(group="nstflow")}
    return json_schema(Plugins(others).catalog)


def accepts(schema: dict[str, Any], data: Any) -> bool:
    validator = jsonschema.Draft202012Validator(schema)
    return bool(validator.is_valid(data))


def program_accepts(data: Any, folder: Path) -> bool:
    path = folder / "r.yaml"
    path.write_text(yaml.safe_dump(data))
    try:
        load_recipe(path)
    except NstflowError:
        return False
    return True


def test_schema_is_sound_itself(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["name", "images", "losses"]
    assert schema["additionalProperties"] is False


def test_everything_has_a_description(schema: dict[str, Any]) -> None:
    silent = [
        key
        for key, value in schema["properties"].items()
        if "$ref" not in value and not value.get("description")
    ]
    for name, definition in schema["$defs"].items():
        assert definition["description"]
        silent += [
            f"{name}.{key}"
            for key, value in definition["properties"].items()
            if key != "use" and not value.get("description")
        ]
    assert silent == []


def test_every_stage_is_in_it(schema: dict[str, Any]) -> None:
    named = {
        definition["properties"].get("use", {}).get("const")
        for definition in schema["$defs"].values()
    }
    catalog = Plugins({entry.name for entry in metadata.entry_points(group="nstflow")}).catalog
    assert {name for slot in SLOTS for name in catalog[slot]} == named - {None}


def _put(**sections: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda data: data.update(sections)


CASES: dict[str, tuple[bool, Callable[[dict[str, Any]], Any]]] = {
    "nothing changed": (True, lambda _: None),
    "every section": (
        True,
        _put(
            nstflow=1,
            summary="x",
            seed=5,
            preprocess=[
                {"use": "resize", "longest_side": 64, "only": ["content"]},
                {"use": "crop"},
            ],
            extractor={"use": "vgg19", "layers": {"mine": ["block1_conv1"]}, "pooling": "avg"},
            start={"use": "blend", "noise": 0.5, "like": "style"},
            optimizer={"use": "adam", "learning_rate": 1},
            schedule={"use": "epochs", "epochs": 2},
            postprocess=[{"use": "keep_color"}, {"use": "resize"}],
            outputs=[{"use": "png"}, {"use": "jpeg", "quality": 5}],
            compute={"deterministic": False},
            plugins={"block": []},
        ),
    ),
    "use left out where there is a default": (
        True,
        _put(
            start={"image": "style"},
            extractor={"weights": "random"},
            optimizer={"beta_1": 0.9},
            schedule={"epochs": 2},
        ),
    ),
    "image by its path": (True, lambda data: data["images"].update(style={"path": "b.png"})),
    "empty lists": (True, _put(preprocess=[], postprocess=[])),
    "layers as a list": (True, lambda data: data["losses"]["a"].update(layers=["image"])),
    "layers as a mapping": (True, lambda data: data["losses"]["a"].update(layers={"image": 1})),
    "misspelt section": (False, _put(imagse={})),
    "misspelt setting": (False, lambda data: data["losses"]["a"].update(wieght=1)),
    "unknown stage": (False, lambda data: data["losses"]["a"].update(use="gramm")),
    "no stage": (False, lambda data: data["losses"]["a"].pop("use")),
    "stage of another slot": (False, _put(outputs=[{"use": "resize"}])),
    "setting of another stage": (False, _put(start={"image": "style", "noise": 0.5})),
    "no name": (False, lambda data: data.pop("name")),
    "no images": (False, _put(images={})),
    "no losses": (False, _put(losses={})),
    "no outputs": (False, _put(outputs=[])),
    "bad name": (False, _put(name="My Recipe")),
    "bad name of an image": (False, lambda data: data["images"].update({"A b": "a.png"})),
    "bad name of a loss": (
        False,
        lambda data: data["losses"].update({"A b": {"use": "content"}}),
    ),
    "text for a number": (False, lambda data: data["images"]["style"].update(height="5")),
    "truth for a number": (False, lambda data: data["losses"]["a"].update(weight=True)),
    "negative size": (False, lambda data: data["images"]["style"].update(height=-5)),
    "list for a mapping": (False, _put(losses=[{"use": "content"}])),
    "mapping for a list": (False, _put(outputs={"use": "png"})),
    "text for a stage": (False, _put(extractor="vgg19")),
    "other format": (False, _put(nstflow=2)),
    "negative seed": (False, _put(seed=-1)),
}


@pytest.mark.parametrize(("sound", "change"), CASES.values(), ids=CASES)
def test_schema_and_program_agree(
    sound: bool, change: Callable[[dict[str, Any]], Any], schema: dict[str, Any], tmp_path: Path
) -> None:
    data = copy.deepcopy(SOUND)
    change(data)
    assert program_accepts(data, tmp_path) is sound
    assert accepts(schema, data) is sound


NAMESAKES = """
    from typing import Any, Literal
    from pydantic import Field
    from nstflow import Loader, Output, Preprocessor, hookimpl

    class Png(Output):
        \"\"\"Has the name of a built-in class.\"\"\"
        use: Literal["other"] = "other"
        check: Any = Field(print, description="Anything.")
        def write(self, result, folder): ...

    class Resize(Loader):
        \"\"\"Has the name of a built-in class of another slot.\"\"\"
        use: Literal["resized"] = "resized"
        def size(self, folder): return 5, 5
        def load(self, folder): ...

    class Odd:
        pass

    class WithAnOddType(Preprocessor):
        \"\"\"Has a field that no schema can describe.\"\"\"
        model_config = {"arbitrary_types_allowed": True}
        use: Literal["odd"] = "odd"
        odd: Odd | None = Field(None, description="Odd.")
        def size(self, size): return size
        def apply(self, image, images): return image

    @hookimpl
    def nstflow_stages():
        return [Png, Resize, WithAnOddType]
"""


def test_namesakes_and_odd_types_do_not_break_it(install: Any) -> None:
    install("nstflow-namesakes", NAMESAKES)
    schema = json_schema(Plugins().catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert accepts(schema, {**SOUND, "outputs": [{"use": "other"}, {"use": "png"}]})
    assert accepts(schema, {**SOUND, "images": {"content": {"use": "resized"}, "b": "b.png"}})
    assert accepts(schema, {**SOUND, "preprocess": [{"use": "odd"}]})
    assert not accepts(schema, {**SOUND, "outputs": [{"check": 5}]})
    assert not accepts(schema, {**SOUND, "outputs": [{"use": "other", "name": "x"}]})
    assert not accepts(schema, {**SOUND, "images": {"content": {}}})


def test_slot_whose_only_stage_is_claimed_twice(install: Any) -> None:
    install(
        "nstflow-rival",
        """
        from typing import Literal
        from nstflow import Schedule, hookimpl

        class Rival(Schedule):
            \"\"\"Has the name of the built-in schedule.\"\"\"
            use: Literal["epochs"] = "epochs"
            def phases(self, size): return []

        @hookimpl
        def nstflow_stages():
            return [Rival]
        """,
    )
    schema = json_schema(Plugins().catalog)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert accepts(schema, SOUND)
