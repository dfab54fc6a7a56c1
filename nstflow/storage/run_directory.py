"""The run directory: files appear in it whole or not at all, and one run at a time writes them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import filelock

from nstflow.errors import NstflowError, NstflowWarning, Problem
from nstflow.storage.checkpoint import Checkpoint, DamagedCheckpointError, read_checkpoint
from nstflow.storage.files import NO_LOCKS, TEMP_PREFIX, move_file, sha256_of, write_file
from nstflow.storage.history import to_csv
from nstflow.storage.run_record import (
    CHECKPOINT_FILE,
    HISTORY_FILE,
    LOCK_FILE,
    RECIPE_FILE,
    RUN_FILES,
    RUN_RECORD_FILE,
    RunRecord,
    read_run_record,
)

_MUTEX_FILE = ".nstflow.lock"

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DirectoryMutex:
    """Lets one command at a time work in a folder: a context manager.

    The folder is made on entry, and removed on exit if it was made here and is empty. A process
    that dies holds nothing. Where the file system has no locks, a warning says that two commands
    are not kept apart.

    Args:
        folder: The folder.
        name: The name of the mutex's file in it.
        busy: What to say where another command holds it.

    Raises:
        NstflowError: Another command holds it.
        OSError: The folder can't be written.
    """

    def __init__(self, folder: Path, name: str, busy: str) -> None:
        self._folder, self._file, self._busy = folder, folder / name, busy
        self._mutex = filelock.FileLock(self._file, timeout=0, thread_local=False)
        self._watched = self._file
        self._held: os.stat_result | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        self._made = [each for each in (self._folder, *self._folder.parents) if not each.exists()]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._acquire()
            self._held = self._watched.stat()
        except filelock.Timeout:
            hint = "Wait until it ends, or choose another place with --out."
            raise NstflowError(Problem(str(self._folder), "", self._busy, hint)) from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def _acquire(self) -> None:
        try:
            self._mutex.acquire()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            got = f"nothing keeps two commands in {self._folder} apart: this file system has no"
            warnings.warn(f"{got} locks ({error.strerror})", NstflowWarning, stacklevel=4)
            self._watched = self._folder  # the other command removes the file
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=TEMP_PREFIX):
                pass  # it can be written

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.check()
            self._file.unlink()  # before the release: a process that waits for it then notices
        self._mutex.release()
        for folder in self._made:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()

    def check(self) -> None:
        """Raise an `OSError` if the folder was deleted, moved or replaced since."""
        with contextlib.suppress(FileNotFoundError):
            if self._held and os.path.samestat(self._watched.stat(), self._held):
                return
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))


class RunDirectory:
    """The directory of one run: a context manager, during which no other run writes there.

    A run that is replaced stays as it is until the new one has steps to save.

    Args:
        path: Where it is, or will be.
        overwrite: Replace the run that is there.
        resume: Continue the run that is there.
        inputs: Files that the run will read, which must not be replaced.

    Attributes:
        path: Where it is.
        record: What `run.json` says, or will say.
        resuming: Whether there is a run to resume.
        replacing: Whether there is a run to replace, which is still as it was.
        has_steps: Whether steps of this run were saved.

    Raises:
        NstflowError: On entry: there is something and neither option was given, it is not a run's,
            another run is writing there, or it can't be written.
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
        self.record = RunRecord()
        self.resuming = self.replacing = self.has_steps = False
        self._overwrite, self._resume, self._inputs = overwrite, resume, inputs
        self._first: dict[str, str] = {}
        self._begins = self._is_new = True
        self._is_open = False
        self._placed: set[str] = set(RUN_FILES)
        self._mutex = DirectoryMutex(path, _MUTEX_FILE, "another run is at work in this directory.")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, self._disk_errors():
            if read_run_record(self.path) is None:
                self._check_entries()  # before anything is written into someone's folder
            stack.enter_context(self._mutex)
            for folder in self.path.glob(f"{TEMP_PREFIX}*"):  # of a process that was killed
                shutil.rmtree(folder, ignore_errors=True)
            found = self._check_entries()
            if found is not None:
                self._is_new = False
                self.resuming, self.replacing = not self._overwrite, self._overwrite
                self.record = found if self.resuming else RunRecord(files=found.files)
                if self.replacing:
                    self._check_inputs()
            stack.pop_all()  # the mutex is held until the exit
            self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self._mutex.__exit__()

    def fail(self) -> None:
        """Record that the run failed; of one that is new and has saved no step, leave nothing."""
        with contextlib.suppress(NstflowError, OSError):
            if self._is_new and not self.has_steps:
                self._mutex.check()
                self._remove([*self.record.files, *reversed(RUN_FILES)])  # `run.json` last
            elif self.record.state == "running" and not self.replacing:
                self.write_record(state="failed")

    def begin(self, recipe: str, lock: str, history: Mapping[str, Sequence[float]]) -> None:
        """Write what there is of a run before its first step.

        Where a run is replaced, nothing is written until the first step is saved.

        Args:
            recipe: The recipe's text.
            lock: The lock's text; empty where the one that is there stays.
            history: Of the steps before; empty where the run begins at its first step.
        """
        self._first = {LOCK_FILE: lock} if lock else {}
        self._first |= {RECIPE_FILE: recipe, HISTORY_FILE: to_csv(history)}
        self._begins = not history["step"]
        if not self.replacing:
            self._write_first()

    def _write_first(self) -> None:
        """Write what `begin` was given; if that fails, again before anything else is written.

        Of a run that is replaced, `run.json` names the outputs until they are removed, and the
        checkpoint is gone before the new lock is there: a process that is killed in between mixes
        nothing of the two runs.
        """
        if not self._first:
            return
        self.write_record(state="running")
        self.replacing = False
        if self._begins:
            self.remove_checkpoint()
        for name, text in self._first.items():
            self.write(name, text)
        if self._begins:
            with self._disk_errors():
                self._remove(self.record.files)
            self.record = self.record.model_copy(update={"files": ()})
        self._first = {}

    def write_record(self, **changes: Any) -> None:
        """Change fields of `run.json`."""
        record = self.record.model_copy(update=changes)
        self.write(RUN_RECORD_FILE, f"{record.model_dump_json(indent=2)}\n")
        self.record = record

    def write_history(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write `history.csv`: a column for each key, a row for each step."""
        self._write_first()
        self.write(HISTORY_FILE, to_csv(history))
        self.has_steps = self.has_steps or bool(history["step"])

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; the one before is there until this one is whole."""
        self._write_first()
        self.write(CHECKPOINT_FILE, checkpoint.pack(self._lock_sha256()))
        self.has_steps = True

    def read_checkpoint(self) -> Checkpoint | None:
        """Return the checkpoint of the run to resume, if there is one.

        Raises:
            NstflowError: It is damaged, or of another run.
        """
        path = self.path / CHECKPOINT_FILE
        if not self.resuming or not path.is_file():
            return None
        try:
            with self._disk_errors():
                checkpoint = read_checkpoint(path)
            if checkpoint.lock != self._lock_sha256():
                raise DamagedCheckpointError(f"it belongs to another {LOCK_FILE}")
        except DamagedCheckpointError as error:
            raise self.checkpoint_error(error) from error
        return checkpoint

    def _lock_sha256(self) -> str:
        """Return the hash of the lock that is there, or an empty text."""
        path = self.path / LOCK_FILE
        with self._disk_errors():
            return sha256_of(path) if path.is_file() else ""

    def checkpoint_error(self, error: DamagedCheckpointError) -> NstflowError:
        """Return the error for a checkpoint that can't be used."""
        got = f"the checkpoint can't be used: {error}."
        hint = "Start again with --overwrite."
        return NstflowError(Problem(str(self.path / CHECKPOINT_FILE), "", got, hint))

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint, if there is one."""
        with self._disk_errors():
            self._mutex.check()
            (self.path / CHECKPOINT_FILE).unlink(missing_ok=True)

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, in one move."""
        data = content.encode() if isinstance(content, str) else content
        with self._disk_errors():
            self._mutex.check()
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
        if file.name not in self.record.files:
            if os.path.lexists(self.path / file.name):
                got = f"{file.name} is there already, and no run wrote it."
                hint = "Move it away; --resume then writes the picture."
                raise NstflowError(Problem("", "", got, hint))
            self.write_record(files=(*self.record.files, file.name))
        self._placed.add(file.name)
        with self._disk_errors():
            self._mutex.check()
            return move_file(file, self.path / file.name)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder beside the final files, removed with what is left in it."""
        with self._disk_errors():
            self._mutex.check()
            folder = tempfile.TemporaryDirectory(
                dir=self.path, prefix=TEMP_PREFIX, ignore_cleanup_errors=True
            )
        with folder as name, self._disk_errors(_DISK_FULL):  # any other is the stage's own
            yield Path(name)

    def _check_entries(self) -> RunRecord | None:
        """Return the record of the run that the folder holds, None if it is empty.

        Raises:
            NstflowError: It holds something that is not a run's, or that was not to be there.
        """
        names = os.listdir(self.path) if self.path.exists() else []  # noqa: PTH208 - names, no paths
        held = sorted(n for n in names if n != _MUTEX_FILE and not n.startswith(TEMP_PREFIX))
        if not held:
            return None
        record = read_run_record(self.path)
        if record is None:
            got = f"this folder holds {held[0]} but no valid {RUN_RECORD_FILE}: "
            got += "it is not a run directory."
            raise self._refusal(got, "Nothing was deleted. Choose another place with --out.")
        if not self._overwrite and not self._resume:
            got = "this run directory exists already."
            hint = "Replace it with --overwrite, or choose another place with --out."
            if record.state != "finished":
                got = "this run directory exists already, of a run that has not ended."
                hint = f"Continue it with --resume, {hint[0].lower()}{hint[1:]}"
            raise self._refusal(got, hint)
        return record

    def _check_inputs(self) -> None:
        """Refuse to replace a file that the recipe reads."""
        inputs = {file.resolve() for file in self._inputs}
        for path in (self.path / name for name in (*RUN_FILES, *self.record.files)):
            if path.is_file() and path.resolve() in inputs:
                got = f"{path.name} is a file that the recipe reads, and would be replaced."
                raise self._refusal(got, "Choose another place with --out.")

    def _remove(self, names: Iterable[str]) -> None:
        for path in (self.path / name for name in names):
            if path.is_symlink() or path.is_file():  # a folder of such a name is someone else's
                path.unlink()

    def _refusal(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self.path), "", got, hint))

    @contextlib.contextmanager
    def _disk_errors(self, only: Collection[int] = ()) -> Iterator[None]:
        """Turn an `OSError`, or one of these numbers alone, into an `NstflowError`."""
        try:
            yield
        except OSError as error:
            if only and error.errno not in only:
                raise
            is_gone = error.errno == errno.ENOENT and not self.path.exists()
            if self._is_open and (is_gone or error.errno == errno.ESTALE):
                got = "the run directory is gone: it was deleted or moved while the run lasted."
                raise self._refusal(got, "Run the recipe again.") from error
            got = f"the run directory can't be written: {error.strerror or error}."
            hint = "Choose another place with --out."
            if error.errno in _DISK_FULL:
                hint = "Free some space, or choose another place with --out."
            raise self._refusal(got, hint) from error
