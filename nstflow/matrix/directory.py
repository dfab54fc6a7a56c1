"""The directory of a matrix, which holds those of its runs: one command at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nstflow.errors import NstflowError, Problem
from nstflow.matrix.plan import Matrix
from nstflow.storage.run_directory import DirectoryMutex
from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE, read_run_record


@contextlib.contextmanager
def matrix_directory(matrix: Matrix, path: Path, *, may_hold_runs: bool) -> Iterator[None]:
    """Open the directory of a matrix; until this ends, no other command makes runs there.

    Args:
        matrix: What will be made in it.
        path: Where it is, or will be.
        may_hold_runs: Runs that are there may be replaced or continued.

    Raises:
        NstflowError: It is a single run's, it holds someone's file that would be replaced, or runs
            that it may not hold, another command is making runs in it, or it can't be written.
    """
    mutex = DirectoryMutex(
        path, ".nstflow-matrix.lock", "another command makes runs in this directory."
    )
    with contextlib.ExitStack() as stack:
        try:
            _check(matrix, path, may_hold_runs=may_hold_runs)
            stack.enter_context(mutex)
        except OSError as error:
            raise _refusal(path, f"it can't be written ({error.strerror or error}).") from error
        yield


def _check(matrix: Matrix, path: Path, *, may_hold_runs: bool) -> None:
    if read_run_record(path) is not None:
        raise _refusal(path, "this is the directory of a single run.")
    inputs = {os.path.realpath(file) for plan in matrix.plans for file in plan.files.values()}
    summary = path / SUMMARY_FILE
    has_summary = summary.is_file() and summary.read_bytes().startswith(b"cell,")
    for file in (summary, path / SHEET_FILE):
        if os.path.realpath(file) in inputs:
            raise _refusal(path, f"'{file.name}' in it is an image of the recipe.")
        if file.exists() and not has_summary:
            raise _refusal(path, f"'{file.name}' in it was not written by nstflow.")
    names = [cell.name for cell in matrix.cells]
    there = [name for name in names if read_run_record(path / name) is not None]
    if there and not may_hold_runs:
        got = f"{len(there)} of the {len(names)} runs are there already, such as {there[0]}."
        raise _refusal(path, got, "Continue with --resume, or replace them with --overwrite.")


def _refusal(path: Path, got: str, hint: str = "Choose another place with --out.") -> NstflowError:
    return NstflowError(Problem(str(path), "", got, hint))
