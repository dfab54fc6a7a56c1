"""A stage that returns the wrong thing, or raises: the error names it, its package and version."""

from __future__ import annotations

import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest

from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.matrix.run import choose_executor, run_matrix
from nstflow.plan import plan_file
from nstflow.recipe.yaml import parse_yaml, to_yaml
from nstflow.runner.run import run
from nstflow.stages.slots import ALL_SLOTS

RECIPE = """\
name: wrong
images:
  content: {use: noise, height: 32, width: 32}
preprocess: []
extractor: {weights: random}
losses:
  look: {use: gram, image: content, layers: [image]}
schedule: {use: epochs, epochs: 1, steps_per_epoch: 2}
"""

EXTRACTOR = """\
def layer_names(self): return ['a']
def cost(self, layers, size): return None
def build(self, layers, folder):
    def describe(canvas): BODY
    return describe
"""
OPTIMIZER = """\
def start(self, canvas, steps): return {'evaluations': tf.constant(0)}
def step(self, objective, canvas, state): BODY
"""

# slot -> base, and the methods with BODY where one goes wrong
STAGES = {
    "images": ("Loader", "def size(self, folder): return 32, 32\ndef load(self, folder): BODY"),
    "preprocess": (
        "Preprocessor",
        "def size(self, size): return size\ndef apply(self, image, images): BODY",
    ),
    "extractor": ("Extractor", EXTRACTOR),
    "start": ("Start", "def paint(self, images, size, seed): BODY"),
    "losses": ("LossTerm", "def score(self, features, target): BODY"),
    "optimizer": ("Optimizer", OPTIMIZER),
    "schedule": ("Schedule", "def phases(self, size): BODY"),
    "postprocess": ("Postprocessor", "def apply(self, image, images): BODY"),
    "outputs": ("Output", "def write(self, result, folder): BODY"),
    "executor": ("Executor", "def run(self, jobs, work, tell, stop): BODY"),
}
# what the recipe has there, where it is not the stage alone
WRONG = {"use": "wrong"}
PLACES: dict[str, Any] = {
    "images": {"content": WRONG},
    "losses": {"look": {**WRONG, "layers": ["image"]}},
    **{slot: [WRONG] for slot in ("preprocess", "postprocess", "outputs")},
}

BODIES = {
    "raises": "raise ValueError('no good')",
    "exits": "raise SystemExit(0)",
    "returns None": "return None",
    "returns a number": "return 5",
    "returns a list": "return [3]",
}


def package(slot: str, body: str) -> str:
    base, methods = STAGES[slot]
    methods = textwrap.indent(methods.replace("BODY", body), "    ")
    return (
        "from typing import Literal\nimport nstflow\nfrom nstflow import hookimpl, tf\n"
        f"class Wrong(nstflow.{base}):\n    '''Go wrong.'''\n    use: Literal['wrong'] = 'wrong'\n"
        f"{methods}\n@hookimpl\ndef nstflow_stages(): return [Wrong]\n"
    )


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("slot", ALL_SLOTS)
def test_the_package_is_named(
    slot: str, body: str, install: Any, write: Any, tmp_path: Path
) -> None:
    install("nstflow-wrong", package(slot, body), version="3.1")
    data = parse_yaml(RECIPE, "")[0]
    if slot != "executor":
        data[slot] = PLACES.get(slot, WRONG)
    if slot == "extractor":
        data["losses"]["look"]["layers"] = ["a"]
    text = ""
    try:
        if slot == "executor":
            matrix = plan_recipe(write(to_yaml({**data, "matrix": {"seed": [1, 2]}})))
            assert isinstance(matrix, Matrix)
            installed = matrix.plans[0].recipe.installed
            run_matrix(matrix, choose_executor("wrong", {}, installed), tmp_path / "out")
        else:
            run(plan_file(write(to_yaml(data))), tmp_path / "out")
    except Exception as error:  # noqa: BLE001 - a problem or a bug, each with its text
        text = "".join(traceback.format_exception(error))
    assert "nstflow-wrong 3.1" in text, text[-2000:]
    assert not (tmp_path / "out" / "result.png").exists()
