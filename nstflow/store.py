"""The run directory: files appear in it whole, or not at all, and one run at a time writes them."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from nstflow import atomic
from nstflow.checkpoint import Checkpoint, DamagedCheckpointError, unpack
from nstflow.claim import Claim
from nstflow.digest import sha256_of
from nstflow.errors import NstflowError, Problem
from nstflow.facts import CHECKPOINT_FILE, FACTS_FILE, HISTORY_FILE, LOCK_FILE, OWN, Facts
from nstflow.history import to_csv

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
            self._claim = Claim(path, overwrite=overwrite, resume=resume, inputs=inputs)
        self.held = self._claim.facts is not None
        self.facts = self._claim.facts or Facts()

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
        self.write(FACTS_FILE, f"{facts.model_dump_json(indent=2)}\n")
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
            return atomic.write(self.path / name, data)

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
            return atomic.move(file, self.path / file.name)

    def _keep(self) -> None:
        self.has_steps = True
        self._claim.keep()

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder beside the final files, removed with what is left in it."""
        with self._writing():
            self._claim.check()
            folder = tempfile.TemporaryDirectory(
                dir=self.path, prefix=atomic.PART, ignore_cleanup_errors=True
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
