"""Who may have a folder: one run at a time, and whatever a killed one left is put in order."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import NstflowError, Problem
from nstflow.storage.run_directory import DirectoryLock
from nstflow.storage.run_record import (
    HISTORY_FILE,
    OWN,
    RECIPE_FILE,
    RUN_RECORD_FILE,
    RunRecord,
    has_steps,
    read_run_record,
)

FACTS = RunRecord(state="finished", steps=2, files=("result.png", "steps.gif"))
OLD = {
    **{name: f"old {name}".encode() for name in OWN},
    RUN_RECORD_FILE: FACTS.model_dump_json().encode(),
    HISTORY_FILE: b"step,total,seconds\n1,2.0,0.1\n2,1.0,0.2\n",
    "result.png": b"old picture",
    "steps.gif": b"old film",
}
MINE = {  # what someone keeps beside a run
    "notes.txt": b"mine",
    ".hidden": b"mine",
    "previews/1.png": b"mine",
    ".nstflow-old-photos/1.png": b"mine",
}


def refused(action: Callable[[], Any]) -> Problem:
    with pytest.raises(NstflowError) as caught:
        action()
    (problem,) = caught.value.problems
    return problem


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def claim(
    path: Path, *, overwrite: bool = False, resume: bool = False, inputs: tuple[Path, ...] = ()
) -> DirectoryLock:
    return DirectoryLock(path, overwrite=overwrite, resume=resume, inputs=inputs)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a run that ended, with someone's own files beside it."""
    return fill(tmp_path / "x", {**OLD, **MINE})


WAYS = [{"overwrite": False}, {"overwrite": True}, {"resume": True}]


# --- one at a time ---


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_second_claim_is_refused_while_the_first_lives(
    tmp_path: Path, run: Path, way: dict[str, bool]
) -> None:
    for path in (tmp_path / "new", run):
        first = claim(path, resume=True)
        before = contents(path)
        problem = refused(lambda path=path: claim(path, **way))
        assert problem.where == str(path)
        assert problem.got == "another run is at work in this directory."
        assert problem.hint == "Wait until it ends, or choose another place with --out."
        assert contents(path) == before
        first.release()
        claim(path, resume=True).release()


def test_a_second_claim_is_refused_in_every_state_of_the_first(run: Path) -> None:
    first = claim(run, overwrite=True)
    assert (run / "notes.txt").is_file()  # with no run.json beside it
    assert "at work" in refused(lambda: claim(run, overwrite=True)).got
    first.undo()
    assert "at work" in refused(lambda: claim(run, overwrite=True)).got
    first.release()
    claim(run, overwrite=True).release()


def test_a_thread_is_refused_like_a_process(run: Path) -> None:
    first = claim(run, resume=True)
    problems: list[Problem] = []
    thread = threading.Thread(
        target=lambda: problems.append(refused(lambda: claim(run, resume=True)))
    )
    thread.start()
    thread.join()
    assert [problem.got for problem in problems] == ["another run is at work in this directory."]
    first.release()


def test_a_claim_may_be_released_by_another_thread(run: Path) -> None:
    first = claim(run, resume=True)
    thread = threading.Thread(target=first.release)
    thread.start()
    thread.join()
    claim(run, resume=True).release()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_comes_between_the_first_look_and_the_lock_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, bool]
) -> None:
    acquire = DirectoryLock._acquire

    def late(self: DirectoryLock) -> None:
        fill(tmp_path / "x", {**OLD, **MINE})  # another run came and went
        acquire(self)

    monkeypatch.setattr(DirectoryLock, "_acquire", late)
    if way == WAYS[0]:
        assert "exists already" in refused(lambda: claim(tmp_path / "x")).got
    else:
        taken = claim(tmp_path / "x", **way)
        assert taken.facts == (FACTS if "resume" in way else None)
        taken.undo()
        taken.release()
    assert contents(tmp_path / "x") == {**OLD, **MINE}


HOLDER = """
import sys
from pathlib import Path
from nstflow.storage.run_directory import DirectoryLock

claim = DirectoryLock(Path(sys.argv[1]), overwrite="overwrite" in sys.argv, resume=True, inputs=())
print("held", flush=True)
sys.stdin.read()
claim.release()
"""

Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Let another process claim a folder until its input ends."""
    processes = []

    def hold(path: Path, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def test_another_process_is_refused_until_the_first_ends(run: Path, hold: Hold) -> None:
    process = hold(run)
    for way in WAYS:
        assert "another run is at work" in refused(lambda way=way: claim(run, **way)).got
    process.communicate("")
    assert process.returncode == 0
    assert contents(run) == {**OLD, **MINE}
    claim(run, resume=True).release()


def test_a_killed_process_holds_nothing(run: Path, tmp_path: Path, hold: Hold) -> None:
    for path in (run, tmp_path / "new"):
        process = hold(path)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert (path / ".nstflow.lock").exists()
        taken = claim(path, resume=True)
        assert "another run is at work" in refused(lambda path=path: claim(path)).got
        taken.release()
        assert not (path / ".nstflow.lock").exists()


def test_what_a_killed_process_set_aside_comes_back(run: Path, hold: Hold) -> None:
    process = hold(run, "overwrite")
    assert not (run / RUN_RECORD_FILE).exists()
    process.kill()
    process.communicate()
    taken = claim(run, resume=True)
    assert taken.facts == FACTS
    taken.release()
    assert contents(run) == {**OLD, **MINE}


CROWD = """
import os, sys, time
from pathlib import Path
from nstflow.storage.run_directory import DirectoryLock
from nstflow.errors import NstflowError

path, busy = Path(sys.argv[1]), Path(sys.argv[2])
children = []
for _ in range(4):
    children.append(os.fork())
    if not children[-1]:
        had, until = 0, time.monotonic() + 0.5
        while time.monotonic() < until or not had:
            try:
                claim = DirectoryLock(path, overwrite=False, resume=True, inputs=())
            except NstflowError:
                continue
            os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
            had += 1
            claim.check()
            busy.unlink()
            claim.release()
        os._exit(0)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


def test_of_many_at_once_one_has_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    command = [sys.executable, "-c", CROWD, str(tmp_path / "x"), str(tmp_path / "busy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "x").iterdir()) == []


@pytest.mark.parametrize("way", WAYS[1:], ids=str)
def test_the_lock_is_gone_after_release(run: Path, way: dict[str, bool]) -> None:
    taken = claim(run, **way)
    assert (run / ".nstflow.lock").is_file()
    taken.release()
    assert not (run / ".nstflow.lock").exists()
    taken.release()


def test_the_lock_of_another_is_not_removed(run: Path) -> None:
    first = claim(run, resume=True)
    first.check()
    (run / ".nstflow.lock").unlink()
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        first.check()
    second = claim(run, resume=True)
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        first.check()
    first.release()
    second.check()
    assert "at work" in refused(lambda: claim(run, resume=True)).got
    second.release()


# --- whose folder it is ---


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_lock_in_someone_elses_folder_stays(tmp_path: Path, way: dict[str, bool]) -> None:
    mine = {
        "photo.jpg": b"dear",
        ".nstflow.lock": b"of another program",
        ".nstflow-old-x/photo.jpg": b"dear",
    }
    fill(tmp_path, mine)
    before = (tmp_path / ".nstflow.lock").stat()
    refused(lambda: claim(tmp_path, **way))
    assert contents(tmp_path) == mine
    assert (tmp_path / ".nstflow.lock").stat() == before


def test_refusing_removes_a_stale_lock_of_a_run(run: Path) -> None:
    (run / ".nstflow.lock").touch()
    assert "exists already" in refused(lambda: claim(run)).got
    assert contents(run) == {**OLD, **MINE}


def test_a_lock_that_is_a_link_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "dear").write_text("dear")
    (run / ".nstflow.lock").symlink_to(tmp_path / "dear")
    with pytest.raises(OSError, match="symbolic links"):
        claim(run, overwrite=True)
    assert (tmp_path / "dear").read_text() == "dear"
    assert {**OLD, **MINE}.items() <= contents(run).items()


def test_folders_that_were_made_go_where_no_run_began(tmp_path: Path) -> None:
    taken = claim(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    taken.undo()
    taken.release()
    assert list(tmp_path.iterdir()) == []


def test_folders_stay_once_something_is_in_them(tmp_path: Path) -> None:
    taken = claim(tmp_path / "a" / "b")
    (tmp_path / "a" / "mine").touch()
    taken.release()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


def test_folders_that_were_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    claim(tmp_path / "a" / "b").release()
    assert (tmp_path / "a" / "b").is_dir()


def test_folders_that_were_made_go_where_the_claim_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DirectoryLock, "_acquire", fail)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["result.png", RECIPE_FILE, "steps.gif"])
def test_an_input_is_not_set_aside(run: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(run)
    for path in (run / name, tmp_path / "link" / name, run / "previews" / ".." / name):
        problem = refused(lambda path=path: claim(run, overwrite=True, inputs=(path,)))
        assert problem.got == f"{name} is a file that the recipe reads, and would be replaced."
        assert "--out" in problem.hint
        assert contents(run) == {**OLD, **MINE}
    claim(run, resume=True, inputs=(run / name,)).release()


def test_an_input_of_ones_own_may_lie_there(run: Path) -> None:
    taken = claim(run, overwrite=True, inputs=(run / "notes.txt", run / "previews" / "1.png"))
    assert MINE.items() <= contents(run).items()
    taken.undo()
    taken.release()
    assert contents(run) == {**OLD, **MINE}


def test_an_input_that_a_runs_name_leads_to_is_not_set_aside(run: Path, tmp_path: Path) -> None:
    fill(tmp_path, {"photo.jpg": b"dear"})
    (run / "result.png").unlink()
    (run / "result.png").symlink_to(tmp_path / "photo.jpg")
    problem = refused(lambda: claim(run, overwrite=True, inputs=(tmp_path / "photo.jpg",)))
    assert problem.got.startswith("result.png is a file that the recipe reads")
    assert (run / "result.png").is_symlink()


@pytest.mark.parametrize(
    "names",
    [
        ["../dear.txt"],
        ["/etc/hostname"],
        ["previews/1.png"],
        ["..", "."],
        [""],
        ["result.png", "a\0b"],
        [".hidden"],
        [".nstflow.lock"],
    ],
    ids=str,
)
def test_hostile_facts_make_no_run(run: Path, names: list[str]) -> None:
    """What `run.json` names is moved and deleted, so it must not lead out of the folder."""
    fill(run.parent, {"dear.txt": b"dear"})
    (run / RUN_RECORD_FILE).write_text(json.dumps({"state": "finished", "files": names}))
    before = contents(run.parent)
    for way in WAYS[1:]:
        assert "it is no run's" in refused(lambda way=way: claim(run, **way)).got
    assert contents(run.parent) == before


def test_a_folder_that_facts_name_is_no_file_of_a_run(run: Path) -> None:
    """An output writes files alone: a folder with such a name is someone's."""
    facts = FACTS.model_copy(update={"files": (*FACTS.files, "previews")})
    (run / RUN_RECORD_FILE).write_text(facts.model_dump_json())
    taken = claim(run, overwrite=True)
    (run / RUN_RECORD_FILE).write_text(
        facts.model_copy(update={"state": "running"}).model_dump_json()
    )
    assert MINE.items() <= contents(run).items()
    taken.undo()
    assert MINE.items() <= contents(run).items()
    taken.release()
    taken = claim(run, overwrite=True)
    taken.keep()
    taken.release()
    assert contents(run) == MINE


# --- setting aside, bringing back, keeping ---


def test_overwriting_sets_aside_what_the_run_wrote(run: Path) -> None:
    taken = claim(run, overwrite=True)
    assert taken.facts is None
    (old,) = (path for path in run.glob(".nstflow-old-*") if path.name != ".nstflow-old-photos")
    assert contents(old) == OLD
    shutil.rmtree(old)
    taken.release()
    assert contents(run) == MINE


def test_undo_brings_it_back_once(run: Path) -> None:
    taken = claim(run, overwrite=True)
    fill(
        run,
        {RUN_RECORD_FILE: RunRecord(files=("new.png",)).model_dump_json().encode(), "new.png": b""},
    )
    taken.undo()
    taken.undo()  # would else take what came back for the new run's
    taken.release()
    assert contents(run) == {**OLD, **MINE}


def test_keep_removes_it(run: Path) -> None:
    taken = claim(run, overwrite=True)
    taken.keep()
    taken.keep()
    taken.release()
    assert contents(run) == MINE


def test_undo_leaves_a_resumed_run(run: Path) -> None:
    taken = claim(run, resume=True)
    assert taken.facts == FACTS
    taken.undo()
    taken.release()
    assert contents(run) == {**OLD, **MINE}


def test_undo_that_fails_is_made_up_for_by_the_next_claim(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, left = Path.replace, iter(range(3))

    def replace_three(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    taken = claim(run, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_three)
        taken.undo()
    taken.undo()
    taken.release()
    assert contents(run) != {**OLD, **MINE}
    claim(run, resume=True).release()
    assert contents(run) == {**OLD, **MINE}


@pytest.mark.parametrize("way", WAYS[1:], ids=str)
def test_scratch_of_a_killed_run_is_removed(run: Path, way: dict[str, bool]) -> None:
    fill(run, {".nstflow-part-a/x.png": b"half", ".nstflow-part-b/deep/x.png": b"half"})
    taken = claim(run, **way)
    assert not list(run.glob(".nstflow-part-*"))
    taken.undo()
    taken.release()
    assert contents(run) == {**OLD, **MINE}


def test_scratch_alone_makes_a_folder_no_less_empty(tmp_path: Path) -> None:
    fill(tmp_path, {".nstflow-part-a/x.png": b"half"})
    claim(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ended", [False, True])
def test_links_with_names_of_our_own_are_not_followed(tmp_path: Path, ended: bool) -> None:
    dear = fill(tmp_path / "dear", OLD)
    begun = {RUN_RECORD_FILE: RunRecord(state="running").model_dump_json().encode()}
    run = fill(tmp_path / "x", OLD if ended else begun)  # what was set aside would go or come back
    (run / ".nstflow-old-x").symlink_to(dear)
    (run / ".nstflow-part-x").symlink_to(dear)
    before = contents(run)
    for _ in range(2):
        claim(run, resume=True).release()
    assert contents(run) == before
    assert contents(dear) == OLD


def test_a_file_with_a_name_of_our_own_is_left_alone(run: Path) -> None:
    fill(run, {".nstflow-old-x": b"mine", ".nstflow-part-x": b"mine"})
    before = contents(run)
    claim(run, resume=True).release()
    assert contents(run) == before


# --- killed at every change ---

# Takes copies of each folder in one named, and kills a process before its 1st, 2nd, ... change to
# the files there, until one comes through.
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


class Checkpoint:  # numpy would make each process slow to part with
    def pack(self, lock):
        return b"new checkpoint"


def begin(run):
    run.record(state="running")
    run.write("recipe.yaml", "name: new")
    run.write_history(EMPTY)
    run.write("recipe.lock.yaml", "lock: new")


def place(run, name):
    with run.scratch() as folder:
        (folder / name).write_bytes(b"new " + name.encode())
        run.place(folder / name, folder)


def replace(path):
    with RunDirectory(path, overwrite=True) as run:
        begin(run)
        run.save(Checkpoint())
        run.write_history(ONE)
        place(run, "result.png")
        place(run, "new.png")
        run.record(state="finished", steps=1)
        run.drop_checkpoint()


def replace_without_checkpoint(path):
    with RunDirectory(path, overwrite=True) as run:
        begin(run)
        run.write_history(ONE)
        run.record(state="stopped", steps=1)


def abandon(path):
    with RunDirectory(path, overwrite=True) as run:
        begin(run)
        run.fail()


def resume(path):
    with RunDirectory(path, resume=True):
        pass


def killed_at(number, what, path):
    child = os.fork()
    if not child:
        try:
            kill_before(number)
            what(path)
            os._exit(0)
        finally:
            os._exit(1)
    ended = os.waitpid(child, 0)[1]
    assert ended in (0, signal.SIGKILL), f"{path}: {ended}"
    return ended == signal.SIGKILL


for line in sys.stdin:
    states, into, what = line.split()
    for state in sorted(Path(states).iterdir()):
        for number in range(1000):
            copy = Path(into, f"{state.name}-{number:03}")
            shutil.copytree(state, copy)
            if not killed_at(number, globals()[what], copy / "x"):
                break
    print("done", flush=True)
"""

Kill = Callable[[Path, Path, str], list[Path]]


@pytest.fixture(scope="module")
def kill() -> Iterator[Kill]:
    """Return the folders that hold `x` as a process left it: killed at each change, and not.

    Of those that are the same but for a name drawn by chance there is one.
    """

    def kill(states: Path, into: Path, what: str) -> list[Path]:
        into.mkdir()
        killer.stdin.write(f"{states} {into} {what}\n")
        killer.stdin.flush()
        assert killer.stdout.readline() == "done\n"
        found: dict[str, Path] = {}
        for state in sorted(into.iterdir()):
            key = {
                re.sub(r"\.nstflow-(old|part)-\w{8}", r".\1", str(path.relative_to(state))): (
                    path.read_bytes() if path.is_file() else None
                )
                for path in state.rglob("*")
            }
            found.setdefault(repr(sorted(key.items())), state)
        return list(found.values())

    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killer: Any
    with subprocess.Popen([sys.executable, "-c", KILLS], **pipes) as killer:
        yield kill


def what_is_whole(path: Path, mine: dict[str, bytes]) -> str:
    """Return which run a folder holds whole, beside someone's own files."""
    held = contents(path)
    assert mine.items() <= held.items()
    for name in mine:
        del held[name]
    if not held:
        return "nothing"
    if held == OLD:
        return "old"
    assert not held.items() & OLD.items()  # not a file of it
    assert held.keys() <= {*OWN, "result.png", "new.png"}
    facts = read_run_record(path)
    assert facts is not None
    if not has_steps(path):
        return "begun"
    assert held[RECIPE_FILE] == b"name: new"
    assert {name for name in ("result.png", "new.png") if name in held} <= set(facts.files)
    return "new"


def after_the_next_claim(path: Path, way: dict[str, bool], mine: dict[str, bytes]) -> str:
    """DirectoryLock a folder as the next run does; return which run it holds whole then."""
    try:
        taken = claim(path, **way)
    except NstflowError as error:
        (problem,) = error.problems
        assert way == WAYS[0]
        assert "this run directory exists already" in problem.got
    else:
        taken.undo()
        taken.release()
    ours = {
        path.name for path in path.glob(".*") if path.name not in {".hidden", ".nstflow-old-photos"}
    }
    assert ours == set()
    return what_is_whole(path, mine)


@pytest.mark.parametrize(
    ("what", "mine", "ends"),
    [
        ("replace", MINE, ["old", "new"]),
        ("replace", {}, ["old", "new"]),
        ("replace_without_checkpoint", MINE, ["old", "new"]),
        ("abandon", MINE, ["old"]),
        ("abandon", {}, ["old"]),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_a_run_that_is_killed_leaves_the_old_run_or_the_new_one(
    tmp_path: Path, kill: Kill, what: str, mine: dict[str, bytes], ends: list[str]
) -> None:
    fill(tmp_path / "states" / "0" / "x", {**OLD, **mine})
    states = kill(tmp_path / "states", tmp_path / "killed", what)
    assert len(states) > 20
    for number, way in enumerate(WAYS):
        copies = [shutil.copytree(state, tmp_path / f"{state.name}-{number}") for state in states]
        outcomes = [after_the_next_claim(copy / "x", way, mine) for copy in copies]
        assert [outcome for outcome, _ in itertools.groupby(outcomes)] == ends, way


@pytest.mark.parametrize("what", ["replace", "abandon"])
def test_a_first_run_that_is_killed_leaves_a_folder_to_go_on_with(
    tmp_path: Path, kill: Kill, what: str
) -> None:
    (tmp_path / "states" / "0").mkdir(parents=True)
    states = kill(tmp_path / "states", tmp_path / "killed", what)
    assert len(states) > 15
    outcomes = [after_the_next_claim(state / "x", WAYS[2], {}) for state in states]
    assert set(outcomes) <= {"nothing", "begun", "new"}
    assert (outcomes[-1] == "new") == (what == "replace")


def test_putting_in_order_may_be_killed_too(tmp_path: Path, kill: Kill) -> None:
    fill(tmp_path / "states" / "0" / "x", {**OLD, **MINE})
    seen: dict[str, int] = {}
    for what in ("replace", "abandon"):
        for state in kill(tmp_path / "states", tmp_path / what, what):
            names = {path.name for path in (state / "x").iterdir()}
            kinds = {
                name[:-8] for name in names if re.fullmatch(r"\.nstflow-(old|part)-\w{8}", name)
            }
            if kinds == {".nstflow-old-"}:  # scratch beside it would change nothing but the time
                copy = shutil.copytree(state, tmp_path / "copy")
                expected = after_the_next_claim(copy / "x", WAYS[2], MINE)
                shutil.rmtree(copy)
                (tmp_path / expected).mkdir(exist_ok=True)
                state.rename(tmp_path / expected / f"{what}-{state.name}")
    for expected in ("old", "new"):
        states = kill(tmp_path / expected, tmp_path / f"{expected}-twice", "resume")
        assert {after_the_next_claim(state / "x", WAYS[2], MINE) for state in states} == {expected}
        seen[expected] = len(states)
    assert seen["old"] > 20
    assert seen["new"] > 3
