"""HDF5 files that HDF5 does not survive: the process that reads ends, this one goes on."""

from __future__ import annotations

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
        return run([sys.executable, "-c", body], **options)

    monkeypatch.setattr(subprocess, "run", other)


def test_a_file_that_hdf5_never_ends_to_read(endless: Path) -> None:
    with pytest.raises(NstflowError) as told:
        load_weights("w.h5", SHAPES, endless.parent)
    assert "w.h5' can't be used: it is no sound HDF5 file" in str(told.value)


def test_reading_takes_no_longer_than_allowed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    process(
        monkeypatch,
        "import json, sys\n"
        "from nstflow.engine.weights import hdf5\n"
        "hdf5._limit({}, json.load(sys.stdin)['seconds'])\n"
        "while True: pass",
    )
    with pytest.raises(WeightsError, match=r"did not survive it: ended by .*CPU"):
        hdf5.read_h5(file, SHAPES)


def test_reading_takes_no_more_memory_than_allowed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(
        monkeypatch,
        "from nstflow.engine.weights import hdf5\nhdf5._limit({}, 60)\nb'x' * (600 << 20)",
    )
    with pytest.raises(WeightsError, match="did not survive it: MemoryError"):
        hdf5.read_h5(file, SHAPES)


def test_waiting_ends(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_WAIT", 0.2)
    process(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(WeightsError, match=r"did not end in 0\.2 s"):
        hdf5.read_h5(file, SHAPES)


def test_a_crash_is_told(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process(monkeypatch, f"import os; os.kill(os.getpid(), {signal.SIGSEGV})")
    with pytest.raises(WeightsError, match=r"did not survive it: ended by .*fault"):
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
