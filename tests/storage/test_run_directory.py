"""The run directory: one run at a time, files whole or not at all, nobody else's files touched."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from nstflow.errors import NstflowWarning, Problem
from nstflow.storage.checkpoint import Checkpoint
from nstflow.storage.run_directory import DirectoryMutex, RunDirectory
from nstflow.storage.run_record import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    LOCK_FILE,
    RECIPE_FILE,
    RUN_FILES,
    RUN_RECORD_FILE,
    RunRecord,
    read_run_record,
)
from refusals import refused

MUTEX = ".nstflow.lock"
HISTORY = {"step": [1, 2], "total": [0.1, 1e-30], "a": [1 / 3, 2.0], "seconds": [0.5, 1.0]}
NO_STEPS: dict[str, list[float]] = {name: [] for name in HISTORY}
CHECKPOINT = Checkpoint(
    step=2,
    phases=(),
    canvas=np.zeros((1, 2, 3, 3), np.float32),
    state={"m": np.ones(3, np.float32)},
    history=HISTORY,
)
RECORD = RunRecord(state="finished", steps=2, files=("result.png", "steps.gif"))
OLD = {
    **{name: f"old {name}".encode() for name in RUN_FILES},
    RUN_RECORD_FILE: RECORD.model_dump_json().encode(),
    "result.png": b"old result.png",
    "steps.gif": b"old steps.gif",
}
MINE = {  # what someone keeps beside a run
    "notes.txt": b"mine",
    ".hidden": b"mine",
    "previews/1.png": b"mine",
    ".nstflow-old-abc/result.png": b"set aside by an earlier version",
}
WAYS: list[dict[str, bool]] = [{}, {"overwrite": True}, {"resume": True}]


def enter(path: Path, **options: Any) -> None:
    with RunDirectory(path, **options):
        pass


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def put(directory: RunDirectory, name: str, content: bytes) -> Path:
    """Write a file as an output does."""
    with directory.scratch() as folder:
        (folder / name).write_bytes(content)
        return directory.place(folder / name, folder)


def begin(directory: RunDirectory, recipe: str = "name: new\n") -> None:
    """Write what a run writes before its first step."""
    if not directory.replacing:
        directory.write_record(state="running")
    directory.begin(recipe, f"lock of {recipe}", NO_STEPS)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a run that ended, with someone's own files beside it."""
    return fill(tmp_path / "x", {**OLD, **MINE})


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    """Return a new run's directory, which is open."""
    with RunDirectory(tmp_path / "out") as directory:
        yield directory


# --- one run at a time ---


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_second_run_is_refused_while_the_first_lives(
    tmp_path: Path, run: Path, way: dict[str, bool]
) -> None:
    for path in (tmp_path / "new", run):
        with RunDirectory(path, resume=True):
            before = contents(path)
            problem = refused(enter, path, **way)
            assert problem.where == str(path)
            assert problem.got == "another run is at work in this directory."
            assert problem.hint == "Wait until it ends, or choose another place with --out."
            assert contents(path) == before
        enter(path, resume=True)


def test_threads_are_refused_like_processes(run: Path) -> None:
    problems: list[Problem] = []
    first = RunDirectory(run, resume=True).__enter__()
    second = threading.Thread(target=lambda: problems.append(refused(enter, run, resume=True)))
    second.start()
    second.join()
    assert [problem.got for problem in problems] == ["another run is at work in this directory."]
    closing = threading.Thread(target=first.__exit__)
    closing.start()
    closing.join()
    enter(run, resume=True)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_comes_between_the_first_look_and_the_mutex_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, bool]
) -> None:
    path, acquire = tmp_path / "x", DirectoryMutex.__enter__

    def late(self: DirectoryMutex) -> DirectoryMutex:
        fill(path, OLD)  # another run came and went
        return acquire(self)

    monkeypatch.setattr(DirectoryMutex, "__enter__", late)
    if way:
        with RunDirectory(path, **way) as directory:
            assert (directory.resuming, directory.replacing) == (
                "resume" in way,
                "overwrite" in way,
            )
            directory.fail()
    else:
        assert "exists already" in refused(enter, path).got
    assert contents(path) == OLD


HOLDER = """
import sys
from pathlib import Path
from nstflow.storage.run_directory import RunDirectory

with RunDirectory(Path(sys.argv[1]), resume=True):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_another_process_is_refused_until_the_first_ends(
    run: Path, tmp_path: Path, killed: bool
) -> None:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    for path in (run, tmp_path / "new"):
        command = [sys.executable, "-c", HOLDER, str(path)]
        with subprocess.Popen(command, **pipes) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            for way in WAYS:
                problem = refused(enter, path, **way)
                assert "another run is at work" in problem.got
            if killed:
                process.kill()
            process.communicate("")
        assert process.returncode == (-signal.SIGKILL if killed else 0)
        assert (path / MUTEX).exists() == killed
        enter(path, resume=True)
    assert contents(run) == {**OLD, **MINE}


CROWD = """
import os, sys, time
from pathlib import Path
from nstflow.errors import NstflowError
from nstflow.storage.run_directory import DirectoryMutex

path, busy = Path(sys.argv[1]), Path(sys.argv[2])
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        had, until = 0, time.monotonic() + 0.5
        while time.monotonic() < until or not had:
            try:
                with DirectoryMutex(path, "mutex", "busy") as mutex:
                    os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
                    had += 1
                    mutex.check()
                    busy.unlink()
            except NstflowError:
                continue
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_of_many_at_once_one_has_the_mutex(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    command = [sys.executable, "-c", CROWD, str(tmp_path / "x"), str(tmp_path / "busy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "x").iterdir()) == []


def test_the_mutex_of_another_is_not_removed(tmp_path: Path) -> None:
    gone = os.strerror(errno.ESTALE)
    first, second = (DirectoryMutex(tmp_path, MUTEX, "busy") for _ in range(2))
    with first:
        first.check()
        (tmp_path / MUTEX).unlink()
        with pytest.raises(OSError, match=gone):
            first.check()
        second.__enter__()
        with pytest.raises(OSError, match=gone):
            first.check()
    second.check()
    assert refused(DirectoryMutex(tmp_path, MUTEX, "busy").__enter__).got == "busy"
    second.__exit__()
    assert files(tmp_path) == set()


@pytest.fixture(params=[errno.ENOLCK, errno.EOPNOTSUPP], ids=os.strerror)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the locks from the file system."""
    fcntl = pytest.importorskip("fcntl")
    error = OSError(request.param, os.strerror(request.param))
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=error))


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_run_goes_on_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "x"
    with pytest.warns(NstflowWarning, match="nothing keeps two commands in .*x apart"):
        first = RunDirectory(path).__enter__()
    with pytest.warns(NstflowWarning):
        second = RunDirectory(path).__enter__()
    second.__exit__()
    first.write("history.csv", "mine")  # the other run has ended, and the directory is there
    shutil.move(path, tmp_path / "moved")
    assert "is gone" in refused(first.write, "history.csv", "mine").got
    first.__exit__()
    assert contents(tmp_path / "moved") == {"history.csv": b"mine"}
    with pytest.warns(NstflowWarning):
        enter(tmp_path / "new" / "one")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("no_locks")
@pytest.mark.filterwarnings("ignore:nothing keeps")
def test_without_locks_a_folder_that_can_not_be_written_is_found_first(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run / MUTEX).touch()  # which can be opened
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr("tempfile.mkdtemp", Mock(side_effect=denied))
    assert "can't be written: Permission denied" in refused(enter, run, resume=True).got


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_mutex_in_someone_elses_folder_stays(tmp_path: Path, way: dict[str, bool]) -> None:
    mine = {"photo.jpg": b"precious", MUTEX: b"of another program"}
    before = (fill(tmp_path, mine) / MUTEX).stat().st_mtime_ns
    refused(enter, tmp_path, **way)
    assert contents(tmp_path) == mine
    assert (tmp_path / MUTEX).stat().st_mtime_ns == before


def test_what_a_killed_run_left_is_removed(run: Path, tmp_path: Path) -> None:
    left = {MUTEX: b"", ".nstflow-part-a/x.png": b"half", ".nstflow-part-b/deep/x.png": b"half"}
    fill(run, left)
    assert "exists already" in refused(enter, run).got
    for way in WAYS[1:]:
        fill(run, left)
        enter(run, **way)
    assert contents(run) == {**OLD, **MINE}
    enter(fill(tmp_path / "new", left))  # a folder with nothing else is empty
    assert files(tmp_path / "new") == set()


def test_links_with_names_of_our_own_are_not_followed(run: Path, tmp_path: Path) -> None:
    precious = fill(tmp_path / "precious", OLD)
    (run / ".nstflow-part-x").symlink_to(precious)
    enter(run, resume=True)
    (run / MUTEX).symlink_to(precious / RECIPE_FILE)
    assert "symbolic links" in refused(enter, run, overwrite=True).got
    assert contents(precious) == OLD
    assert {**OLD, **MINE}.items() <= contents(run).items()


# --- whose folder it is ---


def test_folders_are_made_and_removed_where_no_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "b" / "c"
    with RunDirectory(path) as directory:
        assert directory.path == path
        assert path.is_dir()
        assert directory.record == RunRecord()
        flags = (directory.resuming, directory.replacing, directory.has_steps)
        assert flags == (False, False, False)
    assert files(tmp_path) == set()
    enter(tmp_path)
    with RunDirectory(path):
        (tmp_path / "a" / "mine").touch()
    assert files(tmp_path) == {"a", "a/mine"}  # more is not removed than was made

    monkeypatch.setattr("filelock.FileLock.acquire", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        enter(tmp_path / "new")
    assert files(tmp_path) == {"a", "a/mine"}


@pytest.mark.parametrize("state", ["finished", "running", "stopped", "failed"])
def test_a_run_that_is_there_is_refused(run: Path, state: str) -> None:
    (run / RUN_RECORD_FILE).write_text(json.dumps({"state": state}))
    before = contents(run)
    problem = refused(enter, run)
    assert problem.where == str(run)
    if state == "finished":
        assert problem.got == "this run directory exists already."
        assert problem.hint.startswith("Replace it with --overwrite, or choose")
    else:
        assert problem.got.endswith("of a run that has not ended.")
        assert problem.hint.startswith("Continue it with --resume, replace it with --overwrite")
    assert contents(run) == before


@pytest.mark.parametrize("way", WAYS[1:], ids=str)
@pytest.mark.parametrize(
    "held",
    [
        {"photo.jpg"},
        {HISTORY_FILE, "thesis.tex"},
        # where people keep a recipe of their own beside what it names
        {RECIPE_FILE, "photo.jpg"},
        {RECIPE_FILE, "images/photo.jpg"},
        set(RUN_FILES) - {RUN_RECORD_FILE},
        {"sub/recipe.yaml"},
        {"sub/run.json"},
        {"run.json/x"},
        {RUN_RECORD_FILE, "thesis.tex"},  # someone else's run.json
        {".hidden"},
        {".nstflow-old-x/run.json"},
    ],
    ids=lambda held: ", ".join(sorted(held)) if isinstance(held, set) else None,
)
def test_what_is_not_a_run_is_left_alone(
    tmp_path: Path, held: set[str], way: dict[str, bool]
) -> None:
    fill(tmp_path, dict.fromkeys(held, b"precious"))
    before = contents(tmp_path)
    problem = refused(enter, tmp_path, **way)
    assert "it is not a run directory" in problem.got
    assert "Nothing was deleted" in problem.hint
    assert refused(enter, tmp_path) == problem
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "names",
    [
        *(["../thesis.txt"], ["/etc/hostname"], ["previews/1.png"], ["..", "."], [""]),
        *(["result.png", "a\0b"], [".hidden"], [MUTEX]),
    ],
    ids=str,
)
def test_a_hostile_record_makes_no_run(run: Path, names: list[str]) -> None:
    """What `run.json` names is deleted, so it must not lead out of the folder."""
    fill(run.parent, {"thesis.txt": b"precious"})
    (run / RUN_RECORD_FILE).write_text(json.dumps({"state": "finished", "files": names}))
    before = contents(run.parent)
    for way in WAYS[1:]:
        assert "it is not a run directory" in refused(enter, run, **way).got
    assert contents(run.parent) == before


@pytest.mark.parametrize("name", ["result.png", RECIPE_FILE, "steps.gif"])
def test_an_input_is_not_replaced(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(run)
    for path in (run / name, tmp_path / "link" / name, run / "previews" / ".." / name):
        problem = refused(enter, run, overwrite=True, inputs=[path])
        assert problem.got == f"{name} is a file that the recipe reads, and would be replaced."
        assert "--out" in problem.hint
    enter(run, resume=True, inputs=[run / name])
    enter(run, overwrite=True, inputs=[run / "notes.txt", run / "previews" / "1.png"])
    assert contents(run) == {**OLD, **MINE}
    fill(tmp_path, {"photo.jpg": b"precious"})
    (run / name).unlink()
    (run / name).symlink_to(tmp_path / "photo.jpg")
    problem = refused(enter, run, overwrite=True, inputs=[tmp_path / "photo.jpg"])
    assert problem.got.startswith(f"{name} is a file that the recipe reads")


def test_places_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    before = files(tmp_path)
    for name in ("file", "file/out", "x" * 300, f"made/{'x' * 300}", "dangling", "loop"):
        for way in WAYS:
            problem = refused(enter, tmp_path / name, **way)
            assert problem.where == str(tmp_path / name)
            assert "can't be written" in problem.got
            assert "--out" in problem.hint
    assert files(tmp_path) == before
    assert (tmp_path / "file").read_text() == "x"


# --- what is written ---


def test_what_a_run_writes_before_its_first_step(directory: RunDirectory) -> None:
    begin(directory)
    held = contents(directory.path)
    assert held.pop(MUTEX) == b""
    assert json.loads(held.pop(RUN_RECORD_FILE)) == {
        "state": "running",
        "steps": 0,
        "seconds": 0.0,
        "compile_seconds": 0.0,
        "total_seconds": 0.0,
        "phases": [],
        "files": [],
    }
    assert held == {
        RECIPE_FILE: b"name: new\n",
        LOCK_FILE: b"lock of name: new\n",
        HISTORY_FILE: b"step,total,a,seconds\n",
    }
    assert not directory.has_steps
    directory.write_history(HISTORY)
    assert (directory.path / HISTORY_FILE).read_bytes() == (
        b"step,total,a,seconds\n1,0.1,0.3333333333333333,0.5\n2,1e-30,2.0,1.0\n"
    )
    assert directory.has_steps
    directory.write_record(steps=3)
    directory.write_record(state="stopped", seconds=0.1)
    assert directory.record == RunRecord(state="stopped", steps=3, seconds=0.1)
    assert read_run_record(directory.path) == directory.record


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "x") as directory:
        begin(directory)
        directory.write_checkpoint(CHECKPOINT)
        assert directory.has_steps
        assert directory.read_checkpoint() is None  # it is for the next
    with RunDirectory(tmp_path / "x", resume=True) as directory:
        checkpoint = directory.read_checkpoint()
        assert checkpoint is not None
        assert (checkpoint.step, checkpoint.history) == (2, HISTORY)
        for _ in range(2):
            directory.remove_checkpoint()
        assert directory.read_checkpoint() is None
    assert files(tmp_path / "x") == {RUN_RECORD_FILE, RECIPE_FILE, LOCK_FILE, HISTORY_FILE}


def test_writing_follows_no_symlink(directory: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    for name in RUN_FILES:
        (directory.path / name).symlink_to(tmp_path / "precious.txt")
    begin(directory)
    directory.write_checkpoint(CHECKPOINT)
    assert (tmp_path / "precious.txt").read_text() == "precious"
    assert not any((directory.path / name).is_symlink() for name in RUN_FILES)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_of_nothing_every_run_is_new(tmp_path: Path, way: dict[str, bool]) -> None:
    with RunDirectory(tmp_path / "new", **way) as directory:
        assert (directory.resuming, directory.replacing) == (False, False)
        assert directory.read_checkpoint() is None
        begin(directory)
        assert (tmp_path / "new" / LOCK_FILE).is_file()
        directory.fail()
    assert files(tmp_path) == set()


def test_a_resumed_run_keeps_what_is_there(run: Path) -> None:
    with RunDirectory(run, resume=True) as directory:
        assert directory.resuming
        assert directory.record == RECORD
        directory.fail()
    assert contents(run) == {**OLD, **MINE}
    with RunDirectory(run, resume=True) as directory:
        directory.begin("name: renamed\n", "", HISTORY)
        directory.fail()
    held = contents(run)
    failed = RECORD.model_copy(update={"state": "failed"})
    assert read_run_record(run) == failed
    changed = {name for name, content in {**OLD, **MINE}.items() if held[name] != content}
    assert changed == {RUN_RECORD_FILE, RECIPE_FILE, HISTORY_FILE}


def test_a_run_that_begins_again_removes_its_pictures(run: Path) -> None:
    (run / CHECKPOINT_FILE).unlink()
    with RunDirectory(run, resume=True) as directory:
        directory.begin("name: x\n", "", NO_STEPS)
    assert contents(run).keys() - MINE.keys() == set(RUN_FILES) - {CHECKPOINT_FILE}
    assert (run / LOCK_FILE).read_bytes() == OLD[LOCK_FILE]


# --- a run that is replaced ---


def test_a_run_that_is_replaced_stays_until_a_step_is_saved(run: Path) -> None:
    with RunDirectory(run, overwrite=True) as directory:
        assert directory.replacing
        assert directory.record == RunRecord(files=RECORD.files)
        assert directory.read_checkpoint() is None
        begin(directory)
        directory.fail()
        assert directory.replacing
    assert contents(run) == {**OLD, **MINE}


@pytest.mark.parametrize("first", ["checkpoint", "history"])
def test_overwrite_replaces_what_a_run_wrote_and_nothing_else(run: Path, first: str) -> None:
    # an output writes files alone: a folder with such a name is someone's
    named = RECORD.model_copy(update={"files": (*RECORD.files, "previews")})
    (run / RUN_RECORD_FILE).write_text(named.model_dump_json())
    with RunDirectory(run, overwrite=True) as directory:
        begin(directory)
        if first == "checkpoint":
            directory.write_checkpoint(CHECKPOINT)
        directory.write_history(HISTORY)
        assert not directory.replacing
        directory.fail()
    held = contents(run)
    assert MINE.items() <= held.items()
    assert not held.items() & OLD.items()
    own = set(RUN_FILES) if first == "checkpoint" else set(RUN_FILES) - {CHECKPOINT_FILE}
    assert held.keys() == own | MINE.keys()
    assert read_run_record(run) == RunRecord(state="failed")
    with RunDirectory(run, resume=True) as directory:
        assert (directory.read_checkpoint() is not None) == (first == "checkpoint")


def test_overwrite_follows_no_symlink(run: Path, tmp_path: Path) -> None:
    precious = fill(tmp_path / "precious", {"thesis.tex": b"x", RECIPE_FILE: b"x"})
    links = {
        RECIPE_FILE: precious / RECIPE_FILE,  # three of the run's own names
        "result.png": precious,
        HISTORY_FILE: run / HISTORY_FILE,  # a loop
        "folder": precious,
        "file": precious / "thesis.tex",
        "dangling": tmp_path / "nowhere",
    }
    for name, target in links.items():
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)
    with RunDirectory(run, overwrite=True, inputs=[precious / "thesis.tex"]) as directory:
        begin(directory)
        directory.write_history(HISTORY)
    left = {path.name for path in run.iterdir() if path.is_symlink()}
    assert left == {"folder", "file", "dangling"}
    assert not (run / "result.png").exists()
    assert contents(precious) == {"thesis.tex": b"x", RECIPE_FILE: b"x"}


# --- a run that fails ---


@pytest.mark.parametrize("kept", ["", "runs/y", "runs/x/previews/1.png", "runs/x/result.png"])
def test_a_new_run_without_a_step_leaves_nothing_of_its_own(tmp_path: Path, kept: str) -> None:
    with RunDirectory(tmp_path / "runs" / "x") as directory:
        begin(directory)
        if kept:
            fill(tmp_path, {kept: b"work"})
        directory.fail()
    assert contents(tmp_path) == ({kept: b"work"} if kept else {})
    assert bool(kept) or files(tmp_path) == set()


def fails(number: int) -> Mock:
    return Mock(side_effect=OSError(number, os.strerror(number)))


DISK = [errno.EACCES, errno.ENOSPC, errno.EROFS]


@pytest.mark.parametrize(
    ("owner", "name"), [(Path, "mkdir"), (Path, "exists"), (os, "listdir"), (os, "open")]
)
@pytest.mark.parametrize("number", DISK, ids=os.strerror)
def test_a_folder_that_can_not_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails(number))
        problem = refused(enter, tmp_path)
    assert os.strerror(number) in problem.got
    assert problem.hint.startswith("Free some space") == (number == errno.ENOSPC)
    assert problem.hint.endswith("hoose another place with --out.")
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "write_bytes"), (Path, "replace"), (os, "fsync"), (os, "mkdir")],
)
@pytest.mark.parametrize("number", DISK, ids=os.strerror)
def test_a_write_that_fails_leaves_what_was_there(
    run: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int
) -> None:
    with RunDirectory(run, resume=True) as directory, monkeypatch.context() as patch:
        patch.setattr(owner, name, fails(number))
        for write in (
            lambda: directory.write(HISTORY_FILE, "step\n1\n"),
            lambda: directory.write_record(steps=9),
            lambda: directory.write_checkpoint(CHECKPOINT),
        ):
            problem = refused(write)
            assert os.strerror(number) in problem.got
            assert problem.where == str(run)
        assert not directory.has_steps
    assert contents(run) == {**OLD, **MINE}


@pytest.mark.parametrize("written", range(5))
def test_a_replacement_that_fails_is_made_before_anything_else_is_written(
    run: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Else a checkpoint of the new run could lie beside the lock of the old one."""
    replace, left = Path.replace, iter(range(written))

    def replace_some(path: Path, target: Path) -> Path:
        return replace(path, target) if next(left, None) is not None else fails(errno.ENOSPC)()

    with RunDirectory(run, overwrite=True) as directory:
        begin(directory)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace_some)
            assert "No space" in refused(directory.write_checkpoint, CHECKPOINT).got
        assert directory.replacing == (written == 0)
        if not written:
            directory.fail()
            assert contents(run).items() >= {**OLD, **MINE}.items()
        directory.write_checkpoint(CHECKPOINT)
    assert not contents(run).items() & OLD.items()
    with RunDirectory(run, resume=True) as directory:
        assert directory.read_checkpoint() is not None


@pytest.mark.parametrize("again", [None, "folder", "run"])
def test_a_folder_that_is_deleted_under_a_run(tmp_path: Path, again: str | None) -> None:
    path = tmp_path / "x"
    other = RunDirectory(path)
    with RunDirectory(path) as directory:
        begin(directory)
        shutil.rmtree(path)
        if again == "run":
            begin(other.__enter__(), "name: y\n")
        elif again == "folder":
            fill(path, {RECIPE_FILE: b"mine"})
        before = contents(path)
        for act in (
            lambda: directory.write_record(steps=1),
            lambda: directory.write_history(HISTORY),
            lambda: directory.write_checkpoint(CHECKPOINT),
            lambda: put(directory, "result.png", b"x"),
            directory.remove_checkpoint,
        ):
            assert "the run directory is gone" in refused(act).got
        directory.fail()
    assert path.exists() == (again is not None)
    assert contents(path) == before
    if again == "run":
        assert "another run is at work" in refused(enter, path).got
        other.write_checkpoint(CHECKPOINT)
        other.__exit__()


# --- what outputs write ---


def test_scratch_is_removed_whatever_happens(directory: RunDirectory) -> None:
    before = files(directory.path)

    def write(error: BaseException | None) -> None:
        with directory.scratch() as folder:
            assert folder.parent == directory.path
            (folder / "half.png").write_bytes(b"x")
            if error:
                raise error

    write(None)
    for error in (KeyError(), ConnectionResetError(errno.ECONNRESET, "of what an output asks")):
        with pytest.raises(type(error)):
            write(error)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "No space left on device" in refused(write, full).got
    assert files(directory.path) == before


def test_place_moves_a_whole_file(directory: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is written first: what a killed run left is not taken for yours."""
    known: list[tuple[str, ...]] = []
    replace = Path.replace

    def look(path: Path, target: Path) -> Path:
        record = read_run_record(directory.path)
        known.append(record.files if record else ())
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", look)
    with directory.scratch() as folder:
        (folder / "a.png").write_bytes(b"one")
        assert directory.place(folder / "a.png", folder) == directory.path / "a.png"
        assert files(folder) == set()
    assert known[-1] == ("a.png",)
    put(directory, "b.png", b"two")
    assert known[-1] == ("a.png", "b.png")
    assert (directory.path / "a.png").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["a.png", *RUN_FILES, MUTEX, ".nstflow-part-x", ".a.png"])
def test_names_that_are_taken_or_hidden(directory: RunDirectory, name: str) -> None:
    begin(directory)
    put(directory, "a.png", b"one")
    directory.write_checkpoint(CHECKPOINT)
    before = contents(directory.path)
    problem = refused(put, directory, name, b"two")
    assert problem.got == f"{name} is written already."
    assert "another name" in problem.hint
    assert contents(directory.path) == before


@pytest.mark.parametrize("made", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize("replaced", [False, True])
def test_someones_own_file_is_not_replaced(
    tmp_path: Path, made: Callable[[Path], None], replaced: bool
) -> None:
    """Nor one with the name of a file that a replaced run had."""
    path = tmp_path / "x"
    if replaced:
        fill(path, OLD)
    with RunDirectory(path, overwrite=True) as directory:
        begin(directory)
        directory.write_history(HISTORY)
        made(path / "result.png")
        before = os.lstat(path / "result.png")
        problem = refused(put, directory, "result.png", b"one")
        assert problem.got == "result.png is there already, and no run wrote it."
        assert "--resume" in problem.hint
        assert os.lstat(path / "result.png") == before
        assert directory.record.files == ()


def test_a_resumed_run_replaces_its_own_file(run: Path) -> None:
    with RunDirectory(run, resume=True) as directory:
        put(directory, "result.png", b"new picture")
        assert "written already" in refused(put, directory, "result.png", b"again").got
        assert directory.record.files == RECORD.files
    assert (run / "result.png").read_bytes() == b"new picture"


def test_a_file_that_an_output_did_not_write(directory: RunDirectory, tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("precious")
    begin(directory)
    before = contents(directory.path)
    with directory.scratch() as folder:
        (folder / "link").symlink_to(precious)
        (folder / "folder").mkdir()
        (folder / "folder" / "a.png").write_bytes(b"x")
        names = ("a.png", "link", "folder", "folder/a.png", "../run.json", "../../thesis.tex", "..")
        others = (folder, folder.parent / RUN_RECORD_FILE, Path("thesis.tex"), precious)
        for file in (*(folder / name for name in names), *others):
            problem = refused(directory.place, file, folder)
            assert "it wrote no file into its folder" in problem.got
    assert precious.read_text() == "precious"
    assert contents(directory.path) == before


# --- killed at every change ---

# Takes a copy of a folder for each change that a process makes to its files, and kills the process
# before its 1st, 2nd, ... change, until one comes through.
KILLS = """
import os, shutil, signal, sys
from pathlib import Path

from nstflow.storage.run_directory import RunDirectory

EMPTY = {"step": [], "total": [], "seconds": []}
ONE = {"step": [1], "total": [3.0], "seconds": [0.3]}
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
os.fsync = lambda _: None  # a process that is killed takes no cache of the system with it


def kill_before(number):
    left = iter(range(number))

    def hook(event, arguments):
        change = event in CHANGES or event == "open" and (arguments[2] or 0) & WRITES
        if change and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


class Checkpoint:  # numpy would make each process slow to end
    def pack(self, lock):
        return b"new checkpoint.safetensors"


def begin(run):
    if not run.replacing:
        run.write_record(state="running")
    run.begin("new recipe.yaml", "new recipe.lock.yaml", EMPTY)


def place(run, name):
    with run.scratch() as folder:
        (folder / name).write_bytes(b"new " + name.encode())
        run.place(folder / name, folder)


def replace(path):
    with RunDirectory(path, overwrite=True) as run:
        begin(run)
        run.write_checkpoint(Checkpoint())
        run.write_history(ONE)
        place(run, "result.png")
        place(run, "new.png")
        run.write_record(state="finished", steps=1)
        run.remove_checkpoint()


def fail(path):
    with RunDirectory(path, overwrite=True) as run:
        begin(run)
        run.fail()


start, copies, what = Path(sys.argv[1]), Path(sys.argv[2]), globals()[sys.argv[3]]
for number in range(1000):
    copy = shutil.copytree(start, copies / f"{number:03}")
    child = os.fork()
    if not child:
        try:
            kill_before(number)
            what(copy)
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitpid(child, 0)[1]
    assert ended in (0, signal.SIGKILL), ended
    if not ended:
        break
"""


def killed(start: Path, copies: Path, what: str) -> list[Path]:
    """Return the folders that a process left: killed at each change, and at the end not."""
    command = [sys.executable, "-c", KILLS, str(start), str(copies), what]
    subprocess.run(command, check=True)
    return sorted(copies.iterdir())


def run_again(path: Path, *, resume: bool) -> str:
    """Make a run as the next command does; return whose lock was there.

    It is the old run that is resumed where the lock is the old one's.
    """
    name = "new"
    with RunDirectory(path, resume=resume, overwrite=not resume) as directory:
        lock = path / LOCK_FILE
        if directory.resuming and directory.record.state == "finished":
            directory.remove_checkpoint()
            return lock.read_text().split()[0]
        if directory.resuming and lock.exists():
            name = lock.read_text().split()[0]
        # a checkpoint is of the lock beside it
        there = path / CHECKPOINT_FILE
        has_checkpoint = directory.resuming and there.exists()
        assert not has_checkpoint or there.read_bytes() == f"{name} {CHECKPOINT_FILE}".encode()
        if not (directory.resuming or directory.replacing):
            directory.write_record(state="running")
        history = HISTORY if has_checkpoint else NO_STEPS
        has_lock = directory.resuming and lock.exists()
        directory.begin(f"{name} {RECIPE_FILE}", "" if has_lock else f"{name} {LOCK_FILE}", history)
        directory.write_history(HISTORY)
        outputs = ("result.png", "new.png" if name == "new" else "steps.gif")
        for output in outputs:
            put(directory, output, f"{name} {output}".encode())
        directory.write_record(state="finished", steps=2, files=outputs)
        directory.remove_checkpoint()
    return name


def assert_whole(path: Path, name: str) -> None:
    """Assert that a folder holds one finished run alone, beside someone's own files."""
    held = contents(path)
    assert MINE.items() <= held.items()
    outputs = ("result.png", "new.png" if name == "new" else "steps.gif")
    assert held.keys() - MINE.keys() == {*RUN_FILES, *outputs} - {CHECKPOINT_FILE}
    record = read_run_record(path)
    assert record is not None
    assert (record.state, set(record.files)) == ("finished", set(outputs))
    for each in (RECIPE_FILE, LOCK_FILE, *outputs):
        assert held[each] == f"{name} {each}".encode()


def states_of(path: Path) -> tuple[str | None, ...]:
    """Return of each of a run's files whether it is there, and whether it is the old run's."""
    held = contents(path)
    names = (CHECKPOINT_FILE, LOCK_FILE, RECIPE_FILE, "result.png")
    return tuple(held[name].decode().split()[0] if name in held else None for name in names)


def test_a_replacing_run_that_is_killed_is_resumed_or_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # of two thousand files
    start = fill(tmp_path / "x", {**OLD, **MINE})
    seen, names = [], []
    for path in killed(start, tmp_path / "killed", "replace"):
        assert read_run_record(path) is not None
        seen.append(states_of(path))
        copy = shutil.copytree(path, tmp_path / "copies" / path.name)
        assert run_again(copy, resume=False) == "new"
        names.append(run_again(path, resume=True))
        assert_whole(copy, "new")
        assert_whole(path, names[-1])
    assert set(names) == {"old", "new"}
    assert names == sorted(names, reverse=True)
    assert list(dict.fromkeys(seen))[:5] == [
        ("old", "old", "old", "old"),
        (None, "old", "old", "old"),
        (None, "new", "old", "old"),
        (None, "new", "new", "old"),
        (None, "new", "new", None),
    ]


def test_a_new_run_that_is_killed_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    (tmp_path / "x").mkdir()
    for path in killed(tmp_path / "x", tmp_path / "killed", "replace"):
        assert run_again(path, resume=True) == "new"
        assert_whole(fill(path, MINE), "new")


@pytest.mark.parametrize("there", [True, False], ids=["replaced", "new"])
def test_a_run_that_fails_and_is_killed_changes_nothing(tmp_path: Path, there: bool) -> None:
    start = fill(tmp_path / "x", {**OLD, **MINE} if there else {})
    start.mkdir(exist_ok=True)
    states = killed(start, tmp_path / "killed", "fail")
    for path in states:
        enter(path, resume=True)
        held = contents(path)
        assert held == {**OLD, **MINE} if there else held.keys() <= set(RUN_FILES)
    assert there or contents(states[-1]) == {}
