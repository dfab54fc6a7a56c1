"""The lock of a run: everything that it was made of, as a recipe that runs."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow.errors import NstflowError
from nstflow.lockfile.build import (
    Data,
    describe_file,
    keys_of,
    make_lock,
    recipe_data,
    relative,
    to_text,
    with_hashes,
    without_paths,
)
from nstflow.plan import Plan, plan_file
from nstflow.recipe.model import Lock
from nstflow.recipe.paths import parse_path, with_value
from nstflow.recipe.yaml import parse_yaml
from nstflow.stages.result import Result

RECIPE = """\
name: tiny
seed: 7
images:
  content: photo.png
  style: {use: noise, height: 16, width: 16, seed: 1}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
optimizer: {epsilon: 1e-8}  # each step can be seen
schedule: {use: epochs, epochs: 1, steps_per_epoch: 3}
"""
DEEP = ("losses.keep.layers=[block2_conv1]", "images.style.width=48", "images.style.height=48")

Lay = Callable[..., Plan]


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (32, 24)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def lock_of(plan: Plan, folder: Path) -> Data:
    return make_lock(plan, "a device", "cpu", folder)


@pytest.fixture
def lay(tmp_path: Path, write: Any) -> Lay:
    """Write a recipe with its photo and plan it."""

    def lay(*settings: str, text: str = RECIPE, **options: Any) -> Plan:
        draw(tmp_path / "photo.png")
        return plan_file(write(text), settings, **options)

    return lay


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return a run that ended, with two settings overridden, for tests that only look."""
    folder = tmp_path_factory.mktemp("ended")
    draw(folder / "photo.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    plan = plan_file(folder / "recipe.yaml", ["losses.keep.weight=20", "schedule.epochs=2"])
    return nstflow.run(plan, folder / "out")


def written(result: Result) -> Data:
    text = (result.folder / "recipe.lock.yaml").read_text(encoding="utf-8")
    data: Data = parse_yaml(text, "lock")[0]
    return data


# what it says


def test_overrides_are_applied(ended: Result) -> None:
    data = written(ended)
    assert data["losses"]["keep"]["weight"] == 20
    assert data["schedule"] == {"use": "epochs", "epochs": 2, "steps_per_epoch": 3}


def test_every_default_is_filled_in(ended: Result) -> None:
    data, recipe = written(ended), ended.plan.recipe
    assert set(data) == set(type(recipe).model_fields) - {"matrix"}
    for keys, stage in recipe.stages():
        settings: Any = data
        for key in keys:
            settings = settings[key]
        fields = type(stage).model_fields
        assert set(settings) == {
            name for name, field in fields.items() if getattr(stage, name) is not None
        }, keys
    assert data["optimizer"]["learning_rate"] == 0.02
    assert data["images"]["content"]["transparency"] == "white"
    assert data["outputs"] == [{"use": "png", "name": "result"}]
    assert data["summary"] == ""
    assert data["nstflow"] == 1
    assert data["checkpoints"] == {"every_seconds": 30, "every_steps": 100}


def test_it_says_how_it_was_computed(ended: Result) -> None:
    data = written(ended)
    assert data["seed"] == 7
    assert data["compute"] == {"precision": "float32", "deterministic": True}
    assert data["lock"]["device"] == ended.device
    assert data["lock"]["device_kind"] in ("cpu", "gpu")
    assert data["lock"]["python"] == python_version()
    assert data["lock"]["tensorflow"] == version("tensorflow")
    assert data["lock"]["plugins"] == {"nstflow": version("nstflow")}
    assert "stopped_at" not in data["lock"]


def test_it_has_hash_and_size_of_each_input(ended: Result) -> None:
    photo = (ended.folder.parent / "photo.png").read_bytes()
    what = {"sha256": sha256(photo).hexdigest(), "bytes": len(photo)}
    assert written(ended)["lock"]["files"] == {"images.content.path": what}


def test_no_choice_is_left_open(lay: Lay, tmp_path: Path) -> None:
    data = lock_of(lay(*DEEP), tmp_path)
    assert data["extractor"]["convolution"] == dict.fromkeys(
        ("block1_conv1", "block1_conv2", "block2_conv1"), "direct"
    )
    assert lay(*DEEP).recipe.extractor.model_dump()["convolution"] == "auto"


def test_hash_of_weights_by_name(lay: Lay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = lay("extractor.weights=random")
    assert lock_of(plan, tmp_path)["lock"]["weights"] == {}
    known = nstflow.Asset("ImageNet weights", present=True, sha256="ab" * 32)
    monkeypatch.setattr(type(plan.recipe.extractor), "assets", lambda _self, _folder: [known])
    assert lock_of(lay(), tmp_path)["lock"]["weights"] == {"ImageNet weights": "ab" * 32}


def test_weights_of_ones_own_are_a_file(lay: Lay, tmp_path: Path) -> None:
    mine = tmp_path / "deep" / "mine.npz"
    mine.parent.mkdir()
    np.savez(mine, a=np.zeros(1))
    data = lock_of(lay("extractor.weights=deep/mine.npz"), tmp_path / "deep")
    assert data["extractor"]["weights"] == "mine.npz"
    what = data["lock"]["files"]["extractor.weights"]
    assert what["sha256"] == sha256(mine.read_bytes()).hexdigest()
    assert data["lock"]["weights"] == {}


def test_weights_that_are_not_here_yet_are_fetched_for_their_hash(
    lay: Lay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def assets(_self: Any, _folder: Path) -> list[nstflow.Asset]:
        if fetched:
            return [nstflow.Asset("far", present=True, sha256="cd" * 32)]
        return [nstflow.Asset("far", present=False, fetch=lambda _report: fetched.append("far"))]

    monkeypatch.setattr(type(lay().recipe.extractor), "assets", assets)
    plan = lay()
    assert [asset.sha256 for asset in plan.assets] == [None]
    assert [asset.sha256 for asset in with_hashes(plan).assets] == ["cd" * 32]
    known = lay()
    assert with_hashes(known) is known
    assert fetched == ["far"]


def test_a_file_that_vanished_is_told_at_its_line(lay: Lay, tmp_path: Path) -> None:
    plan = lay()
    (tmp_path / "photo.png").unlink()
    with pytest.raises(NstflowError) as caught:
        lock_of(plan, tmp_path)
    (problem,) = caught.value.problems
    assert problem.where == f"{tmp_path / 'recipe.yaml'}:4:3"
    assert problem.what == "images.content.path"
    assert "photo.png' can't be read (No such file or directory)." in problem.got


# it is a recipe


def test_it_runs_to_the_same_pixels(ended: Result, tmp_path: Path) -> None:
    again = nstflow.run(plan_file(ended.folder / "recipe.lock.yaml"), tmp_path / "again")
    assert again.image.pixels.tobytes() == ended.image.pixels.tobytes()
    for column in ("step", "total", "keep", "look"):
        assert again.history[column] == ended.history[column]
    assert again.plan.files["images.content.path"].samefile(ended.folder.parent / "photo.png")


def test_its_lock_is_the_same(ended: Result) -> None:
    again = plan_file(ended.folder / "recipe.lock.yaml")
    lock = make_lock(again, ended.device, written(ended)["lock"]["device_kind"], ended.folder)
    assert lock == written(ended)


def test_its_text_says_what_it_is(ended: Result) -> None:
    text = (ended.folder / "recipe.lock.yaml").read_text(encoding="utf-8")
    assert text == to_text(written(ended))
    assert text.startswith(f"# Written by nstflow {version('nstflow')}: what a run was made of.")
    assert "\n  content: {use: file, path: ../photo.png, max_megapixels: 64.0" in text


def test_settings_that_are_null_stay_null(lay: Lay, tmp_path: Path) -> None:
    """What is null by default is left out, what was made null against a default is kept."""
    plan = lay("checkpoints.every_seconds=null", "preprocess=[{use: resize, longest_side: 24}]")
    data = lock_of(plan, tmp_path)
    assert data["checkpoints"]["every_seconds"] is None
    assert "only" not in data["preprocess"][0]
    (tmp_path / "a.lock.yaml").write_text(to_text(data))
    assert plan_file(tmp_path / "a.lock.yaml").recipe.checkpoints.every_seconds is None


# paths

NAMES = [
    *("photo.png", "a b.png", "größer 猫.png", "1e-4", "null", "~x.png", "- a: b #c", "it's.png"),
    *("a/b/c.png", "{a}.png", "100%.png", "'.png", '".png', "*.png", "e\u0301.png", "a\nb.png"),
    *("back\\slash.png", "-.png", "..png", "...", "\u2028.png", "true"),
]


PLACES = [*((name, "run") for name in NAMES), ("~x.png", "."), ("a b.png", "x/~y"), ("a", "~")]


@pytest.mark.parametrize(("name", "folder"), [*PLACES, ("photo.png", "ä b")], ids=ascii)
def test_path_from_a_lock_leads_to_the_file(
    name: str, folder: str, write: Any, tmp_path: Path
) -> None:
    if name.startswith("~"):
        name = f"../{tmp_path.name}/{name}"  # else it is somebody's home
    draw(tmp_path / "drawn.png")
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "drawn.png").replace(file)
    plan = plan_file(write(RECIPE.replace("photo.png", json.dumps(name, ensure_ascii=False))))
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    data = lock_of(plan, tmp_path / folder)
    assert str(tmp_path) not in data["images"]["content"]["path"]
    lock = tmp_path / folder / "a.lock.yaml"
    lock.write_text(to_text(data), encoding="utf-8")
    again = plan_file(lock)
    assert again.files["images.content.path"].samefile(file)
    assert again.sources == plan.sources


def test_path_that_is_absolute_or_at_home_becomes_relative(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    draw(tmp_path / "home" / "photo.png")
    for path in ("~/photo.png", tmp_path / "home" / "photo.png"):
        plan = plan_file(write(RECIPE.replace("photo.png", str(path))))
        assert lock_of(plan, tmp_path)["images"]["content"]["path"] == "home/photo.png"
        (tmp_path / "a" / "b").mkdir(parents=True, exist_ok=True)
        data = lock_of(plan, tmp_path / "a" / "b")
        assert data["images"]["content"]["path"] == "../../home/photo.png"


@pytest.mark.parametrize("linked", ["recipe", "images", "lock", "image"])
def test_paths_lead_through_symlinked_folders(linked: str, write: Any, tmp_path: Path) -> None:
    """A `..` behind a link leads out of the folder that it points to."""
    far = tmp_path / "far" / "away" / "deep"
    far.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    links = {"recipe": "recipes", "lock": "run", "images": "images/linked", "image": "images/i.png"}
    path = Path("..", "images", "photo.png")
    if linked == "image":
        draw(far / "photo.png")
        (tmp_path / "images" / "i.png").symlink_to(far / "photo.png")
        path = Path("..", "images", "i.png")
    else:
        (tmp_path / links[linked]).symlink_to(far)
    if linked == "images":
        draw(far / "photo.png")
        path = Path("..", "images", "linked", "photo.png")
    elif linked == "recipe":
        draw(tmp_path / "far" / "away" / "images" / "photo.png")
    elif linked == "lock":
        draw(tmp_path / "images" / "photo.png")
    plan = plan_file(write(RECIPE.replace("photo.png", str(path)), "recipes/recipe.yaml"))
    (tmp_path / "run").mkdir(exist_ok=True)
    data = lock_of(plan, tmp_path / "run")
    (tmp_path / "run" / "a.lock.yaml").write_text(to_text(data))
    again = plan_file(tmp_path / "run" / "a.lock.yaml")
    assert again.files["images.content.path"].samefile(plan.files["images.content.path"])
    if linked == "image":  # the link is what was named
        assert data["images"]["content"]["path"] == "../images/i.png"


def test_folder_that_is_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative(Path("photo.png"), Path()) == "photo.png"
    assert relative(Path("~photo.png"), Path()) == f"../{tmp_path.name}/~photo.png"
    assert relative(Path("a", "..", "photo.png"), Path("b")) == "../photo.png"


# plugins

STAGES = """
import nstflow
from pathlib import Path
from typing import Annotated, Any, Literal
from pydantic import BeforeValidator, Field, PlainSerializer, computed_field


class Odd:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return self.text == other.text


class Base(nstflow.Loader):
    '''Makes nothing.'''

    def size(self, folder):
        return 32, 24

    def load(self, folder):
        raise AssertionError


class Writeless(Base):
    use: Literal["writeless"] = "writeless"
    odd: Annotated[Any, BeforeValidator(Odd)]
    path: Path = Path("plain.png")
    more: int = 3


class Changing(Base):
    use: Literal["changing"] = "changing"
    unit: Annotated[str, PlainSerializer(lambda text: text + "!")] = "cm"


class Raising(Base):
    use: Literal["raising"] = "raising"
    unit: Annotated[str, PlainSerializer(lambda text: 1 / 0)] = "cm"


class Computing(Base):
    use: Literal["computing"] = "computing"
    wide: int = 5
    none: int | None = 4

    @computed_field
    @property
    def area(self) -> int | None:
        return None


class Several(Base):
    use: Literal["several"] = "several"
    paths: tuple[Path, ...] = ()
    odd: Annotated[Any, BeforeValidator(lambda text: text)] = "x"

    def files(self, folder):
        return {f"paths.{index}": folder / path for index, path in enumerate(self.paths)}


@nstflow.hookimpl
def nstflow_stages():
    return [Writeless, Changing, Raising, Computing, Several]
"""


def settings_of(plan: Plan, name: str, folder: Path) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = lock_of(plan, folder)["images"][name]
    return settings


def reread(plan: Plan, folder: Path) -> Plan:
    (folder / "a.lock.yaml").write_text(to_text(lock_of(plan, folder)))
    return plan_file(folder / "a.lock.yaml")


@pytest.mark.parametrize(
    "image",
    [
        "{use: writeless, odd: a, path: photo.png, more: 4}",
        "{use: changing, unit: mm}",
        "{use: raising, unit: mm}",
    ],
)
def test_settings_that_can_not_be_written_back_stay_as_they_were_written(
    image: str, lay: Lay, install: Any, tmp_path: Path
) -> None:
    install("nstflow-odd", STAGES)
    plan = lay(f"images.odd={image}")
    assert settings_of(plan, "odd", tmp_path) == parse_yaml(image, "image")[0]
    assert reread(plan, tmp_path).recipe.images["odd"] == plan.recipe.images["odd"]


def test_path_of_such_a_stage_is_rewritten_all_the_same(
    lay: Lay, install: Any, tmp_path: Path
) -> None:
    """That the recipe did not name too; and what the recipe has in memory is left alone."""
    install("nstflow-odd", STAGES)
    (tmp_path / "plain.png").write_bytes(b"plain")
    (tmp_path / "out").mkdir()
    plan = lay("images.odd={use: writeless, odd: a}")
    before = copy.deepcopy(plan.recipe.source.data)
    assert settings_of(plan, "odd", tmp_path / "out") == {
        "use": "writeless",
        "odd": "a",
        "path": "../plain.png",
    }
    assert plan.recipe.source.data == before


def test_what_is_computed_of_settings_is_no_setting(lay: Lay, install: Any, tmp_path: Path) -> None:
    install("nstflow-odd", STAGES)
    plan = lay("images.odd={use: computing, none: null}")
    assert settings_of(plan, "odd", tmp_path) == {"use": "computing", "wide": 5, "none": None}
    assert reread(plan, tmp_path).recipe.images["odd"] == plan.recipe.images["odd"]


def test_stage_that_names_several_files(lay: Lay, install: Any, tmp_path: Path) -> None:
    install("nstflow-odd", STAGES)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "out").mkdir()
    plan = lay("images.odd={use: several, paths: [a.txt, b.txt]}")
    data = lock_of(plan, tmp_path / "out")
    assert data["images"]["odd"]["paths"] == ["../a.txt", "../b.txt"]
    assert set(data["lock"]["files"]) == {
        *("images.content.path", "images.odd.paths.0", "images.odd.paths.1"),
    }
    assert without_paths(data)["images"]["odd"]["paths"] == ["a.txt", "b.txt"]
    files = reread(plan, tmp_path / "out").files
    assert files["images.odd.paths.1"].samefile(tmp_path / "b.txt")


TERM = """
import nstflow
from typing import Literal


class Term(nstflow.LossTerm):
    '''A loss.'''

    use: Literal["term"] = "term"

    def target(self, features):
        return None

    def score(self, features, target):
        return 0.0


@nstflow.hookimpl
def nstflow_stages():
    return [Term]
"""


def test_version_of_each_package_that_supplied_a_stage(
    lay: Lay, install: Any, tmp_path: Path
) -> None:
    install("nstflow-term", TERM, version="2.5")
    install("nstflow-idle", TERM.replace("term", "idle"), version="1.0")
    data = lock_of(lay("losses.extra={use: term, layers: [image]}"), tmp_path)
    assert data["lock"]["plugins"] == {"nstflow": version("nstflow"), "nstflow-term": "2.5"}


def test_blocked_plugins_stay_out_where_they_are_not_installed_too(
    lay: Lay, install: Any, tmp_path: Path
) -> None:
    install("nstflow-term", TERM)
    plan = lay(block=["nstflow-term"])
    data = lock_of(plan, tmp_path)
    assert data["plugins"] == {"block": ["nstflow-term"]}
    info = next((tmp_path / "site").glob("*.dist-info"))
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    assert reread(plan, tmp_path).recipe.plugins.block == ["nstflow-term"]


# to go with a picture


def test_lock_without_paths(lay: Lay, tmp_path: Path) -> None:
    data = lock_of(lay(), tmp_path / "far" / "away")
    before = copy.deepcopy(data)
    bare = without_paths(data)
    assert data["images"]["content"]["path"] == "../../photo.png"
    assert data == before
    assert bare["images"]["content"]["path"] == "photo.png"
    bare["images"]["content"]["path"] = "../../photo.png"
    assert bare == data
    assert without_paths(data, 3)["lock"] == {**data["lock"], "stopped_at": 3}
    Lock.model_validate(without_paths(data, 0)["lock"], strict=True)


# places in data


def test_numbers_are_indices_of_lists_alone() -> None:
    data = {"a": [{"0": {"b": 1}}], "1": 2}
    assert parse_path(data, "a.0.0.b") == ("a", 0, "0", "b")
    assert parse_path(data, "1") == ("1",)
    assert parse_path(data, "a.0.new") == ("a", 0, "new")
    changed, _ = with_value(data, ("a", 0, "0", "b"), 5)
    assert changed == {"a": [{"0": {"b": 5}}], "1": 2}


def test_setting_of_no_stage(lay: Lay) -> None:
    recipe = lay().recipe
    assert keys_of(recipe, "images.content.path") == ("images", "content", "path")
    assert keys_of(recipe, "extractor.weights") == ("extractor", "weights")
    assert keys_of(recipe, "outputs.0.name") == ("outputs", 0, "name")
    with pytest.raises(KeyError):
        keys_of(recipe, "images.contents.path")


def test_description_of_a_file(lay: Lay, tmp_path: Path) -> None:
    recipe = lay().recipe
    (tmp_path / "x").write_bytes(b"abc")
    what = describe_file(recipe, "images.content.path", tmp_path / "x")
    assert what == {"sha256": sha256(b"abc").hexdigest(), "bytes": 3}
    with pytest.raises(NstflowError, match="can't be read"):
        describe_file(recipe, "images.content.path", tmp_path)


def test_data_of_a_recipe_has_no_lock_of_its_own(ended: Result) -> None:
    recipe = plan_file(ended.folder / "recipe.lock.yaml").recipe
    assert recipe.lock is not None
    assert "lock" not in recipe_data(recipe, recipe.extractor)
    assert re.fullmatch("[0-9a-f]{64}", recipe.lock.files["images.content.path"].sha256)
