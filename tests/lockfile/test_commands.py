"""`nstflow lock` and `nstflow diff`."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import PIL.Image
import PIL.PngImagePlugin
import pytest

import nstflow
from nstflow.lockfile.diff import compare_anything
from pictures import draw


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# lock


def test_lock_is_written_without_a_run(call: Any, folder: Path, read: Any) -> None:
    before = set(contents(folder))
    answer = call("lock", "recipe.yaml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "recipe.lock.yaml: written\n"
    assert set(contents(folder)) == before | {"recipe.lock.yaml"}
    assert read(folder / "recipe.lock.yaml")["lock"]["files"]["images.content.path"]["bytes"] > 0


def test_lock_is_that_of_a_run(call: Any, ran: Path, folder: Path) -> None:
    shutil.copytree(ran / "out", folder / "out")
    assert call("lock", "recipe.yaml", "--out", "beside/x.lock.yaml").code == 2  # no such folder
    (folder / "beside").mkdir()
    assert call("lock", "recipe.yaml", "--out", "beside/x.lock.yaml").code == 0
    lock = (folder / "beside" / "x.lock.yaml").read_bytes()
    assert lock == (folder / "out" / "recipe.lock.yaml").read_bytes()


def test_lock_runs_where_it_was_written(call: Any, folder: Path, read: Any) -> None:
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
        ("ä b.yaml", "ä b.lock.yaml"),
    ],
)
def test_name_of_a_lock(recipe: str, lock: str, call: Any, folder: Path) -> None:
    (folder / "recipe.yaml").rename(folder / recipe)
    assert call("lock", recipe).out == f"{lock}: written\n"
    assert (folder / lock).is_file()


def test_lock_of_a_lock_brings_it_up_to_date(call: Any, folder: Path, read: Any) -> None:
    call("lock", "recipe.yaml")
    before = read(folder / "recipe.lock.yaml")
    draw(folder / "photo.png", seed=1)
    assert call("lock", "recipe.lock.yaml").out == "recipe.lock.yaml: written\n"
    after = read(folder / "recipe.lock.yaml")
    assert after["lock"]["files"] != before["lock"]["files"]
    assert {**after, "lock": 0} == {**before, "lock": 0}


@pytest.mark.parametrize("there", ["recipe.yaml", "notes.txt", "photo.png", "folder"])
def test_lock_replaces_nothing_but_a_lock(there: str, call: Any, folder: Path) -> None:
    (folder / "notes.txt").write_text("my: notes\n")
    (folder / "folder").mkdir()
    before = contents(folder)
    answer = call("lock", "recipe.yaml", "--out", there)
    assert answer.code == 2
    assert there in answer.err
    assert "Traceback" not in answer.err
    assert contents(folder) == before


def test_lock_that_can_not_be_made_or_written(
    call: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("nstflow.lockfile.build.write_file", full)
    answer = call("lock", "recipe.yaml")
    assert answer.code == 2
    words = "the lockfile can't be written: No space left on device."
    assert f"recipe.lock.yaml\n    {words}" in answer.err
    (folder / "photo.png").unlink()
    answer = call("lock", "recipe.yaml")
    assert answer.code == 2
    assert "no file" in answer.err
    assert not (folder / "recipe.lock.yaml").exists()


# diff


@pytest.fixture
def rows(call: Any) -> Any:
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
def test_settings_that_differ(rows: Any, write: Any, recipe_text: str) -> None:
    other = recipe_text.replace("weight: 10", "weight: 1e-3").replace("epochs: 2", "epochs: 3")
    write(other.replace("preprocess: []\n", "seed: 3\npreprocess: []\n"), "other.yaml")
    assert rows("recipe.yaml", "other.yaml") == [
        ["seed", "0", "3"],
        ["losses.keep.weight", "10", "0.001"],
        ["schedule.epochs", "2", "3"],
    ]


def test_run_that_stopped_differs_from_one_that_ended(rows: Any, ran: Path) -> None:
    step = str(len((ran / "stopped" / "history.csv").read_text().splitlines()) - 1)
    assert rows(ran / "out", ran / "stopped") == [["lock.stopped_at", "–", step]]
    assert rows(ran / "stopped/result.png", ran / "out/result.png") == [
        ["lock.stopped_at", step, "–"]
    ]


def test_input_that_was_moved_is_no_difference(
    call: Any, folder: Path, write: Any, recipe_text: str
) -> None:
    draw(folder / "elsewhere" / "renamed.png")
    write(recipe_text.replace("photo.png", "elsewhere/renamed.png"), "other.yaml")
    call("lock", "recipe.yaml")
    assert call("diff", "recipe.yaml", "other.yaml").code == 0
    assert call("diff", "recipe.lock.yaml", "other.yaml").code == 0
    (folder / "photo.png").unlink()
    assert call("diff", "recipe.lock.yaml", "other.yaml").code == 0


def test_input_that_was_changed_or_is_gone_is_a_difference(
    rows: Any, call: Any, folder: Path
) -> None:
    call("lock", "recipe.yaml")
    draw(folder / "photo.png", seed=2)
    ((setting, first, _, unit, second, *_),) = rows("recipe.lock.yaml", "recipe.yaml")
    assert (setting, unit) == ("lock.files.images.content.path", "bytes")
    assert first != second
    assert len(first) == len(second) == 14
    (folder / "photo.png").unlink()
    settings = [row[0] for row in rows("recipe.lock.yaml", "recipe.yaml")]
    assert "lock.files.images.content.path" in settings


def test_versions_are_compared_between_locks_alone(rows: Any, call: Any, folder: Path) -> None:
    call("lock", "recipe.yaml")
    text = (folder / "recipe.lock.yaml").read_text()
    other = text.replace("tensorflow: 2", "tensorflow: 1")
    other = other.replace(f"nstflow: {version('nstflow')}", "nstflow: 0.0.9")
    (folder / "other.lock.yaml").write_text(other)
    settings = [row[0] for row in rows("recipe.lock.yaml", "other.lock.yaml")]
    assert settings == ["lock.plugins.nstflow", "lock.tensorflow"]
    assert call("diff", "recipe.yaml", "other.lock.yaml").code == 0


@pytest.mark.usefixtures("folder")
def test_environments_are_compared_and_shown(
    rows: Any, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("lock", "recipe.yaml", "--out", "a.lock.yaml")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    call("lock", "recipe.yaml", "--out", "b.lock.yaml")
    setting = "lock.environment.NVIDIA_TF32_OVERRIDE"
    assert rows("a.lock.yaml", "b.lock.yaml") == [[setting, "–", "0"]]
    assert "NVIDIA_TF32_OVERRIDE=0" in call("show", "b.lock.yaml").out
    assert "environment" not in call("show", "a.lock.yaml").out


def test_pictures_have_names_and_no_places(
    rows: Any, ran: Path, folder: Path, planned: Any, recipe_text: str
) -> None:
    (folder / "photo.png").rename(folder / "b.png")
    plan = planned("schedule.epochs=1", "seed=2", text=recipe_text.replace("photo", "b"))
    nstflow.run(plan, folder / "out")
    found = rows(ran / "out" / "result.png", folder / "out" / "result.png")
    assert found == [["seed", "0", "2"], ["schedule.epochs", "2", "1"]]


def test_runs_have_places(ran: Path, folder: Path) -> None:
    draw(folder / "photo.png", seed=2)
    (found, _) = compare_anything(ran / "recipe.yaml", folder / "recipe.yaml")
    assert found.setting == "images.content.path"
    assert found.first == str(ran / "photo.png")
    assert found.second == str(folder / "photo.png")


@pytest.fixture
def hostile(folder: Path) -> Callable[[str], None]:
    """Write a PNG that carries a text."""

    def hostile(text: str) -> None:
        texts = PIL.PngImagePlugin.PngInfo()
        texts.add_itxt("nstflow", text)
        with PIL.Image.open(folder / "photo.png") as image:
            image.save(folder / "hostile.png", pnginfo=texts)

    return hostile


def test_files_that_a_picture_names_are_not_read(
    rows: Any, call: Any, hostile: Any, recipe_text: str, folder: Path
) -> None:
    """A recipe in a PNG could name any file: none is hashed."""
    hostile(recipe_text)
    answer = call("diff", "hostile.png", "recipe.yaml")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no lock in it" in answer.err
    call("lock", "recipe.yaml")
    before, _, rest = (folder / "recipe.lock.yaml").read_text().partition("  files:\n")
    _, _, rest = rest.partition("  weights: {}")
    hostile(f"{before}  weights: {{}}{rest}")
    found = rows("hostile.png", "recipe.lock.yaml")
    assert [row[:2] for row in found[-2:]] == [
        [f"lock.files.images.{name}.path", "–"] for name in ("content", "style")
    ]


@pytest.mark.parametrize(
    "other", ["missing.yaml", ".", "photo.png", "nul\0.yaml", "bad.yaml", "nul.yaml"]
)
@pytest.mark.usefixtures("folder")
def test_what_can_not_be_compared(other: str, call: Any, write: Any, recipe_text: str) -> None:
    write("name: [", "bad.yaml")
    write(recipe_text.replace("photo.png", '"a\\0b.png"'), "nul.yaml")
    for pair in (("recipe.yaml", other), (other, "recipe.yaml")):
        answer = call("diff", *pair)
        assert (answer.code, answer.out) == (2, "")
        assert "Traceback" not in answer.err
        if other == "nul.yaml":
            assert "control character U+0000" in answer.err
