"""Write files whole or not at all, hash them, and find the cache folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
import time
import unicodedata
from pathlib import Path

from nstflow.errors import NstflowError, Problem

TEMP_PREFIX = ".nstflow-part-"
"""The start of the names of temporary folders, in which files are written before they are moved."""


def user_path(path: str | Path) -> Path:
    """Return a path that a user wrote, with the home folder in place of `~`."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's raises if there is no such user


_LONGEST_NAME, _MOST_BYTES = 120, 200  # file systems allow 255 bytes, or fewer


_UNSEEN = frozenset(
    map(
        chr, (0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10))
    )
)
"""Letters and marks without a shape: fillers, and what selects a form of the one before."""


def file_name(text: str, gap: str) -> str:
    """Return a text as a part of a file's name, with `gap` for what is no letter, digit or `.+-_`.

    Letters are all of Unicode's with their marks, composed (NFC): some file systems change that.
    """
    kept = "".join(
        letter if letter in ".+-_" or _is_seen(letter) else "/"
        for letter in unicodedata.normalize("NFC", text)
    )
    bare = re.sub(r"(^|[/.+_-])[\u0300-\u036f\ufe20-\ufe2f\u20d0-\u20ff]+", r"\1", kept)
    return re.sub("/+", gap, bare)


def _is_seen(letter: str) -> bool:
    """Return whether a letter, mark or digit has a shape of its own."""
    return unicodedata.category(letter)[0] in "LMN" and letter not in _UNSEEN


def fit_name(name: str, end: str = "") -> str:
    """Return a name that file systems allow, cut before its end if need be."""
    letters = name[: _LONGEST_NAME - len(end)].encode()[: _MOST_BYTES - len(end.encode())]
    return letters.decode(errors="ignore") + end


def folded_name(name: str) -> str:
    """Return what is equal for names that some file system takes for one: case, and spelling."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def move_file(file: Path, target: Path) -> Path:
    """Move a complete file to its place on the same disk, so that a crash leaves no half file.

    Raises:
        OSError: It can't be moved, and what was there before still is; or only the folder can't be
            flushed to the disk.
    """
    with file.open("rb+") as whole:
        os.fsync(whole.fileno())
    moved = file.replace(target)
    if os.name == "posix":  # the new name is on the disk once its folder is
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno != errno.EINVAL:  # this file system flushes no folders
                raise
        finally:
            os.close(descriptor)
    return moved


def write_file(path: Path, data: bytes) -> Path:
    """Write a file in one move.

    Raises:
        OSError: It can't be written; what was there before still is.
    """
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=TEMP_PREFIX, ignore_cleanup_errors=True
    ) as folder:
        file = Path(folder, path.name)
        file.write_bytes(data)
        return move_file(file, path)


NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""The errors of a file system that has no locks, as some network file systems."""


def check_regular(path: Path) -> Path:
    """Return a path whose file may be read; to read a pipe would never end.

    Raises:
        OSError: It is there, and not a regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is not a regular file")
    return path


def cache_folder() -> Path:
    """Return the cache folder: `NSTFLOW_CACHE`, or where the platform keeps caches.

    Raises:
        NstflowError: There is none: the user has no home folder.
    """
    import platformdirs

    try:
        path = user_path(os.environ.get("NSTFLOW_CACHE") or platformdirs.user_cache_dir("nstflow"))
    except RuntimeError:  # of platformdirs; its older versions leave the `~`
        path = Path("~")
    if path.parts[:1] == ("~",):
        raise NstflowError(no_home("a cache folder", "NSTFLOW_CACHE"))
    return path


def no_home(what: str, variable: str) -> Problem:
    """Return the problem of weights that would be in the home folder, of a user who has none.

    Args:
        what: What there is no place for.
        variable: The environment variable that names it.
    """
    got = f"there is no place for {what}: this user has no home folder."
    hint = f"Set the environment variable {variable} to a folder that you can write, or HOME."
    return Problem("", "weights", got, hint)


def check_temporary_folder() -> None:
    """Raise an `NstflowError` if there is no folder for temporary files."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        got = "there is no folder for temporary files that can be written."
        hint = "Set the environment variable TMPDIR to one."
        raise NstflowError(Problem("", "temporary files", got, hint)) from error


_SETTLED_NS = 2_000_000_000
"""How long after a change the next one may leave a file's times as they are; FAT counts in 2 s."""

_hashes: dict[tuple[int, ...], str] = {}


def sha256_of(path: Path) -> str:
    """Return a file's sha256, in hexadecimal.

    A process reads a file once, as long as its inode, size and times stay as they are.

    Raises:
        OSError: It can't be read.
    """
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        times = (before.st_mtime_ns, before.st_ctime_ns)
        key = (before.st_dev, before.st_ino, before.st_size, *times)
        if key in _hashes:
            return _hashes[key]
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(times) > _SETTLED_NS:
        _hashes[key] = sha256
    return sha256
