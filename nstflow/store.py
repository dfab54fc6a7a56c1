"""The run directory: files appear in it whole, or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nstflow.errors import NstflowError, Problem

RECIPE_FILE, HISTORY_FILE, FACTS_FILE = "recipe.yaml", "history.csv", "run.json"

_OF_THE_DISK = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO"),
        *("ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "ELOOP", "EINVAL"),
    )
    if hasattr(errno, name)
}


class RunDirectory:
    """One run's directory.

    What it held before is set aside until the new run has a step to show, and comes back if the
    run breaks off before.

    Args:
        path: Where it is, or will be.
        overwrite: Replace what it holds, if that is a run.

    Attributes:
        path: Where it is.
        has_steps: Whether the run has a step to show.

    Raises:
        NstflowError: It holds something and `overwrite` was not said, it is no run directory, or
            it can't be written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self._placed = {RECIPE_FILE, HISTORY_FILE, FACTS_FILE}
        self._old: Path | None = None
        self.has_steps = False
        with self._writing():
            if path.exists() and not path.is_dir():
                hint = "Choose another place with --out."
                raise self._refuse("this is a file, not a folder.", hint)
            held = sorted(path.iterdir()) if path.exists() else []
            if held and not overwrite:
                hint = "Replace it with --overwrite, or choose another place with --out."
                raise self._refuse("this run directory exists already.", hint)
            for name in (RECIPE_FILE, HISTORY_FILE):
                if held and not (path / name).is_file():
                    got = f"this folder holds {held[0].name} but no {name}: it is no run's."
                    hint = "Nothing was deleted. Choose another place with --out."
                    raise self._refuse(got, hint)
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            if held:
                self._set_aside(held)

    def _set_aside(self, held: Sequence[Path]) -> None:
        self._old = Path(tempfile.mkdtemp(dir=self.path, prefix=".old-"))
        try:
            for entry in held:
                entry.rename(self._old / entry.name)
        except BaseException:
            self._bring_back()
            raise

    def _bring_back(self) -> None:
        if self._old is not None:
            for entry in self._old.iterdir():
                entry.rename(self.path / entry.name)
            self._old.rmdir()

    def abandon(self) -> None:
        """Bring back what was there before; does nothing once the run has a step to show."""
        if self.has_steps:
            return
        with contextlib.suppress(OSError):
            for name in (RECIPE_FILE, HISTORY_FILE):
                (self.path / name).unlink(missing_ok=True)
            self._bring_back()
            for folder in self._made:
                folder.rmdir()

    def write_history(self, history: Mapping[str, Sequence[float]]) -> Path:
        """Write `history.csv`: a column for each key, a row for each step."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(history)
        rows.writerows(zip(*history.values(), strict=True))
        path = self.write(HISTORY_FILE, text.getvalue())
        if history["step"]:
            self.has_steps = True
            if self._old is not None:
                shutil.rmtree(self._old, ignore_errors=True)
        return path

    def write(self, name: str, text: str) -> Path:
        """Write a text file, in one move."""
        with self.scratch() as folder:
            (folder / name).write_text(text, encoding="utf-8", newline="")
            return self._move(folder / name)

    def place(self, file: Path, folder: Path) -> Path:
        """Move an output's file from its scratch folder into the directory; return where it is.

        Raises:
            NstflowError: It is not a file of that folder, or its name is taken.
        """
        if file.parent != folder or file.is_symlink() or not file.is_file():
            raise NstflowError(Problem("", "", f"it wrote no file into its folder, but {file}."))
        if file.name in self._placed:
            hint = "Give one of the outputs another name."
            raise NstflowError(Problem("", "", f"{file.name} is written already.", hint))
        self._placed.add(file.name)
        return self._move(file)

    def _move(self, file: Path) -> Path:
        with self._writing():
            with file.open("rb+") as whole:
                os.fsync(whole.fileno())
            return file.replace(self.path / file.name)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder beside the final files, removed with what is left in it."""
        with (
            self._writing(),
            tempfile.TemporaryDirectory(dir=self.path, prefix=".part-") as folder,
        ):
            yield Path(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _OF_THE_DISK:
                raise  # a stage's own, from a network for example
            reason = error.strerror or str(error)
            hint = "Free some space, or choose another place with --out."
            raise self._refuse(f"the run directory can't be written: {reason}.", hint) from error

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self.path), "", got, hint))
