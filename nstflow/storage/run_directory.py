"""The run directory: files appear in it whole, or not at all, and one run at a time writes them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import filelock

from nstflow.errors import NstflowError, Problem
from nstflow.storage.checkpoint import Checkpoint, DamagedCheckpointError, unpack
from nstflow.storage.files import PART, move_file, sha256_of, write_file
from nstflow.storage.history import to_csv
from nstflow.storage.run_record import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    LOCK_FILE,
    OWN,
    RUN_RECORD_FILE,
    RunRecord,
    has_steps,
    read_run_record,
)

_OF_THE_DISK = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO"),
        *("ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "ELOOP", "EINVAL", "ESTALE"),
    )
    if hasattr(errno, name)
}


_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}


class RunDirectory:
    """One run's directory, claimed until it is left: a context manager.

    Args:
        path: Where it is, or will be.
        overwrite: Set aside what a run left in it, until this one has a step to show.
        resume: Take what a run left in it.
        inputs: Files that the run will read, which must not be set aside.

    Attributes:
        path: Where it is.
        facts: What its last run says of itself; of a new one until `record` says more.
        held: Whether it holds a run to resume.
        has_steps: Whether the run has a step to show.

    Raises:
        NstflowError: It holds something and neither was said, it is no run's, another run is at
            work in it, or it can't be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        overwrite: bool = False,
        resume: bool = False,
        inputs: Collection[Path] = (),
    ) -> None:
        self.path = path
        self.has_steps = False
        self._placed: set[str] = set(OWN)
        with self._writing():
            self._claim = DirectoryLock(path, overwrite=overwrite, resume=resume, inputs=inputs)
        self.held = self._claim.facts is not None
        self.facts = self._claim.facts or RunRecord()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._claim.release()

    @property
    def replaces(self) -> bool:
        """Whether a run is set aside that comes back if this one breaks off now."""
        return self._claim.replaces

    def fail(self) -> None:
        """Bring back what was there before; write down that it failed where the run has a step."""
        if not self.has_steps and not self.held:
            self._claim.undo()
        elif self.facts.state == "running":
            with contextlib.suppress(NstflowError, OSError):
                self.record(state="failed")

    def record(self, **changes: Any) -> None:
        """Write down facts of the run."""
        facts = self.facts.model_copy(update=changes)
        self.write(RUN_RECORD_FILE, f"{facts.model_dump_json(indent=2)}\n")
        self.facts = facts

    def write_history(self, history: Mapping[str, Sequence[float]]) -> Path:
        """Write `history.csv`: a column for each key, a row for each step."""
        path = self.write(HISTORY_FILE, to_csv(history))
        if history["step"]:
            self._keep()
        return path

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the one before is there until this one is whole."""
        self.write(CHECKPOINT_FILE, checkpoint.pack(self._lock()))
        self._keep()

    def saved(self) -> Checkpoint | None:
        """Return the checkpoint to go on from, if there is one.

        Raises:
            NstflowError: It is damaged, or of another run.
        """
        path = self.path / CHECKPOINT_FILE
        if not self.held or not path.is_file():
            return None
        with self._writing():
            data = path.read_bytes()
        try:
            checkpoint = unpack(data)
            if checkpoint.lock != self._lock():
                raise DamagedCheckpointError(f"it belongs to another {LOCK_FILE}")
        except DamagedCheckpointError as error:
            raise self.unusable(error) from error
        return checkpoint

    def _lock(self) -> str:
        """Return the hash of the lock that is there, or an empty text."""
        path = self.path / LOCK_FILE
        with self._writing():
            return sha256_of(path) if path.is_file() else ""

    def unusable(self, error: DamagedCheckpointError) -> NstflowError:
        """Return what to say of a checkpoint that can't be used."""
        got = f"the checkpoint can't be used: {error}."
        hint = "Begin anew with --overwrite."
        return NstflowError(Problem(str(self.path / CHECKPOINT_FILE), "", got, hint))

    def drop_checkpoint(self) -> None:
        """Remove the checkpoint of a run that has ended."""
        with self._writing():
            self._claim.check()
            (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, in one move."""
        data = content.encode() if isinstance(content, str) else content
        with self._writing():
            self._claim.check()
            return write_file(self.path / name, data)

    def place(self, file: Path, folder: Path) -> Path:
        """Move an output's file from its scratch folder into the directory; return where it is.

        Raises:
            NstflowError: It is not a file of that folder, or its name is taken.
        """
        if file.parent != folder or file.is_symlink() or not file.is_file():
            raise NstflowError(Problem("", "", f"it wrote no file into its folder, but {file}."))
        if file.name in self._placed or file.name.startswith("."):
            hint = "Give one of the outputs another name."
            raise NstflowError(Problem("", "", f"{file.name} is written already.", hint))
        if file.name not in self.facts.files:
            if os.path.lexists(self.path / file.name):
                got = f"{file.name} is there already, and no run wrote it."
                hint = "Move it away; --resume then writes the picture."
                raise NstflowError(Problem("", "", got, hint))
            self.record(files=(*self.facts.files, file.name))
        self._placed.add(file.name)
        with self._writing():
            self._claim.check()
            return move_file(file, self.path / file.name)

    def _keep(self) -> None:
        self.has_steps = True
        self._claim.keep()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder beside the final files, removed with what is left in it."""
        with self._writing():
            self._claim.check()
            folder = tempfile.TemporaryDirectory(
                dir=self.path, prefix=PART, ignore_cleanup_errors=True
            )
        with folder as name, self._writing(_FULL):  # else what a stage raises is the stage's
            yield Path(name)

    @contextlib.contextmanager
    def _writing(self, meant: Collection[int] = _OF_THE_DISK) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in meant:
                raise
            where = str(self.path)
            if error.errno == errno.ESTALE or (
                error.errno == errno.ENOENT and not self.path.exists()
            ):
                got = "the run directory is gone: it was deleted or moved while the run lasted."
                hint = "Run the recipe again."
            else:
                got = f"the run directory can't be written: {error.strerror or error}."
                hint = "Free some space, or choose another place with --out."
            raise NstflowError(Problem(where, "", got, hint)) from error


_LOCK, _OLD = ".nstflow.lock", ".nstflow-old-"


class DirectoryLock:
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
        self.facts: RunRecord | None = None
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
        if (self._path / _LOCK).is_file() and read_run_record(self._path) is not None:
            return True  # in another folder a file of that name is someone else's
        return bool(self._left_aside())

    def _left_aside(self) -> list[Path]:
        """Return the folders into which a process that was killed has set a run aside."""
        found = []
        for old in self._path.glob(f"{_OLD}*"):
            facts = read_run_record(old) or read_run_record(self._path)
            if facts is None or old.is_symlink() or not old.is_dir():
                continue
            if {entry.name for entry in old.iterdir()} <= {*OWN, *facts.files}:
                found.append(old)
        return found

    def _judge(self, *, overwrite: bool, resume: bool) -> RunRecord | None:
        """Return the facts of the run that the folder holds, None if it is empty."""
        held = sorted(self._entries()) if self._path.exists() else []
        if not held:
            return None
        facts = read_run_record(self._path)
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
            got = f"this folder holds {held[0]} but no sound {RUN_RECORD_FILE}: it is no run's."
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
            if not (old / RUN_RECORD_FILE).exists():
                _move_back(old)  # it was killed before all was set aside
            elif has_steps(self._path):
                _remove(old)
            else:
                self._bring_back(old)

    def _set_aside(self, inputs: Collection[Path]) -> None:
        """Move what a run wrote into a folder beside it, the mark of a run last."""
        names = self._written(self.facts or RunRecord())
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
        facts = read_run_record(self._path)
        if facts is not None:  # else that was done before, by a process that was killed then
            for name in self._written(facts):
                (self._path / name).unlink()
        if old is not None:
            _move_back(old)

    def _written(self, facts: RunRecord) -> list[str]:
        """Return what is there of a run, the mark of a run last; a folder is someone else's."""
        paths = [self._path / name for name in dict.fromkeys((*OWN, *facts.files))]
        there = [path.name for path in paths if path.is_symlink() or path.is_file()]
        return sorted(there, key=RUN_RECORD_FILE.__eq__)

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self._path), "", got, hint))


def _move_back(old: Path) -> None:
    for entry in sorted(old.iterdir(), key=lambda entry: entry.name == RUN_RECORD_FILE):
        entry.replace(old.parent / entry.name)
    old.rmdir()


def _remove(old: Path) -> None:
    """Remove a folder that was set aside; under another name, so that no half of it comes back."""
    shutil.rmtree(old.rename(old.with_name(old.name.replace(_OLD, PART, 1))), ignore_errors=True)
