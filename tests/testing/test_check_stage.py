"""The kit for authors of stages: the built-in ones pass, and each check can fail."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
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
    Phase,
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

LAYERS = Field(("image",), description="What to look at.")

NEEDED: dict[str, dict[str, Any]] = {
    "noise": {"height": 8, "width": 6},
    "crop": {"aspect": "3:2"},
}


@pytest.mark.parametrize("stage", builtin.nstflow_stages(), ids=lambda stage: stage.__name__)
def test_every_built_in_stage_passes(stage: type[Stage], tmp_path: Path) -> None:
    settings = {name: 3 for name, field in stage.model_fields.items() if field.is_required()}
    settings.pop("image", None)
    if "path" in settings:
        from PIL import Image as Pillow

        from nstflow.toolkit import to_bytes

        Pillow.fromarray(to_bytes(tiny_images()["content"])).save(tmp_path / "a.png")
        settings["path"] = str(tmp_path / "a.png")
    check_stage(stage, **settings)


# losses: one that is sound, and what is wrong with others


class Sound(StatisticTerm):
    """Match the mean of every feature."""

    use: Literal["sound"] = "sound"

    def summarize(self, points: Any, weights: Any) -> Any:
        return tf.reduce_sum(weights * points, axis=0)

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.reduce_mean(tf.square(summary - target))


class Nameless(Sound):
    """Has the name of another."""

    use: str = "nameless"  # type: ignore[assignment]


class Silent(Sound):
    use: Literal["silent"] = "silent"


class Undescribed(Sound):
    """Says nothing of a setting."""

    use: Literal["undescribed"] = "undescribed"
    power: float = 2


class Hiding(Sound):
    """Has a setting that hides a method."""

    model_config = ConfigDict(protected_namespaces=())
    use: Literal["hiding"] = "hiding"


@dataclass(frozen=True)
class Odd:
    value: int


class Needy(Sound):
    """Needs a setting."""

    use: Literal["needy"] = "needy"
    power: float = Field(description="How much.")


class Forgetful(Sound):
    """Changes what it is told."""

    use: Literal["forgetful"] = "forgetful"
    power: float = Field(0.5, description="How much.")

    def model_post_init(self, _: Any) -> None:
        object.__setattr__(self, "power", self.power / 2)


class Vector(Sound):
    """Gives many numbers."""

    use: Literal["vector"] = "vector"

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.square(summary - target)


class Infinite(Sound):
    """Divides by nothing."""

    use: Literal["infinite"] = "infinite"

    def distance(self, summary: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        return tf.reduce_sum(summary) / tf.zeros(())


class Rooted(Sound):
    """Has a root whose slope is infinite at 0."""

    use: Literal["rooted"] = "rooted"

    def distance(self, summary: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        return tf.reduce_sum(tf.sqrt(0.0 * summary))


class Flat(Sound):
    """Has no slope."""

    use: Literal["flat"] = "flat"

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.reduce_sum(tf.round(8 * (summary - target)))


class Halved(Sound):
    """Hides a part of its slope."""

    use: Literal["halved"] = "halved"

    def distance(self, summary: Any, target: Any) -> Any:
        apart = summary - target
        return tf.reduce_mean(apart * tf.stop_gradient(apart))


class Fickle(Sound):
    """Gives another score each time."""

    use: Literal["fickle"] = "fickle"

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.reduce_mean(tf.square(summary - target)) * tf.random.uniform(())


class Leaving(Sound):
    """Leaves TensorFlow."""

    use: Literal["leaving"] = "leaving"

    def distance(self, summary: Any, target: Any) -> Any:
        apart = tf.reduce_mean(tf.square(summary - target))
        return apart + 0 * tf.numpy_function(np.mean, [summary], tf.float32)


class Spread(Sound):
    """Sums what is no mean over positions."""

    use: Literal["spread"] = "spread"

    def summarize(self, points: Any, weights: Any) -> Any:
        mean = tf.reduce_sum(weights * points, axis=0)
        return tf.reduce_sum(weights * tf.square(points - mean), axis=0)


class HonestSpread(Spread):
    """Says so."""

    additive: ClassVar[bool] = False
    use: Literal["honest"] = "honest"  # type: ignore[assignment]


class Reading(Sound):
    """Reads what is the engine's."""

    use: Literal["reading"] = "reading"

    def distance(self, summary: Any, target: Any) -> Any:
        return self.weight * tf.reduce_mean(tf.square(summary - target))


class Plain(LossTerm):
    """Darkens, without a reference."""

    use: Literal["plain"] = "plain"
    layers: Layers = LAYERS

    def score(self, features: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        return tf.reduce_mean(tf.square(features["image"]))


@pytest.mark.parametrize("stage", [Sound, HonestSpread, Plain, Gram])
def test_sound_losses_pass(stage: type[Stage]) -> None:
    check_stage(stage)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Sound(image="style"), "check_stage takes the class"),
        (Odd, "is no stage"),
        (Stage, "derives from Stage alone"),
        (LossTerm, "lacks score"),
        (Nameless, "has no name of its own"),
        (Silent, "has no docstring"),
        (Undescribed, "the setting 'power' of Undescribed has no description"),
        (Needy, "hand check_stage the settings"),
        (Forgetful, "are others when written"),
        (Infinite, "Infinite gives inf"),
        (Rooted, "the gradient of Rooted is not finite"),
        (Flat, "the gradient of Flat is zero"),
        (Halved, "is not the slope of its score: they differ by 100%"),
        (Fickle, "another score for the same canvas"),
        (Leaving, "can't be compiled by XLA"),
        (Spread, "is no weighted mean over positions"),
    ],
    ids=str,
)
def test_each_check_can_fail(stage: Any, words: str) -> None:
    with pytest.raises(AssertionError) as told:
        check_stage(stage)
    assert words in str(told.value)


@pytest.mark.parametrize("stage", [Vector, Reading])
def test_what_the_engine_itself_refuses(stage: type[Stage]) -> None:
    with pytest.raises(AssertionError) as told:
        check_stage(stage)
    assert f"{stage.__name__} can't do what its slot asks (score, or distance," in str(told.value)
    assert re.search(r"it ended in \w+Error: .*\.py:\d+\)$", str(told.value), re.DOTALL)


class Unsure(LossTerm):
    """Need what no example can guess."""

    use: Literal["unsure"] = "unsure"
    layers: Layers = LAYERS
    names: list[str] = Field(description="Names.")

    def score(self, features: Any, target: Any) -> Any:  # noqa: ARG002 - the contract
        return tf.reduce_mean(features["image"])


def test_an_example_that_can_not_be_pasted() -> None:
    with pytest.raises(AssertionError, match=r"the example of Unsure can't be pasted.*examples="):
        check_stage(Unsure, names=["a"])


def test_a_script_may_check_its_own_stage(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "sound\n"), done.stderr


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
print("sound")
"""


def test_a_setting_that_hides_a_method() -> None:
    with pytest.warns(UserWarning, match="shadows"):

        class Shadow(Sound):
            """Hides `check`."""

            use: Literal["shadow"] = "shadow"
            check: float = Field(1, description="Hides.")  # type: ignore[assignment]

    with pytest.raises(AssertionError, match=r"hides LossTerm\.check: call it otherwise"):
        check_stage(Shadow)


def test_importing_tensorflow_is_told(tmp_path: Path) -> None:
    module = """
        import tensorflow
        from typing import Literal
        from nstflow import StatisticTerm
        from nstflow.testing import check_stage

        class Term(StatisticTerm):
            '''Heavy.'''
            use: Literal["heavy"] = "heavy"
            def summarize(self, points, weights):
                return points
            def distance(self, summary, target):
                return summary

        if __name__ == "__main__":
            check_stage(Term)
        """
    (tmp_path / "heavy.py").write_text(textwrap.dedent(module))
    command = [sys.executable, tmp_path / "heavy.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "imports TensorFlow, which takes seconds" in done.stderr


# the other slots


class Wide(Preprocessor):
    """Foretells another size than it makes."""

    use: Literal["wide"] = "wide"

    def size(self, size: Any) -> Any:
        return size[0], size[1] + 1

    def apply(self, image: Any, images: Any) -> Any:  # noqa: ARG002
        return image


class Noisy(Postprocessor):
    """Gives another picture each time."""

    use: Literal["noisy"] = "noisy"

    def apply(self, image: Any, images: Any) -> Any:  # noqa: ARG002
        return Image(np.random.default_rng().random(image.pixels.shape, np.float32))


class Unlike(Start):
    """Paints the wrong size."""

    use: Literal["unlike"] = "unlike"

    def paint(self, images: Any, size: Any, seed: int) -> Any:  # noqa: ARG002
        return images["style"]


class Stuck(Optimizer):
    """Stays where it is."""

    use: Literal["stuck"] = "stuck"

    def start(self, canvas: Any, steps: int) -> Any:  # noqa: ARG002
        return {"evaluations": tf.constant(0)}

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas, {"evaluations": state["evaluations"] + 1}, losses


class Escaping(Stuck):
    """Leaves the range."""

    use: Literal["escaping"] = "escaping"  # type: ignore[assignment]

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas + 2, state, losses


class Growing(Stuck):
    """Changes its state's names."""

    use: Literal["growing"] = "growing"  # type: ignore[assignment]

    def step(self, objective: Any, canvas: Any, state: Any) -> Any:
        losses, _ = objective(canvas)
        return canvas, {**state, "more": canvas}, losses


class Never(Schedule):
    """Has no phase."""

    use: Literal["never"] = "never"

    def phases(self, size: Any) -> list[Phase]:  # noqa: ARG002
        return []


class Elsewhere(Output):
    """Writes somewhere else."""

    use: Literal["elsewhere"] = "elsewhere"

    def write(self, result: Any, folder: Path) -> Path:  # noqa: ARG002
        (folder.parent / "x").write_text("x")
        return folder.parent / "x"


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Wide, "Wide.apply gives an image of (16, 24) (height, width) where (16, 25) was"),
        (Noisy, "Noisy.apply gives another image the second time"),
        (Unlike, "Unlike.paint gives an image of (12, 20)"),
        (Stuck, "not less in ten steps"),
        (Escaping, "Escaping leaves [0, 1]"),
        (Growing, "the state of Growing changes"),
        (Never, "Never has no phase"),
        (Elsewhere, "writes one file into the folder"),
    ],
    ids=str,
)
def test_checks_of_other_slots_can_fail(stage: type[Stage], words: str) -> None:
    with pytest.raises(AssertionError) as told:
        check_stage(stage)
    assert words in str(told.value)


# small things to run on


def test_tiny_images_are_the_same_each_time(nstflow_tiny_images: dict[str, Image]) -> None:
    for name, image in tiny_images().items():
        assert image.pixels.tobytes() == nstflow_tiny_images[name].pixels.tobytes()
    assert [image.size for image in tiny_images().values()] == [(16, 24), (12, 20)]


def test_a_tiny_run(nstflow_run: Callable[..., Any]) -> None:
    result = nstflow_run(steps=4, losses={"mine": {"use": "total_variation"}})
    assert list(result.history["mine"]) == list(result.history["total"])
    assert len(result.history["step"]) == 4
    assert result.files[0].is_file()


def test_a_tiny_run_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert run_tiny(tmp_path / "a", seed=3).plan.recipe.seed == 3
