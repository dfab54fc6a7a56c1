"""The run directory: files appear in it whole, or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nstflow.errors import NstflowError, Problem

RECIPE_FILE, HISTORY_FILE = "recipe.yaml", "history.csv"
_SCRATCH = ".part-"


class RunDirectory:
    """One run's directory.

    Args:
        path: Where it is, or will be.
        overwrite: Empty it first, if it is a run directory.

    Raises:
        NstflowError: It holds something and `overwrite` was not said, it is no run directory, or
            it can't be written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        with self._writing():
            if path.exists() and not path.is_dir():
                hint = "Choose another place with --out."
                raise self._refuse("this is a file, not a folder.", hint)
            held = sorted(path.iterdir()) if path.exists() else []
            if held and not overwrite:
                hint = "Replace it with --overwrite, or choose another place with --out."
                raise self._refuse("this run directory exists already.", hint)
            if lacking := _lacks(path, held):
                got = f"this folder holds {held[0].name} but no {lacking}: it is no run's."
                raise self._refuse(got, "Nothing was deleted. Choose another place with --out.")
            for entry in held:
                shutil.rmtree(
                    entry
                ) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)

    def abandon(self) -> None:
        """Take back what a run made that broke off before its first history."""
        with contextlib.suppress(OSError):
            if {entry.name for entry in self.path.iterdir()} <= {RECIPE_FILE}:
                (self.path / RECIPE_FILE).unlink(missing_ok=True)
                for folder in self._made:
                    folder.rmdir()

    def write(self, name: str, text: str) -> Path:
        """Write a text file, in one move."""
        with self.scratch() as folder:
            (folder / name).write_text(text, encoding="utf-8", newline="")
            return self.place(folder / name)

    def write_history(self, history: Mapping[str, Sequence[float]]) -> Path:
        """Write `history.csv`: a column for each key, a row for each step."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(history)
        rows.writerows(zip(*history.values(), strict=True))
        return self.write(HISTORY_FILE, text.getvalue())

    def place(self, file: Path) -> Path:
        """Move a whole file from a scratch folder into the directory; return where it is."""
        target = self.path / file.name
        with self._writing():
            with file.open("rb+") as whole:
                os.fsync(whole.fileno())
            return file.replace(target)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder beside the final files, removed with what is left in it."""
        with (
            self._writing(),
            tempfile.TemporaryDirectory(dir=self.path, prefix=_SCRATCH) as folder,
        ):
            yield Path(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "Free some space, or choose another place with --out."
            raise self._refuse(f"the run directory can't be written: {reason}.", hint) from error

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self.path), "", got, hint))


def _lacks(path: Path, held: Sequence[Path]) -> str:
    """Return what a folder would have if it were a run's, or an empty string if it may be one.

    A recipe alone does not make it one: people keep theirs beside their photographs.
    """
    others = [e for e in held if e.name != RECIPE_FILE and not e.name.startswith(_SCRATCH)]
    if held and not (path / RECIPE_FILE).is_file():
        return RECIPE_FILE
    return HISTORY_FILE if others and not (path / HISTORY_FILE).is_file() else ""
