"""The run directory: whole or not at all, and nothing deleted that is not a run's."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.storage.checkpoint import Checkpoint
from nstflow.storage.run_directory import RunDirectory
from nstflow.storage.run_record import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    LOCK_FILE,
    OWN,
    RECIPE_FILE,
    RUN_RECORD_FILE,
    RunRecord,
    read_run_record,
)

HISTORY = {"step": [1, 2], "total": [0.1, 1e-30], "a": [1 / 3, 2.0], "seconds": [0.5, 1.0]}
NO_STEPS: dict[str, list[float]] = {name: [] for name in HISTORY}
CHECKPOINT = Checkpoint(
    step=2,
    phase=0,
    first=0,
    canvas=np.zeros((1, 2, 3, 3), np.float32),
    state={"m": np.ones(3, np.float32)},
    history=HISTORY,
)


def refused(action: Callable[[], Any]) -> Problem:
    with pytest.raises(NstflowError) as caught:
        action()
    (problem,) = caught.value.problems
    return problem


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def put(directory: RunDirectory, name: str, content: bytes) -> Path:
    """Write a file as an output does."""
    with directory.scratch() as folder:
        (folder / name).write_bytes(content)
        return directory.place(folder / name, folder)


def begin(directory: RunDirectory, recipe: str) -> None:
    """Write what a run writes before its first step."""
    directory.record(state="running")
    directory.write(RECIPE_FILE, recipe)
    directory.write_history(NO_STEPS)
    directory.write(LOCK_FILE, f"lock of {recipe}")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a run that ended, with someone's own files beside it."""
    path = tmp_path / "runs" / "x"
    with RunDirectory(path) as directory:
        begin(directory, "name: x\n")
        directory.write_history(HISTORY)
        put(directory, "result.png", b"old picture")
        directory.record(state="finished", steps=2)
    (path / "notes.txt").write_text("mine")
    (path / "previews").mkdir()
    (path / "previews" / "1.png").write_bytes(b"mine too")
    return path


OTHERS = {"notes.txt", "previews", "previews/1.png"}


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    """Return a new run's directory, whose lock is held."""
    with RunDirectory(tmp_path / "out") as directory:
        yield directory


def test_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c"
    with RunDirectory(path) as directory:
        assert directory.path == path
        assert path.is_dir()
        assert not directory.held
        assert not directory.has_steps
        assert directory.facts == RunRecord()


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as directory:
        directory.write(RECIPE_FILE, "x")
    assert files(tmp_path) == {RECIPE_FILE}


def test_text_is_written_as_it_is(directory: RunDirectory) -> None:
    text = "\ufeffname: ä\r\n\n\tend"
    path = directory.write("a.txt", text)
    assert path == directory.path / "a.txt"
    assert path.read_bytes() == text.encode()
    assert directory.write("a.txt", b"\x00\xff").read_bytes() == b"\x00\xff"


def test_history(directory: RunDirectory) -> None:
    path = directory.write_history(NO_STEPS)
    assert path == directory.path / HISTORY_FILE
    assert path.read_bytes() == b"step,total,a,seconds\n"
    assert not directory.has_steps
    directory.write_history(HISTORY)
    assert path.read_bytes() == (
        b"step,total,a,seconds\n1,0.1,0.3333333333333333,0.5\n2,1e-30,2.0,1.0\n"
    )
    assert directory.has_steps


def test_facts_are_written_down(directory: RunDirectory) -> None:
    directory.record(steps=3)
    directory.record(state="stopped", seconds=0.1)
    expected = RunRecord(state="stopped", steps=3, seconds=0.1)
    assert directory.facts == expected
    assert read_run_record(directory.path) == expected
    assert json.loads((directory.path / RUN_RECORD_FILE).read_text()) == {
        "state": "stopped",
        "steps": 3,
        "seconds": 0.1,
        "compile_seconds": 0.0,
        "total_seconds": 0.0,
        "files": [],
    }


def test_existing_run_is_refused(run: Path) -> None:
    before = contents(run)
    problem = refused(lambda: RunDirectory(run))
    assert problem.where == str(run)
    assert problem.got == "this run directory exists already."
    assert "--overwrite" in problem.hint
    assert "--resume" not in problem.hint
    assert "--out" in problem.hint
    assert contents(run) == before


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_existing_run_that_has_not_ended_is_refused(run: Path, state: str) -> None:
    with RunDirectory(run, resume=True) as directory:
        directory.record(state=state)
    problem = refused(lambda: RunDirectory(run))
    assert "of a run that has not ended" in problem.got
    assert problem.hint.startswith("Go on with --resume, replace it with --overwrite")


def test_resume_takes_what_is_there(run: Path) -> None:
    before = contents(run)
    with RunDirectory(run, resume=True) as directory:
        assert directory.held
        assert directory.facts == RunRecord(state="finished", steps=2, files=("result.png",))
        directory.fail()
    assert contents(run) == before


def test_resume_of_nothing_is_a_new_run(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "new", resume=True) as directory:
        assert not directory.held
        assert directory.saved() is None
        begin(directory, "name: y\n")
        directory.fail()
    assert files(tmp_path) == set()


def test_a_resumed_run_is_not_taken_back(run: Path) -> None:
    with RunDirectory(run, resume=True) as directory:
        directory.write(RECIPE_FILE, "name: y\n")
        directory.fail()
    assert (run / RECIPE_FILE).read_text() == "name: y\n"
    assert (run / "result.png").read_bytes() == b"old picture"


def test_overwrite_replaces_what_a_run_wrote_and_nothing_else(run: Path) -> None:
    with RunDirectory(run, overwrite=True) as directory:
        assert not directory.held
        assert directory.facts == RunRecord()
        assert files(run) - {path for path in files(run) if path.startswith(".")} == OTHERS
        begin(directory, "name: y\n")
        directory.write_history(HISTORY)
    assert files(run) == {RUN_RECORD_FILE, RECIPE_FILE, HISTORY_FILE, LOCK_FILE} | OTHERS
    assert (run / RECIPE_FILE).read_text() == "name: y\n"
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / "previews" / "1.png").read_bytes() == b"mine too"


@pytest.mark.parametrize("written", range(4))
def test_what_was_there_comes_back_from_a_run_that_breaks_off(run: Path, written: int) -> None:
    before = contents(run)
    with RunDirectory(run, overwrite=True) as directory:
        if written > 0:
            directory.record(state="running")
        if written > 1:
            directory.write(RECIPE_FILE, "name: y\n")
            directory.write_history(NO_STEPS)
        if written > 2:
            directory.write(LOCK_FILE, "lock of y")
        directory.fail()
        directory.fail()
    assert contents(run) == before
    assert files(run) == set(before) | {"previews"}


def test_what_was_there_goes_with_the_first_checkpoint(run: Path) -> None:
    with RunDirectory(run, overwrite=True) as directory:
        begin(directory, "name: y\n")
        assert list(run.glob(".nstflow-old-*"))
        directory.save(CHECKPOINT)
        assert not list(run.glob(".nstflow-old-*"))
        directory.fail()
    names = {RUN_RECORD_FILE, RECIPE_FILE, HISTORY_FILE, LOCK_FILE, CHECKPOINT_FILE}
    assert files(run) == names | OTHERS


def test_overwrite_of_nothing(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "new", overwrite=True) as directory:
        begin(directory, "name: y\n")
    assert (tmp_path / "new" / RUN_RECORD_FILE).is_file()


def test_overwrite_of_a_run_that_broke_off_early(tmp_path: Path) -> None:
    with RunDirectory(tmp_path) as directory:
        directory.record(state="running")
    (tmp_path / ".nstflow-part-abc").mkdir()
    (tmp_path / ".nstflow-part-abc" / "result.png").write_bytes(b"half")
    with RunDirectory(tmp_path, overwrite=True) as directory:
        directory.write_history(HISTORY)
    assert files(tmp_path) == {HISTORY_FILE}


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    "held",
    [
        {"photo.jpg"},
        {HISTORY_FILE, "thesis.tex"},
        # where people keep a recipe of their own beside what it names
        {RECIPE_FILE, "photo.jpg"},
        {RECIPE_FILE, "images/photo.jpg"},
        set(OWN) - {RUN_RECORD_FILE},
        {"sub/recipe.yaml"},
        {"sub/run.json"},
        {"run.json/x"},
        {RUN_RECORD_FILE, "thesis.tex"},  # someone else's run.json
        {".hidden"},
    ],
    ids=lambda held: ", ".join(sorted(held)) if isinstance(held, set) else None,
)
def test_what_is_no_run_is_left_alone(tmp_path: Path, held: set[str], resume: bool) -> None:
    for name in held:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("dear to someone")
    before = contents(tmp_path)
    problem = refused(lambda: RunDirectory(tmp_path, overwrite=not resume, resume=resume))
    assert "it is no run's" in problem.got
    assert "Nothing was deleted" in problem.hint
    assert contents(tmp_path) == before
    got = refused(lambda: RunDirectory(tmp_path)).got
    assert got.startswith("this folder exists already, and holds ")
    assert contents(tmp_path) == before


def test_overwrite_follows_no_symlink(run: Path, tmp_path: Path) -> None:
    dear = tmp_path / "dear"
    dear.mkdir()
    (dear / "thesis.tex").write_text("x")
    (dear / RECIPE_FILE).write_text("x")
    (run / RECIPE_FILE).unlink()
    (run / RECIPE_FILE).symlink_to(dear / RECIPE_FILE)  # of the run's own names
    (run / "result.png").unlink()
    (run / "result.png").symlink_to(dear)
    (run / HISTORY_FILE).unlink()
    (run / HISTORY_FILE).symlink_to(run / HISTORY_FILE)  # a loop
    (run / "folder").symlink_to(dear)  # of others
    (run / "file").symlink_to(dear / "thesis.tex")
    (run / "dangling").symlink_to(tmp_path / "nowhere")
    others = {"folder", "file", "dangling"}
    with RunDirectory(run, overwrite=True, inputs=[dear / "thesis.tex"]) as directory:
        begin(directory, "name: y\n")
        directory.write_history(HISTORY)
    assert {path.name for path in run.iterdir()} == (
        {RUN_RECORD_FILE, RECIPE_FILE, HISTORY_FILE, LOCK_FILE, "notes.txt", "previews"} | others
    )
    assert not (run / RECIPE_FILE).is_symlink()
    assert all((run / name).is_symlink() for name in others)
    assert contents(dear) == {"thesis.tex": b"x", RECIPE_FILE: b"x"}


def test_writing_follows_no_symlink(directory: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "dear.txt").write_text("dear")
    for name in OWN:
        (directory.path / name).symlink_to(tmp_path / "dear.txt")
    begin(directory, "name: y\n")
    directory.save(CHECKPOINT)
    assert (tmp_path / "dear.txt").read_text() == "dear"
    assert not any((directory.path / name).is_symlink() for name in OWN)


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
    before = files(tmp_path)
    for path in (
        tmp_path / "file" / "out",
        tmp_path / ("x" * 300),
        tmp_path / "made" / ("x" * 300),
        tmp_path / "dangling",
        tmp_path / "loop",
    ):
        problem = refused(lambda path=path: RunDirectory(path))
        assert problem.where == str(path)
        assert "can't be written" in problem.got
        assert "--out" in problem.hint
    assert files(tmp_path) == before


def denied(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def read_only(*_: Any, **__: Any) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


FAILURES = {"Permission denied": denied, "No space left": full, "Read-only file system": read_only}


@pytest.mark.parametrize(
    ("owner", "name"), [(Path, "mkdir"), (Path, "exists"), (os, "listdir"), (os, "open")]
)
@pytest.mark.parametrize(("words", "fails"), FAILURES.items(), ids=FAILURES)
def test_folder_that_can_not_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, words: str, fails: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails)
        problem = refused(lambda: RunDirectory(tmp_path))
    assert words in problem.got
    assert problem.hint == "Free some space, or choose another place with --out."
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "write_bytes"), (Path, "replace"), (os, "fsync"), (os, "mkdir")],
)
@pytest.mark.parametrize(("words", "fails"), FAILURES.items(), ids=FAILURES)
def test_write_that_fails_leaves_what_was_there(
    run: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, words: str, fails: Any
) -> None:
    before = contents(run)
    with RunDirectory(run, resume=True) as directory:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fails)
            problem = refused(lambda: directory.write(HISTORY_FILE, "step\n1\n"))
            assert words in refused(lambda: directory.record(steps=9)).got
            assert words in refused(lambda: directory.save(CHECKPOINT)).got
        assert not directory.has_steps
    assert words in problem.got
    assert problem.where == str(run)
    assert contents(run) == before


@pytest.mark.parametrize(("words", "fails"), FAILURES.items(), ids=FAILURES)
def test_setting_aside_that_fails_leaves_what_was_there(
    run: Path, monkeypatch: pytest.MonkeyPatch, words: str, fails: Any
) -> None:
    before = contents(run)
    rename, left = Path.rename, iter(range(2))

    def rename_two(path: Path, target: Path) -> Path:
        return rename(path, target) if next(left, None) is not None else fails()

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_two)
        problem = refused(lambda: RunDirectory(run, overwrite=True))
    assert words in problem.got
    assert contents(run) == before
    assert next(left, None) is None  # it had begun


def test_an_error_that_is_not_the_disks_is_told_as_it_is(directory: RunDirectory) -> None:
    def write() -> None:
        with directory.scratch():
            raise ConnectionResetError(errno.ECONNRESET, "of an output that asks a network")

    with pytest.raises(ConnectionResetError):
        write()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from nstflow.errors import NstflowError
from nstflow.storage.run_directory import RunDirectory

with RunDirectory(Path(sys.argv[1])) as directory:
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
    assert contents(tmp_path / "out") == {"history.csv": b"step\n1\n"}


def test_run_that_never_began_is_taken_back(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "runs" / "x") as directory:
        begin(directory, "x")
        directory.fail()
    assert files(tmp_path) == set()


def test_no_more_is_taken_back_than_was_made(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with RunDirectory(tmp_path / "runs" / "x") as directory:
        (tmp_path / "runs" / "y").mkdir()
        directory.fail()
    assert files(tmp_path) == {"runs", "runs/y"}
    with RunDirectory(tmp_path / "runs" / "y") as directory:
        begin(directory, "x")
        directory.fail()
    assert files(tmp_path) == {"runs", "runs/y"}


def test_run_with_a_step_is_not_taken_back(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "x") as directory:
        begin(directory, "name: y\n")
        directory.write_history(HISTORY)
        directory.fail()
    assert files(tmp_path / "x") == {RUN_RECORD_FILE, RECIPE_FILE, LOCK_FILE, HISTORY_FILE}


@pytest.mark.parametrize("kept", ["previews/1.png", "result.png"])
def test_what_others_wrote_is_not_taken_back(tmp_path: Path, kept: str) -> None:
    with RunDirectory(tmp_path / "x") as directory:
        begin(directory, "x")
        (tmp_path / "x" / kept).parent.mkdir(exist_ok=True)
        (tmp_path / "x" / kept).write_text("work")
        directory.fail()
    assert contents(tmp_path / "x") == {kept: b"work"}


def test_scratch_is_removed_whatever_happens(directory: RunDirectory) -> None:
    before = files(directory.path)
    with directory.scratch() as folder:
        assert folder.parent == directory.path
        (folder / "half.png").write_bytes(b"x")
    assert files(directory.path) == before

    def breaks_off() -> None:
        with directory.scratch() as folder:
            (folder / "half.png").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        breaks_off()
    assert files(directory.path) == before


def test_full_disk_while_an_output_writes(directory: RunDirectory) -> None:
    def write() -> None:
        with directory.scratch() as folder:
            (folder / "half.png").write_bytes(b"x")
            full()

    before = files(directory.path)
    assert "No space left on device" in refused(write).got
    assert files(directory.path) == before


def test_place_moves_a_whole_file(directory: RunDirectory) -> None:
    with directory.scratch() as folder:
        (folder / "a.png").write_bytes(b"one")
        assert directory.place(folder / "a.png", folder) == directory.path / "a.png"
        assert files(folder) == set()
    put(directory, "b.png", b"two")
    assert (directory.path / "a.png").read_bytes() == b"one"
    facts = read_run_record(directory.path)
    assert facts is not None
    assert facts.files == ("a.png", "b.png")


def test_a_file_is_a_runs_before_it_is_there(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed between the two leaves no file that the next run takes for yours."""
    known: list[tuple[str, ...]] = []
    replace = Path.replace

    def look(path: Path, target: Path) -> Path:
        facts = read_run_record(directory.path)
        known.append(facts.files if facts else ())
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look)
    put(directory, "a.png", b"one")
    assert known[-1] == ("a.png",)


@pytest.mark.parametrize("name", ["a.png", *OWN])
def test_name_that_is_taken(directory: RunDirectory, name: str) -> None:
    put(directory, "a.png", b"one")
    begin(directory, "recipe")
    directory.save(CHECKPOINT)
    before = contents(directory.path)
    problem = refused(lambda: put(directory, name, b"two"))
    assert problem.got == f"{name} is written already."
    assert "another name" in problem.hint
    assert contents(directory.path) == before


@pytest.mark.parametrize("name", [".nstflow.lock", ".nstflow-part-x", ".nstflow-old-x", ".a.png"])
def test_hidden_names_are_not_to_be_had(directory: RunDirectory, name: str) -> None:
    before = contents(directory.path)
    refused(lambda: put(directory, name, b"one"))
    assert contents(directory.path) == before


@pytest.mark.parametrize("made", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_someones_own_file_is_not_replaced(
    directory: RunDirectory, made: Callable[[Path], None]
) -> None:
    begin(directory, "recipe")
    made(directory.path / "a.png")
    before = os.lstat(directory.path / "a.png")
    problem = refused(lambda: put(directory, "a.png", b"one"))
    assert problem.got == "a.png is there already, and no run wrote it."
    assert "--resume" in problem.hint
    assert os.lstat(directory.path / "a.png") == before
    assert directory.facts.files == ()


def test_a_resumed_run_replaces_its_own_file(run: Path) -> None:
    with RunDirectory(run, resume=True) as directory:
        put(directory, "result.png", b"new picture")
        assert "written already" in refused(lambda: put(directory, "result.png", b"again")).got
        assert directory.facts.files == ("result.png",)
    assert (run / "result.png").read_bytes() == b"new picture"


def test_file_that_an_output_did_not_write(directory: RunDirectory, tmp_path: Path) -> None:
    dear = tmp_path / "thesis.tex"
    dear.write_text("dear")
    begin(directory, "x")
    before = contents(directory.path)
    with directory.scratch() as folder:
        (folder / "link").symlink_to(dear)
        (folder / "folder").mkdir()
        (folder / "folder" / "a.png").write_bytes(b"x")
        for file in (
            folder / "a.png",
            folder / "link",
            folder / "folder",
            folder / "folder" / "a.png",
            folder / ".." / RUN_RECORD_FILE,
            folder / ".." / ".." / "thesis.tex",
            folder / "..",
            folder,
            folder.parent / RUN_RECORD_FILE,
            Path("thesis.tex"),
            dear,
        ):
            problem = refused(lambda file=file: directory.place(file, folder))
            assert "it wrote no file into its folder" in problem.got
    assert dear.read_text() == "dear"
    assert contents(directory.path) == before


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "x") as directory:
        begin(directory, "x")
        directory.save(CHECKPOINT)
        assert directory.saved() is None  # it is for the next
    with RunDirectory(tmp_path / "x", resume=True) as directory:
        saved = directory.saved()
        assert saved is not None
        assert (saved.step, saved.history) == (2, HISTORY)
        directory.drop_checkpoint()
        directory.drop_checkpoint()
        assert directory.saved() is None
    assert files(tmp_path / "x") == {RUN_RECORD_FILE, RECIPE_FILE, LOCK_FILE, HISTORY_FILE}


@pytest.mark.parametrize("again", [None, "folder", "run"])
def test_a_folder_that_is_deleted_under_a_run(tmp_path: Path, again: str | None) -> None:
    path = tmp_path / "x"
    with RunDirectory(path) as directory:
        begin(directory, "name: x\n")
        shutil.rmtree(path)
        other = RunDirectory(path) if again == "run" else None
        if other is not None:
            begin(other, "name: y\n")
        elif again == "folder":
            path.mkdir()
            (path / RECIPE_FILE).write_text("mine")
        before = contents(path) if again else {}
        for act in (
            lambda: directory.record(steps=1),
            lambda: directory.write_history(HISTORY),
            lambda: directory.save(CHECKPOINT),
            lambda: put(directory, "result.png", b"x"),
            directory.drop_checkpoint,
        ):
            assert "the run directory is gone" in refused(act).got
        directory.fail()
    assert path.exists() == (again is not None)
    if again:
        assert contents(path) == before
    if other is not None:
        assert "another run is at work" in refused(lambda: RunDirectory(path)).got
        with other:
            other.save(CHECKPOINT)
