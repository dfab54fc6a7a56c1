"""The JSON schema of recipes agrees with the program, whatever is installed."""

import contextlib
from importlib import metadata
from typing import Any

import jsonschema
import pytest

from nstflow.errors import NstflowError
from nstflow.plugins.manager import Plugins
from nstflow.recipe.json_schema import json_schema
from nstflow.recipe.overrides import override
from nstflow.recipe.reader import load_recipe, read
from nstflow.recipe.source import read_source
from nstflow.recipe.yaml import parse_yaml
from nstflow.stages.slots import SLOTS

SMALL: dict[str, Any] = {
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


def test_schema_is_valid_itself(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["name"]
    assert schema["else"]["required"] == ["images", "losses"]
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


EVERY_SECTION = """\
name: x
nstflow: 1
summary: x
seed: 5
images: {content: a.png, style: {use: noise, height: 5}}
preprocess: [{use: resize, longest_side: 64, only: [content]}, {use: crop}]
extractor: {use: vgg19, layers: {mine: [block1_conv1]}, pooling: avg}
start: {use: blend, noise: 0.5, like: style}
losses: {a: {use: content}, b: {use: gram, image: style}}
optimizer: {use: adam, learning_rate: 1}
schedule: {use: epochs, epochs: 2}
postprocess: [{use: keep_color}, {use: resize}]
outputs: [{use: png}, {use: jpeg, quality: 5}]
compute: {deterministic: false}
plugins: {block: []}
"""
VALID = [
    "seed=1",
    "start={image: style}",  # a stage has its default
    "extractor={weights: random}",
    "optimizer={beta_1: 0.9}",
    "schedule={epochs: 2}",
    "images.style={path: b.png}",
    "preprocess=[]",
    "postprocess=[]",
    "losses.a.layers=[image]",
    "losses.a.layers={image: 1}",
]
WRONG = [
    "imagse={}",
    "losses.a.wieght=1",
    "losses.a.use=gramm",
    "losses.a={weight: 1}",
    "outputs=[{use: resize}]",
    "start={image: style, noise: 0.5}",
    "images={}",
    "losses={}",
    "outputs=[]",
    "name=My Recipe",
    "name=",
    "images.A b=a.png",
    "losses.A b={use: content}",
    "images.style.height='5'",
    "images.style.height=-5",
    "losses.a.weight=true",
    "losses=[{use: content}]",
    "outputs={use: png}",
    "extractor=vgg19",
    "nstflow=2",
    "seed=-1",
]


@pytest.mark.parametrize("setting", VALID + WRONG)
def test_schema_and_program_agree(setting: str, schema: dict[str, Any], write: Any) -> None:
    path = write(EVERY_SECTION)
    with contextlib.nullcontext() if setting in VALID else pytest.raises(NstflowError):
        load_recipe(path, [setting])
    assert accepts(schema, override(read_source(path), [setting]).data) == (setting in VALID)


def agree(schema: dict[str, Any], text: str, path: Any) -> bool:
    """Return whether a recipe is accepted, as written, by the schema and the program alike."""
    accepted = accepts(schema, parse_yaml(text, "")[0])
    with contextlib.nullcontext() if accepted else pytest.raises(NstflowError):
        assert [draft.recipe_or_raise() for draft in read(path)]
    return accepted


KEYS = {line.partition(":")[0] for line in EVERY_SECTION.splitlines()} | {"options", "matrix"}


@pytest.mark.parametrize("key", sorted(KEYS))
def test_a_key_that_is_left_empty(key: str, schema: dict[str, Any], write: Any) -> None:
    lines = [line for line in EVERY_SECTION.splitlines() if not line.startswith(f"{key}:")]
    text = "\n".join([*lines, f"{key}:"])
    assert agree(schema, text, write(text)) == (key not in ("name", "images", "losses"))


@pytest.mark.parametrize(
    ("matrix", "accepted"),
    [
        ("{seed: [1, 2], exclude: []}", True),
        ("{seed: [1, 2], exclude: }", True),
        ("{seed: [1, 2], exclude: [{seed: 1}]}", True),
        ("{seed: [1, 2], exclude: {seed: 1}}", False),
        ("{seed: [1, 2], exclude: [{}]}", False),
        ("{seed: [1, 2], exclude: [1]}", False),
        ("{exclude: []}", False),
        ("{seed: []}", False),
        ("{}", False),
    ],
)
def test_a_matrix(matrix: str, accepted: bool, schema: dict[str, Any], write: Any) -> None:
    text = f"{EVERY_SECTION}matrix: {matrix}\n"
    assert agree(schema, text, write(text)) == accepted


def test_the_text_of_a_stage_is_shown_where_it_is_named(schema: dict[str, Any]) -> None:
    texts = {
        definition["properties"]["use"]["const"]: definition["properties"]["use"]["description"]
        for definition in schema["$defs"].values()
        if "use" in definition["properties"]
    }
    assert texts["gram"].startswith("Match how strongly features occur together in the style")
    assert all(texts.values())


def test_a_recipe_without_a_name_is_refused(schema: dict[str, Any]) -> None:
    assert not accepts(schema, {key: SMALL[key] for key in ("images", "losses")})


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
    assert accepts(schema, {**SMALL, "outputs": [{"use": "other"}, {"use": "png"}]})
    assert accepts(schema, {**SMALL, "images": {"content": {"use": "resized"}, "b": "b.png"}})
    assert accepts(schema, {**SMALL, "preprocess": [{"use": "odd"}]})
    assert not accepts(schema, {**SMALL, "outputs": [{"check": 5}]})
    assert not accepts(schema, {**SMALL, "outputs": [{"use": "other", "quality": 5}]})
    assert not accepts(schema, {**SMALL, "images": {"content": {}}})


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
    assert accepts(schema, SMALL)


def test_a_recipe_that_extends_another_needs_a_name_alone(schema: dict[str, Any]) -> None:
    top = {"name": "x", "extends": "two_styles"}
    part = {"losses": {"style1": {"weight": 2}, "style2": None}, "images": {"style2": None}}
    assert accepts(schema, top)
    assert accepts(schema, {**top, **part})
    assert not accepts(schema, {"extends": "two_styles"})
    more = {"postprocess": {"append": [{"use": "keep_color"}]}}
    assert accepts(schema, {**top, **more})
    assert not accepts(schema, {**top, "postprocess": {"append": [{"use": "nothing"}]}})
    assert accepts(schema, SMALL)
    assert not accepts(schema, {**SMALL, **more})
    assert not accepts(schema, {**top, "losses": {"a": {"use": "gram", "wieght": 2}}})
    assert not accepts(schema, {**SMALL, **part})
