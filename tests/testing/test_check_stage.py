"""The test kit for authors of stages: the built-in stages pass, and each check can fail."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import ConfigDict, Field

from nstflow import (
    Image,
    Layers,
    LossTerm,
    Optimizer,
    Output,
    Postprocessor,
    Preprocessor,
    Schedule,
    Stage,
    Start,
    StatisticTerm,
    builtin,
    tf,
)
from nstflow.builtin.losses.gram import Gram
from nstflow.testing import check_stage, run_tiny, tiny_images


@pytest.mark.parametrize("stage", builtin.nstflow_stages(), ids=lambda stage: stage.__name__)
def test_every_built_in_stage_passes(stage: type[Stage], tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        name: field.examples[0] if field.examples else 3
        for name, field in stage.model_fields.items()
        if field.is_required()
    }
    settings.pop("image", None)
    if "path" in settings:
        from PIL import Image as Pillow

        from nstflow.toolkit import to_bytes

        Pillow.fromarray(to_bytes(tiny_images()["content"])).save(tmp_path / "a.png")
        settings["path"] = str(tmp_path / "a.png")
    check_stage(stage, **settings)


class Valid(StatisticTerm):
    """Match the mean of every feature."""

    use: Literal["valid"] = "valid"

    def summarize(self, points: Any, weights: Any) -> Any:
        return tf.reduce_sum(weights * points, axis=0)

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.reduce_mean(tf.square(summary - target))


class Plain(LossTerm):
    """Darken the canvas; without a reference."""

    use: Literal["plain"] = "plain"
    layers: Layers = Field(("image",), description="What to look at.")

    def score(self, features: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        return tf.reduce_mean(tf.square(features["image"]))


class Spread(Valid):
    """Match a statistic that is not a mean over positions."""

    use: Literal["spread"] = "spread"  # type: ignore[assignment]

    def summarize(self, points: Any, weights: Any) -> Any:
        mean = tf.reduce_sum(weights * points, axis=0)
        return tf.reduce_sum(weights * tf.square(points - mean), axis=0)


class HonestSpread(Spread):
    """Say that it isn't."""

    additive: ClassVar[bool] = False
    use: Literal["honest"] = "honest"  # type: ignore[assignment]


@pytest.mark.parametrize("stage", [Valid, HonestSpread, Plain, Gram])
def test_valid_losses_pass(stage: type[Stage]) -> None:
    check_stage(stage)


class Nameless(Valid):
    """Its name is not a literal."""

    use: str = "nameless"  # type: ignore[assignment]


class Silent(Valid):
    use: Literal["silent"] = "silent"  # type: ignore[assignment]


class Undescribed(Valid):
    """A setting has no description."""

    use: Literal["undescribed"] = "undescribed"  # type: ignore[assignment]
    power: float = 2


@dataclass(frozen=True)
class NotAStage:
    value: int


class Required(Valid):
    """A setting has no default."""

    use: Literal["required"] = "required"  # type: ignore[assignment]
    power: float = Field(description="How much.")


class Unstable(Valid):
    """A setting changes when it is read."""

    use: Literal["unstable"] = "unstable"  # type: ignore[assignment]
    power: float = Field(0.5, description="How much.")

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "power", self.power / 2)


def fails(stage: Any, words: str, **settings: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        check_stage(stage, **settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Valid(image="style"), "is not a stage class"),
        (NotAStage, "is not a stage"),
        (Stage, "derives from Stage alone"),
        (LossTerm, "has no name"),
        (Nameless, "has no name"),
        (Silent, "has no docstring"),
        (Undescribed, "the setting 'power' of Undescribed has no description"),
        (Required, "give check_stage the required settings"),
        (Unstable, "change when written"),
        (Spread, "is not a weighted mean over positions"),
    ],
    ids=str,
)
def test_classes_that_fail(stage: Any, words: str) -> None:
    fails(stage, words)


def product(a: Any, b: Any) -> Any:
    return tf.reduce_mean((a - b) * tf.stop_gradient(a - b))


def mean_square(a: Any, b: Any) -> Any:
    return tf.reduce_mean(tf.square(a - b))


def outside_tensorflow(a: Any, b: Any) -> Any:
    return mean_square(a, b) + 0 * tf.numpy_function(np.mean, [a], tf.float32)


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (lambda a, _: tf.reduce_sum(a) / tf.zeros(()), "Wrong gives inf"),
        (lambda a, _: tf.reduce_sum(tf.sqrt(0.0 * a)), "the gradient of Wrong is not finite"),
        (lambda a, b: tf.reduce_sum(tf.round(8 * (a - b))), "the gradient of Wrong is zero"),
        (product, "is not the slope of its score: they differ by 100%"),
        (lambda a, b: mean_square(a, b) * tf.random.uniform(()), "a different score for the same"),
        (outside_tensorflow, "can't be compiled by XLA"),
        (lambda a, b: tf.square(a - b), "what its slot requires (score, or distance,"),
    ],
)
def test_distances_that_fail(distance: Callable[[Any, Any], Any], words: str) -> None:
    class Wrong(Valid):
        """Compare in a wrong way."""

        use: Literal["wrong"] = "wrong"  # type: ignore[assignment]

        def distance(self, summary: Any, target: Any) -> Any:
            return distance(summary, target)

    fails(Wrong, words)


class Raising(Valid):
    """Raise something."""

    use: Literal["raising"] = "raising"  # type: ignore[assignment]

    def distance(self, summary: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        raise KeyError("nothing")


def test_an_exception_is_described_with_its_place() -> None:
    with pytest.raises(AssertionError) as caught:
        check_stage(Raising)
    assert re.search(r"; it raised KeyError: 'nothing' \(.*_stage\.py:\d+\)$", str(caught.value))


class Unsure(Plain):
    """Require what no example can guess."""

    use: Literal["unsure"] = "unsure"  # type: ignore[assignment]
    names: list[str] = Field(description="Names.")


def test_an_example_that_is_not_valid() -> None:
    fails(Unsure, "the example of Unsure is not valid", names=["a"])


def test_a_setting_that_hides_a_method() -> None:
    with pytest.warns(UserWarning, match="shadows"):

        class Shadow(Valid):
            """Hide `check`."""

            model_config = ConfigDict(protected_namespaces=())
            use: Literal["shadow"] = "shadow"  # type: ignore[assignment]
            check: float = Field(1, description="Hides.")  # type: ignore[assignment]

    fails(Shadow, "hides LossTerm.check: rename it")


SCRIPT = """
from typing import Literal
from nstflow import StatisticTerm, tf
from nstflow.testing import check_stage

class Mean(StatisticTerm):
    \"\"\"Match the mean.\"\"\"

    use: Literal["mean"] = "mean"

    def summarize(self, points, weights):
        return tf.reduce_sum(weights * points, axis=0)

    def distance(self, summary, target):
        return tf.reduce_mean(tf.square(summary - target))

check_stage(Mean)
print("passed")
"""


def run_script(folder: Path, text: str) -> tuple[str, str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, folder / "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.stdout, done.stderr


def test_a_script_may_check_its_own_stage(tmp_path: Path) -> None:
    """Though importing the script, as a check does, runs the check again."""
    assert run_script(tmp_path, SCRIPT)[0] == "passed\n"


def test_a_module_that_imports_tensorflow(tmp_path: Path) -> None:
    assert (
        "imports TensorFlow, which takes" in run_script(tmp_path, f"import tensorflow{SCRIPT}")[1]
    )


class Wide(Preprocessor):
    """Announce another size than it makes."""

    use: Literal["wide"] = "wide"

    def size(self, size: Any) -> Any:
        return size[0], size[1] + 1

    def apply(self, image: Any, images: Any) -> Any:  # noqa: ARG002
        return image


class Noisy(Postprocessor):
    """Return another picture each time."""

    use: Literal["noisy"] = "noisy"

    def apply(self, image: Any, images: Any) -> Any:  # noqa: ARG002
        return Image(np.random.default_rng().random(image.pixels.shape, np.float32))


class WrongSize(Start):
    """Paint the wrong size."""

    use: Literal["wrong_size"] = "wrong_size"

    def paint(self, images: Any, size: Any, seed: int) -> Any:  # noqa: ARG002
        return images["style"]


class Stuck(Optimizer):
    """Leave the canvas as it is."""

    use: Literal["stuck"] = "stuck"

    def start(self, canvas: Any, steps: int) -> Any:  # noqa: ARG002
        return {"evaluations": tf.constant(0)}

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas, {"evaluations": state["evaluations"] + 1}, losses


class OutOfRange(Stuck):
    """Leave the range of pixels."""

    use: Literal["out_of_range"] = "out_of_range"  # type: ignore[assignment]

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas + 2, state, losses


class Growing(Stuck):
    """Add a name to the state."""

    use: Literal["growing"] = "growing"  # type: ignore[assignment]

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas, {**state, "more": canvas}, losses


class Phases(Schedule):
    """Return something else than phases."""

    use: Literal["phases"] = "phases"
    count: int = Field(0, description="How many.")

    def phases(self, size: Any) -> list[Any]:
        return [size] * self.count


class Elsewhere(Output):
    """Write somewhere else."""

    use: Literal["elsewhere"] = "elsewhere"

    def write(self, result: Any, folder: Path) -> Path:  # noqa: ARG002
        (folder.parent / "x").write_text("x")
        return folder.parent / "x"


@pytest.mark.parametrize(
    ("stage", "settings", "words"),
    [
        (Wide, {}, "Wide.apply returns an image of (16, 24) (height, width) instead of (16, 25)"),
        (Noisy, {}, "Noisy.apply returns a different image the second time"),
        (WrongSize, {}, "WrongSize.paint returns an image of (12, 20)"),
        (Stuck, {}, "Stuck did not reduce a loss"),
        (OutOfRange, {}, "OutOfRange.step gives a canvas outside [0, 1]"),
        (Growing, {}, "the state of Growing changes"),
        (Phases, {}, "Phases has no phase"),
        (Phases, {"count": 1}, "Phases.phases does not return a list of Phase"),
        (Elsewhere, {}, "write one file into it"),
    ],
    ids=str,
)
def test_stages_of_other_slots_that_fail(
    stage: type[Stage], settings: dict[str, Any], words: str
) -> None:
    fails(stage, words, **settings)


def test_tiny_images_are_the_same_each_time(nstflow_tiny_images: dict[str, Image]) -> None:
    for name, image in tiny_images().items():
        assert image.pixels.tobytes() == nstflow_tiny_images[name].pixels.tobytes()
    assert [image.size for image in tiny_images().values()] == [(16, 24), (12, 20)]


def test_a_tiny_run(nstflow_run: Any) -> None:
    result = nstflow_run(steps=4, losses={"mine": {"use": "total_variation"}})
    assert list(result.history["mine"]) == list(result.history["total"])
    assert len(result.history["step"]) == 4
    assert result.files[0].is_file()


def test_a_tiny_run_in_a_given_folder(tmp_path: Path) -> None:
    assert run_tiny(tmp_path, seed=3).plan.recipe.seed == 3
