"""Runs from a recipe to a picture, small and whole."""

import csv
import json
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow import hookimpl
from nstflow.engine.loop import Loop
from nstflow.errors import NstflowError, NstflowWarning
from nstflow.recipe.reader import load_recipe
from nstflow.runner.cache import RunCache
from nstflow.stages.result import Progress, Result

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()

ENDED = {"recipe.yaml", "recipe.lock.yaml", "history.csv", "result.png", "run.json"}
STOPPED = ENDED | {"checkpoint.safetensors"}


class Ends:
    """Keeps which hooks were called at the ends of a run."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def nstflow_run_started(self) -> None:
        self.seen.append("started")

    @hookimpl
    def nstflow_run_finished(self) -> None:
        self.seen.append("finished")

    @hookimpl
    def nstflow_run_failed(self, error: BaseException) -> None:
        self.seen.append(f"failed: {type(error).__name__}")


class Watch(Ends):
    """Keeps the progress too."""

    def __init__(self) -> None:
        super().__init__()
        self.news: list[Progress] = []
        self.canvases: list[nstflow.Image] = []

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        self.news.append(progress)
        self.canvases.append(progress.canvas())


@pytest.fixture
def run(tmp_path: Path, write: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a recipe with settings, into the folder `out` of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*settings: str, out: str = "out", **options: Any) -> Result:
        return nstflow.run(load_recipe(write(TINY), settings), tmp_path / out, **options)

    return run


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Watch]:
    """Return a run that ended, for tests that only look."""
    folder, watch = tmp_path_factory.mktemp("ended"), Watch()
    (folder / "mine.yaml").write_bytes(f"\ufeff# größer\r\n{TINY}".encode())
    return nstflow.run(load_recipe(folder / "mine.yaml"), folder / "out", observers=[watch]), watch


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_run_leaves_its_files(ended: tuple[Result, Watch]) -> None:
    result, watch = ended
    folder = result.folder
    assert names(folder) == ENDED
    assert list(result.files) == [folder / "result.png"]
    assert (folder / "recipe.yaml").read_bytes() == (folder.parent / "mine.yaml").read_bytes()
    with PIL.Image.open(folder / "result.png") as image:
        assert (image.size, image.mode) == ((24, 32), "RGB")
        np.testing.assert_array_equal(np.asarray(image), np.rint(result.image.pixels * 255))
    assert not result.interrupted
    assert result.device
    assert result.compile_seconds > 0
    assert watch.seen == ["started", "finished"]


def test_how_it_was_computed_is_recorded(ended: tuple[Result, Watch]) -> None:
    result, _ = ended
    record = json.loads((result.folder / "run.json").read_text())
    assert record["state"] == "finished"
    assert (record["steps"], record["seconds"]) == (6, round(result.seconds, 3))
    assert record["files"] == ["result.png"]
    lock = load_recipe(result.folder / "recipe.lock.yaml")
    assert lock.extractor == result.plan.extractor
    assert lock.lock is not None
    assert lock.lock.device == result.device
    assert lock.lock.tensorflow == version("tensorflow")


def test_the_choice_of_convolutions_is_recorded_and_can_be_repeated(
    write: Any, tmp_path: Path
) -> None:
    """Blocks 1 and 2 of an image that is large enough for Winograd's way in one of them."""
    text = TINY.replace("height: 32, width: 24", "height: 48, width: 48")
    deep = text.replace("content, layers: [image]", "content, layers: [block2_conv1]")
    first = nstflow.run(load_recipe(write(deep, "a.yaml")), tmp_path / "first")
    ways = load_recipe(first.folder / "recipe.lock.yaml").extractor.model_dump()["convolution"]
    assert ways == {"block1_conv1": "direct", "block1_conv2": "direct", "block2_conv1": "winograd"}
    asked = deep.replace("weights: random", f"weights: random, convolution: {json.dumps(ways)}")
    recipe = load_recipe(write(asked, "b.yaml"))
    again = nstflow.run(recipe, tmp_path / "again", shared=RunCache())
    assert again.image.pixels.tobytes() == first.image.pixels.tobytes()


def test_history(ended: tuple[Result, Watch]) -> None:
    result, _ = ended
    text = (result.folder / "history.csv").read_text()
    assert text.partition("\n")[0] == "step,total,keep,look,seconds"
    table = rows(result.folder)
    assert [row["step"] for row in table] == [1, 2, 3, 4, 5, 6]
    for row in table:
        assert row["total"] == pytest.approx(row["keep"] + row["look"], rel=1e-12)
    seconds = [row["seconds"] for row in table]
    assert seconds[0] > 0
    assert all(a < b for a, b in pairwise(seconds))
    assert {key: list(map(float, column)) for key, column in result.history.items()} == {
        key: [row[key] for row in table] for key in table[0]
    }
    assert result.seconds == seconds[-1]
    assert result.losses == {key: table[-1][key] for key in ("total", "keep", "look")}


def test_losses_are_those_before_the_step(ended: tuple[Result, Watch]) -> None:
    history = ended[0].history
    content = np.random.default_rng(0).random((32, 24, 3), np.float32).reshape(-1, 3)
    style = np.random.default_rng(1).random((16, 16, 3), np.float32).reshape(-1, 3)
    grams = [points.T @ points / len(points) for points in (content, style)]
    assert history["keep"][0] == 0  # the canvas starts as the content
    assert history["keep"][1] > 0
    assert history["look"][0] == pytest.approx(7 * np.mean((grams[0] - grams[1]) ** 2), rel=1e-4)
    assert history["look"][-1] < history["look"][0]


def test_progress_reports_every_step_once(ended: tuple[Result, Watch]) -> None:
    result, watch = ended
    for column in ("total", "seconds"):
        values = [value for news in watch.news for value in getattr(news, column)]
        assert values == result.history[column]
    assert [x for news in watch.news for x in news.losses["look"]] == result.history["look"]
    assert watch.news[-1].step == watch.news[-1].steps == 6
    ends = [(news.step, news.epoch) for news in watch.news if news.ends_epoch]
    assert ends == [(3, 1), (6, 2)]
    assert {news.epochs for news in watch.news} == {2}
    assert {canvas.size for canvas in watch.canvases} == {(32, 24)}
    np.testing.assert_array_equal(watch.canvases[-1].pixels, result.image.pixels)


def test_same_bytes_each_time(ended: tuple[Result, Watch], run: Any) -> None:
    first, second = ended[0], run(shared=RunCache())
    assert first.files[0].read_bytes() == second.files[0].read_bytes()
    assert first.image.pixels.tobytes() == second.image.pixels.tobytes()
    for column in ("step", "total", "keep", "look"):
        assert first.history[column] == second.history[column]


def test_noise_differs_by_the_seed(run: Any) -> None:
    settings = ("start={use: noise}", "schedule={epochs: 1, steps_per_epoch: 1}")
    first, second = (run(*settings, f"seed={seed}", out=f"{seed}") for seed in (1, 2))
    assert np.abs(first.image.pixels - second.image.pixels).mean() > 0.1


def test_network_of_random_weights(run: Any) -> None:
    result = run(
        "extractor.layers={content: [block2_conv1], style: [block1_conv1, block2_conv1]}",
        "losses.keep={use: content}",
        "losses.look={use: gram, image: style}",
        "schedule={epochs: 1, steps_per_epoch: 5}",
        "optimizer.learning_rate=0.05",
    )
    assert result.plan.layers == ("block1_conv1", "block2_conv1")
    assert result.history["keep"][0] == 0
    assert result.losses["look"] < result.history["look"][0]


def test_postprocessing_and_several_outputs(run: Any, tmp_path: Path) -> None:
    result = run(
        "postprocess=[{use: keep_color}, {use: resize, longest_side: 64}]",
        "outputs=[{use: png}, {use: jpeg, name: small, quality: 50}, {use: png, name: again}]",
    )
    folder = tmp_path / "out"
    assert [file.name for file in result.files] == ["result.png", "small.jpg", "again.png"]
    assert names(folder) == ENDED | {"small.jpg", "again.png"}
    for file in result.files:
        with PIL.Image.open(file) as image:
            assert image.size == (48, 64)
    assert result.image.size == (64, 48)
    assert (folder / "result.png").read_bytes() == (folder / "again.png").read_bytes()


def test_recipe_in_place_of_a_plan_and_the_default_folder(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = nstflow.run(load_recipe(write(TINY), ["schedule={epochs: 1, steps_per_epoch: 1}"]))
    assert result.folder == Path("runs", "tiny")
    assert (tmp_path / "runs" / "tiny" / "result.png").is_file()


def test_run_directory_is_replaced_only_on_request(run: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("recipe.yaml", "history.csv", "old.png", "mine.txt"):
        (tmp_path / "out" / name).write_text("old")
    (tmp_path / "out" / "run.json").write_text('{"state": "finished", "files": ["old.png"]}')
    with pytest.raises(NstflowError, match="exists already"):
        run()
    assert (tmp_path / "out" / "old.png").read_text() == "old"
    run("schedule={epochs: 1, steps_per_epoch: 2}", overwrite=True)
    assert names(tmp_path / "out") == ENDED | {"mine.txt"}  # which no run wrote
    assert len(rows(tmp_path / "out")) == 2


# stages of plugins

TERM = """
import nstflow
from nstflow import tf
from typing import Literal


class Term(nstflow.LossTerm):
    '''A loss without a reference.'''

    use: Literal["term"] = "term"

    def target(self, features):
        raise AssertionError("there is no reference")

    def score(self, features, target):
        {score}


@nstflow.hookimpl
def nstflow_stages():
    return [Term]
"""

WITH_TERM = "losses.extra={use: term, layers: [image, block1_conv1]}"


def test_term_without_an_image_has_no_target(run: Any, install: Any) -> None:
    lines = (
        "assert target is None; assert list(features) == ['image', 'block1_conv1'];"
        " assert features.weights['image'].shape == (1, 32, 24, 1);"
        " return tf.reduce_mean(features['image'])"
    )
    install("nstflow-term", TERM.format(score=lines))
    history = run(WITH_TERM, "losses.extra.weight=-2").history
    content = np.random.default_rng(0).random((32, 24, 3), np.float32)
    assert list(history) == ["step", "total", "keep", "look", "extra", "seconds"]
    assert history["extra"][0] == pytest.approx(-2 * content.mean(), rel=1e-5)
    total = history["keep"][0] + history["look"][0] + history["extra"][0]
    assert history["total"][0] == pytest.approx(total, rel=1e-6)


def test_random_directions_are_seeded_by_term_and_step(run: Any, install: Any) -> None:
    lines = (
        "return tf.random.stateless_uniform((), features.seed)"
        " + 0.0 * tf.reduce_sum(features['image'])"
    )
    install("nstflow-term", TERM.format(score=lines))
    both = ("losses.extra={use: term, layers: [image]}", "losses.more={use: term, layers: [image]}")
    runs = [run(*both, f"seed={seed}", out=f"{seed}").history for seed in (0, 1)]
    drawn = [number for history in runs for name in ("extra", "more") for number in history[name]]
    assert len(drawn) == 24
    assert len(set(drawn)) == len(drawn)


PYRAMID = """
import nstflow
from nstflow import tf
from nstflow.builtin.optimizers.adam import Adam
from typing import Literal

seen = []


def stop(history):
    seen.append(("stop", len(history["step"]), list(history)))
    return True


class Pyramid(nstflow.Schedule):
    '''Begin small.'''

    use: Literal["pyramid"] = "pyramid"
    stops: bool = False

    def phases(self, size):
        seen.append(("phases", size))
        return [
            nstflow.Phase(4, 2, scale=0.5, stop=stop if self.stops else None),
            nstflow.Phase(3, 2),
        ]


class Carried(Adam):
    '''Adam that says what it is asked.'''

    use: Literal["carried"] = "carried"

    def start(self, canvas, steps):
        seen.append(("start", tuple(canvas.shape), steps))
        return super().start(canvas, steps)

    def carry(self, state, canvas, steps):
        seen.append(("carry", tuple(state["mean"].shape), tuple(canvas.shape), steps))
        fresh = self.start(canvas, steps)
        return {**fresh, "evaluations": state["evaluations"]}


@nstflow.hookimpl
def nstflow_stages():
    return [Pyramid, Carried]
"""


def seen() -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = sys.modules["nstflow_pyramid"].seen
    return asked


def test_phases_change_the_size_and_carry_the_state(run: Any, install: Any, tmp_path: Path) -> None:
    install("nstflow-pyramid", PYRAMID)
    watch = Watch()
    result = run("schedule={use: pyramid}", "optimizer={use: carried}", observers=[watch])
    assert seen() == [
        ("phases", (32, 24)),
        ("start", (1, 16, 12, 3), 4),
        ("carry", (1, 16, 12, 3), (1, 32, 24, 3), 3),
        ("start", (1, 32, 24, 3), 3),
    ]
    assert [row["step"] for row in rows(tmp_path / "out")] == [1, 2, 3, 4, 5, 6, 7]
    assert {news.phase for news in watch.news if news.step <= 4} == {0}
    assert {news.phase for news in watch.news if news.step > 4} == {1}
    ends = [(news.step, news.epoch) for news in watch.news if news.ends_epoch]
    assert ends == [(2, 1), (4, 2), (6, 3), (7, 4)]
    sizes = {
        (news.phase, canvas.size) for news, canvas in zip(watch.news, watch.canvases, strict=True)
    }
    assert sizes == {(0, (16, 12)), (1, (32, 24))}
    assert result.image.size == (32, 24)
    assert watch.news[0].epochs == 4
    assert all(a < b for a, b in pairwise(result.history["seconds"]))


def test_phase_that_is_stopped_makes_way_for_the_next(run: Any, install: Any) -> None:
    install("nstflow-pyramid", PYRAMID)
    watch = Watch()
    result = run("schedule={use: pyramid, stops: true}", observers=[watch])
    columns = ["step", "total", "keep", "look", "seconds"]
    assert ("stop", 2, columns) in seen()
    assert result.history["step"] == [1, 2, 3, 4, 5]
    assert [news.phase for news in watch.news if news.ends_epoch] == [0, 1, 1]
    assert result.image.size == (32, 24)
    assert not result.interrupted


# Ctrl-C


class Interrupts(Watch):
    """Does what Ctrl-C does, in one of the hooks."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    @hookimpl
    def nstflow_run_started(self) -> None:
        super().nstflow_run_started()
        if self.at == "started":
            raise KeyboardInterrupt

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        self.news.append(progress)
        if self.at == "progress":
            raise KeyboardInterrupt


def test_interrupt_keeps_the_picture_so_far(run: Any, tmp_path: Path) -> None:
    watch = Interrupts("progress")
    result = run("postprocess=[{use: resize, longest_side: 8}]", observers=[watch])
    assert result.interrupted
    assert len(watch.news) == 1
    assert result.history["step"] == list(range(1, watch.news[0].step + 1))
    assert len(rows(tmp_path / "out")) == watch.news[0].step < 6
    assert names(tmp_path / "out") == STOPPED
    assert result.image.size == (8, 6)
    assert watch.seen == ["started", "finished"]


def test_interrupt_in_a_dispatch_keeps_the_steps_before(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch = Loop.dispatch

    def interrupted(loop: Loop, most: int) -> Any:
        if loop.step:
            raise KeyboardInterrupt
        return dispatch(loop, most)

    monkeypatch.setattr(Loop, "dispatch", interrupted)
    watch = Watch()
    result = run(observers=[watch])
    assert result.interrupted
    assert result.history["step"] == [1]
    np.testing.assert_array_equal(result.image.pixels, watch.canvases[-1].pixels)


@pytest.mark.parametrize("at", ["started", "compile"])
def test_interrupt_before_the_first_step_leaves_nothing(
    at: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Interrupts(at)
    if at == "compile":
        monkeypatch.setattr(Loop, "compile", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(observers=[watch])
    assert watch.seen == ["started", "failed: KeyboardInterrupt"]
    assert names(tmp_path) == {"recipe.yaml"}


# what goes wrong

NAN = "return tf.math.log(tf.reduce_mean(features['image']) - 0.45)"
SINKING = [
    "losses={sink: {use: term, layers: [image]}, dull: {use: total_variation, weight: 0}}",
    "optimizer={learning_rate: 0.1, epsilon: 1e-8}",
]


def test_loss_that_is_not_finite_stops_the_run(run: Any, install: Any, tmp_path: Path) -> None:
    install("nstflow-term", TERM.format(score=NAN))
    watch = Watch()
    with pytest.raises(NstflowError) as caught:
        run(*SINKING, "schedule={epochs: 5, steps_per_epoch: 1}", observers=[watch])
    (problem,) = caught.value.problems
    assert problem.what == "losses.sink"
    assert problem.where == "--set losses"
    assert "the loss (nan) is not finite at step 2" in problem.got
    assert "learning_rate" in problem.hint
    assert watch.seen == ["started", "failed: NstflowError"]
    assert [row["step"] for row in rows(tmp_path / "out")] == [1]  # the last good one
    assert names(tmp_path / "out") == STOPPED - {"result.png"}
    assert caught.value.closing == "the run stopped"


NEVER = "return tf.math.log(-1.0)"
FLAT = "return tf.sqrt(tf.reduce_sum(0.0 * features['image']))"


@pytest.mark.parametrize(
    ("score", "error", "match"),
    [
        (NEVER, NstflowError, r"the loss \(nan\) is not finite at step 1"),
        (FLAT, NstflowError, "gradient of a loss is not finite at step 1"),
        ("raise KeyError('a bug')", KeyError, "a bug"),
    ],
)
def test_run_that_fails_before_its_second_step_leaves_nothing(
    score: str, error: type[Exception], match: str, run: Any, install: Any, tmp_path: Path
) -> None:
    install("nstflow-term", TERM.format(score=score))
    watch = Ends()
    settings = ("losses={bad: {use: term, layers: [image]}}", "schedule={epochs: 1}")
    with pytest.raises(error, match=match):
        run(*settings, "schedule.steps_per_epoch=1", out="a/b", observers=[watch])
    assert names(tmp_path) == {"recipe.yaml", "site"}
    assert watch.seen == ["started", f"failed: {error.__name__}"]


def test_observer_that_raises_does_not_stop_the_run(run: Any) -> None:
    class Raises:
        @hookimpl
        def nstflow_progress(self) -> None:
            raise ValueError("no room")

    watch = Watch()
    with pytest.warns(NstflowWarning, match="'Raises' is switched off") as caught:
        result = run(observers=[Raises(), watch])
    assert len(caught) == 1
    assert result.history["step"] == [1, 2, 3, 4, 5, 6]
    assert watch.seen == ["started", "finished"]


# the command line


def test_exit_0_and_exit_2(call: Any, write: Any) -> None:
    write(TINY)
    answer = call("run", "recipe.yaml", "--out", "out", "--quiet")
    assert (answer.code, answer.out, answer.err) == (0, f"{Path('out', 'result.png')}\n", "")
    answer = call("run", "recipe.yaml", "--out", "out")
    assert answer.code == 2
    assert "exists already" in answer.err
    assert "Traceback" not in answer.err


WATCHING = """
import nstflow

@nstflow.hookimpl
def {hook}():
    raise KeyboardInterrupt
"""


@pytest.mark.parametrize("hook", ["nstflow_progress", "nstflow_run_started"])
def test_exit_130_keeps_the_picture_once_there_is_a_step(
    hook: str, call: Any, write: Any, install: Any, tmp_path: Path
) -> None:
    install("nstflow-watch", WATCHING.format(hook=hook))
    write(TINY)
    answer = call("run", "recipe.yaml", "--out", "out")
    assert answer.code == 130
    if hook == "nstflow_progress":
        assert "stopped" in answer.out
        assert names(tmp_path / "out") == STOPPED
        assert 0 < len(rows(tmp_path / "out")) < 6
    else:
        assert "no picture was written" in answer.err
        assert not (tmp_path / "out").exists()


def test_exit_1_with_a_traceback_for_a_bug(install: Any, write: Any, tmp_path: Path) -> None:
    install("nstflow-term", TERM.format(score="raise KeyError('a bug')"), version="0.2")
    write(TINY)
    done = subprocess.run(
        [sys.executable, "-m", "nstflow", "run", "recipe.yaml", "--set", WITH_TERM],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "KeyError: 'a bug'" in done.stderr
    assert "Raised in losses.extra (use: term), provided by nstflow-term 0.2." in done.stderr
