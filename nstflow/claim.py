"""Who may write into a folder: one run at a time, and over nothing that is not a run's."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import filelock

from nstflow.atomic import PART
from nstflow.errors import NstflowError, Problem
from nstflow.facts import FACTS_FILE, OWN, Facts, has_steps, read_facts

_LOCK, _OLD = ".nstflow.lock", ".nstflow-old-"


class Claim:
    """A folder of one's own until it is released.

    What an earlier run left is set aside where it is to be replaced, and comes back with `undo`.
    What a process that died has left, the next claim puts in order.

    Args:
        path: The folder, which need not be there.
        overwrite: Set aside what a run left.
        resume: Take what a run left.
        inputs: Files that must stay where they are.

    Attributes:
        facts: Of the run to resume, or None.

    Raises:
        NstflowError: The folder may not be had.
        OSError: It can't be written.
    """

    def __init__(
        self, path: Path, *, overwrite: bool, resume: bool, inputs: Collection[Path]
    ) -> None:
        self._path = path
        self._old: Path | None = None
        self._lock: filelock.BaseFileLock | None = None
        self._locked: os.stat_result | None = None
        self._undone = False
        self._made: list[Path] = []
        self.facts: Facts | None = None
        if path.exists() and not path.is_dir():
            raise self._refuse("this is a file, not a folder.", "Choose another place with --out.")
        try:
            if self._is_unsettled():
                self._acquire()
                self._tidy()
            self._judge(overwrite=overwrite, resume=resume)  # before anything is written there
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._acquire()
                self._tidy()
            self.facts = self._judge(overwrite=overwrite, resume=resume)
            if overwrite and self.facts is not None:
                self._set_aside(inputs)
                self.facts = None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let others have the folder."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                if self._holds():
                    (self._path / _LOCK).unlink()  # while it is held: who waits for it sees that
            self._lock.release()
            self._lock = None
        for folder in self._made:
            with contextlib.suppress(OSError):  # unless something is in it
                folder.rmdir()

    def check(self) -> None:
        """Raise an `OSError` if the folder that was claimed is deleted, moved or another's."""
        if not self._holds():
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    @property
    def replaces(self) -> bool:
        """Whether a run is set aside."""
        return self._old is not None

    def keep(self) -> None:
        """Remove what was set aside: the new run has something to show."""
        with contextlib.suppress(OSError):
            old, self._old = self._old, None
            if old is not None:
                _remove(old)

    def undo(self) -> None:
        """Remove what a new run wrote, and bring back what was set aside."""
        if self.facts is None and not self._undone:
            self._undone = True  # what is there from now on is not the new run's
            with contextlib.suppress(OSError):
                if self._holds():
                    self._bring_back(self._old)

    def _acquire(self) -> None:
        lock = filelock.FileLock(self._path / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            hint = "Wait until it ends, or choose another place with --out."
            raise self._refuse("another run is at work in this directory.", hint) from None
        self._lock = lock
        self._locked = (self._path / _LOCK).stat()

    def _holds(self) -> bool:
        """Say whether the folder's lock is still the one that was taken."""
        if self._locked is None:
            return False
        try:
            return os.path.samestat((self._path / _LOCK).stat(), self._locked)
        except FileNotFoundError:
            return False

    def _is_unsettled(self) -> bool:
        """Say whether a run is at work in the folder, or was when it was killed."""
        if (self._path / _LOCK).is_file() and read_facts(self._path) is not None:
            return True  # in another folder a file of that name is someone else's
        return bool(self._left_aside())

    def _left_aside(self) -> list[Path]:
        """Return the folders into which a process that was killed has set a run aside."""
        found = []
        for old in self._path.glob(f"{_OLD}*"):
            facts = read_facts(old) or read_facts(self._path)
            if facts is None or old.is_symlink() or not old.is_dir():
                continue
            if {entry.name for entry in old.iterdir()} <= {*OWN, *facts.files}:
                found.append(old)
        return found

    def _judge(self, *, overwrite: bool, resume: bool) -> Facts | None:
        """Return the facts of the run that the folder holds, None if it is empty."""
        held = sorted(self._entries()) if self._path.exists() else []
        if not held:
            return None
        facts = read_facts(self._path)
        if not overwrite and not resume:
            got = "this run directory exists already."
            hint = "Replace it with --overwrite, or choose another place with --out."
            if facts is None:
                got = f"this folder exists already, and holds {held[0]}: it is no run's."
                hint = "Choose another place with --out."
            elif facts.state != "finished":
                got = "this run directory exists already, of a run that has not ended."
                hint = f"Go on with --resume, {hint[0].lower()}{hint[1:]}"
            raise self._refuse(got, hint)
        if facts is None:
            got = f"this folder holds {held[0]} but no sound {FACTS_FILE}: it is no run's."
            hint = "Nothing was deleted. Choose another place with --out."
            raise self._refuse(got, hint)
        return facts

    def _entries(self) -> list[str]:
        """Return what lies in the folder beside our own hidden files."""
        names = os.listdir(self._path)  # noqa: PTH208 - names are what is asked for
        return [name for name in names if name != _LOCK and not name.startswith((PART, _OLD))]

    def _tidy(self) -> None:
        """Put in order what a process that was killed has left."""
        for part in self._path.glob(f"{PART}*"):
            shutil.rmtree(part, ignore_errors=True)
        for old in self._left_aside():
            if not (old / FACTS_FILE).exists():
                _move_back(old)  # it was killed before all was set aside
            elif has_steps(self._path):
                _remove(old)
            else:
                self._bring_back(old)

    def _set_aside(self, inputs: Collection[Path]) -> None:
        """Move what a run wrote into a folder beside it, the mark of a run last."""
        names = self._written(self.facts or Facts())
        dear = {file.resolve() for file in inputs}
        for name in names:
            if (self._path / name).is_file() and (self._path / name).resolve() in dear:
                got = f"{name} is a file that the recipe reads, and would be replaced."
                raise self._refuse(got, "Choose another place with --out.")
        self._old = Path(tempfile.mkdtemp(dir=self._path, prefix=_OLD))
        try:
            for name in names:
                (self._path / name).rename(self._old / name)
        except BaseException:
            _move_back(self._old)
            raise

    def _bring_back(self, old: Path | None) -> None:
        """Remove what a new run wrote, its mark last; then bring back what was set aside."""
        facts = read_facts(self._path)
        if facts is not None:  # else that was done before, by a process that was killed then
            for name in self._written(facts):
                (self._path / name).unlink()
        if old is not None:
            _move_back(old)

    def _written(self, facts: Facts) -> list[str]:
        """Return what is there of a run, the mark of a run last; a folder is someone else's."""
        paths = [self._path / name for name in dict.fromkeys((*OWN, *facts.files))]
        there = [path.name for path in paths if path.is_symlink() or path.is_file()]
        return sorted(there, key=FACTS_FILE.__eq__)

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self._path), "", got, hint))


def _move_back(old: Path) -> None:
    for entry in sorted(old.iterdir(), key=lambda entry: entry.name == FACTS_FILE):
        entry.replace(old.parent / entry.name)
    old.rmdir()


def _remove(old: Path) -> None:
    """Remove a folder that was set aside; under another name, so that no half of it comes back."""
    shutil.rmtree(old.rename(old.with_name(old.name.replace(_OLD, PART, 1))), ignore_errors=True)
