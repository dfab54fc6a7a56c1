"""Runs that were stopped or failed resume to the bytes of a run that never was."""

import itertools
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

import nstflow
from nstflow import hookimpl
from nstflow.errors import NstflowError, NstflowWarning
from nstflow.plan import make_plan
from nstflow.plugins.manager import Plugins
from nstflow.recipe.reader import load_recipe
from nstflow.stages.result import Progress, Result
from nstflow.storage.run_directory import RunDirectory
from png_files import png_of
from refusals import problems_of

NETWORK = """\
name: tiny
images:
  content: {use: noise, height: 32, width: 24}
  style: {use: noise, height: 16, width: 16, seed: 1}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [block1_conv2], weight: 10}
  look: {use: gram, image: style, layers: [block1_conv1], weight: 7}
schedule: {use: epochs, epochs: 2, steps_per_epoch: 3}
checkpoints: {every_steps: 1}
"""

# Phases of two sizes, the first of which may end early; random directions; a state of several kinds
PLUGIN = """
from typing import Literal

import nstflow
from nstflow import tf


def enough(history):
    return len(history["step"]) >= 2


class Growing(nstflow.Schedule):
    '''Half the size, then all of it.'''

    use: Literal["growing"] = "growing"
    soon: bool = False

    def phases(self, size):
        first = nstflow.Phase(4, 2, scale=0.5, stop=enough if self.soon else None)
        return [first, nstflow.Phase(4, 3)]


class Momentum(nstflow.Optimizer):
    '''Gradient descent with momentum, whose state counts in whole numbers and flags too.'''

    use: Literal["momentum"] = "momentum"

    def start(self, canvas, steps):
        return {
            "speed": tf.zeros_like(canvas),
            "evaluations": tf.constant(0),
            "odd": tf.constant(False),
            "left": tf.constant(steps, tf.int64),
        }

    def step(self, objective, canvas, state):
        losses, gradient = objective(canvas)
        speed = 0.9 * state["speed"] - 0.001 * gradient
        moved = tf.where(state["odd"], canvas + speed, canvas + 0.5 * speed)
        return tf.clip_by_value(moved, 0.0, 1.0), {
            "speed": speed,
            "evaluations": state["evaluations"] + 1,
            "odd": tf.logical_not(state["odd"]),
            "left": state["left"] - 1,
        }, losses


class Random(nstflow.LossTerm):
    '''Compare along a random direction, another at each step.'''

    use: Literal["random"] = "random"
    image: nstflow.ImageRef = "style"
    layers: nstflow.Layers = ("image",)

    def score(self, features, target):
        direction = tf.random.stateless_normal((3, 1), features.seed)
        means = [tf.reduce_mean(x["image"] @ direction) for x in (features, target)]
        return tf.square(means[0] - means[1])


@nstflow.hookimpl
def nstflow_stages():
    return [Growing, Momentum, Random]
"""

PIXELS = NETWORK.replace("[block1_conv2]", "[image]").replace("[block1_conv1]", "[image]")


class StopsAt:
    """Asks a run to stop after a step, or raises there."""

    def __init__(self, step: int, stop: nstflow.Stop | None = None) -> None:
        self.step, self.stop = step, stop

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        if progress.step == self.step:
            if self.stop is None:
                raise KeyboardInterrupt
            self.stop.request()


class Steps:
    """Keeps the numbers of the steps that were computed."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        self.seen += range(progress.step - len(progress.total) + 1, progress.step + 1)


@pytest.fixture
def run(tmp_path: Path, write: Any) -> Any:
    def run(recipe: str, *settings: str, out: str = "out", at: int = 0, **options: Any) -> Result:
        stop = nstflow.Stop()
        watching = [*options.pop("observers", ()), *([StopsAt(at, stop)] if at else [])]
        plan = make_plan(load_recipe(write(recipe), settings))
        options |= {"observers": watching, "stop": stop}
        return nstflow.run(plan, tmp_path / out, **options)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def record(folder: Path) -> tuple[str, int]:
    """Return the state of a run, and its number of steps."""
    data = json.loads((folder / "run.json").read_text())
    return data["state"], data["steps"]


def same(first: Result, second: Result) -> bool:
    """Say whether two runs have the same pixels, losses and files, to the bit."""
    histories = [{**result.history, "seconds": []} for result in (first, second)]
    files = [[file.read_bytes() for file in result.files] for result in (first, second)]
    pixels = [result.image.pixels.tobytes() for result in (first, second)]
    return pixels[0] == pixels[1] and histories[0] == histories[1] and files[0] == files[1]


def installed(slot: str) -> list[str]:
    return list(Plugins().catalog[slot])


SETTINGS = {
    "adam": ", decay: cosine, average: 0.9",
    "lbfgs": ", history: 2, average: 0.9",
    "scales": ", smallest: 16, steps: 3",
}
"""Stage → settings for few steps, and with all that a state can hold."""


@pytest.mark.parametrize(
    ("optimizer", "schedule"), [*itertools.product(installed("optimizer"), installed("schedule"))]
)
def test_every_optimizer_and_schedule_goes_on_to_the_same_bytes(
    optimizer: str, schedule: str, run: Any
) -> None:
    """With their default settings, or those above."""
    settings = [f"optimizer={{use: {optimizer}{SETTINGS.get(optimizer, '')}}}"]
    if schedule != "epochs":
        settings.append(f"schedule={{use: {schedule}{SETTINGS.get(schedule, '')}}}")
    whole = run(NETWORK, *settings, out="whole")
    total = len(whole.history["step"])
    few = sorted({1, 2, total // 2, total - 1})
    for at in range(1, total) if schedule == "scales" else few:
        part = run(NETWORK, *settings, out=f"at{at}", at=at)
        assert part.interrupted
        assert part.history["step"][-1] == at
        steps = Steps()
        rest = run(NETWORK, *settings, out=f"at{at}", resume=True, observers=[steps])
        assert steps.seen == list(range(at + 1, total + 1))
        assert rest.resumed_from == at
        assert same(whole, rest)


@pytest.mark.parametrize("soon", ["false", "true"])
def test_phases_random_numbers_and_states_of_all_kinds(soon: str, run: Any, install: Any) -> None:
    install("nstflow-growing", PLUGIN)
    settings = (
        f"schedule={{use: growing, soon: {soon}}}",
        "optimizer={use: momentum}",
        "losses.along={use: random, weight: 100}",
    )
    whole = run(PIXELS, *settings, out="whole")
    total = len(whole.history["step"])
    assert total == (6 if soon == "true" else 8)
    for at in range(1, total):
        assert run(PIXELS, *settings, out=f"at{at}", at=at).history["step"][-1] == at
        assert same(whole, run(PIXELS, *settings, out=f"at{at}", resume=True))


def test_a_run_may_be_stopped_again_and_again(run: Any, tmp_path: Path) -> None:
    checkpoint = tmp_path / "out" / "checkpoint.safetensors"
    whole = run(PIXELS, out="whole")
    for at in range(1, 6):
        assert run(PIXELS, at=at, resume=True).interrupted
        assert record(tmp_path / "out") == ("stopped", at)
        assert checkpoint.is_file()
    last = run(PIXELS, resume=True)
    assert not last.interrupted
    assert last.resumed_from == 5
    assert same(whole, last)
    assert record(tmp_path / "out") == ("finished", 6)
    assert not checkpoint.exists()
    checkpoint.write_bytes(b"left by a kill")
    assert run(PIXELS, resume=True).already
    assert not checkpoint.exists()


def test_a_bug_in_the_middle_loses_no_step(run: Any, install: Any) -> None:
    install("nstflow-bug", BUGGY.format(boom="raise KeyError('boom')"))
    whole = run(PIXELS, WITH_BUG, out="whole")
    sys.modules["nstflow_bug"].broken = True  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="boom"):
        run(PIXELS, WITH_BUG)
    sys.modules["nstflow_bug"].broken = False  # type: ignore[attr-defined]
    steps = Steps()
    rest = run(PIXELS, WITH_BUG, resume=True, observers=[steps])
    assert steps.seen == []  # it broke after the last one
    assert same(whole, rest)


BUGGY = """
from typing import Literal

import nstflow

broken = False


class Bug(nstflow.Postprocessor):
    '''Leave the picture as it is, or break.'''

    use: Literal["bug"] = "bug"

    def apply(self, image, images):
        if broken:
            {boom}
        return image


@nstflow.hookimpl
def nstflow_stages():
    return [Bug]
"""
WITH_BUG = "postprocess=[{use: bug}]"


@pytest.mark.parametrize("error", ["MemoryError()", "__import__('tensorflow').errors."])
def test_memory_that_runs_out(error: str, run: Any, install: Any) -> None:
    if error.endswith("."):
        error += "ResourceExhaustedError(None, None, 'OOM when allocating tensor')"
    install("nstflow-bug", BUGGY.format(boom=f"raise {error}"))
    whole = run(PIXELS, WITH_BUG, out="whole")
    sys.modules["nstflow_bug"].broken = True  # type: ignore[attr-defined]
    with pytest.raises(NstflowError, match="there is not enough memory") as caught:
        run(PIXELS, WITH_BUG)
    assert caught.value.closing == "the run stopped, and can be resumed with --resume"
    sys.modules["nstflow_bug"].broken = False  # type: ignore[attr-defined]
    assert same(whole, run(PIXELS, WITH_BUG, resume=True))


def test_a_directory_without_a_checkpoint_starts_again(run: Any, tmp_path: Path) -> None:
    whole = run(PIXELS, out="whole")
    run(PIXELS, at=3)
    (tmp_path / "out" / "checkpoint.safetensors").unlink()
    steps = Steps()
    assert same(whole, run(PIXELS, resume=True, observers=[steps]))
    assert steps.seen == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_is_read_back(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(PIXELS)
    monkeypatch.setattr("nstflow.engine.device.choose_device", pytest.fail)
    again = run(PIXELS, resume=True)
    assert again.already
    assert again.history == whole.history
    assert again.losses == whole.losses
    assert (again.seconds, again.files) == (round(whole.seconds, 3), list(whole.files))
    assert abs(again.image.pixels - whole.image.pixels).max() <= 0.5 / 255 + 1e-6


def huge(file: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    file.write_bytes(png_of([(b"IHDR", header), (b"IDAT", b""), (b"IEND", b"")]))


@pytest.mark.parametrize(
    ("lost", "made"),
    [
        ("result.png", Path.exists),
        ("history.csv", Path.exists),
        ("recipe.lock.yaml", Path.exists),
        ("history.csv", os.mkfifo),
        ("result.png", huge),
    ],
)
def test_a_finished_run_that_lost_a_file(
    lost: str, made: Callable[[Path], object], run: Any, tmp_path: Path
) -> None:
    run(PIXELS)
    (tmp_path / "out" / lost).unlink()
    made(tmp_path / "out" / lost)
    with pytest.raises(NstflowError, match=lost.replace(".", r"\.")) as caught:
        run(PIXELS, resume=True)
    assert "--overwrite" in caught.value.problems[-1].hint


@pytest.mark.parametrize("finished", [True, False])
def test_another_recipe_is_refused_with_every_difference(
    finished: bool, run: Any, tmp_path: Path
) -> None:
    run(PIXELS, at=0 if finished else 2)
    before = contents(tmp_path / "out")
    seed, weight = problems_of(run, PIXELS, "losses.look.weight=8", "seed=3", resume=True)
    assert (seed.what, weight.what) == ("seed", "losses.look.weight")
    assert "has 7, now it is 8." in weight.got
    assert before == contents(tmp_path / "out")


def test_another_device_is_refused(run: Any, tmp_path: Path) -> None:
    run(PIXELS, at=2)
    lock = tmp_path / "out" / "recipe.lock.yaml"
    lock.write_text(re.sub("device: .*", "device: Quantum", lock.read_text()))
    before = contents(tmp_path / "out")
    with pytest.raises(NstflowError, match=r"lock\.device\n.* has Quantum, now it is CPU "):
        run(PIXELS, resume=True)
    assert before == contents(tmp_path / "out")


@pytest.mark.parametrize("damage", ["a flipped bit", "of another run"])
def test_a_checkpoint_that_can_not_be_used_is_refused(
    damage: str, run: Any, tmp_path: Path
) -> None:
    run(PIXELS, at=2)
    file = tmp_path / "out" / "checkpoint.safetensors"
    expected = r"safetensors\n.*sha256.*overwrite=True"
    if damage == "a flipped bit":
        data = file.read_bytes()
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        expected = r"it belongs to another recipe\.lock\.yaml"
        run(PIXELS, "seed=3", out="other", at=2)
        (tmp_path / "other" / file.name).replace(file)
    before = contents(tmp_path / "out")
    with pytest.raises(NstflowError, match=expected):
        run(PIXELS, resume=True)
    assert before == contents(tmp_path / "out")


def test_a_checkpoint_without_a_lock_is_refused(run: Any, tmp_path: Path) -> None:
    run(PIXELS, at=2)
    facts = tmp_path / "out" / "run.json"
    facts.write_text(re.sub('"steps": 2', '"steps": 0', facts.read_text()))  # as if it was killed
    (tmp_path / "out" / "recipe.lock.yaml").unlink()
    with pytest.raises(NstflowError, match="it belongs to another"):
        run(PIXELS, "losses.look.weight=700", resume=True)


class OnStart:
    """Does something after the look at the lock, before the first step."""

    def __init__(self, do: Callable[[], object]) -> None:
        self.do = do

    @hookimpl
    def nstflow_run_started(self) -> None:
        self.do()


def test_an_image_that_changes_while_tensorflow_starts(run: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    recipe = PIXELS.replace("{use: noise, height: 16, width: 16, seed: 1}", "photo.png")
    PIL.Image.new("RGB", (16, 16), "red").save(photo)
    whole = run(recipe, out="whole")
    run(recipe, at=2)
    change = OnStart(lambda: PIL.Image.new("RGB", (16, 16), "blue").save(photo))
    changed = r"images\.style\.path\n.*photo.png' was changed while the run read it"
    with pytest.raises(NstflowError, match=changed):
        run(recipe, resume=True, observers=[change])
    PIL.Image.new("RGB", (16, 16), "red").save(photo)
    assert same(whole, run(recipe, resume=True))
    lock = (tmp_path / "out" / "recipe.lock.yaml").read_text()
    (tmp_path / "locked.yaml").write_text(lock.replace("../photo.png", "photo.png"))
    plan = make_plan(load_recipe(tmp_path / "locked.yaml"))
    with pytest.raises(NstflowError, match=changed):
        nstflow.run(plan, tmp_path / "again", locked=True, observers=[change])


def test_the_order_of_losses_is_the_histories(run: Any) -> None:
    run(PIXELS, at=2)
    lines = PIXELS.splitlines(keepends=True)
    keep = next(index for index, line in enumerate(lines) if "keep:" in line)
    lines[keep : keep + 2] = lines[keep + 1], lines[keep]
    with pytest.raises(NstflowError, match=r"losses\n.* has keep, look, now it is look, keep"):
        run("".join(lines), resume=True)


BREAKS = """
def enough(history):
    raise ValueError("a bug")


def never(history):
"""


def test_a_run_that_fails_early_does_not_replace_another(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not before it has a checkpoint or a history of its own."""

    def breaks(*_: object) -> None:
        raise ValueError("a bug")

    run(PIXELS)
    before = contents(tmp_path / "out")
    monkeypatch.setattr("nstflow.runner.optimization.CheckpointSchedule.after", breaks)
    with pytest.raises(ValueError, match="a bug"):
        run(PIXELS, "seed=1", overwrite=True)
    assert before == contents(tmp_path / "out")


def test_a_run_that_replaces_another_is_resumed(run: Any, tmp_path: Path) -> None:
    whole = run(PIXELS, "seed=1", out="whole")
    run(PIXELS, "outputs.0.name=other")
    assert run(PIXELS, "seed=1", overwrite=True, at=2).interrupted
    assert not (tmp_path / "out" / "other.png").exists()
    with pytest.raises(NstflowError, match=r"seed\n"):
        run(PIXELS, resume=True)
    last = run(PIXELS, "seed=1", resume=True)
    assert last.resumed_from == 2
    assert same(whole, last)
    assert contents(tmp_path / "out").keys() == contents(tmp_path / "whole").keys()


def test_a_bug_between_steps_keeps_those_before(run: Any, install: Any, tmp_path: Path) -> None:
    install("nstflow-growing", PLUGIN.replace("def enough(history):", BREAKS))
    settings = ("schedule={use: growing, soon: true}", "checkpoints.every_steps=100")
    with pytest.raises(ValueError, match="a bug") as caught:
        run(PIXELS, *settings)
    notes = ["Raised in schedule (use: growing), provided by nstflow-growing 1.0."]
    assert caught.value.__notes__ == notes
    assert record(tmp_path / "out")[0] == "failed"
    assert (tmp_path / "out" / "checkpoint.safetensors").is_file()
    assert len((tmp_path / "out" / "history.csv").read_text().splitlines()) == 3


TEXT = """
from typing import Literal

import nstflow


class Text(nstflow.Output):
    '''Write the mean colour.'''

    use: Literal["text"] = "text"

    def write(self, result, folder):
        path = folder / "result.txt"
        path.write_text(str(result.image.pixels.mean()))
        return path


@nstflow.hookimpl
def nstflow_stages():
    return [Text]
"""


def test_a_finished_run_without_an_image(run: Any, install: Any, tmp_path: Path) -> None:
    install("nstflow-text", TEXT)
    run(PIXELS, "outputs=[{use: text}]")
    again = run(PIXELS, "outputs=[{use: text}]", resume=True)
    assert again.already
    assert again.image is None
    assert list(again.files) == [tmp_path / "out" / "result.txt"]


def test_overwrite_and_resume_exclude_each_other(run: Any) -> None:
    with pytest.raises(NstflowError, match="either replaced or resumed"):
        run(PIXELS, overwrite=True, resume=True)


@pytest.mark.parametrize(
    ("often", "saved"),
    [
        ("{every_steps: 1, every_seconds: null}", [1, 2, 3, 4, 5, 6]),
        ("{every_steps: 4, every_seconds: null}", [4, 6]),
        ("{every_steps: null, every_seconds: null}", [6]),
        ("{every_steps: null, every_seconds: 1000}", [6]),
        ("{every_steps: null, every_seconds: 1e-9}", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_checkpoints_come_as_often_as_the_recipe_says(
    often: str, saved: list[int], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    monkeypatch.setattr(
        RunDirectory, "write_checkpoint", lambda _, checkpoint: steps.append(checkpoint.step)
    )
    monkeypatch.setattr("nstflow.engine.loop.Pace.steps", lambda _: 1)
    run(PIXELS, f"checkpoints={often}")
    assert steps == saved


def test_how_often_is_checked(run: Any) -> None:
    with pytest.raises(NstflowError, match=r"checkpoints\.every_steps"):
        run(PIXELS, "checkpoints.every_steps=0")


def test_numbers_that_ran_out_of_range_are_no_checkpoint(run: Any, tmp_path: Path) -> None:
    """Squares of such gradients are infinite, and would freeze the canvas without a word."""
    with pytest.raises(NstflowError, match="the optimizer's 'square' is not finite at step 1"):
        run(PIXELS, "losses.look.weight=1e30")
    assert not (tmp_path / "out").exists()


def test_too_little_memory_is_a_warning_before(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nstflow.runner.run.available", lambda: 10_000_000)
    with pytest.warns(NstflowWarning, match=r"needs about 7\d\d MB\. .* are free"):
        run(NETWORK)


# the command line


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nstflow", "run", "recipe.yaml", "--out", "out", *arguments]


LONG = "schedule.epochs=1000000"


def begin(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a run, and return when it has taken a step."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (folder / "out" / "checkpoint.safetensors").exists():
            break
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_a_run_that_can_go_on(number: int, write: Any, tmp_path: Path) -> None:
    write(PIXELS)
    process = begin(tmp_path, "--set", LONG)
    refused = subprocess.run(
        command("--set", LONG, "--resume"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert "press Ctrl-C again" in err
    again = f"nstflow run recipe.yaml --out out --set {LONG} --resume"
    assert out.splitlines()[-1] == f"continue with  {again}"
    assert (tmp_path / "out" / "result.png").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "stopped"
    rows = (tmp_path / "out" / "history.csv").read_text().splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == list(map(str, range(1, len(rows) + 1)))
    assert refused.returncode == 2
    assert "another run is at work in this directory" in refused.stderr


SLOW = """
import ctypes

import nstflow


@nstflow.hookimpl
def nstflow_progress(progress):
    mutex = ctypes.create_string_buffer(64)  # out of Python, where no signal breaks in
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
    if progress.step >= 2:
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


def test_a_second_signal_stops_at_once(write: Any, install: Any, tmp_path: Path) -> None:
    """In the middle of what takes long, as a step of a large picture does."""
    install("nstflow-slow", SLOW)
    write(PIXELS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)  # which lets TensorFlow talk
    process = begin(tmp_path, "--set", LONG, environment=environment)
    assert process.stderr is not None
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert "press Ctrl-C again" in process.stderr.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 143
    assert not (tmp_path / "out" / "result.png").exists()
    again = subprocess.run(
        command("--set", LONG, "--resume", "--set", "seed=1"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert "  seed\n" in again.stderr  # the lock is read, and no process holds the folder


def test_resume_of_what_has_ended(call: Any, write: Any) -> None:
    write(PIXELS)
    assert call("run", "recipe.yaml", "--out", "out", "--resume").code == 0
    answer = call("run", "recipe.yaml", "--out", "out", "--resume")
    assert (answer.code, answer.err) == (0, "")
    picture = Path("out", "result.png")
    assert answer.out == f"out: finished already\npicture  {picture}\n"
    answer = call("run", "recipe.yaml", "--out", "out", "--resume", "--quiet")
    assert (answer.code, answer.out) == (0, f"{picture}\n")


def test_a_run_that_was_stopped_is_named_as_such(call: Any, run: Any) -> None:
    run(PIXELS, at=2)
    answer = call("run", "recipe.yaml", "--out", "out")
    assert answer.code == 2
    assert "of a run that has not ended. Continue it with --resume, replace it with" in answer.err
