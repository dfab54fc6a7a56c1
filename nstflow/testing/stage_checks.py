"""What stages of the other slots must do: keep the planned size, and repeat themselves exactly."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nstflow
from nstflow import Image, Phase, Size, Stop, Tensor, tf
from nstflow.engine.resampling import canvas_of, resize_canvas
from nstflow.testing.tiny import run_tiny, tiny_images


def check_loader(stage: nstflow.Loader) -> None:
    """Check that an image has the planned size, and is the same each time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _check_image(stage, "load", lambda: stage.load(folder), stage.size(folder))


def check_preprocessor(stage: nstflow.Preprocessor) -> None:
    """Check that prepared images have the planned sizes, and are the same each time."""
    images = tiny_images()
    for image in images.values():
        apply = partial(stage.apply, image, images)
        _check_image(stage, "apply", apply, stage.size(image.size))


def check_start(stage: nstflow.Start) -> None:
    """Check that the canvas has the requested size, and is the same for the same seed."""
    images = tiny_images()
    size = images["content"].size
    _check_image(stage, "paint", lambda: stage.paint(images, size, 3), size)


def check_postprocessor(stage: nstflow.Postprocessor) -> None:
    """Check that the result is an image, the same each time."""
    images = tiny_images()
    _check_image(stage, "apply", lambda: stage.apply(images["content"], images))


def check_optimizer(stage: nstflow.Optimizer) -> None:
    """Check that a simple loss decreases, and that the state keeps its names and types.

    After ten steps, another one must be possible at another size.
    """
    canvas = canvas_of(tiny_images()["content"])

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        return tf.reduce_sum(tf.square(x - 0.5))[None], 2 * (x - 0.5)

    title, state = _title(stage), stage.start(canvas, 10)
    assert "evaluations" in state, f"the state of {title} does not count `evaluations`."
    said = stage.state_size(canvas.shape[1] * canvas.shape[2])
    held = sum(x.shape.num_elements() * x.dtype.size for x in state.values() if x.shape.rank)
    assert said is None or abs(said - held) <= 0.05 * held, (
        f"{title}.state_size says {said:,} bytes, but the state has {held:,}."
    )
    first = last = float(objective(canvas)[0][0])
    for _ in range(10):
        before = {name: (x.dtype, tuple(x.shape)) for name, x in state.items()}
        canvas, state, losses = stage.step(objective, canvas, state)
        after = {name: (x.dtype, tuple(x.shape)) for name, x in state.items()}
        assert after == before, f"the state of {title} changes from {before} to {after}."
        last = float(losses[0])
        for method, x in (("step", canvas), ("result", stage.result(canvas, state))):
            inside = float(tf.reduce_min(x)) >= 0 and float(tf.reduce_max(x)) <= 1
            assert inside, f"{title}.{method} gives a canvas outside [0, 1]: clip it."
            assert x.shape == canvas.shape, f"{title}.{method} gives a canvas of another size."
    larger = resize_canvas(stage.result(canvas, state), (20, 30))
    carried = stage.carry(state, larger, 10)
    assert carried.keys() == state.keys(), (
        f"{title}.carry changes the names of the state from {list(state)} to {list(carried)}."
    )
    stage.step(objective, larger, carried)
    assert last < first, f"{title} did not reduce a loss of {first:.4g} in ten steps: {last:.4g}."


def check_schedule(stage: nstflow.Schedule) -> None:
    """Check that there are phases."""
    phases = stage.phases((48, 64))
    assert phases, f"{_title(stage)} has no phase."
    assert all(isinstance(phase, Phase) for phase in phases), (
        f"{_title(stage)}.phases does not return a list of Phase, but {phases!r}."
    )


def check_output(stage: nstflow.Output) -> None:
    """Check that one file is written, into the given folder."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "out").mkdir()
        result = run_tiny(Path(name), steps=1)
        file = stage.write(result, Path(name) / "out")
        found = list((Path(name) / "out").iterdir())
        assert found == [file], (
            f"{_title(stage)}.write returned '{file}', but the folder holds"
            f" {[str(path) for path in found]}: write one file into it, and return its path."
        )


def check_extractor(stage: nstflow.Extractor) -> None:
    """Check that layers have different names, and a cost above 0 and a geometry if any."""
    names = stage.layer_names()
    if names is None:
        return
    assert len(set(names)) == len(names) > 0, f"{_title(stage)} names no layer, or one layer twice."
    cost = stage.cost(tuple(names)[:1], (64, 64))
    assert cost is None or cost.forward > 0, f"{_title(stage)}.cost of '{names[0]}' is 0."
    for name in names:
        geometry = stage.geometry(name)
        assert geometry is None or (geometry.stride > 0 and geometry.reach >= 0), (
            f"{_title(stage)}.geometry of '{name}' is {geometry}."
        )


def check_executor(stage: nstflow.Executor) -> None:
    """Check that nothing is made of no jobs."""
    stop = Stop()
    stop.request()
    left = list(stage.run([], _never, _never, stop))
    assert left == [], f"{_title(stage)} yields results without a job: {left}."


def _never(*_: object) -> Any:
    raise AssertionError("there is no run to make")


def _title(stage: object) -> str:
    return type(stage).__name__


def _check_image(
    stage: object, method: str, make: Callable[[], Image], size: Size | None = None
) -> None:
    name = f"{_title(stage)}.{method}"
    image: object = make()
    assert isinstance(image, Image), f"{name} does not return an Image, but {image!r}."
    assert size is None or image.size == tuple(size), (
        f"{name} returns an image of {image.size} (height, width) instead of {size}."
    )
    assert image.pixels.tobytes() == make().pixels.tobytes(), (
        f"{name} returns a different image the second time: draw random numbers from the given"
        " seed, or from a setting."
    )
