"""Any stage can be swapped: a package replaces each slot's built-in one, alone and all at once."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from nstflow.plugins.manager import Plugins
from nstflow.recipe.yaml import parse_yaml, to_yaml
from nstflow.stages.slots import ALL_SLOTS, SLOTS
from nstflow.testing import check_stage
from nstflow.toolkit import uniform_noise

SOURCE = '''
"""One stage for each slot, smaller and plainer than the built-in ones."""

from typing import Literal

import numpy as np
from pydantic import Field

import nstflow
from nstflow import Image, Phase, hookimpl, tf


class Ramp(nstflow.Loader):
    """Make an image that grows lighter from left to right."""

    use: Literal["ramp"] = "ramp"
    side: int = Field(24, ge=1, description="Height and width.")

    def size(self, folder):
        return self.side, self.side

    def load(self, folder):
        row = np.linspace(0, 1, self.side, dtype=np.float32)
        return Image(np.broadcast_to(row[None, :, None], (self.side, self.side, 3)).copy())


class Turn(nstflow.Preprocessor):
    """Turn images by 90 degrees."""

    use: Literal["turn"] = "turn"

    def size(self, size):
        return size[::-1]

    def apply(self, image, images):
        return Image(np.ascontiguousarray(np.rot90(image.pixels)))


class Halves(nstflow.Extractor):
    """Describe an image by itself at half its size."""

    use: Literal["halves"] = "halves"
    layers: dict[str, tuple[str, ...]] = Field(
        {"style": ("half",), "content": ("half",)}, description="Named groups of layers."
    )

    def layer_names(self):
        return ["half"]

    def cost(self, layers, size):
        return None

    def build(self, layers, folder):
        def describe(canvas):
            half = tf.nn.avg_pool2d(canvas, 2, 2, "VALID")
            return {layer: half for layer in layers}

        return describe


class Grey(nstflow.Start):
    """Begin with one grey."""

    use: Literal["grey"] = "grey"

    def paint(self, images, size, seed):
        return Image(np.full((*size, 3), 0.25, np.float32))


class Mean(nstflow.StatisticTerm):
    """Match the mean of each feature."""

    use: Literal["mean"] = "mean"

    def summarize(self, points, weights):
        return tf.reduce_sum(weights * points, axis=0)

    def distance(self, summary, target):
        return tf.reduce_sum(tf.square(summary - target))


class Descent(nstflow.Optimizer):
    """Go down the gradient, by a fixed share of it."""

    use: Literal["descent"] = "descent"
    share: float = Field(1e-3, gt=0, description="How far.")

    def start(self, canvas, steps):
        return {"evaluations": tf.constant(0)}

    def step(self, objective, canvas, state):
        losses, gradient = objective(canvas)
        canvas = tf.clip_by_value(canvas - self.share * gradient, 0.0, 1.0)
        return canvas, {"evaluations": state["evaluations"] + 1}, losses


class Twice(nstflow.Schedule):
    """Take two steps, then two at half the size."""

    use: Literal["twice"] = "twice"

    def phases(self, size):
        return [Phase(2, 2), Phase(2, 2, 0.5)]


class Invert(nstflow.Postprocessor):
    """Make light what is dark."""

    use: Literal["invert"] = "invert"

    def apply(self, image, images):
        return Image(1 - image.pixels)


class Numbers(nstflow.Output):
    """Write the pixels as a NumPy file."""

    use: Literal["numbers"] = "numbers"

    def write(self, result, folder):
        np.save(folder / "pixels.npy", result.image.pixels)
        return folder / "pixels.npy"


class Backwards(nstflow.Executor):
    """Begin with the last run."""

    use: Literal["backwards"] = "backwards"

    def run(self, jobs, work, tell, stop):
        for job in reversed(jobs):
            if not stop.requested:
                yield work(job, tell, stop)


STAGES = [Ramp, Turn, Halves, Grey, Mean, Descent, Twice, Invert, Numbers, Backwards]


@hookimpl
def nstflow_stages():
    return STAGES
'''

BUILT_IN = """\
name: swapped
images:
  content: {use: noise, height: 32, width: 48}
  style: {use: noise, height: 32, width: 32, seed: 1}
preprocess:
  - {use: resize, longest_side: 48}
extractor: {use: vgg19, weights: random}
start: {use: image}
losses:
  look: {use: gram, image: style, layers: style}
optimizer: {use: adam}
schedule: {use: epochs, epochs: 1, steps_per_epoch: 3}
postprocess:
  - {use: keep_color}
outputs:
  - {use: png}
"""

OWN: dict[str, Any] = {
    "images": {"content": {"use": "ramp"}, "style": {"use": "ramp", "side": 16}},
    "preprocess": [{"use": "turn"}],
    "extractor": {"use": "halves"},
    "start": {"use": "grey"},
    "losses": {"look": {"use": "mean", "image": "style"}},
    "optimizer": {"use": "descent"},
    "schedule": {"use": "twice"},
    "postprocess": [{"use": "invert"}],
    "outputs": [{"use": "numbers"}],
}


@pytest.fixture(autouse=True)
def _package(install: Any) -> None:
    install("nstflow-own", SOURCE, version="0.3")


def recipe(write: Any, *slots: str, **more: Any) -> Path:
    """Write a recipe of built-in stages in which these slots have the package's."""
    data = {**parse_yaml(BUILT_IN, "")[0], **{slot: OWN[slot] for slot in slots}, **more}
    return write(to_yaml(data))


def test_the_package_has_a_stage_for_every_slot() -> None:
    catalog = Plugins().catalog
    for slot in ALL_SLOTS:
        assert [offer.package for offer in catalog[slot].values()].count("nstflow-own 0.3") == 1
    assert set(OWN) == set(SLOTS)


@pytest.mark.parametrize("slot", ALL_SLOTS)
def test_its_stages_keep_to_the_contract(slot: str) -> None:
    (offer,) = [o for o in Plugins().catalog[slot].values() if o.package == "nstflow-own 0.3"]
    check_stage(offer.stage)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def picture(folder: Path) -> Any:
    with PIL.Image.open(folder / "result.png") as image:
        return np.asarray(image)


BARE: dict[str, Any] = {"preprocess": [], "postprocess": []}
PIXELS = {"look": {"use": "gram", "image": "style", "layers": ["image"]}}
STILL = {"use": "adam", "learning_rate": 1e-6}
MEANS = {"look": {"use": "mean", "image": "style", "layers": ["image"]}}

# slot -> what else the recipe has, so that the effect of the package's stage can be seen
MORE: dict[str, dict[str, Any]] = {
    "extractor": {**BARE, "losses": {"look": {"use": "gram", "image": "style", "layers": "style"}}},
    "start": {**BARE, "losses": PIXELS, "optimizer": STILL},
    "losses": {**BARE, "losses": MEANS},
    "optimizer": {**BARE, "losses": MEANS, "optimizer": {"use": "descent", "share": 32 * 48 / 4}},
    "postprocess": {"preprocess": [], "losses": PIXELS, "optimizer": STILL},
}

CONTENT, STYLE = uniform_noise((32, 48), 0), uniform_noise((32, 32), 1)


def check_effect(slot: str, folder: Path) -> None:
    """Check that what a run left is what the package's stage makes of it."""
    losses = [float(row["look"]) for row in history(folder)]
    if slot == "images":
        assert picture(folder).shape == (48, 48, 3)
    elif slot == "preprocess":
        assert picture(folder).shape == (48, 32, 3)
    elif slot == "extractor":
        apart = np.square(products(CONTENT) - products(STYLE)).mean()
        assert losses[0] == pytest.approx(apart, rel=1e-3)
    elif slot == "start":
        assert (picture(folder) == round(0.25 * 255)).all()
    elif slot == "losses":
        apart = np.square(CONTENT.mean((0, 1)) - STYLE.mean((0, 1))).sum()
        assert losses[0] == pytest.approx(apart, rel=1e-3)
    elif slot == "optimizer":  # this share of the gradient takes the mean half the way
        assert losses[1] == pytest.approx(losses[0] / 4, rel=0.1)
    elif slot == "schedule":
        assert len(losses) == 4
    elif slot == "postprocess":
        apart = picture(folder) - 255 * (1 - CONTENT)
        assert np.abs(apart).max() < 1
    else:
        assert slot == "outputs"
        assert np.load(folder / "pixels.npy").shape == (32, 48, 3)


def products(pixels: Any) -> Any:
    """Return the Gram matrix of an image at half its size."""
    height, width, _ = pixels.shape
    half = pixels.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)).reshape(-1, 3)
    return half.T @ half / len(half)


@pytest.mark.parametrize("slot", SLOTS)
def test_a_stage_of_the_package_takes_the_place_of_a_built_in_one(
    slot: str, call: Any, write: Any, tmp_path: Path
) -> None:
    """And without it, the effect is not there."""
    more = MORE.get(slot, {})
    done = call("run", recipe(write, slot, **more), "--quiet", "--out", "own")
    assert done.code == 0, done.err
    check_effect(slot, tmp_path / "own")
    assert "nstflow-own: '0.3'" in (tmp_path / "own" / "recipe.lock.yaml").read_text()
    plain = {key: value for key, value in {"losses": PIXELS, **more}.items() if key != slot}
    done = call("run", recipe(write, **plain), "--quiet", "--out", "plain")
    assert done.code == 0, done.err
    with pytest.raises((AssertionError, FileNotFoundError)):
        check_effect(slot, tmp_path / "plain")


def test_all_at_once(call: Any, write: Any, tmp_path: Path) -> None:
    path = recipe(write, *SLOTS, matrix={"optimizer.share": [1e-3, 2e-3]})
    done = call("run", path, "--executor", "backwards", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    folders = sorted(file.parent for file in tmp_path.rglob("pixels.npy"))
    assert len(folders) == 2
    for folder in folders:
        pixels = np.load(folder / "pixels.npy")
        assert pixels.shape == (12, 12, 3)  # the second phase's
        assert pixels.mean() < 0.75  # grey drawn to the lighter mean of the ramp, then inverted
        assert len(history(folder)) == 4
        assert float(history(folder)[-1]["look"]) < float(history(folder)[0]["look"])


def test_runs_begin_in_the_order_of_the_package(call: Any, write: Any, tmp_path: Path) -> None:
    path = recipe(write, matrix={"seed": [1, 2]})
    done = call("run", path, "--executor", "backwards", "--out", tmp_path / "runs")
    assert done.code == 0, done.err
    one, two = (next((tmp_path / "runs").glob(f"*{seed}*/run.json")) for seed in (1, 2))
    assert two.stat().st_mtime < one.stat().st_mtime
