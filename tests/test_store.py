"""The run directory: whole or not at all, and nothing deleted that is not a run's."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.facts import HISTORY_FILE, RECIPE_FILE
from nstflow.store import RunDirectory

HISTORY = {"step": [1, 2], "total": [0.1, 1e-30], "a": [1 / 3, 2.0], "seconds": [0.5, 1.0]}


def refused(action: Callable[[], Any]) -> Problem:
    with pytest.raises(NstflowError) as caught:
        action()
    (problem,) = caught.value.problems
    return problem


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a run that ended."""
    directory = RunDirectory(tmp_path / "runs" / "x")
    directory.write(RECIPE_FILE, "name: x\n")
    directory.write_history(HISTORY)
    (directory.path / "result.png").write_bytes(b"old picture")
    (directory.path / "previews").mkdir()
    (directory.path / "previews" / "1.png").write_bytes(b"old preview")
    return directory.path


def test_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    assert RunDirectory(path).path == path
    assert path.is_dir()


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    RunDirectory(tmp_path).write(RECIPE_FILE, "x")
    assert files(tmp_path) == {RECIPE_FILE}


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    text = "\ufeffname: ä\r\n\n\tend"
    path = RunDirectory(tmp_path).write("a.txt", text)
    assert path == tmp_path / "a.txt"
    assert path.read_bytes() == text.encode()


def test_history(tmp_path: Path) -> None:
    path = RunDirectory(tmp_path).write_history(HISTORY)
    assert path == tmp_path / HISTORY_FILE
    assert path.read_bytes() == (
        b"step,total,a,seconds\n1,0.1,0.3333333333333333,0.5\n2,1e-30,2.0,1.0\n"
    )
    RunDirectory.write_history(RunDirectory(tmp_path / "b"), {"step": [], "total": []})
    assert (tmp_path / "b" / HISTORY_FILE).read_text() == "step,total\n"


def test_existing_run_is_refused(run: Path) -> None:
    before = files(run)
    problem = refused(lambda: RunDirectory(run))
    assert problem.where == str(run)
    assert "exists already" in problem.got
    assert "--overwrite" in problem.hint
    assert "--out" in problem.hint
    assert files(run) == before


def test_overwrite_empties_a_run(run: Path) -> None:
    directory = RunDirectory(run, overwrite=True)
    directory.write(RECIPE_FILE, "name: y\n")
    directory.write_history(HISTORY)
    assert files(run) == {RECIPE_FILE, HISTORY_FILE}


def test_what_was_there_comes_back_from_a_run_that_breaks_off(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    directory = RunDirectory(run, overwrite=True)
    directory.write(RECIPE_FILE, "name: y\n")
    directory.write_history({name: [] for name in HISTORY})
    directory.abandon()
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert files(run) == {RECIPE_FILE, HISTORY_FILE, "result.png", "previews", "previews/1.png"}


def test_overwrite_of_nothing(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "new", overwrite=True)
    assert (tmp_path / "new").is_dir()


def test_overwrite_of_a_run_that_broke_off_early(tmp_path: Path) -> None:
    (tmp_path / RECIPE_FILE).write_text("x")
    (tmp_path / HISTORY_FILE).write_text("step,total,a,seconds\n")
    (tmp_path / ".part-abc").mkdir()
    (tmp_path / ".part-abc" / "result.png").write_bytes(b"half")
    RunDirectory(tmp_path, overwrite=True).write_history(HISTORY)
    assert files(tmp_path) == {HISTORY_FILE}


@pytest.mark.parametrize(
    "held",
    [
        {"photo.jpg"},
        {HISTORY_FILE, "thesis.tex"},
        # where people keep a recipe of their own beside what it names
        {RECIPE_FILE, "photo.jpg"},
        {RECIPE_FILE, "images/photo.jpg"},
        {"sub/recipe.yaml"},
        {"recipe.yaml/x"},
    ],
    ids=lambda held: ", ".join(sorted(held)),
)
def test_overwrite_never_deletes_what_is_no_run(tmp_path: Path, held: set[str]) -> None:
    for name in held:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("dear to someone")
    before = files(tmp_path)
    problem = refused(lambda: RunDirectory(tmp_path, overwrite=True))
    assert "it is no run's" in problem.got
    assert "Nothing was deleted" in problem.hint
    assert files(tmp_path) == before


def test_overwrite_follows_no_symlink(run: Path, tmp_path: Path) -> None:
    dear = tmp_path / "dear"
    dear.mkdir()
    (dear / "thesis.tex").write_text("x")
    (run / "folder").symlink_to(dear)
    (run / "file").symlink_to(dear / "thesis.tex")
    (run / "previews" / "deep").symlink_to(dear)
    (run / "dangling").symlink_to(tmp_path / "nowhere")
    RunDirectory(run, overwrite=True).write_history(HISTORY)
    assert files(run) == {HISTORY_FILE}
    assert files(dear) == {"thesis.tex"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_file_in_its_place(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "out"
    path.write_text("dear")
    problem = refused(lambda: RunDirectory(path, overwrite=overwrite))
    assert "this is a file, not a folder" in problem.got
    assert "--out" in problem.hint
    assert path.read_text() == "dear"


def test_places_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (
        tmp_path / "file" / "out",
        tmp_path / ("x" * 300),
        tmp_path / "dangling",
        tmp_path / "loop",
    ):
        problem = refused(lambda path=path: RunDirectory(path))
        assert problem.where == str(path)
        assert "can't be written" in problem.got
        assert "--out" in problem.hint


def denied(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


FAILURES = {"Permission denied": denied, "No space left": full, "Read-only file system": read_only}


@pytest.mark.parametrize("method", ["mkdir", "exists", "iterdir"])
@pytest.mark.parametrize(("words", "fails"), FAILURES.items(), ids=FAILURES)
def test_folder_that_can_not_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, words: str, fails: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, fails)
        problem = refused(lambda: RunDirectory(tmp_path))
    assert words in problem.got
    assert problem.hint == "Free some space, or choose another place with --out."


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "write_text"), (Path, "replace"), (os, "fsync"), (os, "mkdir")],
)
@pytest.mark.parametrize(("words", "fails"), FAILURES.items(), ids=FAILURES)
def test_write_that_fails_leaves_what_was_there(
    run: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, words: str, fails: Any
) -> None:
    directory = object.__new__(RunDirectory)
    directory.path = run
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        problem = refused(lambda: directory.write(HISTORY_FILE, "step\n1\n"))
    assert words in problem.got
    assert problem.where == str(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert not list(run.glob(".part-*"))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from nstflow.errors import NstflowError
from nstflow.store import RunDirectory

directory = RunDirectory(Path(sys.argv[1]))
directory.write("history.csv", "step\\n1\\n")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    directory.write("history.csv", "x" * 10_000)
except NstflowError as error:
    print(error)
"""


def test_file_that_outgrows_its_room(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "File too large" in done.stdout
    assert "Free some space" in done.stdout
    assert files(tmp_path / "out") == {"history.csv"}
    assert (tmp_path / "out" / "history.csv").read_text() == "step\n1\n"


def test_run_that_never_began_is_taken_back(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "runs" / "x")
    directory.write(RECIPE_FILE, "x")
    directory.abandon()
    assert files(tmp_path) == set()


def test_no_more_is_taken_back_than_was_made(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    directory = RunDirectory(tmp_path / "runs" / "x")
    (tmp_path / "runs" / "y").mkdir()
    directory.abandon()
    assert files(tmp_path) == {"runs", "runs/y"}
    directory = RunDirectory(tmp_path / "runs" / "y")
    directory.write(RECIPE_FILE, "x")
    directory.abandon()
    assert files(tmp_path) == {"runs", "runs/y"}


def test_run_with_a_step_is_not_taken_back(run: Path) -> None:
    directory = RunDirectory(run, overwrite=True)
    directory.write(RECIPE_FILE, "name: y\n")
    directory.write_history(HISTORY)
    directory.abandon()
    assert files(run) == {RECIPE_FILE, HISTORY_FILE}


@pytest.mark.parametrize("kept", ["previews/1.png", "result.png"])
def test_what_others_wrote_is_not_taken_back(tmp_path: Path, kept: str) -> None:
    directory = RunDirectory(tmp_path / "x")
    directory.write(RECIPE_FILE, "x")
    (tmp_path / "x" / kept).parent.mkdir(exist_ok=True)
    (tmp_path / "x" / kept).write_text("work")
    directory.abandon()
    assert f"x/{kept}" in files(tmp_path)


def test_scratch_is_removed_whatever_happens(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with directory.scratch() as folder:
        assert folder.parent == tmp_path
        (folder / "half.png").write_bytes(b"x")
    assert files(tmp_path) == set()

    def breaks_off() -> None:
        with directory.scratch() as folder:
            (folder / "half.png").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        breaks_off()
    assert files(tmp_path) == set()


def test_full_disk_while_an_output_writes(tmp_path: Path) -> None:
    def write() -> None:
        with RunDirectory(tmp_path).scratch() as folder:
            (folder / "half.png").write_bytes(b"x")
            full()

    assert "No space left on device" in refused(write).got
    assert files(tmp_path) == set()


def test_place_moves_a_whole_file(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    with directory.scratch() as folder:
        (folder / "a.png").write_bytes(b"one")
        assert directory.place(folder / "a.png", folder) == tmp_path / "a.png"
    assert (tmp_path / "a.png").read_bytes() == b"one"
    assert files(tmp_path) == {"a.png"}


@pytest.mark.parametrize("name", ["a.png", RECIPE_FILE, HISTORY_FILE])
def test_name_that_is_taken(tmp_path: Path, name: str) -> None:
    directory = RunDirectory(tmp_path)
    with directory.scratch() as folder:
        (folder / "a.png").write_bytes(b"one")
        directory.place(folder / "a.png", folder)
    directory.write(RECIPE_FILE, "recipe")
    directory.write(HISTORY_FILE, "history")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with directory.scratch() as folder:
        (folder / name).write_bytes(b"two")
        problem = refused(lambda: directory.place(folder / name, folder))
    assert problem.got == f"{name} is written already."
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_file_that_an_output_did_not_write(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "out")
    dear = tmp_path / "thesis.tex"
    dear.write_text("dear")
    with directory.scratch() as folder:
        (folder / "link").symlink_to(dear)
        (folder / "folder").mkdir()
        for file in (folder / "a.png", folder / "link", folder / "folder", dear):
            problem = refused(lambda file=file: directory.place(file, folder))
            assert "it wrote no file into its folder" in problem.got
    assert dear.read_text() == "dear"
    assert files(tmp_path / "out") == set()
