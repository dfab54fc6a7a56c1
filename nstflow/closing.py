"""What many runs leave beside their directories: a summary and a contact sheet."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from nstflow import atomic
from nstflow.contact_sheet import contact_sheet
from nstflow.errors import NstflowError, Problem
from nstflow.facts import SHEET_FILE, SUMMARY_FILE
from nstflow.jobs import JobResult
from nstflow.matrix import Matrix
from nstflow.summary import rows_of, to_csv


def write_table(matrix: Matrix, results: Sequence[JobResult], out: Path) -> None:
    """Write the summary of what has ended so far, for whoever looks meanwhile.

    Where that fails, nothing is said: it is written again.
    """
    with contextlib.suppress(OSError):
        atomic.write(out / SUMMARY_FILE, to_csv(rows_of(matrix, results, out)).encode())


def write_summary(matrix: Matrix, results: Sequence[JobResult], out: Path) -> dict[str, Path]:
    """Write what the runs came to; return what a person calls each file.

    Raises:
        NstflowError: They can't be written.
    """
    rows = rows_of(matrix, results, out)
    pictures = [(row["cell"], out / row["result"] if row["result"] else None) for row in rows]
    files = {"summary": out / SUMMARY_FILE}
    try:
        atomic.write(files["summary"], to_csv(rows).encode())
        if any(path for _, path in pictures):
            files["contact sheet"] = out / SHEET_FILE
            atomic.write(files["contact sheet"], contact_sheet(pictures, _columns(matrix)))
    except OSError as error:
        got = f"the summary can't be written ({error.strerror or error})."
        hint = "What the runs made is in their directories."
        told = NstflowError(Problem(str(out), "", got, hint))
        told.closing = "the runs have ended"
        raise told from error
    return files


def _columns(matrix: Matrix) -> int | None:
    """Return how many pictures go in a row: the choices of the last axis, if there are several."""
    if len({len(cell.values) for cell in matrix.cells}) > 1:
        return None
    last = [list(cell.values.items())[-1] for cell in matrix.cells]
    count = len({str(item) for item in last})
    axes = {str(list(cell.values.items())[:-1]) for cell in matrix.cells}
    return count if len(axes) > 1 and count * len(axes) == len(matrix) else None
