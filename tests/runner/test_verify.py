"""`nstflow verify`: does a run make the same picture again?"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest
import tifffile

import nstflow
from nstflow import Image
from nstflow.builtin.outputs.png import Png
from nstflow.builtin.outputs.tiff import Tiff
from nstflow.recipe.reader import load_recipe
from nstflow.runner.verify import Comparison, compare, verify
from nstflow.stages.result import Result
from pictures import draw

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()
RECIPE = (
    TINY.replace("{use: noise, height: 32, width: 24}", "photo.png")
    + """\
optimizer: {epsilon: 1e-8}  # each step can be seen
outputs: [{use: png}, {use: jpeg, name: small, quality: 80}]
"""
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("ended")
    draw(folder / "photo.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    return nstflow.run(load_recipe(folder / "recipe.yaml"), folder / "out")


@pytest.fixture
def run(ended: Result, tmp_path: Path) -> Path:
    """Return a copy of the run, and of its photo, for a test to change."""
    shutil.copytree(ended.folder.parent, tmp_path / "copy")
    return tmp_path / "copy" / "out"


def change(path: Path, by: int) -> None:
    """Change the red of one pixel."""
    with PIL.Image.open(path) as image:
        pixels = np.array(image)
    pixels[3, 4, 0] += np.int8(by if pixels[3, 4, 0] < 128 else -by)
    PIL.Image.fromarray(pixels).save(path)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_pixel_is_equal(call: Any, ended: Result, tmp_path: Path) -> None:
    """Nothing is left behind, in the run directory or elsewhere."""
    before = everything(ended.folder.parent)
    scratch = set(Path(tempfile.gettempdir()).glob("nstflow-verify-*"))
    answer = call("verify", ended.folder, "--quiet")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "result.png: every pixel is equal\nsmall.jpg: every pixel is equal\n"
    assert everything(ended.folder.parent) == before
    assert list(tmp_path.iterdir()) == []
    assert set(Path(tempfile.gettempdir()).glob("nstflow-verify-*")) == scratch


def test_pixels_that_differ(call: Any, run: Path) -> None:
    change(run / "result.png", 9)
    answer = call("verify", run, "--quiet")
    assert (answer.code, answer.err) == (1, "")
    mean = 9 / (32 * 24 * 3)
    assert answer.out == (
        f"result.png: differs by 9 of 255 at most, by {mean:.3g} on average\n"
        "small.jpg: every pixel is equal\n"
    )


def test_the_lockfile_of_the_run_is_what_counts(run: Path) -> None:
    """Not the recipe beside it."""
    (run / "recipe.yaml").write_text("name: [")
    (run.parent / "recipe.yaml").unlink()
    lock = run / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("steps_per_epoch: 3", "steps_per_epoch: 2"))
    found = verify(run)
    assert found is not None
    assert [each.equal for each in found] == [False, False]
    assert all(each.largest and each.mean for each in found)


def test_picture_without_metadata_is_the_same(ended: Result, run: Path) -> None:
    shutil.rmtree(run)
    nstflow.run(load_recipe(run.parent / "recipe.yaml"), run, metadata=False)
    assert (run / "result.png").read_bytes() != ended.files[0].read_bytes()
    found = verify(run)
    assert found is not None
    assert found[0] == Comparison("result.png", 0, 0.0, equal=True)


def test_input_that_was_changed_is_a_warning(call: Any, run: Path) -> None:
    draw(run.parent / "photo.png", seed=1)
    with warnings.catch_warnings(action="default"):
        answer = call("verify", run, "--quiet")
    assert answer.code == 1
    assert answer.err.startswith("note: lock.files.images.content.path was ")
    assert answer.err.endswith(" bytes: perhaps another picture\n")
    assert "differs by" in answer.out


def test_verifying_can_be_stopped(ended: Result, asking: Any) -> None:
    asks = asking()
    assert verify(ended.folder, observers=[asks], stop=asks.stop) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("empty", "this folder holds no run. Name a run directory."),
        ("nowhere", "there is no such folder. Name a run directory."),
        ("copy/photo.png", "there is no such folder. Name a run directory."),
        ("stopped", "this run has not finished. Finish it first: run its recipe with --resume."),
        ("failed", "this run has not finished. Finish it first: run its recipe with --resume."),
        ("outside", "this folder holds no run. Name a run directory."),
        ("lost", "this file of the run is missing. Restore it, or run the lockfile again with"),
    ],
)
@pytest.mark.usefixtures("run")
def test_what_can_not_be_verified(
    path: str, problem: str, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found before any step is taken."""
    for name, record in {
        "stopped": {"state": "stopped", "files": ["result.png"]},
        "failed": {"state": "failed"},
        "outside": {"state": "finished", "files": ["../copy/photo.png"]},
        "lost": {"state": "finished", "files": ["result.png"]},
        "empty": {},
    }.items():
        (tmp_path / name).mkdir()
        if record:
            (tmp_path / name / "run.json").write_text(json.dumps(record))
    monkeypatch.setattr("nstflow.runner.verify.run", pytest.fail)
    answer = call("verify", path)
    assert answer.code == 2
    where = "lost/result.png" if path == "lost" else path
    assert answer.err.startswith(f"{where}\n    {problem}")


@pytest.mark.parametrize("lost", ["photo.png", "out/recipe.lock.yaml"])
def test_run_that_lacks_an_input(lost: str, call: Any, run: Path) -> None:
    (run.parent / lost).unlink()
    answer = call("verify", run)
    assert answer.code == 2
    assert Path(lost).name in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", [["verify"], ["show"], ["diff", "out"]])
def test_a_folder_of_many_runs(command: list[str], call: Any, tmp_path: Path) -> None:
    for name in ("two", "one"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "run.json").write_text("{}")
    answer = call(*command, "out")
    assert answer.code == 2
    assert "out\n    this folder holds 2 runs. Name one of them, such as out/one.\n" in answer.err


# two files


def save(path: Path, pixels: Any, **options: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path, **options)
    return path


def test_largest_and_mean_difference(tmp_path: Path) -> None:
    one = np.zeros((2, 3, 3), np.uint8)
    other = one.copy()
    other[0, 0, 0], other[1, 2] = 255, 10
    found = compare(save(tmp_path / "a.png", one), save(tmp_path / "b.png", other))
    assert found == Comparison("a.png", 255, 285 / 18, equal=False)
    back = compare(tmp_path / "b.png", tmp_path / "a.png")
    assert (back.largest, back.mean) == (found.largest, found.mean)


PIXELS = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
BLACK, LESS_OPAQUE = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 4), 255, np.uint8)
LESS_OPAQUE[0, 0, 3] = 55
DEEP = np.full((4, 4), 600, np.uint16)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("a.png", PIXELS), ("b.bmp", PIXELS), (0, 0.0, True)),
        (("a.png", LESS_OPAQUE), ("b.png", LESS_OPAQUE * 0 + 255), (200, 200 / 64, False)),
        (("a.png", LESS_OPAQUE * 0 + 255), ("b.png", BLACK + 255), (0, 0.0, True)),
        (("a.png", BLACK), ("b.png", BLACK[:, :3]), (None, None, False)),
        (("a.png", BLACK), ("b.png", BLACK[:3]), (None, None, False)),
        (("a.txt", b"same"), ("b.txt", b"same"), (None, None, True)),
        (("a.txt", b"same"), ("b.txt", b"Same"), (None, None, False)),
        (("a.png", BLACK), ("b.png", None), (None, None, False)),
    ],
)
def test_comparison(first: Any, second: Any, expected: Any, tmp_path: Path) -> None:
    """By the pixels, however they are stored; by the bytes if they are not images of one size."""
    for name, content in (first, second):
        if isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        elif content is not None:
            save(tmp_path / name, content)
    largest, mean, equal = expected
    found = compare(tmp_path / first[0], tmp_path / second[0])
    assert found == Comparison(first[0], largest, mean, equal)


DEEP_COLOUR = np.random.default_rng(1).integers(1, 65536, (9, 9, 3), np.uint16)
NEARLY = DEEP_COLOUR.copy()
NEARLY[4, 4, 1] -= 1  # in 8 bits most such colours are equal


@pytest.mark.parametrize("kind", ["grey.png", "tiff", "png", "mixed"])
def test_every_bit_of_16_is_compared(kind: str, tmp_path: Path) -> None:
    if kind == "grey.png":
        files = [save(tmp_path / f"{x}.png", DEEP + x) for x in (0, 100)]
        expected = Comparison("0.png", 100, 100.0, equal=False, levels=65535)
    elif kind == "mixed":
        files = [tmp_path / "a.tif", save(tmp_path / "b.png", PIXELS)]
        tifffile.imwrite(files[0], PIXELS.astype(np.uint16) * 257, photometric="rgb")
        expected = Comparison("a.tif", 0, 0.0, equal=True, levels=65535)
    else:
        output = {"tiff": Tiff(name="a"), "png": Png(name="a", bits=16)}[kind]
        files = []
        for name, words in (("one", DEEP_COLOUR), ("two", NEARLY)):
            (tmp_path / name).mkdir()
            image = Image(words.astype(np.float32) / np.float32(65535))
            files.append(output.write(Mock(image=image, record=""), tmp_path / name))
        expected = Comparison(files[0].name, 1, 1 / 243, equal=False, levels=65535)
    assert compare(*files) == expected
    assert compare(files[0], files[0]).equal


def test_damaged_image_differs(tmp_path: Path) -> None:
    whole = save(tmp_path / "b.png", PIXELS)
    for length in (0, 20, 60, len(whole.read_bytes()) - 30):
        (tmp_path / "a.png").write_bytes(whole.read_bytes()[:length])
        found = compare(tmp_path / "a.png", whole)
        assert found == Comparison("a.png", None, None, equal=False)


def test_image_that_pillow_takes_for_a_bomb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One's own picture may be as large as one likes."""
    first = save(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    assert compare(first, first) == Comparison("a.png", 0, 0.0, equal=True)
