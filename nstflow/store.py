"""The run directory: files appear in it whole, or not at all."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from nstflow.errors import NstflowError, Problem

RECIPE_FILE, HISTORY_FILE = "recipe.yaml", "history.csv"


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
        if path.exists() and not path.is_dir():
            raise self._refuse("this is a file, not a folder.", "Choose another place with --out.")
        with self._writing():
            held = sorted(path.iterdir()) if path.exists() else []
            if held and not overwrite:
                hint = "Replace it with --overwrite, or choose another place with --out."
                raise self._refuse("this run directory exists already.", hint)
            if held and not (path / RECIPE_FILE).is_file():
                got = f"this folder holds {held[0].name} but no {RECIPE_FILE}: it is no run's."
                raise self._refuse(got, "Nothing was deleted. Choose another place with --out.")
            for entry in held:
                shutil.rmtree(
                    entry
                ) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            path.mkdir(parents=True, exist_ok=True)

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
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return file.replace(target)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder beside the final files, removed with what is left in it."""
        with (
            self._writing(),
            tempfile.TemporaryDirectory(dir=self.path, prefix=".part-") as folder,
        ):
            yield Path(folder)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            hint = "Free some space, or choose another place with --out."
            raise self._refuse(f"the run directory can't be written: {reason}.", hint) from error

    def _refuse(self, got: str, hint: str) -> NstflowError:
        return NstflowError(Problem(str(self.path), "", got, hint))
