"""Faults of the world around a run: disks that fill up, folders and files that change under it."""

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import nstflow
from nstflow import hookimpl
from nstflow.errors import NstflowError
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.runner.cache import RunCache
from nstflow.stages.result import Progress
from refusals import problems_of

RECIPE = """\
name: tiny
images:
  content: {use: noise, height: 64, width: 64}
  photo: photo.png
preprocess: []
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: photo, layers: [image], weight: 7}
schedule: {use: epochs, epochs: 2, steps_per_epoch: 3}
checkpoints: {every_steps: 1}
"""
CHECKPOINT = 3 * 64 * 64 * 3 * 4  # bytes of the canvas and of two moments


@pytest.fixture
def recipe(write: Any, tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "photo.png")
    path: Path = write(RECIPE)
    return path


def in_a_mount(folder: Path, options: str, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with a file system of its own at `disk`, which ends with it."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here, so no separate file system")
    (folder / "disk").mkdir()
    able = f"mount -t tmpfs -o {options} tmpfs disk"
    unshared = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshared, able], cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("this system does not let its users mount a file system")
    run = f"{sys.executable} -m nstflow run recipe.yaml --quiet --out disk/out"
    text = f"run='{run}'\n{able}\n{textwrap.dedent(script)}"
    return subprocess.run(
        [*unshared, text], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.usefixtures("recipe")
@pytest.mark.parametrize("kilobytes", [4, 16, CHECKPOINT // 1024])
def test_a_disk_that_is_full(kilobytes: int, tmp_path: Path) -> None:
    """Full from the first file, from the lock or the history, from the first checkpoint."""
    done = in_a_mount(tmp_path, f"size={kilobytes}k", "$run; echo $?; ls -A disk/out")
    code, *left = done.stdout.split()
    assert code == "2"
    assert "the run directory can't be written: No space left on device. Free some" in done.stderr
    assert "Traceback" not in done.stderr
    assert not [name for name in left if name.startswith(".")]
    assert "checkpoint.safetensors" not in left


@pytest.mark.usefixtures("recipe")
def test_a_disk_that_gets_room_again(tmp_path: Path) -> None:
    size = 2 * CHECKPOINT + 40_000  # one checkpoint and the next, not a picture beside them
    done = in_a_mount(
        tmp_path,
        f"size={size}",
        """
        head -c 30000 /dev/zero > disk/other
        $run; echo $?
        ls -A disk/out
        echo --
        rm disk/other
        mount -o remount,size=10m disk
        $run --resume; echo $?
        ls -A disk/out
        cp disk/out/result.png again.png
        """,
    )
    broken, whole = (part.split() for part in done.stdout.split("--"))
    assert broken[0] == "2", done.stderr
    assert "and can be resumed with --resume" in done.stderr
    assert "checkpoint.safetensors" in broken
    held = ["history.csv", "recipe.lock.yaml", "recipe.yaml", "result.png", "run.json"]
    assert whole == ["disk/out/result.png", "0", *held]
    alone = nstflow.run(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "alone")
    with PIL.Image.open(tmp_path / "again.png") as one, PIL.Image.open(alone.files[0]) as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.usefixtures("recipe")
def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    done = in_a_mount(tmp_path, "ro", "$run; echo $?")
    assert done.stdout == "2\n"
    assert "the run directory can't be written: Read-only file system." in done.stderr
    assert "Traceback" not in done.stderr


class At:
    """Does something after a step."""

    def __init__(self, step: int, do: Any) -> None:
        self.step, self.do = step, do

    @hookimpl
    def nstflow_progress(self, progress: Progress) -> None:
        if progress.step == self.step:
            self.do()


def test_a_folder_that_is_deleted_under_the_run(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(NstflowError, match="the run directory is gone: it was deleted") as caught:
        nstflow.run(load_recipe(recipe), out, observers=[At(2, lambda: shutil.rmtree(out))])
    assert caught.value.closing == "the run stopped"
    assert not out.exists()


def test_a_folder_in_whose_place_another_run_is(recipe: Path, tmp_path: Path) -> None:
    out, stop = tmp_path / "out", nstflow.Stop()
    for name in ("out", "other"):
        nstflow.run(
            load_recipe(recipe), tmp_path / name, observers=[At(2, stop.request)], stop=stop
        )
    before = (tmp_path / "other" / "result.png").read_bytes()

    def swap() -> None:
        out.rename(tmp_path / "elsewhere")
        (tmp_path / "other").rename(out)

    with pytest.raises(NstflowError, match="the run directory is gone"):
        nstflow.run(load_recipe(recipe), out, resume=True, observers=[At(6, swap)])
    assert (out / "result.png").read_bytes() == before


def test_a_folder_that_is_replaced_under_the_run(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def replace() -> None:
        out.rename(tmp_path / "elsewhere")
        out.write_text("mine")

    with pytest.raises(NstflowError, match="can't be written: Not a directory"):
        nstflow.run(load_recipe(recipe), out, observers=[At(2, replace)])
    assert out.read_text() == "mine"


def test_an_image_that_changes_while_it_is_read(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nstflow.builtin.loaders import file

    decode = file.decode

    def changed(path: Path, **options: bool) -> Any:
        decoded = decode(path, **options)
        PIL.Image.new("RGB", (40, 48)).save(path)
        return decoded

    monkeypatch.setattr(file, "decode", changed)
    with pytest.raises(NstflowError, match=r"yaml:4:3  images\.photo\.path\n.*was changed while"):
        nstflow.run(load_recipe(recipe), tmp_path / "out", shared=RunCache())
    assert not (tmp_path / "out").exists()


def test_an_image_that_changes_after_it_was_read(recipe: Path, tmp_path: Path) -> None:
    whole = nstflow.run(load_recipe(recipe), tmp_path / "whole")

    def change() -> None:
        PIL.Image.new("RGB", (40, 48)).save(tmp_path / "photo.png")

    late = nstflow.run(load_recipe(recipe), tmp_path / "late", observers=[At(2, change)])
    assert late.image.pixels.tobytes() == whole.image.pixels.tobytes()
    before, after = (
        (tmp_path / name / "recipe.lock.yaml").read_text() for name in ("whole", "late")
    )
    assert before == after


def test_an_image_that_changed_since_the_run_was_stopped(recipe: Path, tmp_path: Path) -> None:
    stop = nstflow.Stop()
    nstflow.run(load_recipe(recipe), tmp_path / "out", observers=[At(2, stop.request)], stop=stop)
    PIL.Image.new("RGB", (40, 48)).save(tmp_path / "photo.png")
    problems = problems_of(nstflow.run, load_recipe(recipe), tmp_path / "out", resume=True)
    assert "lock.files.images.photo.path" in {problem.what for problem in problems}


def test_an_image_that_is_deleted_before_it_is_read(recipe: Path, tmp_path: Path) -> None:
    plan = make_plan(load_recipe(recipe))
    (tmp_path / "photo.png").unlink()
    with pytest.raises(NstflowError, match=r"images\.photo\.path\n.*can't be read \(No such file"):
        nstflow.run(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ELSEWHERE = """
from pathlib import Path
from typing import Literal

import nstflow


class Elsewhere(nstflow.Output):
    '''Write where it may not.'''

    use: Literal["elsewhere"] = "elsewhere"
    name: str = ""

    def write(self, result, folder):
        {write}


@nstflow.hookimpl
def nstflow_stages():
    return [Elsewhere]
"""


@pytest.mark.parametrize(
    "body",
    [
        "path = folder / '../../stolen.png'; path.write_text('x'); return path",
        "path = folder.parent / 'stolen.png'; path.write_text('x'); return path",
        "path = folder / 'a' ; path.symlink_to(folder.parent.parent / 'photo.png'); return path",
        "return folder.parent.parent / 'photo.png'",
        "path = folder / 'run.json'; path.write_text('x'); return path",
        "path = folder / '.nstflow.lock'; path.write_text('x'); return path",
    ],
)
def test_an_output_can_not_leave_the_run_directory(
    body: str, recipe: Path, install: Any, tmp_path: Path
) -> None:
    install("nstflow-elsewhere", ELSEWHERE.format(write=body))
    before = (tmp_path / "photo.png").read_bytes()
    with pytest.raises(NstflowError, match=r"outputs\.0"):
        nstflow.run(load_recipe(recipe, ["outputs=[{use: elsewhere}]"]), tmp_path / "out")
    assert (tmp_path / "photo.png").read_bytes() == before
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["files"] == []  # what a plugin's own code wrote elsewhere is no result
    assert not (tmp_path / "out" / "a").is_symlink()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "x.png", "X", ""])
def test_names_can_not_leave_the_run_directory(name: str, recipe: Path) -> None:
    with pytest.raises(NstflowError):
        make_plan(load_recipe(recipe, [f"outputs.0.name={name or chr(39) * 2}"]))
    with pytest.raises(NstflowError):
        make_plan(load_recipe(recipe, [f"name={name or chr(39) * 2}"]))


def test_a_symbolic_link_in_the_run_directory_is_replaced_not_followed(
    recipe: Path, tmp_path: Path
) -> None:
    stop = nstflow.Stop()
    nstflow.run(load_recipe(recipe), tmp_path / "out", observers=[At(2, stop.request)], stop=stop)
    precious = tmp_path / "precious.txt"
    precious.write_text("precious")
    for name in ("history.csv", "result.png", "run.json"):
        file = tmp_path / "out" / name
        if name != "run.json":
            file.unlink()
            file.symlink_to(precious)
    nstflow.run(load_recipe(recipe), tmp_path / "out", resume=True)
    assert precious.read_text() == "precious"
    assert not (tmp_path / "out" / "result.png").is_symlink()
