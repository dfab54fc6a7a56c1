"""The display of a notebook, with a stand-in for IPython; that of the docs has a real kernel."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow import Image, NstflowError, Result, hookimpl
from nstflow.runner import notebook

TINY = Path(__file__).parents[1] / "tiny.yaml"


class Outputs(list[dict[str, str]]):
    """What was displayed: each update with the number of the output that it changes."""

    def __init__(self) -> None:
        self.count = 0

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw
        assert display_id
        self.count += 1
        self.append(data)
        return SimpleNamespace(update=lambda data, *, raw: self.append(data) if raw else None)


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """Make this process that of a notebook, whose output is updated at once."""
    shown = Outputs()
    monkeypatch.setattr(notebook, "_EVERY", 0)
    monkeypatch.setattr(notebook, "_PICTURE_EVERY", 0)
    monkeypatch.setattr(notebook, "_PICTURE_SHARE", 1e9)
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display = shown.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def run(*settings: str, **options: Any) -> Result:
        plan = nstflow.make_plan(nstflow.load_recipe(TINY, settings))
        return nstflow.run(plan, tmp_path / "out", **options)

    return run


def test_one_output_from_the_start_to_the_end(run: Any, outputs: Outputs) -> None:
    result = run("summary=2 < 3")
    assert outputs.count == 1
    first, *during, last = outputs
    assert first["text/plain"] == "tiny: 24×32 pixels, 6 steps, compiling"
    assert '<b>tiny</b> 2 &lt; 3<br><progress max="1"></progress> ' in first["text/html"]
    assert len(during) >= 1
    assert during[-1]["text/plain"].startswith("tiny: step 6/6, epoch 2/2, ")
    assert "about 0 s left, loss " in during[-1]["text/plain"]
    assert 'width="24" height="32"' in during[-1]["text/html"]
    assert "<img" not in last["text/html"]
    assert last["text/plain"].startswith("tiny: finished, 6 steps in ")
    for file in (*result.files, result.folder / "history.csv"):
        assert str(file) in last["text/html"]


def test_a_failed_and_an_interrupted_run_say_so(
    run: Any, outputs: Outputs, monkeypatch: pytest.MonkeyPatch, asking: Any
) -> None:
    asks = asking()
    run("schedule.steps_per_epoch=2000", observers=[asks], stop=asks.stop)
    assert outputs[-1]["text/plain"].startswith("tiny: stopped, ")
    assert "stopped</td>" in outputs[-1]["text/html"]

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nstflow.runner.run.prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(overwrite=True)
    assert outputs[-1]["text/plain"] == "tiny: stopped, before the first step"
    monkeypatch.setattr("nstflow.runner.run.prepare", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(overwrite=True)
    assert outputs[-1]["text/plain"] == "tiny: failed, before the first step"


class Display:
    """An observer that shows the progress by itself."""

    shows_progress = True

    @hookimpl
    def nstflow_run_finished(self) -> None:
        pass


@pytest.mark.parametrize("options", [{"quiet": True}, {"observers": (Display(),)}])
def test_quiet_and_an_own_display(run: Any, outputs: Outputs, options: Any) -> None:
    run(**options)
    assert not outputs


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_elsewhere_a_run_is_silent(
    run: Any, outputs: Outputs, shell: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    sys.modules["IPython"].get_ipython = lambda: shell  # type: ignore[attr-defined]
    assert not notebook.is_notebook()  # plain Python with IPython imported, or its terminal
    run()
    assert not outputs
    assert capfd.readouterr() == ("", "")


def test_without_ipython_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.is_notebook()
    assert "IPython" not in sys.modules


def test_a_picture_that_is_not_finite_is_left_out(outputs: Outputs) -> None:
    display = notebook.NotebookDisplay()
    display.nstflow_run_started(nstflow.make_plan(nstflow.load_recipe(TINY)))

    def canvas() -> Image:
        raise NstflowError(nstflow.Problem("", "", "it is not finite."))

    numbers = {"losses": {"keep": [1.0]}, "total": [1.0], "seconds": [2.0], "canvas": canvas}
    display.nstflow_progress(nstflow.Progress(1, 6, 1, 2, False, 0, **numbers))
    assert "<img" not in outputs[-1]["text/html"]
    assert "step 1/6, epoch 1/2, 2.00 s/step, about 10 s left" in outputs[-1]["text/plain"]


def test_updates_are_few(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_EVERY", 0.5)
    monkeypatch.setattr(notebook, "_PICTURE_SHARE", 0.05)
    now, taken = [100.0], []
    monkeypatch.setattr(notebook, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def canvas() -> Image:
        taken.append(now[0])
        now[0] += 1  # as if it took a second: the next one comes 20 s later
        return Image(np.zeros((8, 8, 3), np.float32))

    display = notebook.NotebookDisplay()
    display.nstflow_run_started(nstflow.make_plan(nstflow.load_recipe(TINY)))
    numbers = {"losses": {"keep": [1.0]}, "total": [1.0], "seconds": [2.0], "canvas": canvas}
    for _ in range(250):
        display.nstflow_progress(nstflow.Progress(1, 6, 1, 2, False, 0, **numbers))
        now[0] += 0.1
    assert taken == pytest.approx([100, 121], abs=0.5)
    assert 40 <= len(outputs) <= 60


def test_a_result_a_plan_and_an_image_are_shown(run: Any) -> None:
    result = run()
    file = str(result.files[0])
    loss = repr(result).split("loss ")[1].split(",")[0]
    assert repr(result) == f"<Result tiny: 24×32 pixels, 6 steps, loss {loss}, {file}>"
    assert float(loss) == pytest.approx(result.losses["total"], rel=1e-3)
    data, size = result._repr_png_()
    assert size == {"width": 24, "height": 32}
    written = PIL.Image.open(file).convert("RGB")
    assert PIL.Image.open(io.BytesIO(data)).tobytes() == written.tobytes()
    nothing = replace(result, image=None)
    assert nothing._repr_png_() is None
    assert repr(nothing).startswith("<Result tiny: no picture, 6 steps, ")
    stopped = replace(result, interrupted=True)
    assert "stopped after step 6 of 6" in repr(stopped)

    shown = result.plan._repr_html_()
    for label in ("image content", "canvas", "loss look", "optimizer", "memory", "random weights"):
        assert f">{label}</td>" in shown
    assert repr(result.plan) == "<Plan tiny: 24×32 pixels, 6 steps, losses: keep, look>"

    wide = Image(np.linspace(0, 1, 30 * 3000 * 3, dtype=np.float32).reshape(30, 3000, 3))
    assert wide._repr_png_()[1] == {"width": 1024, "height": 10}
