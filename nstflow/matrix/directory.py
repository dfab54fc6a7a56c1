"""The directory of a matrix, which holds those of its runs: one command at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from nstflow.errors import NstflowError, Problem
from nstflow.matrix.plan import Matrix
from nstflow.storage.run_directory import DirectoryMutex
from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE, has_steps, read_run_record

_SUMMARY_START = b"cell,"


class MatrixDirectory:
    """The directory of a matrix: a context manager, during which no other command runs there.

    Args:
        matrix: What will be made in it.
        path: Where it is, or will be.
        overwrite: Runs that are there may be replaced.
        resume: Runs that are there may be continued.

    Raises:
        NstflowError: On entry: it is a single run's, it holds someone's file that would be
            replaced, or runs and neither option was given, another command is making runs in it, or
            it can't be written.
    """

    def __init__(self, matrix: Matrix, path: Path, *, overwrite: bool, resume: bool) -> None:
        self._matrix, self._path, self._may_be_there = matrix, path, overwrite or resume
        busy = "another command makes runs in this directory."
        self._mutex = DirectoryMutex(path, ".nstflow-matrix.lock", busy)

    def __enter__(self) -> Self:
        try:
            if read_run_record(self._path) is not None:
                raise self._refusal("this is the directory of a single run.")
            self._check_files()
            self._check_runs()
            self._mutex.__enter__()
        except OSError as error:
            raise self._refusal(f"it can't be written ({error.strerror or error}).") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._mutex.__exit__()

    def _check_files(self) -> None:
        """Refuse to replace a file that no matrix wrote, or that a run reads."""
        inputs = {os.path.realpath(f) for plan in self._matrix.plans for f in plan.files.values()}
        for name in (SUMMARY_FILE, SHEET_FILE):
            file = self._path / name
            if os.path.realpath(file) in inputs:
                raise self._refusal(f"'{name}' in it is an image of the recipe.")
            if file.exists() and not self._is_own():
                raise self._refusal(f"'{name}' in it was not written by nstflow.")

    def _is_own(self) -> bool:
        """Say whether there is a summary of a matrix."""
        summary = self._path / SUMMARY_FILE
        if not summary.is_file():
            return False
        with summary.open("rb") as file:
            return file.read(len(_SUMMARY_START)) == _SUMMARY_START

    def _check_runs(self) -> None:
        names = [cell.name for cell in self._matrix.cells]
        there = [name for name in names if has_steps(self._path / name)]
        if there and not self._may_be_there:
            got = f"{len(there)} of the {len(names)} runs are there already, such as {there[0]}."
            raise self._refusal(got, "Continue with --resume, or replace them with --overwrite.")

    def _refusal(self, got: str, hint: str = "Choose another place with --out.") -> NstflowError:
        return NstflowError(Problem(str(self._path), "", got, hint))
