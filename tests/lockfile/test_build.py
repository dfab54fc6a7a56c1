"""The lockfile: everything that a run depends on, as a recipe that runs."""

import copy
import hashlib
import json
from collections import Counter
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import pytest

import nstflow
from nstflow.lockfile.build import Lockfile, make_lock, relative, to_text
from nstflow.matrix.worker import work
from nstflow.plan import Plan, make_plan
from nstflow.recipe.model import Lock
from nstflow.recipe.paths import with_settings
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.yaml import parse_yaml
from nstflow.storage import files
from pictures import draw
from refusals import refused


def reread(plan: Plan, folder: Path) -> Plan:
    """Plan the recipe that the plan's lockfile is."""
    (folder / "a.lock.yaml").write_text(make_lock(plan, folder).to_text(), encoding="utf-8")
    return make_plan(load_recipe(folder / "a.lock.yaml"))


# what it says


def test_overrides_and_defaults_are_written(planned: Any, lockfile_of: Any, folder: Path) -> None:
    plan = planned("losses.keep.weight=20", "schedule.epochs=3")
    data = lockfile_of(plan, folder).data
    assert data["losses"]["keep"]["weight"] == 20
    assert data["schedule"] == {"use": "epochs", "epochs": 3, "steps_per_epoch": 2}
    assert set(data) == set(type(plan.recipe).model_fields) - {"extends", "options", "matrix"}
    for keys, stage in plan.recipe.stages():
        settings: Any = data
        for key in keys:
            settings = settings[key]
        fields = type(stage).model_fields
        assert set(settings) == {name for name in fields if getattr(stage, name) is not None}, keys
    assert data["optimizer"]["learning_rate"] == 0.02
    assert data["images"]["content"]["transparency"] == "weight"
    assert data["outputs"] == [{"use": "png", "name": "result", "bits": 8, "exif": False}]
    assert (data["nstflow"], data["summary"], data["seed"]) == (1, "", 0)
    assert data["compute"] == {"precision": "float32", "deterministic": True}
    assert data["checkpoints"] == {"every_seconds": 30, "every_steps": 100}


def test_lock_of_a_run(ran: Path, read: Any) -> None:
    lock = read(ran / "out" / "recipe.lock.yaml")["lock"]
    assert lock["device"].startswith("CPU ") or lock["device_kind"] == "gpu"
    assert (lock["python"], lock["tensorflow"]) == (python_version(), version("tensorflow"))
    assert lock["plugins"] == {"nstflow": version("nstflow")}
    assert "stopped_at" not in lock
    photo = (ran / "photo.png").read_bytes()
    assert lock["files"]["images.content.path"] == {
        "sha256": sha256(photo).hexdigest(),
        "bytes": len(photo),
    }
    assert list(lock["files"]) == ["images.content.path", "images.style.path"]


def test_environment_is_recorded_where_it_is_set(
    planned: Any, lockfile_of: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And else a lockfile is what it was before there was this key."""
    assert "environment" not in lockfile_of(planned(), folder).data["lock"]
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    lockfile = lockfile_of(planned(), folder)
    assert lockfile.data["lock"]["environment"] == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert lockfile.without_paths()["lock"]["environment"] == {"NVIDIA_TF32_OVERRIDE": "0"}
    assert reread(planned(), folder).recipe.lock.environment == {"NVIDIA_TF32_OVERRIDE": "0"}


def test_no_choice_is_left_open_once_the_device_is_known(planned: Any, folder: Path) -> None:
    plan = planned("losses.keep.layers=[block1_conv2]")
    lockfile = make_lock(plan, folder)
    assert lockfile.data["extractor"]["convolution"] == "auto"
    assert "device" not in lockfile.data["lock"]
    assert lockfile.on("x", "cpu").data["extractor"]["convolution"] == {
        "block1_conv1": "direct",
        "block1_conv2": "direct",
    }
    assert plan.recipe.extractor.model_dump()["convolution"] == "auto"


def test_weights_in_a_file_of_the_user_are_a_file(planned: Any, folder: Path) -> None:
    mine = folder / "deep" / "mine.npz"
    mine.parent.mkdir()
    np.savez(mine, a=np.zeros(1))
    data = make_lock(planned("extractor.weights=deep/mine.npz"), folder / "deep").data
    assert data["extractor"]["weights"] == "mine.npz"
    what = data["lock"]["files"]["extractor.weights"]
    assert what["sha256"] == sha256(mine.read_bytes()).hexdigest()
    assert data["lock"]["weights"] == {}


def test_weights_with_a_name_have_a_hash_for_which_they_are_downloaded(
    planned: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    def assets(*_: object) -> list[nstflow.Asset]:
        if fetched:
            return [nstflow.Asset("far", present=True, sha256="cd" * 32)]
        return [nstflow.Asset("far", present=False, fetch=lambda _report: fetched.append("far"))]

    assert make_lock(planned(), folder).data["lock"]["weights"] == {}
    monkeypatch.setattr(type(planned().recipe.extractor), "assets", assets)
    for _ in range(2):
        assert make_lock(planned(), folder).data["lock"]["weights"] == {"far": "cd" * 32}
    assert fetched == ["far"]


def test_a_file_that_changed_or_vanished_is_named_with_its_line(planned: Any, folder: Path) -> None:
    plan = planned()
    lockfile = make_lock(plan, folder)
    lockfile.check_unchanged()
    draw(folder / "style.png", seed=5)
    problem = refused(lockfile.check_unchanged)
    assert (problem.where, problem.what) == (f"{folder / 'recipe.yaml'}:4:3", "images.style.path")
    assert "style.png' was changed while the run read it." in problem.got
    (folder / "photo.png").unlink()
    problem = refused(make_lock, plan, folder)
    assert (problem.where, problem.what) == (f"{folder / 'recipe.yaml'}:3:3", "images.content.path")
    assert "photo.png' can't be read (No such file or directory)." in problem.got


# it is a recipe


def test_it_runs_to_the_same_pixels(ran: Path, read: Any, tmp_path: Path) -> None:
    plan = make_plan(load_recipe(ran / "out" / "recipe.lock.yaml"))
    again = nstflow.run(plan, tmp_path / "again")
    assert again.files[0].read_bytes() == (ran / "out" / "result.png").read_bytes()
    assert again.plan.files["images.content.path"].samefile(ran / "photo.png")
    columns = [
        [line.rpartition(",")[0] for line in (folder / "history.csv").read_text().splitlines()]
        for folder in (ran / "out", again.folder)
    ]
    assert columns[0] == columns[1]
    data = read(ran / "out" / "recipe.lock.yaml")
    lock = data["lock"]
    lockfile = make_lock(plan, ran / "out").on(lock["device"], lock["device_kind"])
    assert lockfile.data == data
    text = (ran / "out" / "recipe.lock.yaml").read_text(encoding="utf-8")
    assert lockfile.to_text() == to_text(data) == text
    assert text.startswith(f"# Written by nstflow {version('nstflow')}: what a run was made of.")
    assert "\n  content: {use: file, path: ../photo.png, max_megapixels: 64.0" in text


def test_data_is_what_is_read_back_from_the_text(
    planned: Any, lockfile_of: Any, folder: Path
) -> None:
    plan = planned(
        "summary='tab\\there, line\\nthere'",
        "losses.look.layers={block1_conv1: 1e-7, image: 3}",
        "extractor.layers.mine=[block1_conv1]",
        "checkpoints.every_seconds=1e16",
    )
    lockfile = lockfile_of(plan, folder)
    assert parse_yaml(lockfile.to_text(), "lock")[0] == lockfile.data


def test_null_is_kept_against_a_default_and_else_left_out(planned: Any, folder: Path) -> None:
    plan = planned("checkpoints.every_seconds=null", "preprocess=[{use: resize, longest_side: 24}]")
    data = make_lock(plan, folder).data
    assert data["checkpoints"]["every_seconds"] is None
    assert "only" not in data["preprocess"][0]
    assert reread(plan, folder).recipe.checkpoints.every_seconds is None


# paths

NAMES = [
    *("photo.png", "a b.png", "größer 猫.png", "1e-4", "null", "~x.png", "- a: b #c", "it's.png"),
    *("a/b/c.png", "{a}.png", "100%.png", "'.png", '".png', "*.png", "e\u0301.png", "a\nb.png"),
    *("back\\slash.png", "-.png", "..png", "...", "\u2028.png", "true"),
]
PLACES = [*((name, "run") for name in NAMES), ("~x.png", "."), ("a b.png", "x/~y"), ("a", "~")]


@pytest.mark.parametrize(("name", "place"), [*PLACES, ("photo.png", "ä b")], ids=ascii)
def test_path_in_a_lockfile_leads_to_the_file(
    name: str, place: str, planned: Any, recipe_text: str, folder: Path
) -> None:
    if name.startswith("~"):
        name = f"../{folder.name}/{name}"  # else it is in a home folder
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (folder / "photo.png").replace(file)
    text = recipe_text.replace("photo.png", json.dumps(name, ensure_ascii=False))
    plan = planned(text=text)
    (folder / place).mkdir(parents=True, exist_ok=True)
    again = reread(plan, folder / place)
    assert str(folder) not in again.recipe.source.data["images"]["content"]["path"]
    assert again.files["images.content.path"].samefile(file)
    assert again.sources == plan.sources


def test_absolute_paths_and_those_in_a_home_folder_become_relative(
    planned: Any, recipe_text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    draw(folder / "home" / "photo.png")
    for path in ("~/photo.png", folder / "home" / "photo.png"):
        plan = planned(text=recipe_text.replace("photo.png", str(path)))
        for start, expected in (("", "home/photo.png"), ("a/b", "../../home/photo.png")):
            assert make_lock(plan, folder / start).paths["images.content.path"] == expected


@pytest.mark.parametrize("linked", ["recipe", "images", "lock", "image"])
def test_paths_lead_through_symlinked_folders(
    linked: str, recipe_text: str, write: Any, tmp_path: Path
) -> None:
    """A `..` behind a link leads out of the folder that it points to."""
    far = tmp_path / "far" / "away" / "deep"
    far.mkdir(parents=True)
    (tmp_path / "images").mkdir()
    link, photo, path = {
        "recipe": ("recipes", "far/away/images/photo.png", "../images/photo.png"),
        "images": ("images/linked", "far/away/deep/photo.png", "../images/linked/photo.png"),
        "lock": ("run", "images/photo.png", "../images/photo.png"),
        "image": ("images/i.png", "far/away/deep/photo.png", "../images/i.png"),
    }[linked]
    draw(tmp_path / photo)
    (tmp_path / link).symlink_to(tmp_path / photo if linked == "image" else far)
    text = recipe_text.replace("photo.png", path).replace("style.png", path)
    plan = make_plan(load_recipe(write(text, "recipes/recipe.yaml")))
    (tmp_path / "run").mkdir(exist_ok=True)
    again = reread(plan, tmp_path / "run")
    assert again.files["images.content.path"].samefile(plan.files["images.content.path"])
    if linked == "image":  # the link is what was named
        assert again.recipe.source.data["images"]["content"]["path"] == "../images/i.png"


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


@pytest.fixture
def odd(install: Any, planned: Any) -> Any:
    """Plan the recipe with one more image, of a plugin whose stages are hard to write."""
    install("nstflow-odd", STAGES)
    return lambda image: planned(f"images.odd={image}")


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ("{use: writeless, odd: a, path: photo.png, more: 4}", None),
        ("{use: changing, unit: mm}", None),
        ("{use: raising, unit: mm}", None),
        ("{use: computing, none: null}", {"use": "computing", "wide": 5, "none": None}),
    ],
)
def test_settings_are_as_they_can_be_read_again(
    image: str, written: Any, odd: Any, folder: Path
) -> None:
    """What can't be written stays as it was written; what is computed is not a setting."""
    plan = odd(image)
    data = make_lock(plan, folder).data["images"]["odd"]
    assert data == (written or parse_yaml(image, "image")[0])
    assert reread(plan, folder).recipe.images["odd"] == plan.recipe.images["odd"]


def test_path_of_a_stage_that_can_not_be_written_is_rewritten_too(odd: Any, folder: Path) -> None:
    """Even one that the recipe left at its default; the recipe in memory is not changed."""
    (folder / "plain.png").write_bytes(b"plain")
    plan = odd("{use: writeless, odd: a}")
    before = copy.deepcopy(plan.recipe.source.data)
    settings = make_lock(plan, folder / "out").data["images"]["odd"]
    assert settings == {"use": "writeless", "odd": "a", "path": "../plain.png"}
    assert plan.recipe.source.data == before


def test_stage_that_names_several_files(odd: Any, folder: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    (folder / "out").mkdir()
    plan = odd("{use: several, paths: [a.txt, b.txt]}")
    lockfile = make_lock(plan, folder / "out")
    assert lockfile.data["images"]["odd"]["paths"] == ["../a.txt", "../b.txt"]
    names = [name for name in lockfile.files if "odd" in name]
    assert names == ["images.odd.paths.0", "images.odd.paths.1"]
    assert lockfile.without_paths()["images"]["odd"]["paths"] == ["a.txt", "b.txt"]
    files = reread(plan, folder / "out").files
    assert files["images.odd.paths.1"].samefile(folder / "b.txt")


def test_version_of_each_package_that_supplied_a_stage(
    planned: Any, with_term: str, install: Any, folder: Path
) -> None:
    install("nstflow-idle", "import nstflow\n", version="1.0")
    data = make_lock(planned(text=with_term), folder).data
    assert data["lock"]["plugins"] == {"nstflow": version("nstflow"), "nstflow-term": "2.5"}


@pytest.mark.usefixtures("with_term")
def test_blocked_plugins_stay_out_even_if_they_are_not_installed(
    planned: Any, folder: Path
) -> None:
    plan = planned(block=["nstflow-term"])
    assert make_lock(plan, folder).data["plugins"] == {"block": ["nstflow-term"]}
    info = next((folder / "site").glob("*.dist-info"))
    for file in info.iterdir():
        file.unlink()
    info.rmdir()
    assert reread(plan, folder).recipe.plugins.block == ["nstflow-term"]


# in a picture


def test_lock_without_paths(planned: Any, folder: Path) -> None:
    lockfile = make_lock(planned(), folder / "far" / "away")
    before = copy.deepcopy(lockfile.data)
    bare = lockfile.without_paths()
    assert before["images"]["content"]["path"] == "../../photo.png"
    assert lockfile.data == before
    assert bare["images"]["content"]["path"] == "photo.png"
    for name in ("content", "style"):
        bare["images"][name]["path"] = before["images"][name]["path"]
    assert bare == before
    assert lockfile.without_paths(3)["lock"] == {**before["lock"], "stopped_at": 3}
    Lock.model_validate(lockfile.without_paths(0)["lock"], strict=True)


# data


def test_numbers_are_indices_of_lists_alone() -> None:
    data = {"a": [{"0": {"b": 1}}], "1": 2}
    changed = with_settings(data, {"a.0.0.b": 5, "1": 3, "a.0.new": 4})
    assert changed == {"a": [{"0": {"b": 5}, "new": 4}], "1": 3}
    assert data == {"a": [{"0": {"b": 1}}], "1": 2}


# how often


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the lockfiles that are made, and how often each file is read for its hash."""
    counts: Counter[str] = Counter()
    digest = hashlib.file_digest

    def read(file: Any, name: str) -> Any:
        counts[Path(file.name).name] += 1
        return digest(file, name)

    def make(*arguments: Any) -> Lockfile:
        counts["lockfile"] += 1
        return make_lock(*arguments)

    monkeypatch.setattr(hashlib, "file_digest", read)
    for module in ("runner.run", "lockfile.check"):
        monkeypatch.setattr(f"nstflow.{module}.make_lock", make)
    monkeypatch.setattr(files, "_hashes", {})
    monkeypatch.setattr(files, "_SETTLED_NS", 0)
    return counts


@pytest.mark.parametrize("way", ["plain", "locked", "resume", "job"])
def test_a_run_makes_one_lockfile_and_reads_each_input_at_most_twice(
    way: str, planned: Any, folder: Path, asking: Any, counts: Counter[str]
) -> None:
    arrays = {"block1_conv1/kernel": np.ones((3, 3, 3, 64)), "block1_conv1/bias": np.ones(64)}
    np.savez(folder / "mine.npz", **arrays)
    plan = planned("extractor.weights=mine.npz", "start={use: noise}")
    lock = make_lock(plan, folder / "out").to_text()
    if way == "resume":
        asks = asking()
        nstflow.run(plan, folder / "out", observers=[asks], stop=asks.stop)
    (folder / "a.lock.yaml").write_text(make_lock(plan, folder).to_text())
    locked = load_recipe(folder / "a.lock.yaml")
    counts.clear()
    files._hashes.clear()
    if way == "job":
        job = nstflow.Job("it", lock, folder / "out")
        assert work(job, lambda _: None, nstflow.Stop()).state == "finished"
    elif way == "locked":
        nstflow.run(locked, folder / "out", locked=True)
    else:
        result = nstflow.run(plan, folder / "out", resume=way == "resume")
        assert bool(result.resumed_from) == (way == "resume")
    assert counts["lockfile"] == 1
    inputs = {name: counts[name] for name in ("photo.png", "style.png", "mine.npz")}
    assert all(1 <= count <= 2 for count in inputs.values()), counts
