"""Whether what is to be run agrees with a lock: `--locked`, `--resume`, `rerun`."""

import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nstflow
from nstflow.errors import NstflowError, NstflowWarning
from nstflow.lockfile.build import make_lock
from nstflow.lockfile.check import (
    check_locked,
    check_resumable,
    stored_lock,
    warn_device,
    warn_differences,
)
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.storage.run_record import LOCK_FILE
from pictures import draw
from refusals import problems_of, refused


@contextmanager
def silence() -> Iterator[None]:
    """Let a warning fail the test."""
    with warnings.catch_warnings(action="error"):
        yield


def check(path: Path, *settings: str) -> None:
    """Run the checks of `--locked` on a lockfile."""
    plan = make_plan(load_recipe(path, settings))
    check_locked(make_lock(plan, plan.recipe.folder))


def replace(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text(encoding="utf-8"))
    assert count == 1
    path.write_text(text, encoding="utf-8")


# --locked


def test_everything_is_as_it_was(locked: Any, with_term: str) -> None:
    with silence():
        check(locked(with_term))


def test_input_that_was_changed(locked: Any, folder: Path) -> None:
    lock = locked()
    draw(folder / "style.png", seed=2)
    problem = refused(check, lock)
    assert (problem.where, problem.what) == (str(lock), "lock.files.images.style.path")
    words = r"the lock has [0-9a-f]{12}…, [\d,]+ bytes, here it is [0-9a-f]{12}…, [\d,]+ bytes\."
    assert re.fullmatch(words, problem.got)
    assert problem.hint == "Restore them, or leave --locked out."


def test_renamed_input_and_empty_section_that_is_left_out_make_no_difference(
    locked: Any, folder: Path
) -> None:
    lock = locked()
    (folder / "photo.png").rename(folder / "b.png")
    replace(lock, "path: photo.png", "path: b.png")
    replace(lock, "  weights: {}\n", "")
    with silence():
        check(lock)


def test_weights_that_were_changed(
    locked: Any, recipe_text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those with a name, and those in a file of the user."""
    np.savez(folder / "mine.npz", a=np.zeros(1))
    lock = locked(recipe_text.replace("random", "mine.npz"))
    replace(lock, "weights: {}", f"weights: {{net: {'ab' * 32}}}")
    asset = nstflow.Asset("net", present=True, sha256="cd" * 32)
    monkeypatch.setattr(type(load_recipe(lock).extractor), "assets", lambda *_: [asset])
    np.savez(folder / "mine.npz", a=np.ones(1))
    first, second = problems_of(check, lock)
    assert first.what == "lock.files.extractor.weights"
    assert second.what == "lock.weights.net"
    assert second.got == "the lock has abababababab…, here it is cdcdcdcdcdcd…."


def test_every_difference_is_listed(locked: Any, with_term: str, folder: Path) -> None:
    lock = locked(with_term)
    for name in ("photo.png", "style.png"):
        draw(folder / name, seed=3)
    replace(lock, f"nstflow: {version('nstflow')}", "nstflow: 0.0.9")
    replace(lock, "nstflow-term: '2.5'", "nstflow-term: '0.9'")
    replace(lock, "weights: {}", f"weights: {{net: {'ab' * 32}}}")
    replace(lock, "python: .*", "python: 3.0.0")
    problems = problems_of(check, lock)
    assert [problem.what for problem in problems] == [
        "lock.files.images.content.path",
        "lock.files.images.style.path",
        "lock.weights.net",
        "lock.plugins.nstflow",
        "lock.plugins.nstflow-term",
    ]
    assert problems[2].got == "the lock has abababababab…, here it is –."
    assert [bool(problem.hint) for problem in problems] == [False] * 4 + [True]


def test_image_that_is_not_in_the_lock(locked: Any) -> None:
    """One that was added by hand, or whose hash was taken out."""
    lock = locked()
    replace(lock, r"\n    images\.style\.path: .*", "")
    problem = refused(check, lock)
    assert problem.what == "lock.files.images.style.path"
    assert problem.got.startswith("the lock has –, here it is ")
    replace(lock, r"  files:\n    images\.content\.path: .*\n", "")
    problem = refused(check, lock)
    assert problem.what == "lock.files"


def test_other_versions_of_python_and_tensorflow_are_warnings(locked: Any) -> None:
    lock = locked()
    replace(lock, "python: .*", "python: 3.0.0")
    replace(lock, "tensorflow: .*", "tensorflow: 2.0.0")
    with pytest.warns(NstflowWarning) as caught:
        check(lock)
    starts = [str(warning.message).partition(", here")[0] for warning in caught]
    assert starts == ["lock.python was 3.0.0", "lock.tensorflow was 2.0.0"]
    assert all("perhaps not the same pixels" in str(warning.message) for warning in caught)


def test_another_device_is_a_warning_once_it_is_known(locked: Any, folder: Path) -> None:
    lockfile = make_lock(make_plan(load_recipe(locked())), folder)
    with silence():
        warn_device(lockfile.on("a device", "cpu"))
        warn_device(
            make_lock(make_plan(load_recipe(folder / "recipe.yaml")), folder).on("a device", "cpu")
        )
    with pytest.warns(NstflowWarning) as caught:
        warn_device(lockfile.on("another", "gpu"))
    assert [str(warning.message).partition(":")[0] for warning in caught] == [
        "lock.device was a device, here it is another",
        "lock.device_kind was cpu, here it is gpu",
    ]


def test_another_environment_is_a_warning(locked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For `--locked`, and for `rerun` and `verify`, whichever of both has a variable."""
    variable = "{NVIDIA_TF32_OVERRIDE: 0}"
    lock = locked()
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    words = rf"lock\.environment was –, here it is {variable}: .* perhaps not the same pixels"
    with pytest.warns(NstflowWarning, match=words):
        check(lock)
    with pytest.warns(NstflowWarning, match=words):
        warn_differences(make_plan(load_recipe(lock)))
    lock = locked()
    with silence():
        check(lock)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    with pytest.warns(NstflowWarning, match=rf"environment was {variable}, here it is –: "):
        check(lock)


def test_recipe_without_a_lock_and_lock_with_a_setting(locked: Any, folder: Path) -> None:
    lock, recipe = locked(), folder / "recipe.yaml"
    problem = refused(check, recipe)
    assert problem.got == "this recipe has no lock section."
    assert problem.hint == f"Write one with `nstflow lock {recipe}`."
    problem = refused(check, lock, "losses.keep.weight=1")
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
def test_lock_that_was_damaged(pattern: str, by: str, what: str, locked: Any) -> None:
    lock = locked()
    replace(lock, pattern, by)
    problem = refused(lambda: make_plan(load_recipe(lock)))
    assert problem.what.startswith(what)
    assert re.match(rf"{re.escape(str(lock))}:\d+:\d+$", problem.where)


def test_locked_run_on_the_command_line(call: Any, locked: Any, folder: Path) -> None:
    lock = locked()
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
    with warnings.catch_warnings(action="default"):
        answer = call("run", "--locked", "a.lock.yaml", "--out", "locked", "--quiet")
    assert answer.code == 0
    notes = answer.err.splitlines()
    assert notes[0].startswith("note: lock.python was 3.0.0, here it is ")
    assert notes[1].startswith("note: lock.device was a device, here it is ")
    assert all(note.endswith("a picture like it, perhaps not the same pixels") for note in notes)
    assert len(notes) == 2


# rerun and verify warn, and refuse nothing


def test_warnings_say_what_may_make_another_picture(locked: Any, folder: Path) -> None:
    lock = locked()
    replace(lock, f"plugins: {{nstflow: {version('nstflow')}}}", "plugins: {nstflow: 0.0.9}")
    replace(lock, "python: .*", "python: 3.0.0\n  stopped_at: 3")
    draw(folder / "photo.png", seed=1)
    with pytest.warns(NstflowWarning) as caught:
        warn_differences(make_plan(load_recipe(lock)))
    first, second, third, fourth = (str(warning.message) for warning in caught)
    assert first.startswith("lock.files.images.content.path was ")
    assert first.endswith(" bytes: perhaps another picture")
    assert second.startswith("lock.plugins.nstflow was 0.0.9, here it is ")
    assert second.endswith(": perhaps another picture")
    assert third.endswith(": a picture like it, perhaps not the same pixels")
    assert fourth == "the picture was stopped after step 3; this takes all 4"


def test_no_warning_for_settings_or_without_a_lock(locked: Any, folder: Path) -> None:
    lock = locked()
    with silence():
        warn_differences(make_plan(load_recipe(lock, ["losses.keep.weight=1"])))
        warn_differences(make_plan(load_recipe(folder / "recipe.yaml")))


# --resume


def test_run_that_can_not_be_resumed(ran: Path, call: Any, tmp_path: Path) -> None:
    """A run that was stopped, with one change after the other; then as it was."""
    shutil.copytree(ran, tmp_path, dirs_exist_ok=True)
    stopped = tmp_path / "stopped"
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}

    def answered(*settings: str) -> str:
        options = [word for setting in settings for word in ("--set", setting)]
        answer = call("run", "recipe.yaml", "--out", "stopped", "--resume", *options)
        assert (answer.code, answer.out) == (2, "")
        assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before
        return str(answer.err)

    lock = Path("stopped", "recipe.lock.yaml")
    assert answered("seed=3", "losses.new={use: total_variation}", "checkpoints.every_steps=7") == (
        f"{lock}  seed\n"
        "    the run to resume has 0, now it is 3.\n"
        f"{lock}  losses.new\n"
        "    the run to resume has –, now it is"
        " {use: total_variation, layers: [image], weight: 1, kind: l2}.\n"
        f"{lock}  checkpoints.every_steps\n"
        "    the run to resume has 100, now it is 7."
        " Repeat the --set options of the first run, start again with --overwrite, or choose"
        " another place with --out.\n"
        "3 problems in stopped; nothing was run.\n"
    )
    # how to compute the convolutions follows from the layers
    assert "extractor" not in answered("losses.keep.layers=[block2_conv2]")
    assert "extractor.convolution" in answered("extractor.convolution={block1_conv1: winograd}")
    draw(tmp_path / "style.png", seed=6)
    problems = answered()
    start = f"{lock}  lock.files.images.style.path\n    the run to resume has"
    assert problems.startswith(start)
    assert "1 problem in stopped" in problems
    draw(tmp_path / "b.png", seed=6)
    problems = answered("images.style.path=b.png")
    assert f"{lock}  images.style.path\n" in problems
    assert "has ../style.png, now it is ../b.png." in problems
    assert f"{lock}  lock.files.images.style.path\n" in problems
    draw(tmp_path / "b.png", seed=1)  # the same image by another name
    (tmp_path / "style.png").unlink()
    options = ["--resume", "--quiet", "--set", "images.style.path=b.png"]
    answer = call("run", "recipe.yaml", "--out", "stopped", *options)
    assert (answer.code, answer.err) == (0, "")


def test_stored_lock_is_compared_with_versions_and_device(locked: Any, folder: Path) -> None:
    locked().rename(folder / LOCK_FILE)
    lockfile = make_lock(make_plan(load_recipe(folder / "recipe.yaml")), folder)
    stored = stored_lock(folder)
    assert stored is not None
    assert stored["losses"]["keep"]["weight"] == 10
    check_resumable(stored, lockfile.on("a device", "cpu"), folder)
    with pytest.raises(NstflowError, match=r"lock\.device\n.* has a device, now it is another\."):
        check_resumable(stored, lockfile.on("another", "cpu"), folder)
    with pytest.raises(NstflowError, match=r"lock\.device_kind\n.* has cpu, now it is gpu\."):
        check_resumable(stored, lockfile.on("a device", "gpu"), folder)
    for name in ("python", "tensorflow"):
        replace(folder / LOCK_FILE, f"{name}: .*", f"{name}: 1.0.0")
    stored = stored_lock(folder)
    assert stored is not None
    problems = problems_of(check_resumable, stored, lockfile.on("a device", "cpu"), folder)
    assert [problem.what for problem in problems] == ["lock.python", "lock.tensorflow"]
    assert "has 1.0.0, now it is " in problems[0].got
    for losses in ({}, {"losses": 5}, {"losses": [1]}):
        data = {name: value for name, value in stored.items() if name != "losses"} | losses
        problems = problems_of(check_resumable, data, lockfile.on("a device", "cpu"), folder)
        assert "losses" in [problem.what for problem in problems]


def test_run_is_not_resumed_in_another_environment(
    locked: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked().rename(folder / LOCK_FILE)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    lockfile = make_lock(make_plan(load_recipe(folder / "recipe.yaml")), folder)
    stored = stored_lock(folder)
    assert stored is not None
    problem = refused(check_resumable, stored, lockfile.on("a device", "cpu"), folder)
    assert problem.what == "lock.environment"
    assert problem.got == "the run to resume has –, now it is {NVIDIA_TF32_OVERRIDE: 0}."
    assert problem.hint.startswith("Repeat the environment variables of the first run, ")


@pytest.mark.parametrize("text", ["name: x\n", "name: x\nlock: 5\n", "lock: {files: 1}\n", "["])
def test_stored_lock_that_was_damaged(text: str, tmp_path: Path) -> None:
    assert stored_lock(tmp_path) is None
    (tmp_path / LOCK_FILE).write_text(text)
    assert LOCK_FILE in problems_of(stored_lock, tmp_path)[0].where


@pytest.mark.parametrize("line", ["device", "device_kind"])
def test_stored_lock_without_its_device_is_damaged(locked: Any, folder: Path, line: str) -> None:
    """That of a matrix's job has none, and is never in a run directory."""
    (folder / LOCK_FILE).write_text(re.sub(rf"  {line}: .*\n", "", locked().read_text()))
    with pytest.raises(NstflowError, match="the lock of this run is damaged"):
        stored_lock(folder)
