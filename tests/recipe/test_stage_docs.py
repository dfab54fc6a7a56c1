"""A stage in words: its settings, and an example that can be pasted."""

import enum
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest
from pydantic import BaseModel, Field

from nstflow import ImageRef, LossTerm
from nstflow.matrix.plan import plan_recipe
from nstflow.plugins.manager import Plugins
from nstflow.recipe.stage_docs import Setting, example_of, settings_of, summary_of
from nstflow.recipe.yaml import parse_yaml, to_yaml_line
from nstflow.stages.slots import ALL_SLOTS, SLOTS

OFFERS = [
    pytest.param(slot, offer, id=f"{slot}: {offer.name}")
    for slot in ALL_SLOTS
    for offer in Plugins().catalog[slot].values()
]

RECIPE = {
    "name": "x",
    "images": {
        "content": {"use": "noise", "height": 64, "width": 96},
        "style": {"use": "noise", "height": 64, "width": 64},
    },
    "losses": {"look": {"use": "gram", "image": "style"}},
}


def test_there_are_stages() -> None:
    assert len(OFFERS) > len(ALL_SLOTS)


@pytest.mark.parametrize(("slot", "offer"), OFFERS)
def test_an_example_can_be_pasted(slot: str, offer: Any, write: Any, tmp_path: Path) -> None:
    example = example_of(offer.stage, ALL_SLOTS[slot])
    if slot not in SLOTS:
        before, _, written = example.partition(" --executor ")
        assert before == "nstflow run recipe.yaml"
        stage = offer.stage.model_validate(parse_yaml(written.strip("'"), "")[0])
        assert stage == offer.stage()
        return
    pasted = parse_yaml(example, "")[0]
    PIL.Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "photo.jpg")
    PIL.Image.new("L", (96, 64)).save(tmp_path / "mask.png")
    data = {**RECIPE, **pasted}
    if slot == "images":
        data["images"] = {**RECIPE["images"], **pasted[slot]}
    plan = plan_recipe(write(to_yaml_line(data)))
    made = [stage for keys, stage in plan.recipe.stages() if keys[0] == slot]
    assert offer.stage in map(type, made)


class Fancy(LossTerm):
    """Do one thing.

    And say more of it.
    """

    use: Literal["fancy"] = "fancy"
    image: ImageRef = Field("content", description="An image.")
    kind: Literal["a", "b"] = Field(description="A choice.")
    count: int = Field(description="A number.")
    share: float = Field(description="Another.", examples=[0.25])
    file: Path = Field(Path("a b.txt"), description="A file.")
    pairs: dict[str, tuple[int, ...]] = Field({}, description="Lists.")
    often: int | None = Field(None, description="How often.")
    made: tuple[str, ...] = Field(default_factory=lambda: ("x",), description="Made.")

    def score(self, features: Any, target: Any) -> Any:
        raise NotImplementedError


def test_settings_as_a_person_would_say_them() -> None:
    assert settings_of(Fancy)[0] == Setting("image", "text", "content", "An image.")
    assert {s.name: (s.type, s.default) for s in settings_of(Fancy)[3:]} == {
        "kind": ("a | b", "needed"),
        "count": ("whole number", "needed"),
        "share": ("number", "needed"),
        "file": ("path", "a b.txt"),
        "pairs": ("text: list of whole number", "{}"),
        "often": ("whole number", "none"),
        "made": ("list of text", "[x]"),
    }
    assert summary_of(Fancy) == "Do one thing."


def test_an_example_has_a_value_for_what_is_needed() -> None:
    pasted = parse_yaml(example_of(Fancy, SLOTS["losses"]), "")[0]["losses"]["fancy"]
    assert pasted["kind"] == "a"
    assert pasted["count"] == 1
    assert pasted["share"] == 0.25
    assert pasted["made"] == ["x"]
    assert "often" not in pasted
    assert "pairs" not in pasted


def test_defaults_of_all_kinds_are_shown() -> None:
    class Tone(enum.Enum):
        WARM = "warm"

    class Inner(BaseModel):
        a: int = 3

    class Odd(LossTerm):
        use: Literal["odd"] = "odd"
        tone: Tone = Field(Tone.WARM, description="A tone.")
        inner: Inner = Field(Inner(), description="A model.")
        follows: int = Field(default_factory=lambda data: data["weight"] * 2, description="Made.")
        raises: int = Field(default_factory=lambda: 1 // 0, description="Broken.")
        least: int = Field(ge=5, description="A bound.")
        maybe: int | None = Field(description="One or none.")

        def score(self, features: Any, target: Any) -> Any:
            raise NotImplementedError

    defaults = {setting.name: setting.default for setting in settings_of(Odd)}
    assert defaults["tone"] == "warm"
    assert defaults["inner"] == "{a: 3}"
    assert defaults["follows"] == defaults["raises"] == "made"
    pasted = parse_yaml(example_of(Odd, SLOTS["losses"]), "")[0]["losses"]["odd"]
    assert (pasted["tone"], pasted["least"], pasted["maybe"]) == ("warm", 5, 1)
    assert "follows" not in pasted
    assert summary_of(Odd) == "(it has no docstring)"


@pytest.mark.parametrize("value", ["on", "1e3", 1e8, None, True, [1, "a: b"], {"a": [1]}, "é\n"])
def test_yaml_on_one_line_reads_back(value: Any) -> None:
    text = to_yaml_line(value)
    assert "\n" not in text
    assert parse_yaml(f"a: {text}", "")[0] == {"a": value}
