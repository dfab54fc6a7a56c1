"""`nstflow lock` and `nstflow diff`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

import nstflow
from nstflow.lockfile.diff import compare_anything
from nstflow.plan import plan_file
from nstflow.recipe.yaml import parse_yaml

RECIPE = """\
name: tiny
images:
  content: photo.png
  style: {use: noise, height: 16, width: 16, seed: 1}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [block1_conv1], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
schedule: {use: epochs, epochs: 2, steps_per_epoch: 2}
"""

Rows = Callable[..., list[list[str]]]


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(write: Any, tmp_path: Path) -> Path:
    """Return the test's folder, with a recipe and its photo."""
    write(RECIPE)
    draw(tmp_path / "photo.png")
    return tmp_path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, asking: Any) -> Path:
    """Return a folder with a recipe, its run that ended (out), and one that stopped (stopped)."""
    folder = tmp_path_factory.mktemp("ran")
    draw(folder / "photo.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    plan = plan_file(folder / "recipe.yaml")
    nstflow.run(plan, folder / "out")
    asks = asking()
    nstflow.run(plan, folder / "stopped", observers=[asks], stop=asks.stop)
    return folder


def read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8"), "lock")[0]
    return data


# lock


def test_lock_is_written_without_a_run(call: Any, folder: Path) -> None:
    answer = call("lock", "recipe.yaml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "recipe.lock.yaml: written\n"
    assert {path.name for path in folder.iterdir()} == {
        *("recipe.yaml", "recipe.lock.yaml", "photo.png"),
    }
    assert read(folder / "recipe.lock.yaml")["lock"]["files"]["images.content.path"]["bytes"] > 0


def test_lock_is_that_of_a_run(call: Any, ran: Path) -> None:
    answer = call("lock", ran / "recipe.yaml", "--out", ran / "beside" / "x.lock.yaml")
    assert answer.code == 2  # there is no such folder
    (ran / "beside").mkdir()
    assert call("lock", ran / "recipe.yaml", "--out", ran / "beside" / "x.lock.yaml").code == 0
    lock = (ran / "beside" / "x.lock.yaml").read_bytes()
    assert lock == (ran / "out" / "recipe.lock.yaml").read_bytes()


def test_lock_runs_where_it_was_written(call: Any, folder: Path) -> None:
    (folder / "locks").mkdir()
    answer = call("lock", "recipe.yaml", "--out", "locks/a b.yaml", "--set", "schedule.epochs=1")
    assert answer.code == 0
    assert read(folder / "locks" / "a b.yaml")["schedule"]["epochs"] == 1
    answer = call("run", "--locked", "locks/a b.yaml", "--out", "out", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    lock, run = (read(folder / name) for name in ("locks/a b.yaml", "out/recipe.lock.yaml"))
    assert lock == run  # both folders lie beside the photo


@pytest.mark.parametrize(
    ("recipe", "lock"),
    [
        ("a.yml", "a.lock.yaml"),
        ("a.b.yaml", "a.b.lock.yaml"),
        ("plain", "plain.lock.yaml"),
        ("in/ä b.yaml", "in/ä b.lock.yaml"),
    ],
)
def test_name_of_a_lock(recipe: str, lock: str, call: Any, write: Any, folder: Path) -> None:
    write(RECIPE.replace("photo.png", str(folder / "photo.png")), recipe)
    assert call("lock", recipe).out == f"{lock}: written\n"
    assert (folder / lock).is_file()


def test_lock_of_a_lock_brings_it_up_to_date(call: Any, folder: Path) -> None:
    call("lock", "recipe.yaml")
    before = read(folder / "recipe.lock.yaml")
    draw(folder / "photo.png", seed=1)
    assert call("lock", "recipe.lock.yaml").out == "recipe.lock.yaml: written\n"
    after = read(folder / "recipe.lock.yaml")
    assert after["lock"]["files"] != before["lock"]["files"]
    assert {**after, "lock": 0} == {**before, "lock": 0}


@pytest.mark.parametrize("there", ["recipe.yaml", "notes.txt", "photo.png", "folder"])
def test_lock_replaces_nothing_but_a_lock(there: str, call: Any, folder: Path) -> None:
    (folder / "notes.txt").write_text("dear: notes\n")
    (folder / "folder").mkdir()
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    answer = call("lock", "recipe.yaml", "--out", there)
    assert answer.code == 2
    assert there in answer.err
    assert "Traceback" not in answer.err
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_lock_of_a_recipe_that_can_not_run(call: Any, folder: Path) -> None:
    (folder / "photo.png").unlink()
    answer = call("lock", "recipe.yaml")
    assert answer.code == 2
    assert "no file" in answer.err
    assert not (folder / "recipe.lock.yaml").exists()


@pytest.mark.usefixtures("folder")
def test_lock_that_can_not_be_written(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nstflow.lockfile.build.write_file", full)
    answer = call("lock", "recipe.yaml")
    assert answer.code == 2
    assert "recipe.lock.yaml\n    the lock can't be written: No space left on device." in answer.err


# diff


@pytest.fixture
def rows(call: Any) -> Rows:
    """Run `nstflow diff`, which must find something; return the cells of its rows."""

    def rows(first: object, second: object) -> list[list[str]]:
        answer = call("diff", first, second)
        assert (answer.code, answer.err) == (1, "")
        head, *lines = answer.out.splitlines()
        assert head.split() == ["setting", str(first), str(second)]
        return [line.split() for line in lines]

    return rows


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("recipe.yaml", "recipe.yaml"),
        ("recipe.yaml", "out"),
        ("out", "recipe.yaml"),
        ("out", "out/recipe.lock.yaml"),
        ("out/result.png", "out"),
        ("out/result.png", "recipe.yaml"),
        ("stopped", "stopped/result.png"),
    ],
)
def test_no_difference(first: str, second: str, call: Any, ran: Path) -> None:
    """What a recipe leaves open, as how to compute a convolution, is settled as for the lock."""
    answer = call("diff", ran / first, ran / second)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{ran / first} and {ran / second}: no difference\n"


@pytest.mark.usefixtures("folder")
def test_settings_that_differ(rows: Rows, write: Any) -> None:
    other = RECIPE.replace("weight: 10", "weight: 1e-3").replace("seed: 1", "seed: 2")
    write(other.replace("preprocess: []\n", "seed: 3\npreprocess: []\n"), "other.yaml")
    assert rows("recipe.yaml", "other.yaml") == [
        ["seed", "0", "3"],
        ["images.style.seed", "1", "2"],
        ["losses.keep.weight", "10", "0.001"],
    ]


def test_run_that_stopped_differs_from_one_that_ended(rows: Rows, ran: Path) -> None:
    step = str(len((ran / "stopped" / "history.csv").read_text().splitlines()) - 1)
    assert rows(ran / "out", ran / "stopped") == [["lock.stopped_at", "–", step]]
    assert rows(ran / "stopped/result.png", ran / "out/result.png") == [
        ["lock.stopped_at", step, "–"]
    ]


def test_input_that_was_moved_is_no_difference(call: Any, folder: Path, write: Any) -> None:
    draw(folder / "elsewhere" / "renamed.png")
    write(RECIPE.replace("photo.png", "elsewhere/renamed.png"), "other.yaml")
    call("lock", "recipe.yaml")
    assert call("diff", "recipe.yaml", "other.yaml").code == 0
    assert call("diff", "recipe.lock.yaml", "other.yaml").code == 0
    (folder / "photo.png").unlink()
    assert call("diff", "recipe.lock.yaml", "other.yaml").code == 0


def test_input_that_was_changed_is_a_difference(rows: Rows, call: Any, folder: Path) -> None:
    call("lock", "recipe.yaml")
    draw(folder / "photo.png", seed=1)
    ((setting, first, _, bytes_, second, *_),) = rows("recipe.lock.yaml", "recipe.yaml")
    assert setting == "lock.files.images.content.path"
    assert bytes_ == "bytes"
    assert first != second
    assert len(first) == len(second) == 14


def test_input_that_is_gone_is_a_difference(rows: Rows, ran: Path, folder: Path) -> None:
    (folder / "photo.png").unlink()
    settings = [row[0] for row in rows(ran / "out", "recipe.yaml")]
    assert "lock.files.images.content.path" in settings
    assert "images.content.path" in settings


def test_versions_are_told_between_locks_alone(rows: Rows, call: Any, folder: Path) -> None:
    call("lock", "recipe.yaml")
    text = (folder / "recipe.lock.yaml").read_text()
    other = text.replace("tensorflow: 2", "tensorflow: 1")
    other = other.replace(f"nstflow: {version('nstflow')}", "nstflow: 0.0.9")
    (folder / "other.lock.yaml").write_text(other)
    assert [row[0] for row in rows("recipe.lock.yaml", "other.lock.yaml")] == [
        *("lock.plugins.nstflow", "lock.tensorflow"),
    ]
    assert call("diff", "recipe.yaml", "other.lock.yaml").code == 0


def test_pictures_have_names_and_no_places(rows: Rows, ran: Path, folder: Path) -> None:
    draw(folder / "b.png", seed=1)
    text = RECIPE.replace("photo.png", "b.png")
    (folder / "other.yaml").write_text(text)
    nstflow.run(plan_file(folder / "other.yaml", ["schedule.epochs=1"]), folder / "out")
    found = rows(ran / "out" / "result.png", folder / "out" / "result.png")
    assert found[0] == ["images.content.path", "photo.png", "b.png"]
    assert [row[0] for row in found] == [
        *("images.content.path", "schedule.epochs", "lock.files.images.content.path"),
    ]


def test_runs_have_places(ran: Path, tmp_path: Path) -> None:
    shutil.copytree(ran, tmp_path / "copy")
    draw(tmp_path / "copy" / "photo.png", seed=1)
    first, second = ran / "recipe.yaml", tmp_path / "copy" / "recipe.yaml"
    (found, _) = compare_anything(first, second)
    assert found.setting == "images.content.path"
    assert (found.first, found.second) == (
        *(str(ran / "photo.png"), str(tmp_path / "copy" / "photo.png")),
    )


def test_picture_without_a_lock_is_not_looked_behind(call: Any, folder: Path) -> None:
    """A recipe in a PNG could name any file of whoever looks: none is hashed."""
    texts = PIL.PngImagePlugin.PngInfo()
    texts.add_itxt("nstflow", RECIPE)
    with PIL.Image.open(folder / "photo.png") as image:
        image.save(folder / "hostile.png", pnginfo=texts)
    answer = call("diff", "hostile.png", "recipe.yaml")
    assert answer.code == 2
    assert answer.out == ""
    assert "there is no lock in it" in answer.err


def test_picture_whose_lock_lacks_a_file_tells_nothing_of_it(
    rows: Rows, call: Any, folder: Path
) -> None:
    call("lock", "recipe.yaml")
    data = (folder / "recipe.lock.yaml").read_text()
    text, _, _ = data.partition("    images.content.path")
    _, _, rest = data.partition("  weights: {}")
    texts = PIL.PngImagePlugin.PngInfo()
    texts.add_itxt("nstflow", f"{text[: text.rindex('  files:')]}  weights: {{}}{rest}")
    with PIL.Image.open(folder / "photo.png") as image:
        image.save(folder / "hostile.png", pnginfo=texts)
    row = rows("hostile.png", "recipe.lock.yaml")[-1]
    assert row[:2] == ["lock.files.images.content.path", "–"]


@pytest.mark.parametrize("other", ["missing.yaml", ".", "photo.png", "nul\0.yaml", "bad.yaml"])
@pytest.mark.usefixtures("folder")
def test_what_can_not_be_compared(other: str, call: Any, write: Any) -> None:
    write("name: [", "bad.yaml")
    for pair in (("recipe.yaml", other), (other, "recipe.yaml")):
        answer = call("diff", *pair)
        assert answer.code == 2
        assert "Traceback" not in answer.err
        assert answer.out == ""


@pytest.mark.usefixtures("folder")
def test_path_that_no_file_can_have(call: Any, write: Any) -> None:
    write(RECIPE.replace("photo.png", '"a\\0b.png"'), "nul.yaml")
    answer = call("diff", "nul.yaml", "recipe.yaml")
    assert answer.code == 2
    assert "control character U+0000" in answer.err
