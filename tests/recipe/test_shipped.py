"""Recipes that have a name: nstflow's own and those of packages, found, listed and run by it."""

from pathlib import Path
from typing import Any

import pytest

from nstflow import builtin
from nstflow.lockfile.diff import compare_anything
from nstflow.matrix.plan import plan_recipe
from nstflow.plugins.manager import Plugins
from nstflow.recipe.reader import ReadOptions, load_recipe, read
from nstflow.recipe.shipped import find_recipe
from nstflow.stages.types import size_text
from refusals import refused

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(ROOT.glob("recipes/*.yaml"))
LAYERS = sorted(ROOT.glob("recipes/layers/*.yaml"))
TINY = (ROOT / "tests" / "tiny.yaml").read_text(encoding="utf-8")

OFFERING = """
from pathlib import Path
from nstflow import hookimpl


@hookimpl
def nstflow_recipes():
    return [Path(__file__).with_name(name) for name in {names}]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def offer(install: Any, tmp_path: Path) -> Any:
    """Install a package with recipes."""

    def offer(package: str, **texts: str) -> Path:
        for name, text in texts.items():
            (tmp_path / "site" / f"{name}.yaml").write_text(text)
        install(package, OFFERING.format(names=[f"{name}.yaml" for name in texts]))
        return tmp_path / "site"

    return offer


def test_every_recipe_that_ships_is_found_by_its_name(here: Path) -> None:
    assert [offer.path for offer in Plugins().recipes if offer.plugin == "nstflow"] == SHIPPED
    assert len(SHIPPED) > 5
    for path in SHIPPED:
        assert find_recipe(path.stem) == path
        (first, *_) = read(path.stem)
        assert first.recipe_or_raise().name == path.stem
    assert not list(here.iterdir())


def test_the_copy_in_a_wheel_is_taken_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "nstflow"
    monkeypatch.setattr(builtin, "__file__", str(package / "builtin" / "__init__.py"))
    assert builtin.nstflow_recipes() == []
    for folder in (tmp_path / "recipes", package / "_recipes"):
        folder.mkdir(parents=True)
        (folder / "a.yaml").touch()
        assert builtin.nstflow_recipes() == [folder / "a.yaml"]


def test_a_file_comes_before_a_name_and_a_folder_does_not(here: Path) -> None:
    (here / "quickstart").mkdir()  # such as the one that --out named
    assert load_recipe("quickstart").name == "quickstart"
    (here / "quickstart").rmdir()
    (here / "quickstart").write_text(TINY)
    assert load_recipe("quickstart").name == "tiny"
    assert find_recipe("quickstart") == Path("quickstart")


@pytest.mark.parametrize("layer", LAYERS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("here")
def test_a_layer_changes_every_recipe_by_its_name(layer: Path) -> None:
    """Also one with two styles, or with no list to append to; but for one without a photograph."""
    slot = "preprocess" if layer.stem == "match_color" else "postprocess"
    for recipe in [path for path in SHIPPED if path.stem != "mixed_style"]:
        drafts = read(recipe.stem, ReadOptions(layers=(layer.stem,)))
        stages = getattr(drafts[0].recipe_or_raise(), slot)
        assert [stage.use for stage in stages][-1] == layer.stem


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("keep_color", "This is a layer, which changes a recipe: nstflow run RECIPE --with keep_"),
        ("quikstart", "Did you mean 'quickstart'? `nstflow recipes` lists"),
        ("quickstart.yaml", "Did you mean 'quickstart'?"),
        ("recipes/quickstart.yaml", "Did you mean 'quickstart'?"),
        ("zzz", "`nstflow recipes` lists the recipes that have a name."),
        ("a/zzz", ""),
    ],
)
@pytest.mark.usefixtures("here")
def test_a_name_that_is_nearly_right(path: str, hint: str) -> None:
    problem = refused(load_recipe, path)
    assert (problem.where, problem.got) == (path, "there is no such file.")
    assert problem.hint.startswith(hint)
    assert bool(problem.hint) is bool(hint)


def test_a_recipe_of_a_package_is_used_by_its_name(offer: Any, here: Path) -> None:
    site = offer("nstflow-dots", dots=TINY)
    assert load_recipe("dots").source.folder_of() == site
    assert plan_recipe("dots").recipe.name == "tiny"
    assert compare_anything(Path("dots"), site / "dots.yaml") == []
    assert refused(load_recipe, "dotz").hint.startswith("Did you mean 'dots'?")
    assert (
        refused(read, "dots", ReadOptions(block=("nstflow-dots",))).got == "there is no such file."
    )
    assert not list(here.iterdir())


def test_two_packages_with_one_name_and_a_name_of_nstflow(offer: Any, here: Path) -> None:
    offer("nstflow-dots", dots=TINY, quickstart=TINY)
    offer("nstflow-more-dots", dots=TINY)
    assert load_recipe("quickstart").name == "quickstart"
    problem = refused(load_recipe, "dots")
    assert "offered by nstflow-dots 1.0 and nstflow-more-dots 1.0" in problem.got
    assert str(here.parent / "site" / "dots.yaml") in problem.hint
    (draft,) = read("dots", ReadOptions(block=("nstflow-more-dots",)))
    assert draft.recipe_or_raise().name == "tiny"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            "['a.yaml']",
            "its nstflow_recipes gives 'a.yaml': give the absolute Path of a .yaml file",
        ),
        ("[Path('a.yaml')]", "give the absolute Path"),
        ("[Path('/a.txt')]", "give the absolute Path"),
        ("[Path('/a.yaml'), Path('/b/a.yaml')]", "it offers the recipe 'a' twice"),
        ("3", "nstflow_recipes failed: TypeError"),
        ("1 / 0", "nstflow_recipes failed: ZeroDivisionError"),
    ],
)
def test_a_plugin_that_gives_no_paths_is_not_loaded(given: str, reason: str, install: Any) -> None:
    source = "from pathlib import Path\nfrom nstflow import hookimpl\n"
    install("nstflow-wrong", f"{source}@hookimpl\ndef nstflow_recipes(): return {given}\n")
    plugins = Plugins()
    (row,) = [row for row in plugins.rows if row.name == "nstflow-wrong"]
    assert reason in row.error
    assert not [offer for offer in plugins.recipes if offer.plugin == "nstflow-wrong"]


def test_the_list_shows_what_each_makes_and_errors_in_their_row(call: Any, offer: Any) -> None:
    broken = TINY.replace("use: gram", "use: gramm")
    site = offer("nstflow-dots", dots=TINY, broken=broken)
    (site / "nstflow_dots.py").write_text(
        OFFERING.format(names=["dots.yaml", "broken.yaml", "gone.yaml"])
    )
    answer = call("recipes")
    assert answer.code == 0, answer.err
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line}
    for path in SHIPPED:
        (first, *_) = read(path.stem)
        recipe = first.recipe_or_raise()
        assert recipe.summary in rows[path.stem]
    assert "384×255" in rows["quickstart"]
    assert "256×171, 9 runs" in rows["styles_and_weights"]
    canvas = size_text(plan_recipe(site / "dots.yaml").canvas)
    assert "(nstflow-dots 1.0)" in rows["dots"]
    assert canvas in rows["dots"]
    assert "no loss is called 'gramm'" in rows["broken"]
    assert f"{site / 'gone.yaml'} there is no such file." in rows["gone"]
    assert "recipes  dots, broken, gone" in call("plugins").out


def test_commands_take_a_name(call: Any, tmp_path: Path) -> None:
    answer = call("validate", "quickstart", "two_styles")
    assert (answer.code, answer.out) == (0, "quickstart: valid\ntwo_styles: valid\n")
    assert call("plan", "quickstart").out == call("plan", ROOT / "recipes/quickstart.yaml").out
    assert call("lock", "quickstart").code == 0  # in the working directory
    assert call("diff", "quickstart.lock.yaml", "quickstart").code == 0
    assert "quickstart" in call("show", "quickstart").out
    assert [file.name for file in tmp_path.iterdir()] == ["quickstart.lock.yaml"]
