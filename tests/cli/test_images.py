"""Images, layers and a recipe's options on the command line; `nstflow show RECIPE`."""

from pathlib import Path
from typing import Any

import PIL.Image
import pytest

import nstflow
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


def test_the_home_folder_is_no_folder_called_so(
    call: Any, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    recipe_options = [recipe, "photo.png", "a.png", "--size=16"]
    assert call("run", *recipe_options, "--out=~/run", "--quiet").code == 0
    assert (tmp_path / "home" / "run" / "result.png").is_file()
    plan = nstflow.make_plan(
        nstflow.load_recipe(recipe, ["size=16"], images=["photo.png", "a.png"])
    )
    nstflow.run(plan, "~/again")
    assert call("diff", "~/run", "~/again").code == 0
    assert not Path("~").exists()


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
        (["--size", "--size", "5"], "--size\n    a value is missing. Write --size VALUE."),
        (["--size", "big"], "--size  preprocess.0.longest_side\n    this must be"),
        (["-x.png", "a.png"], "-x.png\n    there is no such option. If it is a file, write ./-x"),
        (["--image", "style=a.png", "--image", "style=b.png"], "this is given twice"),
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
    assert lines["longest_side: 24"] == "--size"
    assert lines["path: ../a.png"] == "image style=a.png"
    assert lines["seed: 0"] == "default"
    shown = write(answer.out, "recipes/shown.yaml")  # it is a recipe itself
    assert call("plan", shown).code == 0


def test_options_come_after_the_recipe(call: Any, recipe: Path) -> None:
    answer = call("plan", "--size", "16", recipe)
    assert answer.code == 2
    assert "Write the recipe first" in answer.err


def test_show_refuses_what_it_can_not_use(call: Any, recipe: Path) -> None:
    answer = call("show", recipe, "--yaml", "--size", "16")
    assert answer.code == 2
    assert "--size" in answer.err


def test_a_layer_counts_as_a_change_of_a_lock(call: Any, recipe: Path, write: Any) -> None:
    assert call("lock", recipe, "photo.png", "a.png", "--out", "l.lock.yaml").code == 0
    more = write("seed: 5\n", "more.yaml")
    answer = call("run", "l.lock.yaml", "--with", more, "--locked")
    assert answer.code == 2
    assert f"Leave out --with {more}, or --locked." in answer.err


@pytest.mark.usefixtures("recipe")
def test_recipes_of_a_plugin_take_options(call: Any, write: Any) -> None:
    plugin = write(
        """\
        from pathlib import Path

        from nstflow import hookimpl


        @hookimpl
        def nstflow_recipes():
            return [Path(__file__).parent / "recipes" / "one.yaml"]
        """,
        "offers.py",
    )
    answer = call("plan", "one", "photo.png", "a.png", "--size", "16", "--plugin", plugin)
    assert answer.code == 0, answer.err
    assert "16×12" in answer.out


def test_what_a_recipe_takes(call: Any, recipe: Path) -> None:
    recipe.write_text(
        RECIPE.replace("}\n", "}\n", 1).replace(
            "options: {", "options: {rate: optimizer.learning_rate, "
        )
    )
    for name in ("photo.png", "a.png"):
        (recipe.parent / {"photo.png": "c.png", "a.png": "s.png"}[name]).write_bytes(
            Path(name).read_bytes()
        )
    answer = call("recipes", recipe)
    assert answer.code == 0, answer.err
    assert "content, style" in answer.out
    assert "0.02, which is optimizer.learning_rate" in answer.out


def test_names_of_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo[1].jpg").touch()
    assert run_name("two", ["x/photo.jpg", "b/a b.png"], {}) == "two-photo-a_b"
    assert run_name("one", ["holiday/*.jpg", "~/paint"], {}) == "one-holiday-paint"
    assert run_name("one", ["photo[1].jpg", "*.jpg"], {}) == f"one-photo_1_-{tmp_path.name}"
    names = [run_name("two", [], {image: "a.jpg"}) for image in ("style1", "style2")]
    assert names == ["two-style1-a", "two-style2-a"]
    long = run_name("one", ["x" * 200, "y"], {})
    assert len(long) == 120
    assert long != run_name("one", ["x" * 200, "z"], {})
    assert len(run_name("one", ["浮" * 100], {}).encode()) <= 200
    assert (
        run_name("one", ["浮世絵.png", "e\u0301te\u0301.jpg", "हिन्दी.png"], {})
        == "one-浮世絵-été-हिन्दी"
    )
