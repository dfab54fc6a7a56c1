"""Files for a recipe's images, as arguments; and the options that a recipe names."""

from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import NstflowError
from nstflow.recipe.model import COMMAND_OPTIONS
from nstflow.recipe.reader import ReadOptions, load_recipe, read

TWO = """\
name: two
images:
  content: photo.png
  noise: {use: noise, width: 16, height: 16}
  style: {path: a.png, max_megapixels: 2}
losses:
  keep: {use: content}
  look: {use: gram, image: style}
options: {size: preprocess.0.longest_side, steps: [schedule.epochs, schedule.steps_per_epoch]}
"""


@pytest.fixture
def recipe(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the recipe into a folder, and change to another one with three pictures."""
    for name in ("here/1.jpg", "here/many/2.PNG", "here/many/3.jpg", "here/many/notes.txt"):
        write("", name)
    monkeypatch.chdir(tmp_path / "here")
    path: Path = write(TWO, "recipes/two.yaml")
    return path


def files(recipe: Path, *images: str, **named: str) -> list[list[str]]:
    """Return for each run the names of the files of its images."""
    drafts = read(recipe, ReadOptions(images=images, named_images=named))
    found = [draft.recipe_or_raise().origin.files() for draft in drafts]
    return [[path.resolve().relative_to(Path.cwd().parent).as_posix() for path in each.values()]
            for each in found]  # fmt: skip


def refusal(recipe: Path, *images: str, **named: str) -> str:
    with pytest.raises(NstflowError) as caught:
        files(recipe, *images, **named)
    (problem,) = caught.value.problems
    return f"{problem.where}: {problem.got} {problem.hint}"


def test_arguments_fill_the_images_in_order(recipe: Path) -> None:
    assert files(recipe, "1.jpg", "many/3.jpg") == [["here/1.jpg", "here/many/3.jpg"]]
    assert files(recipe, style="1.jpg") == [["recipes/photo.png", "here/1.jpg"]]
    assert files(recipe, "1.jpg", style="many/3.jpg") == [["here/1.jpg", "here/many/3.jpg"]]
    assert files(recipe, noise="1.jpg")[0][1] == "here/1.jpg"
    image = load_recipe(recipe, images=["1.jpg", "1.jpg"]).images["style"].model_dump()
    assert image["max_megapixels"] == 2
    named = load_recipe(recipe, images={"content": Path("1.jpg")}).origin.files()
    assert named["images.content.path"].resolve() == Path("1.jpg").resolve()


def test_too_many_too_few_and_unknown_ones(recipe: Path) -> None:
    takes = "The recipe takes: content, style."
    assert refusal(recipe, "1.jpg") == f"images 1.jpg: there is 1 file for 2 images. {takes}"
    assert refusal(recipe, "1.jpg", "1.jpg", "1.jpg").startswith(
        f"images 1.jpg 1.jpg 1.jpg: there are 3 files for 2 images. {takes} To use many files"
    )
    got = refusal(recipe, stile="1.jpg")
    assert got.startswith("image stile=1.jpg: no image is called 'stile'. Did you mean 'style'?")


def test_an_empty_argument_is_no_folder(recipe: Path) -> None:
    assert "this is empty" in refusal(recipe, "", "1.jpg")


def test_an_image_of_another_loader_can_have_a_pattern(recipe: Path) -> None:
    assert [run[1] for run in files(recipe, noise="many/*.jpg")] == ["here/many/3.jpg"]


@pytest.mark.parametrize("matrix", ["losses.look.weight: 3", "g: 7", "seed: null"])
def test_a_wrong_matrix_is_reported_with_images_too(recipe: Path, matrix: str) -> None:
    recipe.write_text(f"{TWO}matrix: {{{matrix}}}\n")
    with pytest.raises(NstflowError):
        read(recipe, ReadOptions(images=("1.jpg", "1.jpg")))


@pytest.mark.parametrize(
    "wrong", [{"images": None}, {"images": [None]}, {"layers": "l.yaml"}, {"overrides": [7]}]
)
def test_wrong_types_are_named(recipe: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"^{next(iter(wrong))} must "):
        load_recipe(recipe, **wrong)


def test_a_pattern_or_a_folder_makes_a_matrix(recipe: Path) -> None:
    both = [["here/many/2.PNG", "here/1.jpg"], ["here/many/3.jpg", "here/1.jpg"]]
    assert files(recipe, "many", "1.jpg") == both
    assert files(recipe, "many/[23]*", "1.jpg") == both
    (draft,) = read(recipe, ReadOptions(images=("many/*.jpg", "1.jpg")))
    assert draft.origin.cell is not None
    assert draft.origin.cell.name == "3"
    assert "there is no image in this folder" in refusal(recipe, "../recipes", "1.jpg")
    assert "no file matches 'many/*.gif'" in refusal(recipe, "many/*.gif", "1.jpg")


def test_images_that_a_matrix_sets_are_not_taken(recipe: Path) -> None:
    recipe.write_text(f"{TWO}matrix: {{images.style.path: [a.png, b.png]}}\n")
    assert files(recipe, "1.jpg") == [
        ["here/1.jpg", "recipes/a.png"],
        ["here/1.jpg", "recipes/b.png"],
    ]
    recipe.write_text(f"{TWO}matrix: {{pair: [{{images.style: b.png}}]}}\n")
    assert files(recipe, "1.jpg") == [["here/1.jpg", "recipes/b.png"]]


def test_a_missing_file_is_named_as_it_was_typed(recipe: Path) -> None:
    from nstflow.matrix.plan import plan_recipe

    with pytest.raises(NstflowError) as caught:
        plan_recipe(recipe, ReadOptions(images=("none.jpg", "1.jpg")))
    problem = caught.value.problems[0]
    assert problem.where == "image content=none.jpg"
    assert problem.got == f"there is no file '{Path('none.jpg').resolve()}'."


def test_options_are_short_for_settings(recipe: Path) -> None:
    read_one = load_recipe(recipe, ["size=96", "steps=3"])
    assert read_one.preprocess[0].model_dump()["longest_side"] == 96
    schedule = read_one.schedule.model_dump()
    assert (schedule["epochs"], schedule["steps_per_epoch"]) == (3, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("{a: preprocess.0.longest_sid}", "'preprocess.0.longest_sid'"),
        ("{a: preprocess.3.longest_side}", "'preprocess.3.longest_side'"),
        ("{a: losses.look}", "'losses.look'"),
        ("{a: [seed, sed]}", "'sed'"),
        ("{a: compute.precisoin}", "'compute.precisoin'"),
        ("{a: losses.²}", "'losses.²'"),
    ],
)
def test_an_option_must_lead_to_a_setting(recipe: Path, options: str, expected: str) -> None:
    recipe.write_text(TWO[: TWO.index("options")] + f"options: {options}\n")
    (draft,) = read(recipe)
    assert [each.got for each in draft.problems] == [
        f"there is no setting {expected} in this recipe."
    ]


@pytest.mark.parametrize("name", ["out", "seed"])
def test_an_option_is_called_like_nothing_else(recipe: Path, name: str) -> None:
    recipe.write_text(TWO[: TWO.index("options")] + f"options: {{{name}: schedule.epochs}}\n")
    (problem,) = read(recipe)[0].problems
    assert problem.what == f"options.{name}"
    assert problem.got.endswith("no option of a recipe can be called that.")


def test_all_options_of_commands_are_taken() -> None:
    from typer.main import get_command

    from nstflow.cli.app import app

    commands: Any = get_command(app)
    names = {
        option.removeprefix("--")
        for command in ("run", "plan", "lock", "show")
        for each in commands.commands[command].params
        for option in each.opts
        if option.startswith("--")
    }
    assert {name for name in names if "-" not in name} <= set(COMMAND_OPTIONS)


def test_an_option_may_lead_to_what_another_layer_removed(recipe: Path, write: Any) -> None:
    top = write("name: top\nextends: two.yaml\npreprocess: []\n", "recipes/top.yaml")
    assert read(top)[0].problems == []
    assert load_recipe(recipe, ["preprocess=[]"]).preprocess == []


def test_options_lead_to_settings_with_defaults(recipe: Path) -> None:
    text = "options: {a: extractor.pooling, b: seed, c: checkpoints.every_steps, d: start.like}"
    recipe.write_text(TWO[: TWO.index("options")] + text)
    assert read(recipe)[0].problems == []
