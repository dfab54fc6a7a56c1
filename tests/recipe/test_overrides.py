"""`--set PATH=VALUE`."""

from pathlib import Path
from typing import Any

import pytest

import nstflow
from nstflow.recipe.overrides import override
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.source import Source
from nstflow.recipe.yaml import MAX_DEPTH, parse_yaml
from refusals import problems_of, refused

TEXT = """\
name: x
images: {content: photo.png}
losses:
  style: {use: gram, weight: 1}
preprocess:
  - {use: resize, longest_side: 512}
postprocess: []
optimizer: ~
"""


def source() -> Source:
    return Source("r.yaml", TEXT, *parse_yaml(TEXT, "r.yaml"))


def put(*settings: str) -> dict[str, Any]:
    data: dict[str, Any] = override(source(), settings).data
    return data


def test_value_at_any_depth() -> None:
    assert put("name=y")["name"] == "y"
    assert put("losses.style.weight=0.3")["losses"]["style"] == {"use": "gram", "weight": 0.3}
    assert put("losses.style.scale=sum")["losses"]["style"]["scale"] == "sum"
    assert put("preprocess.0.longest_side=64")["preprocess"][0]["longest_side"] == 64


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("avg", "avg"),
        ("on", "on"),
        ("[a, b]", ["a", "b"]),
        ("{use: tv, layers: [image]}", {"use": "tv", "layers": ["image"]}),
        ("'5'", "5"),
        ("true", True),
        ("~", None),
        ("", None),
        ("a=b", "a=b"),
        (" spaced ", "spaced"),
    ],
)
def test_values_are_yaml(text: str, value: Any) -> None:
    got = put(f"losses.style.new={text}")["losses"]["style"]["new"]
    assert (type(got), got) == (type(value), value)


def test_index_after_the_last_adds_an_item() -> None:
    assert put("preprocess.1={use: crop}")["preprocess"][1:] == [{"use": "crop"}]
    assert put("preprocess.1.use=crop", "preprocess.1.aspect=2")["preprocess"][1:] == [
        {"use": "crop", "aspect": 2}
    ]
    assert put("postprocess.0.use=resize")["postprocess"] == [{"use": "resize"}]


def test_sections_that_are_absent_or_empty_are_made() -> None:
    assert put("compute.deterministic=false")["compute"] == {"deterministic": False}
    assert put("optimizer.beta_1=0.9")["optimizer"] == {"use": "adam", "beta_1": 0.9}
    assert put("extractor.layers.style=[a]")["extractor"] == {
        "use": "vgg19",
        "layers": {"style": ["a"]},
    }


def test_later_settings_win() -> None:
    assert put("name=y", "name=z")["name"] == "z"
    assert put("losses.style.weight=2", "losses.style={use: tv}")["losses"]["style"] == {
        "use": "tv"
    }


def test_the_source_itself_stays_as_it_is() -> None:
    before = source()
    after = override(before, ["losses.style.weight=5", "preprocess.0.use=crop"])
    assert before.data == source().data
    assert after.text == before.text


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        *((text, "this is not PATH=VALUE. Write --set losses") for text in ("name", "", "  =5")),
        ("preprocess.2.use=x", "preprocess is a list: its items go from 0 to 0, and 1 adds one"),
        ("preprocess.-1.use=x", "preprocess is a list"),
        ("preprocess.use=x", "preprocess is a list"),
        ("preprocess.00=x", "preprocess is a list"),
        (f"preprocess.{'9' * 5000}=x", "preprocess is a list"),
        ("postprocess.1=x", "postprocess is a list: it is empty, and 0 adds one"),
        ("name.first=x", "name is the text 'x', which has no 'first'"),
        ("losses.style.weight.unit=x", "losses.style.weight is 1, which has no 'unit'"),
        (f"new{'.a' * MAX_DEPTH}=1", f"{MAX_DEPTH + 1} parts: at most {MAX_DEPTH} are allowed"),
        (f"new{'.a' * 5000}=1", f"5001 parts: at most {MAX_DEPTH} are allowed"),
        *((f"a{letter}b=1", "this path has") for letter in "\x1b\x9b\r\x7f\udc80"),
        # the value: a line and column in it help nobody
        ('name="\\e[31m"', "control character U+001B"),
        ("name=[1, 2", "not valid YAML"),
        ("name={a: 1, a: 2}", "repeated"),
        ("name=*x", "undefined alias"),
        ("name=!!python/name:os.system x", "tag"),
        ("name=a: b: c", "not valid YAML"),
        ("name=x\n---\ny", "document"),
    ],
    ids=lambda text: ascii(text)[:40],
)
def test_what_is_refused(setting: str, words: str) -> None:
    problem = refused(override, source(), [setting])
    assert problem.where == f"--set {setting}"
    assert words in f"{problem.got} {problem.hint}"


def test_a_deep_path() -> None:
    assert put(f"new{'.a' * (MAX_DEPTH - 1)}=1")["new"]


def test_all_mistakes_are_reported_at_once() -> None:
    found = problems_of(override, source(), ["name", "name.x=1", "seed=1", "images=["])
    assert [problem.where for problem in found] == [
        "--set name",
        "--set name.x=1",
        "--set images=[",
    ]


RECIPE = """\
name: x
images: {content: photo.png}
losses:
  keep: {use: content, layers: [block1_conv1, block1_conv2]}
outputs:
  - {use: png}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    return path


def test_absent_extractor_is_set(recipe: Path) -> None:
    extractor = load_recipe(recipe, ["extractor.weights=random"]).extractor
    assert extractor.model_dump()["weights"] == "random"
    assert extractor.use == "vgg19"


def test_image_that_is_a_plain_text_is_set(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    image = load_recipe(recipe, ["images.content.max_megapixels=2"]).images["content"]
    assert image.model_dump()["max_megapixels"] == 2
    assert str(image.model_dump()["path"]) == "photo.png"
    image = load_recipe(recipe, ["images.content=other.png"]).images["content"]
    assert str(image.model_dump()["path"]) == "other.png"
    image = load_recipe(recipe, ["images.content={use: noise}"]).images["content"]
    assert image.use == "noise"


def test_default_list_is_set(recipe: Path) -> None:
    recipes = [load_recipe(recipe, ["preprocess.0.longest_side=64"]), load_recipe(recipe)]
    assert [r.preprocess[0].model_dump()["longest_side"] for r in recipes] == [64, 512]


@pytest.mark.parametrize(
    ("settings", "where", "what"),
    [
        (["losses.keep.weight=heavy"], "--set losses.keep.weight", ""),
        (["losses.keep.wieght=1"], "--set losses.keep.wieght", ""),
        # below what an option replaced, the places of the file mean nothing
        (
            ["losses.keep.layers=[block1_conv1, x]"],
            "--set losses.keep.layers",
            "losses.keep.layers.1",
        ),
        (["losses.keep={use: content, layers: [x]}"], "--set losses.keep", "losses.keep.layers.0"),
        (["losses.keep={use: contents}"], "--set losses.keep", "losses.keep.use"),
        (["outputs=[{use: png, name: 5}]"], "--set outputs", "outputs.0.name"),
        # the last setting of a value is the one that is wrong
        (["seed=5", "seed=-5"], "--set seed", ""),
        (
            ["losses.keep.layers=[x]", "losses={k: {use: content, layers: [x]}}"],
            "--set losses",
            "losses.k.layers.0",
        ),
        (
            ["losses={k: {use: content}}", "losses.k.layers=[x]"],
            "--set losses.k.layers",
            "losses.k.layers.0",
        ),
    ],
)
def test_mistake_in_a_setting_is_placed_at_the_option(
    recipe: Path, settings: list[str], where: str, what: str
) -> None:
    problem = refused(load_recipe, recipe, settings)
    assert (problem.where, problem.what) == (where, what)


@pytest.mark.parametrize(
    ("setting", "got", "hint"),
    [
        ("losses.kep.weight=1", "there is no losses.kep in the recipe.", "Did you mean 'keep'?"),
        ("outputs.1.name=x", "there is no outputs.1 in the recipe.", "set its `use`, too."),
        ("epochs=2", "unknown setting.", "Did you mean 'schedule.epochs'?"),
        ("losses.keep.x.y=1", "unknown setting.", "Known: use,"),
        ("sead=2", "unknown setting.", "Did you mean 'seed'?"),
    ],
)
def test_setting_that_the_recipe_lacks(recipe: Path, setting: str, got: str, hint: str) -> None:
    problem = refused(load_recipe, recipe, [setting])
    assert (problem.where, problem.got) == (f"--set {setting.partition('=')[0]}", got)
    assert hint in problem.hint


def test_texts_in_place_of_a_list_or_a_recipe_are_refused(recipe: Path) -> None:
    with pytest.raises(TypeError, match="read one with nstflow"):
        nstflow.run(str(recipe))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="overrides must be a list, but is 'seed=2'"):
        load_recipe(recipe, "seed=2")


def test_mistake_beside_a_setting_is_placed_in_the_file(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("block1_conv2", "nope"))
    assert refused(load_recipe, recipe, ["losses.keep.weight=2"]).where == f"{recipe}:4:47"
