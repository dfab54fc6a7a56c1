"""Files that appear whole, or not at all."""

import contextlib
import errno
import hashlib
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nstflow.stages.tensorflow import start
from nstflow.storage import files
from refusals import refused


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000])
def test_a_file_is_written_as_it_is(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.bin"
    for _ in range(2):
        assert files.write_file(path, data) == path
        assert path.read_bytes() == data
        assert names(tmp_path) == {"a.bin"}


def test_a_file_has_the_rights_that_any_file_has(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path = files.write_file(tmp_path / "a.bin", b"x")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_longest_name(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    assert files.write_file(path, b"x").read_bytes() == b"x"


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    for target in (precious, tmp_path / "nowhere", tmp_path / "link"):
        (tmp_path / "link").symlink_to(target)
        files.write_file(tmp_path / "link", b"new")
        assert not (tmp_path / "link").is_symlink()
        (tmp_path / "link").unlink()
    assert precious.read_bytes() == b"precious"
    assert names(tmp_path) == {"precious"}


def test_who_has_the_file_open_still_reads_what_was_there(tmp_path: Path) -> None:
    path = files.write_file(tmp_path / "a.bin", b"old")
    with path.open("rb") as file:
        files.write_file(path, b"new and longer")
        assert file.read() == b"old"


def test_a_reader_never_sees_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    path = files.write_file(tmp_path / "a.bin", b"0" * 100_000)
    seen: set[tuple[int, int]] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            data = path.read_bytes()
            seen.add((len(data), len(set(data))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(100):
            files.write_file(path, b"%d" % (number % 10) * 100_000)
    finally:
        over.set()
        reader.join()
    assert seen == {(100_000, 1)}


def test_places_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        files.write_file(tmp_path / "a", b"x")
    with pytest.raises(FileNotFoundError):
        files.write_file(tmp_path / "c" / "d", b"x")
    assert names(tmp_path) == {"a"}
    assert names(tmp_path / "a") == {"b"}


@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(os, "mkdir"), (Path, "write_bytes"), (Path, "open"), (os, "fsync"), (Path, "replace")],
)
def test_what_was_there_stays_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Any, old: Any
) -> None:
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, Mock(side_effect=error))
        with pytest.raises(type(error)):
            files.write_file(path, b"new")
    assert [each.read_bytes() for each in tmp_path.iterdir()] == ([old] if old else [])


def test_the_file_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave the name with nothing in it."""
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        status = os.fstat(descriptor)
        is_folder = os.path.samestat(status, tmp_path.stat())
        calls.append("folder" if is_folder else f"file of {status.st_size}")
        fsync(descriptor)

    def replaced(path: Path, target: Path) -> Path:
        calls.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    files.write_file(tmp_path / "a.bin", b"12345")
    assert calls == ["file of 5", "replace", "folder"]


def only_folders_fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)


def test_a_file_system_that_syncs_no_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_folders_fail(monkeypatch, errno.EINVAL)
    assert files.write_file(tmp_path / "a.bin", b"new").read_bytes() == b"new"


def test_a_folder_that_can_not_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.write_file(tmp_path / "a.bin", b"old")
    only_folders_fail(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        files.write_file(path, b"new")
    assert path.read_bytes() == b"new"  # whole
    assert names(tmp_path) == {"a.bin"}


def test_no_descriptor_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("no /proc here")
    before = len(list(descriptors.iterdir()))
    for number in (0, errno.EIO, errno.EINVAL):
        with monkeypatch.context() as patch:
            if number:
                only_folders_fail(patch, number)
            with contextlib.suppress(OSError):
                files.write_file(tmp_path / "a.bin", b"x")
    assert len(list(descriptors.iterdir())) == before


def test_move_takes_the_file_along(tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    file, target = tmp_path / "from" / "a.bin", tmp_path / "b.bin"
    file.write_bytes(b"new")
    target.write_bytes(b"old")
    assert files.move_file(file, target) == target
    assert names(tmp_path / "from") == set()
    with pytest.raises(FileNotFoundError):
        files.move_file(file, target)
    assert target.read_bytes() == b"new"


KILLED = """
import os, signal, sys
from pathlib import Path
from nstflow.storage import files

path = Path(sys.argv[1])


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


if sys.argv[2] == "replace":
    Path.replace = kill
else:
    os.fsync = kill
files.write_file(path, b"new")
"""


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_that_is_killed_leaves_what_was_there(tmp_path: Path, moment: str) -> None:
    path = files.write_file(tmp_path / "a.bin", b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], check=False)
    assert done.returncode == -9
    assert path.read_bytes() == b"old"
    (left,) = names(tmp_path) - {"a.bin"}
    assert left.startswith(".nstflow-part-")  # the next run in the folder removes it


# --- hashes ---


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read to be hashed, as they are."""
    names: list[str] = []
    digest = hashlib.file_digest

    def count(file: Any, name: str) -> Any:
        names.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", count)
    monkeypatch.setattr(files, "_hashes", {})
    return names


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_is_read_once_to_be_hashed(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", 0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    time.sleep(0.02)
    (tmp_path / "link").symlink_to(path)
    assert {files.sha256_of(each) for each in (path, path, tmp_path / "link")} == {sha256(b"one")}
    assert reads == ["a.bin"]


def rewrite(path: Path) -> None:
    path.write_bytes(b"two")


def rewrite_and_restore_its_time(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_another(path: Path) -> None:
    files.write_file(path, b"two")


@pytest.mark.parametrize("change", [rewrite, rewrite_and_restore_its_time, replace_by_another])
def test_a_file_that_changed_at_the_same_size_is_read_again(
    tmp_path: Path, change: Callable[[Path], None], reads: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", 0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    time.sleep(0.02)
    assert files.sha256_of(path) == sha256(b"one")
    change(path)
    assert files.sha256_of(path) == sha256(b"two")
    assert reads == ["a.bin", "a.bin"]


@pytest.mark.usefixtures("reads")
def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    """A second change may come within the resolution of its times."""
    path = tmp_path / "a.bin"
    for number in range(200):
        data = b"%03d" % number
        path.write_bytes(data)
        assert files.sha256_of(path) == sha256(data)


@pytest.mark.usefixtures("reads")
def test_a_file_that_can_not_be_read_any_more_has_no_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_SETTLED_NS", 0)
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    time.sleep(0.02)
    files.sha256_of(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        files.sha256_of(path)


# Folders of the system


@pytest.mark.parametrize("newer", [True, False])
def test_a_user_without_a_home(newer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NSTFLOW_CACHE", raising=False)
    answer = {"side_effect": RuntimeError("no home")} if newer else {"return_value": "~/.cache/x"}
    monkeypatch.setattr("platformdirs.user_cache_dir", Mock(**answer))
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    problem = refused(files.cache_folder)
    assert "this user has no home folder" in problem.got
    assert "NSTFLOW_CACHE" in problem.hint
    monkeypatch.setenv("NSTFLOW_CACHE", "/cache")
    assert files.cache_folder() == Path("/cache")


def test_no_folder_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    files.check_temporary_folder()
    error = FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
    monkeypatch.setattr("tempfile.gettempdir", Mock(side_effect=error))
    assert "TMPDIR" in refused(files.check_temporary_folder).hint
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    assert "TMPDIR" in refused(start).hint  # and TensorFlow is not imported
