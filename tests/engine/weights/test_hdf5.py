"""HDF5 files that make HDF5 crash or hang: the process that reads ends, this one does not."""

import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nstflow.engine.weights import hdf5, load_weights
from nstflow.engine.weights.formats import Shape, WeightsError
from nstflow.errors import NstflowError

SHAPES: dict[str, Shape] = {"one": (3, 3, 3, 4)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as made:
        made["one/kernel"] = np.full(SHAPES["one"], 0.5, np.float32)
        made["one/bias"] = np.zeros(4, np.float32)
    return path


@pytest.fixture
def endless(file: Path) -> Path:
    """A file whose list of free places in a heap leads back to its beginning."""
    data = bytearray(file.read_bytes())
    at = data.find(b"HEAP")
    while at >= 0:
        _, free, place = struct.unpack_from("<QQQ", data, at + 8)  # size, first free place, where
        if free != 1:  # there is one
            struct.pack_into("<Q", data, place + free, free)
        at = data.find(b"HEAP", at + 4)
    file.write_bytes(data)
    return file


def process(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Have the process that reads do something else."""
    run = subprocess.run

    def other(command: list[str], **options: Any) -> Any:
        assert command[:3] == [sys.executable, "-P", "-c"]
        return run([sys.executable, "-c", f"{LIMIT}\n{body}", *command[4:]], **options)

    monkeypatch.setattr(subprocess, "run", other)


LIMIT = """\
import resource, sys
from nstflow.engine.weights.hdf5 import limit
"""


def test_a_file_that_hdf5_never_ends_to_read(endless: Path) -> None:
    with pytest.raises(NstflowError, match=r"w\.h5' can't be used: it is not a valid HDF5 file"):
        load_weights("w.h5", SHAPES, endless.parent)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("limit(1 << 30, int(sys.argv[-1]))\nwhile True: pass", "ended by .*CPU"),
        ("limit(500 << 20, 60); b'x' * (600 << 20)", "MemoryError"),
        (f"import os; os.kill(os.getpid(), {signal.SIGSEGV})", "ended by .*fault"),
        ("raise SystemExit(5)", "exit code 5"),
    ],
)
def test_the_end_of_the_process_is_an_error(
    file: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    process(monkeypatch, body)
    with pytest.raises(WeightsError, match=f"the process that read it failed: .*{words}"):
        hdf5.read_h5(file, SHAPES)


@pytest.mark.parametrize("hard", ["resource.RLIM_INFINITY", "7"])
def test_lower_limits_of_the_user_stay(
    file: Path, monkeypatch: pytest.MonkeyPatch, hard: str
) -> None:
    """They are neither raised nor a reason to fail."""
    process(
        monkeypatch,
        f"resource.setrlimit(resource.RLIMIT_CPU, (5, {hard}))\n"
        "limit(1 << 30, 60)\n"
        "raise SystemExit(str(resource.getrlimit(resource.RLIMIT_CPU)))",
    )
    with pytest.raises(WeightsError, match=r"failed: \(5, (-1|7)\)"):
        hdf5.read_h5(file, SHAPES)


def test_waiting_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "TIMEOUT", 0.2)
    process(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(WeightsError, match=r"did not end in 0\.2 s"):
        hdf5.read_h5(file, SHAPES)


def test_a_process_that_can_not_be_started(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WeightsError, match=r"can't be started .*nowhere"):
        hdf5.read_h5(file, SHAPES)


def test_a_name_and_a_folder_of_any_letters(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader finds the package from any folder, and modules of that folder do not hide it."""
    monkeypatch.chdir(file.parent)
    Path("h5py.py").write_text("raise SystemExit('not this one')")
    odd = file.rename(file.parent / "\u00e4 'w'\n.h5")
    weights = hdf5.read_h5(Path(odd.name), SHAPES)
    assert weights["one"][0].mean() == 0.5


def test_a_file_is_read_where_it_can_not_be_locked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another error than that of no locks, but the same call
        assert hdf5.read_h5(file, SHAPES)["one"][0].shape == SHAPES["one"]
