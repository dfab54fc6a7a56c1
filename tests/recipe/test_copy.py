"""Copying a recipe to edit it."""

import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from nstflow.errors import NstflowError
from nstflow.lockfile.diff import compare_anything
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.plugins.single_file import read_plugin
from nstflow.recipe.copy import copy_recipe
from nstflow.recipe.reader import ReadOptions, load_recipe

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
PICTURES = {"images/chelsea.png", "images/swirls.png", "images/mosaic.png"}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_copy_is_complete_and_makes_the_same_picture(call: Any, tmp_path: Path) -> None:
    answer = call("copy", "quickstart")
    assert answer.code == 0, answer.err
    assert answer.out.endswith("run it with  nstflow run quickstart.yaml\n")
    assert files_of(tmp_path) == {"quickstart.yaml", "nstflow.schema.json", *PICTURES}
    for name in ("quickstart.yaml", *PICTURES):
        assert (tmp_path / name).read_bytes() == (RECIPES / name).read_bytes()
    assert (tmp_path / "nstflow.schema.json").read_text() == call("schema").out
    assert compare_anything(tmp_path / "quickstart.yaml", RECIPES / "quickstart.yaml") == []


@pytest.mark.parametrize(
    ("target", "written"),
    [("new/mine.yaml", "new/mine.yaml"), ("folder", "folder/report_ten_pairs.yaml")],
)
def test_the_pictures_of_all_runs_go_beside_the_file_that_is_named(
    target: str, written: str, call: Any, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    assert call("copy", "report_ten_pairs", target).code == 0
    matrix = plan_recipe(tmp_path / written)
    assert isinstance(matrix, Matrix)
    pictures = {file for plan in matrix.plans for file in plan.files.values()}
    assert len(pictures) == 9
    assert {file.parent for file in pictures} == {(tmp_path / written).parent / "images"}


def test_nothing_is_replaced_unless_asked(call: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(RECIPES / "images" / "swirls.png", tmp_path / "images")
    (tmp_path / "images" / "mosaic.png").write_text("mine")
    (tmp_path / "quickstart.yaml").write_text("mine")
    answer = call("copy", "quickstart")
    assert answer.code == 2
    assert "swirls" not in answer.err
    for name in ("images/mosaic.png", "quickstart.yaml"):
        assert f"{name}\n    this file is there already, with other contents." in answer.err
        assert (tmp_path / name).read_text() == "mine"
    assert len(files_of(tmp_path)) == 3
    answer = call("copy", "quickstart", "--overwrite")
    assert answer.code == 0, answer.err
    assert "images/swirls.png: there already\nimages/mosaic.png: written\n" in answer.out
    answer = call("copy", "quickstart")
    assert answer.code == 0
    assert "written" not in answer.out
    assert compare_anything(tmp_path / "quickstart.yaml", RECIPES / "quickstart.yaml") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["quikstart"], "Did you mean 'quickstart'?"),
        (["quickstart", "mine"], "Name a file that ends with .yaml, or a folder that exists."),
        (["quickstart", "taken.yaml"], "this is a folder. Name another file."),
        (["below/up.yaml"], "images.content.path\n    '../photo.png' is not below the recipe's"),
        (["gone.yaml", "new.yaml"], "images.content.path\n    '{}/nowhere.png' can't be read"),
        (["wrong.yaml", "new.yaml"], "no loss is called 'gramm'"),
    ],
)
def test_what_can_not_be_copied(
    arguments: list[str], words: str, call: Any, write: Any, tmp_path: Path
) -> None:
    (tmp_path / "taken.yaml" / "taken.yaml").mkdir(parents=True)
    (tmp_path / "taken.yaml" / "quickstart.yaml").mkdir(parents=True)
    shutil.copy(RECIPES / "images" / "coffee.png", tmp_path / "photo.png")
    text = "name: up\nimages: {{content: {}}}\nlosses: {{a: {{use: {}}}}}\n"
    write(text.format("../photo.png", "total_variation"), "below/up.yaml")
    write(text.format("nowhere.png", "total_variation"), "gone.yaml")
    write(text.format("photo.png", "gramm"), "wrong.yaml")
    before = files_of(tmp_path)
    answer = call("copy", *arguments)
    assert answer.code == 2
    assert words.format(tmp_path) in answer.err
    assert files_of(tmp_path) == before


def test_an_absolute_path_stays_as_it_is(call: Any, write: Any, tmp_path: Path) -> None:
    photo = RECIPES / "images" / "coffee.png"
    write(f"name: up\nimages: {{content: {photo}}}\nlosses: {{a: {{use: total_variation}}}}\n")
    assert call("copy", "recipe.yaml", "copy.yaml").code == 0
    assert files_of(tmp_path) == {"recipe.yaml", "copy.yaml"}
    assert plan_recipe(tmp_path / "copy.yaml").files == {"images.content.path": photo}


def test_what_a_recipe_extends_is_copied_too(write: Any, tmp_path: Path) -> None:
    text = (
        "name: base\nimages: {content: a.png}\nlosses: {keep: {use: content}}\n"
        "extractor: {weights: random}\n"
    )
    PIL.Image.new("RGB", (32, 32)).save(write("", "src/deep/a.png"))
    write(text, "src/deep/base.yaml")
    recipe = write("name: top\nextends: deep/base.yaml\nseed: 3\n", "src/top.yaml")
    (tmp_path / "copy").mkdir()
    copy_recipe(recipe, tmp_path / "copy")
    assert load_recipe(tmp_path / "copy" / "top.yaml").seed == 3
    assert (tmp_path / "copy" / "deep" / "a.png").is_file()


def test_a_recipe_that_extends_one_with_a_name(write: Any, tmp_path: Path) -> None:
    recipe = write("name: top\nextends: sketch\n", "src/top.yaml")
    copy_recipe(recipe, tmp_path)
    assert load_recipe(tmp_path / "top.yaml").name == "top"
    assert not (tmp_path / "images").exists()


def test_places_that_can_not_be_written(write: Any, tmp_path: Path) -> None:
    write("", "file")
    with pytest.raises(NstflowError, match="it can't be written"):
        copy_recipe("sketch", tmp_path / "file" / "x.yaml")


def test_a_recipe_that_extends_one_of_a_plugin_file(write: Any, tmp_path: Path) -> None:
    write("name: theirs\nextends: sketch\n", "plugin/theirs.yaml")
    plugin = write(
        """\
        from pathlib import Path

        from nstflow import hookimpl


        @hookimpl
        def nstflow_recipes():
            return [Path(__file__).with_name("theirs.yaml")]
        """,
        "plugin/offers.py",
    )
    recipe = write("name: top\nextends: theirs\n", "src/top.yaml")
    copy_recipe(recipe, tmp_path, ReadOptions(plugins=(read_plugin(plugin),)))
    assert (tmp_path / "top.yaml").is_file()
