"""Whether what is to be run is what a lock says: `--locked`, `--resume`, inputs that change."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.lockfile.build import make_lock, to_text
from nstflow.lockfile.check import (
    check_locked,
    check_resumable,
    check_same,
    check_unchanged,
    stored_lock,
    warn_differences,
)
from nstflow.plan import plan_file
from nstflow.recipe.model import Lock
from nstflow.storage.run_record import LOCK_FILE

RECIPE = """\
name: tiny
images:
  content: photo.png
  style: style.png
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
schedule: {use: epochs, epochs: 2, steps_per_epoch: 2}
"""

TERM = """
import nstflow
from typing import Literal


class Term(nstflow.LossTerm):
    '''A loss.'''

    use: Literal["term"] = "term"

    def target(self, features):
        return None

    def score(self, features, target):
        return 0.0


@nstflow.hookimpl
def nstflow_stages():
    return [Term]
"""
WITH_TERM = RECIPE.replace("losses:\n", "losses:\n  extra: {use: term, layers: [image]}\n")

Change = Callable[..., Path]
Problems = Callable[[], list[Problem]]


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (32, 24)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the test's folder, with the photo and the style."""
    draw(tmp_path / "photo.png")
    draw(tmp_path / "style.png", seed=1)
    return tmp_path


@contextmanager
def silence() -> Iterator[None]:
    """Let a warning fail the test, wherever it would be shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def locked(folder: Path, text: str = RECIPE, *settings: str) -> Path:
    """Write a lock of a recipe, and return its path."""
    (folder / "recipe.yaml").write_text(text)
    plan = plan_file(folder / "recipe.yaml", settings)
    path = folder / "a.lock.yaml"
    path.write_text(to_text(make_lock(plan, "a device", "cpu", folder)), encoding="utf-8")
    return path


def refused(path: Path) -> list[Problem]:
    with pytest.raises(NstflowError) as caught:
        check_locked(plan_file(path))
    assert caught.value.subject == str(path)
    return list(caught.value.problems)


def replace(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(text, encoding="utf-8")


# --locked


def test_lock_where_everything_is_as_it_was(folder: Path, install: Any) -> None:
    install("nstflow-term", TERM, version="2.5")
    with silence():
        check_locked(plan_file(locked(folder, WITH_TERM)))


def test_input_that_was_changed(folder: Path) -> None:
    lock = locked(folder)
    draw(folder / "style.png", seed=2)
    (problem,) = refused(lock)
    assert (problem.where, problem.what) == (str(lock), "lock.files.images.style.path")
    words = r"the lock has [0-9a-f]{12}…, [\d,]+ bytes, here it is [0-9a-f]{12}…, [\d,]+ bytes\."
    assert re.fullmatch(words, problem.got)
    assert problem.hint == "Bring them back as they were, or leave --locked out."


def test_input_that_was_renamed_is_the_same(folder: Path) -> None:
    lock = locked(folder)
    (folder / "photo.png").rename(folder / "b.png")
    replace(lock, "path: photo.png", "path: b.png")
    with silence():
        check_locked(plan_file(lock))


def test_weights_that_were_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def assets(sha256: str) -> Any:
        return lambda _self, _folder: [nstflow.Asset("net", present=True, sha256=sha256)]

    (folder / "recipe.yaml").write_text(RECIPE)
    extractor = type(plan_file(folder / "recipe.yaml").recipe.extractor)
    monkeypatch.setattr(extractor, "assets", assets("ab" * 32))
    lock = locked(folder)
    with silence():
        check_locked(plan_file(lock))
    monkeypatch.setattr(extractor, "assets", assets("cd" * 32))
    (problem,) = refused(lock)
    assert problem.what == "lock.weights.net"
    assert problem.got == "the lock has abababababab…, here it is cdcdcdcdcdcd…."


def test_weights_of_ones_own_that_were_changed(folder: Path) -> None:
    np.savez(folder / "mine.npz", a=np.zeros(1))
    lock = locked(folder, RECIPE.replace("random", "mine.npz"))
    np.savez(folder / "mine.npz", a=np.ones(1))
    assert [problem.what for problem in refused(lock)] == ["lock.files.extractor.weights"]


def test_plugin_of_another_version(folder: Path, install: Any) -> None:
    install("nstflow-term", TERM, version="2.5")
    lock = locked(folder, WITH_TERM)
    info = folder / "site" / "nstflow_term-2.5.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nstflow-term\nVersion: 2.6\n")
    info.rename(info.with_name("nstflow_term-2.6.dist-info"))
    (problem,) = refused(lock)
    assert problem.what == "lock.plugins.nstflow-term"
    assert problem.got == "the lock has 2.5, here it is 2.6."


def test_nstflow_of_another_version(folder: Path) -> None:
    lock = locked(folder)
    replace(lock, f"plugins: {{nstflow: {version('nstflow')}}}", "plugins: {nstflow: 0.0.9}")
    assert [problem.what for problem in refused(lock)] == ["lock.plugins.nstflow"]


def test_every_difference_is_told(folder: Path, install: Any) -> None:
    install("nstflow-term", TERM)
    lock = locked(folder, WITH_TERM)
    for name in ("photo.png", "style.png"):
        draw(folder / name, seed=3)
    replace(lock, "nstflow-term: '?1.0'?", "nstflow-term: '0.9'")
    replace(lock, "weights: {}", f"weights: {{net: {'ab' * 32}}}")
    replace(lock, "python: .*", "python: 3.0.0")
    problems = refused(lock)
    assert [problem.what for problem in problems] == [
        "lock.files.images.content.path",
        "lock.files.images.style.path",
        "lock.weights.net",
        "lock.plugins.nstflow-term",
    ]
    assert problems[2].got == "the lock has abababababab…, here it is –."
    assert [bool(problem.hint) for problem in problems] == [False, False, False, True]


def test_image_that_the_lock_knows_nothing_of(folder: Path) -> None:
    """One that was added by hand, or whose hash was taken out."""
    lock = locked(folder)
    replace(lock, r"\n    images\.style\.path: .*", "")
    (problem,) = refused(lock)
    assert problem.what == "lock.files.images.style.path"
    assert problem.got.startswith("the lock has –, here it is ")
    replace(lock, r"  files:\n    images\.content\.path: .*\n", "")
    (problem,) = refused(lock)
    assert problem.what == "lock.files"


def test_lock_that_leaves_out_what_is_empty(folder: Path) -> None:
    lock = locked(folder)
    replace(lock, "  weights: {}\n", "")
    with silence():
        check_locked(plan_file(lock))


def test_python_and_tensorflow_are_only_told(folder: Path) -> None:
    lock = locked(folder)
    replace(lock, "python: .*", "python: 3.0.0")
    replace(lock, "tensorflow: .*", "tensorflow: 2.0.0")
    with pytest.warns(NstflowWarning) as caught:
        check_locked(plan_file(lock))
    assert [str(warning.message).partition(", here")[0] for warning in caught] == [
        *("lock.python was 3.0.0", "lock.tensorflow was 2.0.0"),
    ]
    assert all("perhaps not the same pixels" in str(warning.message) for warning in caught)


def test_recipe_without_a_lock(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE)
    (problem,) = refused(folder / "recipe.yaml")
    assert problem.got == "this recipe has no lock section."
    assert problem.hint == f"Write one with `nstflow lock {folder / 'recipe.yaml'}`."


def test_lock_with_a_setting(folder: Path) -> None:
    with pytest.raises(NstflowError) as caught:
        check_locked(plan_file(locked(folder), ["losses.keep.weight=1"]))
    (problem,) = caught.value.problems
    assert problem.where == "--set losses.keep.weight"
    assert problem.got == "a locked recipe runs as it is."


@pytest.mark.parametrize(
    ("pattern", "by", "what"),
    [
        ("  device_kind: cpu", "  device_kind: tpu", "lock.device_kind"),
        ("  device: .*\n", "  device: 5\n", "lock.device"),
        ("  weights: {}", "  weights: 5", "lock.weights"),
        (r"path: \{sha256: \w*, bytes: (\d+)\}\n  w", r"path: \1\n  w", "lock.files.images"),
        ("  python: .*", "  python: 3", "lock.python"),
        ("  python: .*", "  python: '3'\n  more: 1", "lock.more"),
    ],
)
def test_lock_that_was_damaged(pattern: str, by: str, what: str, folder: Path) -> None:
    lock = locked(folder)
    replace(lock, pattern, by)
    with pytest.raises(NstflowError) as caught:
        plan_file(lock)
    (problem,) = caught.value.problems
    assert problem.what.startswith(what)
    assert re.match(rf"{re.escape(str(lock))}:\d+:\d+$", problem.where)


def test_locked_run_on_the_command_line(call: Any, folder: Path) -> None:
    lock = locked(folder)
    draw(folder / "photo.png", seed=4)
    answer = call("run", "--locked", "a.lock.yaml", "--out", "out")
    assert answer.code == 2
    assert answer.err.startswith("a.lock.yaml  lock.files.images.content.path\n    the lock has ")
    assert answer.err.endswith("1 problem in a.lock.yaml; nothing was run.\n")
    assert not (folder / "out").exists()
    answer = call("run", "a.lock.yaml", "--out", "out", "--quiet")
    assert answer.code == 0  # without --locked a lock is a recipe like any other
    draw(folder / "photo.png")
    replace(lock, "python: .*", "python: 3.0.0")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        answer = call("run", "--locked", "a.lock.yaml", "--out", "locked", "--quiet")
    assert answer.code == 0
    notes = answer.err.splitlines()
    assert notes[0].startswith("note: lock.python was 3.0.0, here it is ")
    assert notes[1].startswith("note: lock.device was a device, here it is ")
    assert all(note.endswith("a picture like it, perhaps not the same pixels") for note in notes)
    assert len(notes) == 2


# what is told where nothing is refused


def test_what_may_make_another_picture_is_told_as_that(folder: Path) -> None:
    lock = locked(folder)
    replace(lock, f"plugins: {{nstflow: {version('nstflow')}}}", "plugins: {nstflow: 0.0.9}")
    replace(lock, "python: .*", "python: 3.0.0\n  stopped_at: 3")
    draw(folder / "photo.png", seed=1)
    with pytest.warns(NstflowWarning) as caught:
        warn_differences(plan_file(lock))
    first, second, third, fourth = (str(warning.message) for warning in caught)
    assert first.startswith("lock.files.images.content.path was ")
    assert first.endswith(" bytes: perhaps another picture")
    assert second.startswith("lock.plugins.nstflow was 0.0.9, here it is ")
    assert second.endswith(": perhaps another picture")
    assert third.endswith(": a picture like it, perhaps not the same pixels")
    assert fourth == "the picture was stopped after step 3; this takes all 4"


def test_nothing_is_told_of_settings_or_without_a_lock(folder: Path) -> None:
    lock = locked(folder)
    with silence():
        warn_differences(plan_file(lock, ["losses.keep.weight=1"]))
        warn_differences(plan_file(folder / "recipe.yaml"))


# inputs that change under a run


def test_inputs_are_held_to_the_lock_after_they_were_read(folder: Path) -> None:
    plan = plan_file(locked(folder))
    lock = make_lock(plan, "a device", "cpu", folder)
    check_unchanged(plan, lock)
    draw(folder / "style.png", seed=5)
    with pytest.raises(NstflowError) as caught:
        check_unchanged(plan, lock)
    (problem,) = caught.value.problems
    assert problem.what == "images.style.path"
    assert re.search(r"a\.lock\.yaml:\d+:\d+$", problem.where)
    assert "style.png' was changed while the run read it." in problem.got


# --resume


@pytest.fixture
def stopped(folder: Path, asking: Any) -> Path:
    """Return the directory of a run that was stopped after a step."""
    (folder / "recipe.yaml").write_text(RECIPE)
    asks = asking()
    result = nstflow.run(
        *(plan_file(folder / "recipe.yaml"), folder / "out"), observers=[asks], stop=asks.stop
    )
    assert result.interrupted
    return folder / "out"


def test_what_a_run_can_not_go_on_with(stopped: Path, call: Any) -> None:
    """One run that was stopped, tried with one change after the other; then as it was."""
    folder = stopped.parent
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}

    def refused(*settings: str) -> str:
        options = [word for setting in settings for word in ("--set", setting)]
        answer = call("run", "recipe.yaml", "--out", "out", "--resume", *options)
        assert (answer.code, answer.out) == (2, "")
        assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
        return str(answer.err)

    lock = Path("out", "recipe.lock.yaml")
    assert refused("seed=3", "losses.new={use: total_variation}", "checkpoints.every_steps=7") == (
        f"{lock}  seed\n"
        "    the run that is to go on has 0, now it is 3.\n"
        f"{lock}  losses.new\n"
        "    the run that is to go on has –, now it is"
        " {use: total_variation, layers: [image], weight: 1}.\n"
        f"{lock}  checkpoints.every_steps\n"
        "    the run that is to go on has 100, now it is 7."
        " Begin anew with --overwrite, or choose another place with --out.\n"
        "3 problems in out; nothing was run.\n"
    )
    draw(folder / "style.png", seed=6)
    told = refused()
    assert told.startswith(
        f"{lock}  lock.files.images.style.path\n    the run that is to go on has"
    )
    assert "1 problem in out" in told
    draw(folder / "b.png", seed=6)
    told = refused("images.style.path=b.png")
    assert f"{lock}  images.style.path\n" in told
    assert "has ../style.png, now it is ../b.png." in told
    assert f"{lock}  lock.files.images.style.path\n" in told
    draw(folder / "b.png", seed=1)  # the same image by another name
    (folder / "style.png").unlink()
    answer = call(
        *("run", "recipe.yaml", "--out", "out", "--resume", "--quiet"),
        *("--set", "images.style.path=b.png"),
    )
    assert (answer.code, answer.err) == (0, "")


def test_versions_and_devices_are_held_to_the_stored_lock(folder: Path) -> None:
    locked(folder).rename(folder / "recipe.lock.yaml")
    plan = plan_file(folder / "recipe.yaml")
    stored = stored_lock(folder)
    assert stored is not None
    check_resumable(plan, folder, *stored)
    check_same(folder, stored[0], make_lock(plan, "a device", "cpu", folder))
    with pytest.raises(NstflowError, match=r"lock\.device\n.* has a device, now it is another\."):
        check_same(folder, stored[0], make_lock(plan, "another", "cpu", folder))
    with pytest.raises(NstflowError, match=r"lock\.device_kind\n.* has cpu, now it is gpu\."):
        check_same(folder, stored[0], make_lock(plan, "a device", "gpu", folder))
    for name in ("python", "tensorflow"):
        replace(folder / "recipe.lock.yaml", f"{name}: .*", f"{name}: 1.0.0")
    stored = stored_lock(folder)
    assert stored is not None
    with pytest.raises(NstflowError) as caught:
        check_resumable(plan, folder, *stored)
    assert [problem.what for problem in caught.value.problems] == ["lock.python", "lock.tensorflow"]
    assert "has 1.0.0, now it is " in caught.value.problems[0].got


def test_lock_that_was_never_written(tmp_path: Path) -> None:
    assert stored_lock(tmp_path) is None


@pytest.mark.parametrize("text", ["name: x\n", "name: x\nlock: 5\n", "lock: {files: 1}\n", "["])
def test_stored_lock_that_was_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.lock.yaml").write_text(text)
    with pytest.raises(NstflowError) as caught:
        stored_lock(tmp_path)
    assert "recipe.lock.yaml" in caught.value.problems[0].where


def test_stored_lock_is_read_as_it_was_written(folder: Path) -> None:
    locked(folder).rename(folder / "recipe.lock.yaml")
    stored = stored_lock(folder)
    assert stored is not None
    data, lock = stored
    assert data["losses"]["keep"]["weight"] == 10
    assert isinstance(lock, Lock)
    assert set(lock.files) == {"images.content.path", "images.style.path"}


@pytest.mark.parametrize("line", ["device", "device_kind"])
def test_a_stored_lock_without_its_device_is_damaged(folder: Path, line: str) -> None:
    """As a job's lock is, which is no run's."""
    lock = locked(folder)
    (folder / LOCK_FILE).write_text(re.sub(rf"  {line}: .*\n", "", lock.read_text()))
    with pytest.raises(NstflowError, match="the lock of this run is damaged"):
        stored_lock(folder)
