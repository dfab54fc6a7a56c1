"""Who may write into a folder: one run at a time, and over nothing that is not a run's."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import filelock

from nstflow.errors import NstflowError, Problem
from nstflow.facts import (
    CHECKPOINT_FILE,
    FACTS_FILE,
    HISTORY_FILE,
    OWN,
    Facts,
    read_facts,
)

_LOCK, _PART, _OLD = ".lock", ".part-", ".old-"
_FEW = 1 << 12  # bytes


class Claim:
    """A folder of one's own until it is released.

    What an earlier run left is set aside where it is to be replaced, and comes back with `undo`.
    A process that dies leaves a lock that no one holds, and perhaps what was set aside: the next
    claim puts both in order.

    Args:
        path: The folder, made if it is not there.
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
        self,
        path: Path,
        *,
        overwrite: bool,
        resume: bool,
        inputs: Collection[Path],
    ) -> None:
        self._path = path
        self._old: Path | None = None
        self._lock: filelock.BaseFileLock | None = None
        self._made: list[Path] = []
        self.facts: Facts | None = None
        if path.exists() and not path.is_dir():
            raise self._refuse("this is a file, not a folder.", "Choose another place with --out.")
        if (path / _LOCK).is_file():
            self._acquire()
        try:
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
            with contextlib.suppress(OSError):  # while it is held: who waits for it sees that
                (self._path / _LOCK).unlink()
            self._lock.release()
            self._lock = None
        for folder in self._made:
            with contextlib.suppress(OSError):  # unless something is in it
                folder.rmdir()

    def keep(self) -> None:
        """Remove what was set aside: the new run has something to show."""
        if self._old is not None:
            old, self._old = self._old, None
            with contextlib.suppress(OSError):
                _remove(old)

    def undo(self) -> None:
        """Remove what a new run wrote, and bring back what was set aside."""
        if self.facts is None:
            with contextlib.suppress(OSError):
                self._bring_back(self._old)
            self._old = None

    def _acquire(self) -> None:
        lock = filelock.FileLock(self._path / _LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except filelock.Timeout:
            hint = "Wait until it ends, or choose another place with --out."
            raise self._refuse("another run is at work in this directory.", hint) from None
        self._lock = lock

    def _judge(self, *, overwrite: bool, resume: bool) -> Facts | None:
        """Return the facts of the run that the folder holds, None if it is empty."""
        held = sorted(self._entries()) if self._path.exists() else []
        if not held:
            return None
        facts = read_facts(self._path)
        if not overwrite and not resume:
            going_on = facts is not None and facts.state != "finished"
            hint = "Replace it with --overwrite, or choose another place with --out."
            got = "this run directory exists already."
            if going_on:
                hint = f"Go on with --resume, {hint[0].lower()}{hint[1:]}"
                got = "this run directory exists already, of a run that has not ended."
            raise self._refuse(got, hint)
        if facts is None:
            got = f"this folder holds {held[0]} but no sound {FACTS_FILE}: it is no run's."
            hint = "Nothing was deleted. Choose another place with --out."
            raise self._refuse(got, hint)
        return facts

    def _entries(self) -> list[str]:
        """Return what lies in the folder beside our own hidden files."""
        names = os.listdir(self._path)  # noqa: PTH208 - names are what is asked for
        return [name for name in names if name != _LOCK and not name.startswith((_PART, _OLD))]

    def _tidy(self) -> None:
        """Put in order what a process that was killed has left."""
        for part in self._path.glob(f"{_PART}*"):
            shutil.rmtree(part, ignore_errors=True)
        for old in self._path.glob(f"{_OLD}*"):
            if not (old / FACTS_FILE).exists():
                _move_back(old)  # it was killed before all was set aside
            elif self._has_steps():
                _remove(old)
            else:
                self._bring_back(old)

    def _has_steps(self) -> bool:
        """Say whether the run that is in place has a step to show."""
        facts = read_facts(self._path)
        if facts is None:
            return False
        checkpoint, history = self._path / CHECKPOINT_FILE, self._path / HISTORY_FILE
        if facts.state != "running" or checkpoint.is_file():
            return True
        if not history.is_file():
            return False
        with history.open("rb") as file:
            return len(file.readlines(_FEW)) > 1

    def _set_aside(self, inputs: Collection[Path]) -> None:
        """Move what a run wrote into a folder beside it, the mark of a run last."""
        names = [*OWN, *(self.facts.files if self.facts else ())]
        names = [name for name in dict.fromkeys(names) if os.path.lexists(self._path / name)]
        dear = {file.resolve() for file in inputs}
        for name in names:
            if (self._path / name).resolve() in dear:
                got = f"{name} is a file that the recipe reads, and would be replaced."
                raise self._refuse(got, "Choose another place with --out.")
        self._old = Path(tempfile.mkdtemp(dir=self._path, prefix=_OLD))
        try:
            for name in sorted(names, key=FACTS_FILE.__eq__):
                (self._path / name).rename(self._old / name)
        except BaseException:
            _move_back(self._old)
            raise

    def _bring_back(self, old: Path | None) -> None:
        """Remove what a new run wrote, its mark last; then bring back what was set aside."""
        facts = read_facts(self._path)
        if facts is not None:  # else that was done before, by a process that was killed then
            for name in sorted({*OWN, *facts.files}, key=FACTS_FILE.__eq__):
                (self._path / name).unlink(missing_ok=True)
        if old is not None:
            _move_back(old)

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self._path), "", got, hint))


def _move_back(old: Path) -> None:
    for entry in sorted(old.iterdir(), key=lambda entry: entry.name == FACTS_FILE):
        entry.replace(old.parent / entry.name)
    old.rmdir()


def _remove(old: Path) -> None:
    """Remove a folder that was set aside; under another name, so that no half of it comes back."""
    shutil.rmtree(old.rename(old.with_name(old.name.replace(_OLD, _PART, 1))), ignore_errors=True)
