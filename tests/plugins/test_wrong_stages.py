"""A stage that returns the wrong thing, or raises: the error names it, its package and version."""

import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest

from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.matrix.run import choose_executor, run_matrix
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.yaml import parse_yaml, to_yaml
from nstflow.runner.run import run
from refusals import refused

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()

BUILD = "def layer_names(self): return ['a', 'b']\ndef cost(self, layers, size): return None\n"
BUILD += "def build(self, layers, folder): "
STEP = "def step(self, objective, canvas, state): "

# slot, base, and the methods, with BODY where one goes wrong
STAGES = [
    ("images", "Loader", "def size(self, folder): return 32, 32\ndef load(self, folder): BODY"),
    (
        "preprocess",
        "Preprocessor",
        "def size(self, size): return size\ndef apply(self, image, images): BODY",
    ),
    ("extractor", "Extractor", f"{BUILD}BODY"),
    ("extractor", "Extractor", f"{BUILD}\n    def describe(canvas): BODY\n    return describe"),
    ("start", "Start", "def paint(self, images, size, seed): BODY"),
    ("losses", "LossTerm", "def score(self, features, target): BODY"),
    ("optimizer", "Optimizer", f"{STEP}...\ndef start(self, canvas, steps): BODY"),
    (
        "optimizer",
        "Optimizer",
        f"{STEP}BODY\ndef start(self, canvas, steps): return {{'evaluations': tf.constant(0)}}",
    ),
    ("schedule", "Schedule", "def phases(self, size): BODY"),
    ("postprocess", "Postprocessor", "def apply(self, image, images): BODY"),
    ("outputs", "Output", "def write(self, result, folder): BODY"),
    ("executor", "Executor", "def run(self, jobs, work, tell, stop): BODY"),
]
TARGET = "def target(self, features): BODY\ndef score(self, features, target): return 0.0"

BODIES = {
    "raises": "raise ValueError('no good')",
    "exits": "raise SystemExit(0)",
    "returns None": "return None",
    "returns a number": "return 5",
    "returns a list": "return [3]",
}


def package(base: str, methods: str) -> str:
    return (
        "from typing import Literal\nimport numpy as np\nimport nstflow\n"
        "from nstflow import hookimpl, tf\n"
        f"class Wrong(nstflow.{base}):\n    '''Go wrong.'''\n    use: Literal['wrong'] = 'wrong'\n"
        f"{textwrap.indent(methods, '    ')}\n@hookimpl\ndef nstflow_stages(): return [Wrong]\n"
    )


def recipe(slot: str, **settings: Any) -> str:
    """Return a recipe that uses the stage, with settings, in a slot."""
    data, wrong = parse_yaml(TINY, "")[0], {"use": "wrong", **settings}
    if slot == "images":
        data["images"]["extra"] = wrong
    elif slot == "losses":
        data["losses"]["look"] = {"layers": ["image"], **wrong}
    elif slot in ("preprocess", "postprocess", "outputs"):
        data[slot] = [wrong]
    elif slot == "executor":
        data["matrix"] = {"seed": [1, 2]}
    else:
        data[slot] = wrong
    if slot == "extractor":
        data["losses"]["look"]["layers"] = ["a"]
    return to_yaml(data)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("slot", "base", "methods"), STAGES)
def test_the_package_is_named(
    slot: str, base: str, methods: str, body: str, install: Any, write: Any, tmp_path: Path
) -> None:
    install("nstflow-wrong", package(base, methods.replace("BODY", body)), version="3.1")
    text = ""
    try:
        if slot == "executor":
            matrix = plan_recipe(write(recipe(slot)))
            assert isinstance(matrix, Matrix)
            installed = matrix.plans[0].recipe.installed
            run_matrix(matrix, choose_executor("wrong", {}, installed), tmp_path / "out")
        else:
            run(load_recipe(write(recipe(slot))), tmp_path / "out")
    except Exception as error:  # noqa: BLE001 - a problem or a bug, each with its text
        text = "".join(traceback.format_exception(error))
    assert "nstflow-wrong 3.1" in text, text[-2000:]
    if "no good" in body:
        assert f"Raised in {slot}" in text
    assert not (tmp_path / "out" / "result.png").exists()


def test_a_bug_in_a_target_names_its_term(install: Any, write: Any, tmp_path: Path) -> None:
    install("nstflow-wrong", package("LossTerm", TARGET.replace("BODY", BODIES["raises"])))
    with pytest.raises(ValueError, match="no good") as caught:
        run(load_recipe(write(recipe("losses", image="style"))), tmp_path / "out")
    assert caught.value.__notes__ == [
        "Raised in losses.look (use: wrong), provided by nstflow-wrong 1.0."
    ]


IMAGE = "return nstflow.Image(np.zeros((8, 9, 3), 'f4'))"
PROMISES = [
    (
        "images.extra",
        "Loader",
        f"def size(self, folder): return 40, 40\ndef load(self, folder): {IMAGE}",
        "the image is 9×8 where the plan has 40×40.",
    ),
    (
        "preprocess.0",
        "Preprocessor",
        "def size(self, size): return (20, 20)\ndef apply(self, image, images): return image",
        "where the plan has 20×20.",
    ),
    ("start", "Start", f"def paint(self, images, size, seed): {IMAGE}", "it painted 9×8 where"),
    (
        "extractor",
        "Extractor",
        f"{BUILD}return lambda canvas: {{'b': canvas}}",
        "it gives no layer a. It gives b.",
    ),
    (
        "outputs.0",
        "Output",
        "def write(self, result, folder): return folder.parent / 'recipe.yaml'",
        "it wrote no file into its folder",
    ),
]


@pytest.mark.parametrize(("place", "base", "methods", "words"), PROMISES)
def test_a_stage_that_makes_something_else_than_planned(
    place: str, base: str, methods: str, words: str, install: Any, write: Any, tmp_path: Path
) -> None:
    install("nstflow-wrong", package(base, methods))
    problem = refused(run, load_recipe(write(recipe(place.partition(".")[0]))), tmp_path / "out")
    assert problem.what == place
    assert words in str(problem)
