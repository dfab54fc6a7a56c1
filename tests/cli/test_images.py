"""Images, layers and a recipe's options on the command line; `nstflow show RECIPE`."""

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from nstflow.cli.run import run_name

RECIPE = """\
name: one
images: {content: c.png, style: s.png}
preprocess: [{use: resize, longest_side: 32}]
extractor: {weights: random, layers: {content: [block1_conv2], style: [block1_conv1]}}
losses:
  content: {use: content}
  style: {use: gram, image: style}
schedule: {use: epochs, epochs: 1, steps_per_epoch: 2}
options: {size: preprocess.0.longest_side}
"""


@pytest.fixture
def recipe(write: Any, tmp_path: Path) -> Path:
    path: Path = write(RECIPE, "recipes/one.yaml")
    for number, name in enumerate(("photo.png", "a.png", "b.png")):
        PIL.Image.new("RGB", (40, 30), (80 * number, 90, 120)).save(tmp_path / name)
    return path


def test_run_with_own_images_has_its_own_directory(call: Any, recipe: Path, tmp_path: Path) -> None:
    answer = call("run", recipe, "photo.png", "a.png", "--size", "24", "--quiet")
    assert answer.code == 0, answer.err
    out = tmp_path / "runs" / "one-photo-a"
    lock = (out / "recipe.lock.yaml").read_text()
    assert "path: ../../photo.png" in lock
    assert "longest_side: 24" in lock
    assert "options" not in lock
    assert call("verify", out, "--quiet").code == 0


def test_plan_takes_them_too(call: Any, recipe: Path) -> None:
    answer = call("plan", recipe, "*.png", "--image", "style=a.png", "--size=16")
    assert answer.code == 0, answer.err
    assert [line.strip() for line in answer.out.splitlines()[-3:]] == ["a", "b", "photo"]
    assert "16×12" in answer.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--sise", "3"], "--sise\n    there is no such option. Did you mean '--size'?"),
        (["--overwrit"], "--overwrit\n    there is no such option. Did you mean '--overwrite'?"),
        (["--size"], "--size\n    a value is missing. Write --size VALUE."),
        (["--size", "big"], "--set size  preprocess.0.longest_side\n    this must be"),
        (["photo.png"], "images photo.png\n    there is 1 file for 2 images."),
        (["--image", "style"], "--image style\n    this is not NAME=FILE."),
        (["--with", "none.yaml"], "none.yaml\n    there is no such file."),
    ],
)
def test_mistakes_are_refused(call: Any, recipe: Path, arguments: list[str], expected: str) -> None:
    answer = call("run", recipe, *arguments)
    assert answer.code == 2
    assert expected in answer.err


def test_show_names_the_origin_of_every_value(call: Any, recipe: Path, write: Any) -> None:
    more = write("losses: {style: {weight: 3}}\n", "more.yaml")
    answer = call("show", recipe, "--with", more, "--size", "24", "photo.png", "a.png")
    assert answer.code == 0, answer.err
    lines = {line.split("#")[0].strip(): line.split("# ")[-1] for line in answer.out.splitlines()}
    assert lines["weight: 3.0"] == f"{more}:1"
    assert lines["- use: resize"] == f"{recipe}:3"
    assert lines["longest_side: 24"] == "--set size"
    assert lines["path: ../a.png"] == "image style=a.png"
    assert lines["seed: 0"] == "default"
    shown = write(answer.out, "recipes/shown.yaml")  # it is a recipe itself
    assert call("plan", shown).code == 0


def test_names_of_directories() -> None:
    assert run_name("two", ["x/photo.jpg", "b/a b.png"]) == "two-photo-a_b"
    assert run_name("one", ["holiday/*.jpg", "~/paint"]) == "one-holiday-paint"
    long = run_name("one", ["x" * 200, "y"])
    assert len(long) == 120
    assert long != run_name("one", ["x" * 200, "z"])
