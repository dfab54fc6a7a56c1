"""The directory that holds those of the runs of a matrix: one command at a time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Self

import filelock

from nstflow.errors import NstflowError, Problem
from nstflow.matrix.plan import Matrix
from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE, has_steps, read_run_record

_LOCK = ".nstflow-matrix.lock"


_OWN = b"cell,"  # what a summary begins with


class MatrixDirectory:
    """A directory that is claimed until it is left: a context manager.

    Args:
        matrix: What will be made in it.
        path: Where it is, or will be.
        overwrite: Runs that are there may be replaced.
        resume: Runs that are there may go on.

    Raises:
        NstflowError: It is a single run's, holds a file of somebody's that would be replaced, or
            runs and neither was said, another command is at work in it, or it can't be written.
    """

    def __init__(self, matrix: Matrix, path: Path, *, overwrite: bool, resume: bool) -> None:
        self._path = path
        self._lock = filelock.FileLock(path / _LOCK, timeout=0, thread_local=False)
        try:
            if read_run_record(path) is not None:
                raise self._refuse("this is the directory of a single run.")
            self._check_files(matrix)
            self._check_runs(matrix, may_be_there=overwrite or resume)
            path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            got = "another command makes runs in this directory."
            raise self._refuse(got, "Wait until it ends, or choose another with --out.") from None
        except OSError as error:
            raise self._refuse(f"it can't be written ({error.strerror or error}).") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            (self._path / _LOCK).unlink()  # while it is held: who waits for it sees that
        self._lock.release()

    def _check_files(self, matrix: Matrix) -> None:
        """Refuse where a file that is no matrix's, or that a run reads, would be replaced."""
        inputs = {os.path.realpath(file) for plan in matrix.plans for file in plan.files.values()}
        for name in (SUMMARY_FILE, SHEET_FILE):
            file = self._path / name
            if os.path.realpath(file) in inputs:
                raise self._refuse(f"'{name}' in it is an image of the recipe.")
            if file.exists() and not self._is_own():
                raise self._refuse(f"'{name}' in it was not written by nstflow.")

    def _is_own(self) -> bool:
        """Say whether runs of a matrix were summed up here before."""
        summary = self._path / SUMMARY_FILE
        if not summary.is_file():
            return False
        with summary.open("rb") as file:
            return file.read(len(_OWN)) == _OWN

    def _check_runs(self, matrix: Matrix, *, may_be_there: bool) -> None:
        there = [cell.name for cell in matrix.cells if has_steps(self._path / cell.name)]
        if there and not may_be_there:
            got = f"{len(there)} of the {len(matrix)} runs are there already, such as {there[0]}."
            raise self._refuse(got, "Go on with --resume, or replace them with --overwrite.")

    def _refuse(self, got: str, hint: str = "Choose another place with --out.") -> NstflowError:
        return NstflowError(Problem(str(self._path), "", got, hint))
