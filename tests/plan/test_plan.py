"""A recipe made concrete: sizes, shares, cost, and the problems of its files."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest

from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.optimizers.adam import Adam
from nstflow.errors import NstflowError, Problem
from nstflow.plan import Plan, make_plan, make_plans, timings
from nstflow.plan.facts import facts_of
from nstflow.recipe.reader import load_recipe, read
from nstflow.stages.types import Phase

HEAD = "name: x\nextractor: {weights: random}\n"
IMAGES = """\
images:
  content: {use: noise, height: 100, width: 50}
  style: {use: noise, height: 30, width: 40}
"""
LOSSES = "losses:\n  keep: {use: content}\n"


@pytest.fixture
def plan(write: Any) -> Any:
    return lambda *lines, **options: make_plan(load_recipe(write("".join(lines)), **options))


@pytest.fixture
def problems(write: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)

    def problems(*lines: str) -> list[Problem]:
        write("".join(lines), "r.yaml")
        with pytest.raises(NstflowError) as caught:
            make_plans(read("r.yaml"))
        assert caught.value.subject == "r.yaml"
        return list(caught.value.problems)

    return problems


def picture(path: Path, size: tuple[int, int]) -> None:
    PIL.Image.new("RGB", (size[1], size[0]), "red").save(path)


def test_sizes(plan: Any) -> None:
    made = plan(HEAD, IMAGES, LOSSES)
    assert made.sources == {"content": (100, 50), "style": (30, 40)}
    assert made.sizes == {"content": (512, 256), "style": (384, 512)}
    assert made.canvas == (512, 256)


def test_preprocessors_work_in_order_on_those_named(plan: Any) -> None:
    lines = """\
preprocess:
  - {use: resize, longest_side: 64, only: [style]}
  - {use: crop, aspect: 1}
  - {use: resize, longest_side: 20, only: [content]}
"""
    losses = "losses: {look: {use: gram, image: content}}\n"
    made = plan(HEAD, IMAGES, losses, lines, "start: {like: style}\n")
    assert made.sizes == {"content": (20, 20), "style": (48, 48)}
    assert made.canvas == (48, 48)


def test_sizes_of_files_are_read_upright_from_the_recipes_folder(plan: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    picture(tmp_path / "images" / "a.png", (30, 20))
    turned = PIL.Image.Exif()
    turned[274] = 6
    PIL.Image.new("RGB", (40, 20)).save(tmp_path / "b.jpg", exif=turned)
    made = plan(HEAD, "images: {content: images/a.png, style: b.jpg}\n", LOSSES, "preprocess: []\n")
    assert made.sizes == {"content": (30, 20), "style": (40, 20)}


STYLE = ("block1_conv1", "block3_conv1", "block5_conv1")
SHARES = {
    "use: content": {"block5_conv2": 1},
    "use: content, scale: sum, layers: style": dict.fromkeys(STYLE, 1),
    "use: content, scale: sum, layers: [image, block1_conv2]": {"image": 1, "block1_conv2": 1},
    "use: content, layers: style": dict.fromkeys(STYLE, 1 / 3),
    "use: content, layers: [block2_conv1, image]": {"block2_conv1": 1 / 2, "image": 1 / 2},
    "use: content, layers: {image: 0.5, block1_conv1: 3}": {"image": 0.5, "block1_conv1": 3},
    "use: gram, image: style": dict.fromkeys(STYLE, 1 / 3),
    "use: gram, image: style, scale: sum": dict.fromkeys(STYLE, 1),
    "use: gram, image: style, scale: gatys": dict.fromkeys(STYLE, 1),
    "use: gram, image: style, scale: gatys, layers: [image]": {"image": 1},
    "use: gram, image: style, scale: sum, layers: {block1_conv1: 0.2}": {"block1_conv1": 0.2},
    "use: total_variation": {"image": 1},
}


@pytest.mark.parametrize(("settings", "shares"), SHARES.items(), ids=SHARES)
def test_layers_become_shares(settings: str, shares: dict[str, float], plan: Any) -> None:
    made = plan(HEAD, IMAGES, f"losses: {{a: {{{settings}}}}}\n")
    assert made.terms["a"].shares == shares
    assert list(made.terms["a"].shares) == list(shares)  # in the order written
    assert made.terms["a"].use == made.recipe.losses["a"].use


def test_group_of_the_recipe(plan: Any) -> None:
    head = "name: x\nextractor: {weights: random, layers: {style: [block2_conv2], m: [image]}}\n"
    made = plan(
        head, IMAGES, "losses: {a: {use: gram, image: style}, b: {use: content, layers: m}}\n"
    )
    assert made.terms["a"].shares == {"block2_conv2": 1}
    assert made.terms["b"].shares == {"image": 1}


def test_layers_are_in_the_networks_order_each_once(plan: Any) -> None:
    made = plan(
        HEAD,
        IMAGES,
        "losses:\n  a: {use: content, layers: [block3_conv1, image, block1_conv2]}\n"
        "  b: {use: gram, image: style, layers: [block1_conv2, block1_conv1]}\n",
    )
    assert made.layers == ("block1_conv1", "block1_conv2", "block3_conv1")


def test_pixels_alone_need_no_network(plan: Any) -> None:
    made = plan(HEAD, IMAGES, "losses: {a: {use: total_variation}}\n")
    assert made.layers == ()
    assert made.cost is not None
    assert (made.cost.forward, made.cost.backward) == (0, 0)


def test_cost_counts_every_convolution_down_to_the_deepest(plan: Any) -> None:
    made = plan(
        HEAD,
        IMAGES,
        "losses: {a: {use: content, layers: [block2_conv1, block1_conv1]}}\n"
        "preprocess: [{use: resize, longest_side: 64}]\n",
    )
    height, width = made.canvas
    assert (height, width) == (64, 32)
    whole, half = height * width, height * width // 4
    wanted = 2 * 9 * (3 * 64 * whole + 64 * 64 * whole + 64 * 128 * half)
    assert made.cost is not None
    assert (made.cost.forward, made.cost.backward) == (wanted, wanted)


VGG = "name: x\nextractor: {weights: random, convolution: %s}\n"
SHALLOW = "losses: {a: {use: content, layers: [block2_conv2]}}\n"
THIN = {"block1_conv1": "direct", "block1_conv2": "direct"}


def ways(made: Plan) -> object:
    """Return how each layer is computed, as the plan has it."""
    assert isinstance(made.extractor, VGG19)
    return made.extractor.convolution


def test_plan_settles_what_the_recipe_leaves_open(plan: Any) -> None:
    """For a CPU, or for a GPU where all is direct; the recipe stays as it is written."""
    made = plan(HEAD, IMAGES, SHALLOW)
    there = made.on("gpu")
    for one, way, constants in ((made, "winograd", 36), (there, "direct", 18)):
        assert ways(one) == {**THIN, "block2_conv1": way, "block2_conv2": way}
        assert one.cost is not None
        assert one.cost == one.extractor.cost(["block2_conv2"], (512, 256))
        assert one.cost.constants == 4 * (18 * (3 + 64) * 64 + constants * (64 + 128) * 128)
        assert one.recipe is made.recipe
        assert one.recipe.extractor == VGG19(weights="random")
    assert there.device_kind == "gpu"
    changed = {"extractor": made.extractor, "cost": made.cost, "device_kind": "cpu"}
    assert replace(there, **changed) == made
    assert there.on("cpu") == made.on("cpu") == made


def test_plan_keeps_the_ways_that_the_recipe_says(plan: Any) -> None:
    mapping = plan(VGG % "{block1_conv2: winograd, block2_conv2: direct}", IMAGES, SHALLOW)
    written = {"block1_conv1": "direct", "block1_conv2": "winograd", "block2_conv2": "direct"}
    assert ways(mapping) == {**written, "block2_conv1": "winograd"}
    assert ways(mapping.on("gpu")) == {**written, "block2_conv1": "direct"}
    for way in ("direct", "winograd"):
        made = plan(VGG % way, IMAGES, SHALLOW)
        assert ways(made) == ways(made.on("gpu")) == way


def test_settling_is_for_the_canvas_alone(plan: Any) -> None:
    """Not for a larger style: 20·19 positions in block 2 are too few."""
    images = """\
images:
  content: {use: noise, height: 40, width: 39}
  style: {use: noise, height: 100, width: 100}
preprocess: []
"""
    losses = "losses: {a: {use: gram, image: style, layers: [block2_conv1]}}\n"
    assert ways(plan(HEAD, images, losses)) == {**THIN, "block2_conv1": "direct"}
    like_style = plan(HEAD, images, losses, "start: {like: style}\n")
    assert ways(like_style) == {**THIN, "block2_conv1": "winograd"}


def test_extractor_with_nothing_open_is_the_recipes(plan: Any, install: Any) -> None:
    install("nstflow-quiet", EXTRACTOR)
    made = plan(
        "name: x\nextractor: {use: quiet}\n", IMAGES, "losses: {a: {use: content, layers: [z]}}\n"
    )
    assert made.extractor is made.recipe.extractor
    assert replace(made.on("gpu"), device_kind="cpu") == made


def test_steps_and_epochs(plan: Any) -> None:
    made = plan(HEAD, IMAGES, LOSSES, "schedule: {epochs: 3, steps_per_epoch: 7}\n")
    assert made.phases == (Phase(21, 7),)
    assert (made.steps, made.epochs) == (21, 3)
    assert plan(HEAD, IMAGES, LOSSES).steps == 1000


def test_random_weights_are_noted(plan: Any) -> None:
    (asset,) = plan(HEAD, IMAGES, LOSSES).assets
    assert asset.name == "random weights"
    assert asset.present
    assert "for tests of mechanics only" in asset.note


def test_imagenet_weights_that_are_not_here_are_noted(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path / "cache"))
    (asset,) = plan("name: x\n", IMAGES, LOSSES).assets
    assert (asset.name, asset.present) == ("ImageNet weights", False)
    assert not (tmp_path / "cache").exists()


def test_plan_of_a_recipe_and_of_its_file_agree(plan: Any, tmp_path: Path) -> None:
    made = plan(HEAD, IMAGES, LOSSES, overrides=["seed=5", "preprocess=[]"])
    again = make_plan(load_recipe(tmp_path / "recipe.yaml", ["seed=5", "preprocess=[]"]))
    assert made.recipe.seed == 5
    for name in ("sizes", "terms", "layers", "cost"):
        assert getattr(made, name) == getattr(again, name)


# problems


def test_problems_of_several_files_are_reported_at_once(problems: Any, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    np.savez(tmp_path / "w.npz")
    found = problems(
        "extractor: {weights: nowhere.npz}\n",
        "name: x\n",
        "images:\n  content: nowhere.png\n  a: text.png\n  b: {path: folder.png}\n",
        LOSSES,
    )
    assert [(problem.where, problem.what) for problem in found] == [
        ("r.yaml:1:22", "extractor.weights"),
        ("r.yaml:4:3", "images.content.path"),
        ("r.yaml:5:3", "images.a.path"),
        ("r.yaml:6:13", "images.b.path"),
    ]
    words = ("no file", "no file", "is not an image", "is a folder")
    assert all(text in problem.got for text, problem in zip(words, found, strict=True))


def test_problems_of_files_are_reported_with_those_of_the_text(problems: Any) -> None:
    found = problems(
        "name: X\n",
        "images:\n  content: nowhere.png\n  style: {use: nosie}\n",
        "losses:\n  keep: {use: content, wieght: 1}\n  look: {use: gram, image: styl}\n",
        "extractor: {weights: nowhere.h5}\n",
    )
    assert [(problem.where, problem.what) for problem in found] == [
        ("r.yaml:1:7", "name"),
        ("r.yaml:3:3", "images.content.path"),
        ("r.yaml:4:16", "images.style.use"),
        ("r.yaml:6:24", "losses.keep.wieght"),
        ("r.yaml:7:28", "losses.look.image"),
        ("r.yaml:8:22", "extractor.weights"),
    ]


def test_image_too_small_for_a_layer_names_the_image(problems: Any) -> None:
    (found,) = problems(
        HEAD,
        "images:\n  content: {use: noise, height: 1, width: 1}\n",
        LOSSES,
        "preprocess: []\n",
    )
    assert found.where == "r.yaml:4:12"
    assert found.what == "images.content"
    assert "1×1 pixels are too few for block" in found.got
    assert "larger size" in found.hint


def test_reference_is_measured_by_its_own_layers(plan: Any, problems: Any) -> None:
    images = """\
images:
  content: {use: noise, height: 16, width: 16}
  style: {use: noise, height: 4, width: 9}
  unused: {use: noise, height: 1, width: 1}
preprocess: []
"""
    plan(HEAD, images, "losses: {b: {use: gram, image: style, layers: [block3_conv4]}}\n")
    (found,) = problems(
        HEAD, images, "losses: {b: {use: gram, image: style, layers: [block4_conv1]}}\n"
    )
    assert (found.where, found.what) == ("r.yaml:5:10", "images.style")
    assert "9×4 pixels are too few for block4_conv1: each side needs 8" in found.got


def test_image_of_one_pixel_is_fine_where_pixels_are_all_that_counts(plan: Any) -> None:
    made = plan(
        HEAD,
        "images: {content: {use: noise, height: 1, width: 1}}\npreprocess: []\n",
        "losses: {a: {use: content, layers: [image, block1_conv2]}}\n",
    )
    assert made.canvas == (1, 1)
    larger = plan(HEAD, "images: {content: {use: noise, height: 1, width: 1}}\n", LOSSES)
    assert larger.canvas == (512, 512)


SCHEDULE = """
import nstflow
from typing import Literal


class Pyramid(nstflow.Schedule):
    '''Begin small.'''

    use: Literal["pyramid"] = "pyramid"
    scales: tuple[float, ...] = (0.25, 1.0)

    def phases(self, size):
        return [nstflow.Phase(10, 4, scale=scale) for scale in self.scales]


@nstflow.hookimpl
def nstflow_stages():
    return [Pyramid]
"""


def test_phases(plan: Any, install: Any) -> None:
    install("nstflow-pyramid", SCHEDULE)
    made = plan(HEAD, IMAGES, LOSSES, "schedule: {use: pyramid}\n")
    assert [phase.scale for phase in made.phases] == [0.25, 1]
    assert (made.steps, made.epochs) == (20, 6)


def test_phase_that_makes_an_image_too_small(problems: Any, install: Any) -> None:
    install("nstflow-pyramid", SCHEDULE)
    (found,) = problems(
        HEAD,
        "images:\n  content: {use: noise, height: 64, width: 32}\n",
        LOSSES,
        "preprocess: []\nschedule: {use: pyramid}\n",
    )
    assert (found.where, found.what) == ("r.yaml:4:12", "images.content")
    assert "8×16 pixels are too few for block5" in found.got
    assert "begin the schedule" in found.hint


def test_schedule_without_phases_is_a_bug_of_its_package(plan: Any, install: Any) -> None:
    install("nstflow-pyramid", SCHEDULE)
    with pytest.raises(TypeError, match="at least one Phase") as caught:
        plan(HEAD, IMAGES, LOSSES, "schedule: {use: pyramid, scales: []}\n")
    assert caught.value.__notes__ == [
        "Raised in schedule (use: pyramid), provided by nstflow-pyramid 1.0."
    ]


@pytest.mark.parametrize(
    "arguments", [(0, 1), (1, 0), (-5, 1), (1, 1, 0.0), (1, 1, -1.0), (1, 1, float("nan"))]
)
def test_phase_that_is_not_valid(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Phase(*arguments)


def test_epochs_of_a_phase() -> None:
    assert [Phase(steps, 4).epochs for steps in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


EXTRACTOR = """
import nstflow
from typing import Literal


class Quiet(nstflow.Extractor):
    '''Says nothing before it is built.'''

    use: Literal["quiet"] = "quiet"

    def layer_names(self): return None
    def cost(self, layers, size): return None
    def build(self, layers, folder): ...


@nstflow.hookimpl
def nstflow_stages():
    return [Quiet]
"""


def test_extractor_that_does_not_know_yet(plan: Any, install: Any) -> None:
    install("nstflow-quiet", EXTRACTOR)
    made = plan(
        "name: x\nextractor: {use: quiet}\n",
        IMAGES,
        "losses: {a: {use: content, layers: [zz, aa, image]}}\n",
    )
    assert made.cost is None
    assert made.layers == ("aa", "zz")
    assert made.assets == ()


def test_memory_grows_with_the_maps_and_the_weights(plan: Any) -> None:
    """What every run takes, the kernels both ways, and sixteen times the maps on 16× the pixels."""
    head = HEAD.replace("random", "random, convolution: direct")
    small, large = (
        plan(head, f"preprocess: [{{use: resize, longest_side: {side}}}]\n", IMAGES, LOSSES)
        for side in (128, 512)
    )
    kernels = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), *[(256, 256)] * 3]
    kernels += [(256, 512), *[(512, 512)] * 5]
    fixed = 780_000_000 + sum(2 * 9 * 4 * inputs * outputs for inputs, outputs in kernels)
    assert small.memory is not None
    assert large.memory is not None
    assert large.memory - fixed == 16 * (small.memory - fixed) > 0


def test_plan_shows_convolutions_memory_and_time(write: Any, call: Any) -> None:
    text = f"{HEAD}preprocess: [{{use: resize, longest_side: 64}}]\n{IMAGES}{LOSSES}"
    shown = call("plan", write(text)).out
    assert "direct: block1_conv1, block1_conv2" in shown
    assert "winograd: block2_conv1, block2_conv2" in shown
    assert " MB at its peak on a CPU, estimated; " in shown
    assert "unknown: no run like it on this machine yet" in shown


NO = "so it does not fit on the CPU."
FITS = "What would fit: --set preprocess.0.longest_side=3488 (about 24 GB)."


@pytest.mark.parametrize(
    ("there_is", "end"),
    [
        (None, "estimated"),
        (1000 * 10**9, "estimated; 1.0 TB can be used here, so it fits"),
        (24 * 10**9, f"estimated; 24 GB can be used here, {NO} {FITS}"),
        (
            10**6,
            "estimated; 1.0 MB can be used here, so it does not fit on the CPU. No size would fit.",
        ),
    ],
)
def test_plan_shows_whether_a_large_picture_fits(
    there_is: int | None, end: str, plan: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nstflow.plan.facts.available", lambda: there_is)
    large = plan(HEAD, IMAGES, LOSSES, "preprocess: [{use: resize, longest_side: 8192}]\n")
    facts = dict(facts_of(large))
    assert facts["memory"] == f"about 130 GB at its peak on a CPU, {end}"
    assert facts["arithmetic"].startswith("49.7 TFLOP a step")
    assert facts["checkpoint"] == "1.2 GB"


def test_the_size_that_fits_is_the_largest(plan: Any) -> None:
    sides = (3488, 3520)
    needed = [
        plan(HEAD, IMAGES, LOSSES, f"preprocess: [{{use: resize, longest_side: {side}}}]\n").memory
        for side in sides
    ]
    assert needed[0] < 24e9 < needed[1]


def test_a_step_that_takes_minutes(plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = timings.Timing(canvas=(512, 256), seconds=1, device="x", date=dt.date(2026, 1, 2))
    monkeypatch.setattr("nstflow.plan.facts.estimate", lambda _: (125_000.0, timing))
    made = plan(HEAD, IMAGES, LOSSES)
    assert dict(facts_of(made))["time"].startswith("about 34 h 43 min: 2 min 5 s a step, by ")


@pytest.mark.parametrize(
    ("optimizer", "arrays", "text"),
    [
        ("adam", 3, "180 kB"),
        ("adam, average: 0.9", 4, "240 kB"),
        ("lbfgs", 25, "1.5 MB"),
        ("lbfgs, history: 100, diagonal: false", 204, "12 MB"),
    ],
)
def test_plan_shows_the_size_of_a_checkpoint(
    optimizer: str, arrays: int, text: str, write: Any, call: Any
) -> None:
    """The canvas and the state, each array with 12 bytes a pixel."""
    head = f"{HEAD}preprocess: [{{use: resize, longest_side: 100}}]\n{IMAGES}{LOSSES}"
    path = write(f"{head}optimizer: {{use: {optimizer}}}\n")
    plan = make_plan(load_recipe(path))
    assert plan.checkpoint_size == arrays * 12 * plan.canvas[0] * plan.canvas[1]
    assert f" {text}\n" in call("plan", path).out


def test_an_optimizer_that_fails_to_say_its_size_is_named(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adam, "state_size", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError) as caught:
        make_plan(load_recipe(write(f"{HEAD}{IMAGES}{LOSSES}")))
    assert "Raised in optimizer (use: adam)" in caught.value.__notes__[0]


def enough(plan: Any, problems: Any, *lines: str) -> list[str]:
    """Return the options of the one hint, after planning the recipe with them."""
    (hint,) = {problem.hint for problem in problems(*lines)}
    assert hint.startswith("Large enough: --set ")
    options = hint.rstrip(".").removeprefix("Large enough: --set ").split(" --set ")
    plan(*lines, overrides=options)
    return options


NARROW = "images: {content: {use: noise, height: 20, width: 2000}}\n"
TWO = """\
images:
  content: {use: noise, height: 20, width: 1000}
  style: {use: noise, height: 2000, width: 20}
"""
BOTH = "losses: {a: {use: content}, b: {use: gram, image: style}}\n"
EACH = """\
preprocess:
- {use: resize, only: [content]}
- {use: resize, only: [style], longest_side: 256}
"""
OPTION = "options: {size: [preprocess.0.longest_side, preprocess.1.longest_side]}\n"
CROPPED = "preprocess: [{use: crop, aspect: 40}, {use: resize, longest_side: 300}]\n"
MIRROR = "name: x\nextractor: {weights: random, padding: mirror}\n"


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        ([NARROW, LOSSES], ["preprocess.0.longest_side=1600"]),
        ([TWO, BOTH], ["preprocess.0.longest_side=1600"]),
        (
            [TWO, BOTH, EACH],
            ["preprocess.1.longest_side=1600", "preprocess.0.longest_side=780"],
        ),
        ([TWO, BOTH, EACH, OPTION], ["size=1600"]),
        ([NARROW, LOSSES, CROPPED], ["preprocess.1.longest_side=620"]),
        (
            [NARROW, LOSSES, "schedule: {use: scales}\n"],
            ["preprocess.0.longest_side=1600", "schedule.smallest=810"],
        ),
    ],
)
def test_the_size_that_is_large_enough(
    plan: Any, problems: Any, lines: list[str], options: list[str]
) -> None:
    assert enough(plan, problems, HEAD, *lines) == options


def test_the_size_that_is_large_enough_for_mirrored_pixels(plan: Any, problems: Any) -> None:
    assert enough(plan, problems, MIRROR, NARROW, LOSSES) == ["preprocess.0.longest_side=1700"]


ONLY_COST = """
from typing import Literal

import nstflow


class Strict(nstflow.Extractor):
    use: Literal["strict"] = "strict"

    def layer_names(self):
        return None

    def cost(self, layers, size):
        if min(size) < 33:
            raise ValueError("that is too small")

    def build(self, layers, folder):
        raise NotImplementedError


class Picky(nstflow.LossTerm):
    use: Literal["picky"] = "picky"

    def target(self, features):
        raise NotImplementedError

    def score(self, features, target):
        raise NotImplementedError

    def check(self, canvas, reference):
        if min(canvas) < 40:
            raise nstflow.NstflowError(nstflow.Problem("", "", "too small.", "Take another."))


@nstflow.hookimpl
def nstflow_stages():
    return [Strict, Picky]
"""


LEVELS = """
from typing import Literal
import nstflow

class Levels(nstflow.Schedule):
    "Many phases."
    use: Literal["levels"] = "levels"
    levels: int = 3
    def phases(self, size):
        return [nstflow.Phase(1, 1, 1 / (n + 1)) for n in range(self.levels)][::-1]

@nstflow.hookimpl
def nstflow_stages():
    return [Levels]
"""


def test_the_size_that_is_large_enough_for_stages_of_a_package(
    plan: Any, problems: Any, install: Any
) -> None:
    install("nstflow-strict", ONLY_COST)
    head = "name: x\nextractor: {use: strict}\n"
    keep = "losses: {a: {use: content, layers: [some]}}\n"
    assert enough(plan, problems, head, NARROW, keep) == ["preprocess.0.longest_side=3300"]
    picky = "losses: {a: {use: picky, layers: [image]}}\n"
    (found,) = problems(HEAD, NARROW, picky)
    assert found.hint.startswith("Take another. ")
    assert found.hint.endswith(" Large enough: --set preprocess.0.longest_side=4000.")


def test_what_is_large_enough_for_a_schedule(plan: Any, problems: Any, install: Any) -> None:
    wide = "images: {content: {use: noise, height: 100, width: 1000}}\n"
    # 512 pixels are enough, but not a quarter of them
    assert enough(plan, problems, HEAD, wide, LOSSES, "schedule: {use: scales}\n") == [
        "schedule.smallest=130"
    ]
    install("nstflow-pyramid", SCHEDULE)  # which has no setting for it
    assert enough(plan, problems, HEAD, wide, LOSSES, "schedule: {use: pyramid}\n") == [
        "preprocess.0.longest_side=620"
    ]


def test_a_mask_has_no_say_in_which_size_is_large_enough(problems: Any) -> None:
    """One of another shape is its own problem, and it is looked at once sizes are right."""
    mask = "m: {use: noise, height: 980, width: 1000}"
    content = "content: {use: noise, height: HIGH, width: 1000}"
    images = f"images: {{{content}, {mask}}}\n"
    losses = "losses: {a: {use: content, region: m}}\n"
    (found,) = problems(HEAD, images.replace("HIGH", "1000"), losses)
    assert found.got.startswith("the mask 'm' has another shape: it is 512×502, and what it covers")
    (found,) = problems(HEAD, images.replace("HIGH", "3"), losses, "preprocess: []\n")
    assert found.hint.endswith("a longest side of 5200 pixels is enough.")


def test_the_search_for_a_size_asks_no_stage_for_ever(problems: Any, install: Any) -> None:
    """Of a schedule whose setting is another number, such as how many phases it has."""
    install("nstflow-levels", LEVELS)
    (found,) = problems(HEAD, NARROW, LOSSES, "schedule: {use: levels}\npreprocess: []\n")
    assert found.got.startswith("667×7 pixels are too few")
    assert found.hint.startswith("Prepare it with a longest side of 4700 pixels, or begin")


def test_a_setting_of_a_matrix_is_not_named(problems: Any) -> None:
    matrix = "matrix: {preprocess.0.longest_side: [100, 200]}\n"
    for found in problems(HEAD, NARROW, LOSSES, matrix):
        assert "--set" not in found.hint


def test_what_is_large_enough_where_no_setting_decides(problems: Any) -> None:
    for width, height, hint in (
        (1000, 10, "a longest side of 1600 pixels is enough."),
        (2000, 1, "it is too narrow for these at any size."),
    ):
        image = f"images: {{content: {{use: noise, height: {height}, width: {width}}}}}\n"
        (found,) = problems(HEAD, image, LOSSES, "preprocess: []\n")
        assert hint in found.hint
