"""Phases: their factors, how they end, what they leave, and regions at several sizes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow import NstflowError, Problem, Result, hookimpl
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.source import read_source
from nstflow.runner.cache import RunCache
from nstflow.runner.verify import verify

PLUGIN = """
from typing import Literal

import numpy as np
import nstflow
from nstflow import tf


class Staged(nstflow.Schedule):
    '''Phases that are written out.'''

    use: Literal["staged"] = "staged"
    steps: tuple[int, ...]
    scales: tuple[float, ...]
    weights: tuple[dict[str, float], ...] = ({}, {}, {})
    until: int | None = None

    def phases(self, size):
        stop = None if self.until is None else lambda rows: len(rows["step"]) >= self.until
        parts = zip(self.steps, self.scales, self.weights)
        return [nstflow.Phase(n, 1, s, stop, weights) for n, s, weights in parts]


class Counting(nstflow.Optimizer):
    '''Makes each step smaller, by how many were planned; its result is a mean of the canvases.'''

    use: Literal["counting"] = "counting"

    def start(self, canvas, steps):
        left = tf.constant(float(steps))
        return {"evaluations": tf.constant(0), "left": left, "steps": left, "mean": canvas}

    def step(self, objective, canvas, state):
        losses, gradient = objective(canvas)
        rate = state["left"] / state["steps"]
        canvas = tf.clip_by_value(canvas - 0.1 * rate * tf.sign(gradient), 0.0, 1.0)
        return canvas, {
            "evaluations": state["evaluations"] + 1,
            "left": state["left"] - 1,
            "steps": state["steps"],
            "mean": (state["mean"] + canvas) / 2,
        }, losses

    def result(self, canvas, state):
        return state["mean"]


class Ramp(nstflow.Loader):
    '''A mask: nothing on the left, everything on the right.'''

    use: Literal["ramp"] = "ramp"
    height: int = 32
    width: int = 24
    share: float = 0.5
    opaque: bool = False

    def size(self, folder):
        return self.height, self.width

    def load(self, folder):
        alpha = np.zeros((self.height, self.width), np.float32)
        alpha[:, round(self.width * (1 - self.share)) :] = 1
        grey = np.full((self.height, self.width, 3), 0.5, np.float32)
        return nstflow.Image(grey, None if self.opaque else alpha)


@nstflow.hookimpl
def nstflow_stages():
    return [Staged, Counting, Ramp]
"""

RECIPE = """\
name: tiny
images:
  content: {use: noise, height: 32, width: 24}
  style: {use: noise, height: 16, width: 16, seed: 1}
  right: {use: ramp}
  half: {use: ramp, height: 16, width: 16}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image, block1_conv1], weight: 7}
schedule: {use: staged, steps: [3, 4], scales: [0.5, 1]}
"""


class Canvases:
    """Keeps what each step shows."""

    def __init__(self) -> None:
        self.seen: list[nstflow.Image] = []

    @hookimpl
    def nstflow_progress(self, progress: nstflow.Progress) -> None:
        self.seen.append(progress.canvas())


class Epochs:
    """Keeps the epochs of the progress, and may stop the run after a step."""

    def __init__(self, stop_at: int = 0) -> None:
        self.seen: list[tuple[int, int]] = []
        self.stop, self.stop_at = nstflow.Stop(), stop_at

    @hookimpl
    def nstflow_progress(self, progress: nstflow.Progress) -> None:
        self.seen.append((progress.epoch, progress.epochs))
        if progress.step == self.stop_at:
            self.stop.request()


@pytest.fixture
def run(tmp_path: Path, write: Any, install: Any) -> Any:
    install("staged", PLUGIN)

    def run(*settings: str, out: str = "out", **options: Any) -> Result:
        plan = make_plan(load_recipe(write(RECIPE), settings))
        return nstflow.run(plan, tmp_path / out, **options)

    return run


def test_a_term_counts_by_its_factor_and_not_at_all_with_0(run: Any) -> None:
    plain = run().history
    weighed = run("schedule.weights=[{keep: 0}, {look: 0.5}]", out="weighed").history
    assert weighed["keep"][:3] == [0, 0, 0]
    assert weighed["look"][0] == plain["look"][0]
    assert min(weighed["keep"][3:]) > 0
    other = run("schedule.weights=[{keep: 0}, {}]", out="other").history
    assert weighed["look"][3] == pytest.approx(0.5 * other["look"][3])


@pytest.mark.parametrize(
    ("setting", "words", "hint"),
    [
        ("[{kepe: 1}, {}]", "phase 1 has a factor for the loss 'kepe'", "Did you mean 'keep'?"),
        ("[{}, {keep: 0, look: 0}]", "all losses have the factor 0 in phase 2", "another factor"),
    ],
)
def test_factors_that_are_refused(run: Any, setting: str, words: str, hint: str) -> None:
    with pytest.raises(NstflowError) as caught:
        run(f"schedule.weights={setting}")
    (problem,) = caught.value.problems
    assert problem.what == "schedule"
    assert words in problem.got
    assert hint in problem.hint


def test_a_factor_is_a_finite_number() -> None:
    with pytest.raises(ValueError, match="the factor of 'keep' in a phase is nan"):
        nstflow.Phase(1, 1, weights={"keep": float("nan")})


def test_a_phase_ends_by_its_own_history(run: Any, tmp_path: Path) -> None:
    """The second phase is asked about its own rows, not about those of the run."""
    result = run("schedule.until=2", "schedule.steps=[3, 4, 2]", "schedule.scales=[0.5, 0.7, 1]")
    assert result.phases == (2, 2, 2)
    assert result.history["step"] == [1, 2, 3, 4, 5, 6]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["phases"] == [2, 2, 2]


def test_the_result_of_the_optimizer_is_what_is_shown_resized_and_written(run: Any) -> None:
    """Without steps of the second phase it is the first phase's result, resized."""
    watching = Canvases()
    short = run("optimizer={use: counting}", "schedule.steps=[3]", observers=[watching])
    assert short.image.pixels.tobytes() == watching.seen[-1].pixels.tobytes()
    settings = (
        *("optimizer={use: counting}", "schedule={use: epochs}"),
        *("schedule.epochs=1", "schedule.steps_per_epoch=1"),
    )
    plain = run(*settings, out="plain", observers=[watching])
    content = nstflow.make_plan(plain.plan.recipe).recipe.images["content"].load(Path())
    moved = np.abs(plain.image.pixels - content.pixels)
    inside = (content.pixels > 0.1) & (content.pixels < 0.9)
    np.testing.assert_allclose(moved[inside], 0.05, atol=1e-6)  # half of one step of 0.1


SOONER = ("optimizer={use: counting}", "schedule.until=2", "schedule.steps=[3, 9]")


def test_the_steps_that_were_taken_are_taken_again(
    run: Any, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `verify`, by `--locked` and by `rerun`: without asking, and at the planned pace."""
    first = run(*SOONER)
    lock = tmp_path / "out" / "recipe.lock.yaml"
    assert read_source(lock).data["lock"]["steps"] == [2, 2]
    picture = first.files[0].read_bytes()
    # another plugin would stop later: its answers don't count any more
    site = tmp_path / "site" / "staged.py"
    site.write_text(PLUGIN.replace(">= self.until", ">= 3"))
    monkeypatch.delitem(__import__("sys").modules, "staged")
    compared = verify(tmp_path / "out")
    assert compared is not None
    assert all(each.equal for each in compared)
    for arguments in (
        ["run", lock, "--locked"],
        ["run", lock],
        ["rerun", first.files[0], "--images", tmp_path],
    ):
        answer = call(*arguments, "--out", tmp_path / "again", "--overwrite")
        assert answer.code == 0, answer
        assert (tmp_path / "again" / first.files[0].name).read_bytes() == picture


def test_a_finished_run_is_read_again_with_its_steps(run: Any, tmp_path: Path) -> None:
    """Also if it was killed before its lockfile had them."""
    first = run(*SOONER)
    path = tmp_path / "out" / "recipe.lock.yaml"
    text = path.read_text()
    again = run(*SOONER, resume=True)
    assert (again.already, again.phases) == (True, first.phases)
    path.write_text(text.replace("  steps: [2, 2]\n", ""))
    assert path.read_text() != text
    assert run(*SOONER, resume=True).already
    assert path.read_text() == text


def test_verify_takes_the_steps_that_the_record_has(run: Any, tmp_path: Path) -> None:
    """Also if the run was killed before its lockfile had them; and epochs are counted by them."""
    run(*SOONER)
    path = tmp_path / "out" / "recipe.lock.yaml"
    path.write_text(path.read_text().replace("  steps: [2, 2]\n", ""))
    epochs = Epochs()
    compared = verify(tmp_path / "out", observers=[epochs])
    assert compared is not None
    assert all(each.equal for each in compared)
    assert epochs.seen[-1] == (4, 4)


def test_a_locked_number_of_steps_is_not_asked_again(run: Any, tmp_path: Path) -> None:
    """A run of such a lockfile that was stopped, and is resumed with the recipe."""
    run(*SOONER)
    text = (tmp_path / "out" / "recipe.lock.yaml").read_text()
    lock = tmp_path / "steps.lock.yaml"
    lock.write_text(text.replace("  steps: [2, 2]\n", "  steps: [3, 4]\n"))
    stopped = Epochs(stop_at=1)
    again = tmp_path / "again"
    nstflow.run(make_plan(load_recipe(lock)), again, observers=[stopped], stop=stopped.stop)
    assert run(*SOONER, out="again", resume=True).phases == (3, 4)


def test_changed_settings_ask_the_schedule_again(run: Any, tmp_path: Path) -> None:
    run(*SOONER)
    path = tmp_path / "out" / "recipe.lock.yaml"
    assert make_plan(load_recipe(path)).steps == 4
    plan = make_plan(load_recipe(path, ["losses.look.weight=1"]))
    assert (plan.steps, plan.steps_of) == (12, (3, 9))


@pytest.mark.parametrize("steps", ["[2]", "[2, 10]", "[2, 2, 2]"])
def test_steps_that_the_schedule_has_not(run: Any, tmp_path: Path, write: Any, steps: str) -> None:
    run(*SOONER)
    text = (tmp_path / "out" / "recipe.lock.yaml").read_text()
    path = write(text.replace("  steps: [2, 2]\n", f"  steps: {steps}\n"), "x.lock.yaml")
    with pytest.raises(NstflowError, match=r"lock.steps[\s\S]*the schedule has \[3, 9\]"):
        make_plan(load_recipe(path))


# regions


def problem_at(what: str, run: Any, settings: list[str]) -> Problem:
    """Run, and return the one problem, after checking its place."""
    with pytest.raises(NstflowError) as caught:
        run(*settings)
    (problem,) = caught.value.problems
    assert what in f"{problem.where} {problem.what}"
    return problem


def test_a_region_of_the_canvas_moves_it_there_alone(run: Any) -> None:
    """Beyond the reach of `block1_conv1`, at both sizes."""
    result = run("losses.look.region=right", "losses.keep.region=right")
    smooth = run("losses.keep.weight=0", "losses.look.weight=0", out="smooth").image.pixels
    np.testing.assert_array_equal(result.image.pixels[:, :4], smooth[:, :4])
    assert np.abs(result.image.pixels[:, 14:] - smooth[:, 14:]).mean() > 1e-3


def test_a_region_of_everything_is_no_region(run: Any) -> None:
    plain = run()
    settings = (
        *("images.right.share=1", "losses.look.region=right", "losses.keep.region=right"),
        *("images.half.share=1", "losses.look.image_region=half"),
    )
    whole = run(*settings, out="whole")
    assert whole.image.pixels.tobytes() == plain.image.pixels.tobytes()
    assert whole.history["total"] == plain.history["total"]


def test_a_region_of_the_style_is_what_a_crop_of_it_is(run: Any) -> None:
    """On the pixels: the statistics of the right half."""
    settings = ("losses.look.layers=[image]", "schedule.steps=[1]", "schedule.scales=[1]")
    region = run(*settings, "losses.look.image_region=half", out="region")
    crop = "preprocess=[{use: crop, only: [style], aspect: 0.5, left: 1}]"
    cropped = run(*settings, crop, out="cropped")
    assert region.history["look"] == pytest.approx(cropped.history["look"], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "what", "words"),
    [
        (["images.right.share=0", "losses.look.region=right"], "losses.look.region",
         "no position of the layer 'image' is in the mask 'right'."),
        (["images.half.share=0", "losses.look.image_region=half"], "losses.look.image_region",
         "no position of the layer 'image' is in the mask 'half'."),
        (["images.right.opaque=true", "losses.keep.region=right"], "losses.keep.region",
         "the image 'right' has no transparency"),
        (["losses.keep.region=rihgt"], "losses.keep.region", "no image is called 'rihgt'"),
        (["losses.keep.image_region=right"], "losses.keep.image_region", "unknown setting"),
    ],
)  # fmt: skip
def test_regions_that_are_refused(run: Any, settings: list[str], what: str, words: str) -> None:
    assert words in problem_at(what, run, settings).got


@pytest.mark.parametrize(
    "changes",
    [
        ("losses.look.region=right", "images.right.share"),
        ("losses.look.image_region=half", "images.half.share"),
    ],
)
def test_runs_that_share_see_their_own_masks(run: Any, changes: tuple[str, str]) -> None:
    """Masks of the same name with other pixels."""
    shared = RunCache()
    for share in (0.5, 0.25):
        settings = (changes[0], f"{changes[1]}={share}")
        together = run(*settings, out=f"together{share}", shared=shared)
        alone = run(*settings, out=f"alone{share}", shared=RunCache())
        assert together.image.pixels.tobytes() == alone.image.pixels.tobytes()


def test_runs_that_share_compute_their_own_terms(run: Any) -> None:
    shared = RunCache()
    for factors in ("[{}, {}]", "[{keep: 0}, {}]", "[{}, {look: 0}]"):
        setting = f"schedule.weights={factors}"
        together = run(setting, out=f"together{factors}", shared=shared)
        alone = run(setting, out=f"alone{factors}", shared=RunCache())
        assert together.history["total"] == alone.history["total"]


def test_a_file_is_a_mask_unless_it_is_opaque(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By either loader."""
    monkeypatch.chdir(tmp_path)
    alpha = np.zeros((32, 24), np.uint8)
    alpha[:, 12:] = 255
    PIL.Image.merge("LA", [PIL.Image.fromarray(x) for x in (alpha, alpha)]).save(tmp_path / "m.png")
    painted = run("images.right={use: mask, path: m.png}", "losses.look.region=right", out="file")
    ramp = run("losses.look.region=right", out="ramp")
    assert painted.image.pixels.tobytes() == ramp.image.pixels.tobytes()
    other = run("images.right={use: file, path: m.png}", "losses.look.region=right", out="other")
    assert other.image.pixels.tobytes() == ramp.image.pixels.tobytes()
    white = "images.right={use: file, path: m.png, transparency: white}"
    with pytest.raises(NstflowError, match="Load it with `use: mask`"):
        run(white, "losses.look.region=right", out="white")


def test_only_what_sees_nothing_outside_counts(run: Any) -> None:
    """`block1_conv1` sees one pixel around its own, so the border of the region has no say."""
    settings = ("losses.look.region=right", "losses.look.layers=[block1_conv1]")
    alone = (*settings, "losses.keep.weight=0", "schedule.steps=[1]", "schedule.scales=[1]")
    start = run(*alone, "losses.look.weight=0", out="start").image.pixels
    moved = [
        np.flatnonzero(np.any(run(*alone, *more, out=name).image.pixels != start, axis=(0, 2)))
        for name, more in (
            ("resize", ()),
            ("inside", ("losses.look.edge=inside",)),
            ("shrunk", ("losses.look.edge=inside", "losses.look.grow=-2")),
            ("grown", ("losses.look.grow=3",)),
        )
    ]
    assert [(columns.min(), columns.max()) for columns in moved] == [
        *((11, 23), (12, 23), (14, 23), (8, 23)),
    ]


def test_a_region_that_a_deep_layer_misses_names_a_size_that_would_do(run: Any) -> None:
    """In any phase, before the first step."""
    settings = [
        *("losses.look.region=right", "losses.look.edge=inside", "images.right.share=0.375"),
        *("losses.look.layers=[image, block2_conv1]", "schedule.scales=[1, 0.5]"),
    ]
    seen = Canvases()
    with pytest.raises(NstflowError) as caught:
        run(*settings, observers=[seen])
    (problem,) = caught.value.problems
    assert (problem.got, seen.seen) == (
        "no position of the layer 'block2_conv1' is in the mask 'right'.",
        [],
    )
    side = int(problem.hint.split("longest side of ")[1].split()[0])
    larger = "preprocess=[{use: resize, longest_side: %d, only: [content, right]}]"
    run(*settings, larger % (2 * side), "schedule.steps=[1, 1]", out="larger")
    with pytest.raises(NstflowError, match="no position of the layer"):
        run(*settings, larger % side, "schedule.steps=[1, 1]", out="not_larger")


@pytest.mark.parametrize(
    ("settings", "what", "words"),
    [
        (["images.right.width=36", "losses.look.region=right"], "losses.look.region",
         "the mask 'right' has another shape: it is 36×32, and what it covers 24×32."),
        (["images.half.width=12", "losses.look.image_region=half"], "losses.look.image_region",
         "the mask 'half' has another shape: it is 12×16, and what it covers 16×16."),
    ],
)  # fmt: skip
def test_a_mask_of_another_shape(run: Any, settings: list[str], what: str, words: str) -> None:
    assert problem_at(what, run, settings).got == words


def test_where_the_content_is_transparent_nothing_counts(run: Any) -> None:
    """Also within a region, as far as the layers see."""
    settings = ("images.content={use: ramp}", "schedule.steps=[3]", "schedule.scales=[1]")
    start = run(*settings, "losses.keep.weight=0", "losses.look.weight=0", out="start").image
    regions = ((), ("losses.look.region=whole", "images.whole={use: ramp, share: 1}"))
    for name, more in zip(("none", "whole"), regions, strict=True):
        pixels = run(*settings, *more, out=name).image.pixels
        np.testing.assert_array_equal(pixels[:, :11], start.pixels[:, :11])
        assert np.abs(pixels[:, 12:] - start.pixels[:, 12:]).min() > 0
