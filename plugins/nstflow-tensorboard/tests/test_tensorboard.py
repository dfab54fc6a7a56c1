import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from nstflow_tensorboard import TensorBoard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer.record_writer import RecordWriter

from nstflow import NstflowError, Progress, Result, Stop, hookimpl, load_recipe, make_plan, run
from nstflow.plugins.single_file import read_plugin
from nstflow.testing import run_tiny, tiny_images

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NSTFLOW_TENSORBOARD", raising=False)


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    return found.Reload()


def steps(found: EventAccumulator, tag: str) -> list[int]:
    return [event.step for event in found.Scalars(tag)]


def files(folder: Path) -> list[Path]:
    return list(folder.glob("events.out.tfevents.*"))


def pixels(event: Any) -> Any:
    with PIL.Image.open(io.BytesIO(event.encoded_image_string)) as image:
        return np.asarray(image)


LOSSES = {
    "keep": {"use": "content", "layers": ["image"], "weight": 10},
    "look": {"use": "gram", "image": "style", "layers": ["image"], "weight": 1e5},
}
RECIPE = {
    "name": "tiny",
    "images": {"content": {"use": "noise", "height": 16, "width": 16}},
    "preprocess": [],
    "schedule": {"epochs": 1, "steps_per_epoch": 4},
}
TWO_EPOCHS = {"epochs": 2, "steps_per_epoch": 3}


def test_every_step_has_the_losses_of_the_history(nstflow_run: Run) -> None:
    result = nstflow_run(losses=LOSSES, steps=5)
    found = events(result.folder)
    assert set(found.Tags()["scalars"]) == {"loss/total", "loss/keep", "loss/look"}
    for name in ("total", "keep", "look"):
        values = [event.value for event in found.Scalars(f"loss/{name}")]
        np.testing.assert_allclose(values, result.history[name], rtol=1e-6)
        assert steps(found, f"loss/{name}") == result.history["step"]


def test_every_epoch_has_the_canvas(nstflow_run: Run) -> None:
    result = nstflow_run(losses=LOSSES, schedule=TWO_EPOCHS)
    first, last = events(result.folder).Images("canvas")
    assert (first.step, last.step) == (3, 6)
    assert (last.width, last.height) == (48, 32)
    with PIL.Image.open(result.files[0]) as picture:
        assert np.array_equal(pixels(last), np.asarray(picture))
    assert not np.array_equal(pixels(first), pixels(last))


def test_watching_changes_nothing(nstflow_run: Run, tmp_path: Path) -> None:
    watched = nstflow_run(losses=LOSSES)
    recipe = load_recipe(watched.plan.recipe.source.label, block=["nstflow-tensorboard"])
    alone = run(make_plan(recipe), tmp_path / "alone")
    assert files(watched.folder)
    assert not files(alone.folder)
    assert watched.image.pixels.tobytes() == alone.image.pixels.tobytes()


@pytest.mark.parametrize("word", ["off", "OFF", "0", "false"])
def test_it_can_be_switched_off(
    word: str, nstflow_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTFLOW_TENSORBOARD", word)
    assert not files(nstflow_run().folder)


class Stops:
    """Asks a run to stop once a step is done."""

    def __init__(self) -> None:
        self.stop = Stop()

    @hookimpl
    def nstflow_progress(self) -> None:
        self.stop.request()


def test_a_resumed_run_continues_the_same_curves(nstflow_run: Run, tmp_path: Path) -> None:
    whole = nstflow_run(losses=LOSSES, schedule=TWO_EPOCHS)
    plan, out = make_plan(load_recipe(whole.plan.recipe.source.label)), tmp_path / "resumed"
    stops = Stops()
    assert run(plan, out, observers=[stops], stop=stops.stop).interrupted
    # the step before the checkpoint may be in the file, as when the run was killed
    observer = TensorBoard()
    observer.nstflow_progress(progress(step=6), out)
    (out / "run.json").write_text((out / "run.json").read_text().replace("stopped", "failed"))
    observer.nstflow_run_failed(out)
    result = run(plan, out, resume=True)
    found = events(out)
    assert len(files(out)) == 3
    assert steps(found, "loss/total") == result.history["step"] == [1, 2, 3, 4, 5, 6]
    values = [event.value for event in found.Scalars("loss/total")]
    np.testing.assert_allclose(values, whole.history["total"], rtol=1e-6)


def progress(step: int) -> Progress:
    canvas = tiny_images()["content"]
    return Progress(
        step=step,
        steps=9,
        epoch=1,
        epochs=1,
        ends_epoch=False,
        phase=0,
        losses={"content": [7.0]},
        total=[7.0],
        seconds=[1.0],
        canvas=lambda: canvas,
    )


def test_an_overwritten_run_leaves_no_curve_behind(nstflow_run: Run) -> None:
    first = nstflow_run(steps=5)
    kept = first.folder / "events.out.tfevents.1.of.someone"
    kept.write_bytes(b"")
    plan = make_plan(load_recipe(first.plan.recipe.source.label, ["schedule.steps_per_epoch=2"]))
    run(plan, first.folder, overwrite=True)
    assert steps(events(first.folder), "loss/total") == [1, 2]
    assert len(files(first.folder)) == 2
    assert kept.is_file()


def test_runs_one_after_another_have_files_of_their_own(tmp_path: Path) -> None:
    for name, count in (("one", 2), ("two", 4)):
        (tmp_path / name).mkdir()
        result = run_tiny(tmp_path / name, steps=count)
        assert len(steps(events(result.folder), "loss/total")) == count


def test_a_run_that_fails_before_its_first_step_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(NstflowError):
        run_tiny(tmp_path, extractor={"weights": "nowhere.h5"})
    assert not list(tmp_path.rglob("events.out.tfevents.*"))


NAN = """
from typing import Literal
from nstflow import LossTerm, hookimpl, tf

class Nan(LossTerm):
    \"\"\"Become no number.\"\"\"

    use: Literal["nan"] = "nan"
    steps: int = 1

    def score(self, features, target):
        gone = tf.cast(features.seed[1] > self.steps, tf.float32)
        return tf.reduce_mean(features["image"]) + tf.math.log(-gone)

@hookimpl
def nstflow_stages():
    return [Nan]
"""


@pytest.mark.parametrize("before", [False, True])
def test_a_run_that_leaves_nothing_leaves_no_file(tmp_path: Path, before: bool) -> None:
    (tmp_path / "nan.py").write_text(NAN)
    if before:
        result = run_tiny(tmp_path, steps=2)
        old = {file: file.read_bytes() for file in result.folder.iterdir()}
    losses = {"new": {"use": "nan", "layers": ["image"]}}
    recipe = {**RECIPE, "losses": losses}
    (tmp_path / "nan.yaml").write_text(json.dumps(recipe))
    plan = make_plan(load_recipe(tmp_path / "nan.yaml", plugins=[read_plugin(tmp_path / "nan.py")]))
    with pytest.raises(NstflowError, match="finite"):
        run(plan, tmp_path / "run", overwrite=before)
    if before:
        assert {file: file.read_bytes() for file in (tmp_path / "run").iterdir()} == old
    else:
        assert not (tmp_path / "run").exists()


def test_two_runs_at_once_have_a_file_each(tmp_path: Path) -> None:
    observer = TensorBoard()
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        observer.nstflow_progress(progress(step=1), folder)
    observer.nstflow_run_failed(tmp_path / "another")
    observer.nstflow_progress(progress(step=2), one)
    observer.nstflow_progress(progress(step=2), two)
    observer.nstflow_progress(progress(step=3), two)
    assert steps(events(one), "loss/total") == [1, 2]  # there to be seen while the run lasts
    assert steps(events(two), "loss/total") == [1, 2, 3]
    observer.nstflow_run_failed(one)
    observer.nstflow_run_failed(two)


def test_files_are_read_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.9876543210.z.9.nstflow").write_bytes(b"")
    for step in (5, 6):
        observer = TensorBoard()
        observer.nstflow_progress(progress(step), tmp_path)
        (tmp_path / "run.json").write_text('{"state": "failed"}')
        observer.nstflow_run_failed(tmp_path)
    times = [file.name.split(".")[3] for file in sorted(files(tmp_path))]
    assert times == ["9876543210", "9876543211", "9876543212"]


def test_a_full_disk_is_an_error_of_the_observer(tmp_path: Path) -> None:
    observer = TensorBoard()
    observer.nstflow_progress(progress(step=1), tmp_path)
    file = observer._files[tmp_path]
    file.close()
    file._writer = RecordWriter(Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    with pytest.raises(OSError, match="space"):
        observer.nstflow_progress(progress(step=2), tmp_path)
    assert not observer._files
