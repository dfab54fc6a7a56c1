"""The results of many runs: a table for the screen and `summary.csv`, and the contact sheet."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.matrix.contact_sheet import contact_sheet
from nstflow.matrix.plan import Matrix
from nstflow.stages.job import JobResult
from nstflow.storage.files import write_file
from nstflow.storage.run_record import SHEET_FILE, SUMMARY_FILE

_NUMBERS = ("steps", "seconds", "compile_seconds", "total_seconds", "halfway")


def rows_of(matrix: Matrix, results: Sequence[JobResult], out: Path) -> list[dict[str, Any]]:
    """Return a row for each run, in the recipe's order; what is not known is None.

    The columns: `cell`; each setting of the matrix; `state`, which is `waiting` where a run never
    began; `steps`; `seconds` of these, `compile_seconds`, `total_seconds`; `halfway`, the total
    loss after half of the steps; `total`, the last one; each term, as `loss.style`; `result`.
    """
    ended = {result.name: result for result in results}
    settings = list(dict.fromkeys(path for cell in matrix.cells for path in cell.values))
    terms = list(dict.fromkeys(term for plan in matrix.plans for term in plan.terms))
    rows = []
    for cell in matrix.cells:
        result = ended.get(cell.name)
        row: dict[str, Any] = {"cell": cell.name}
        row |= {setting: cell.values.get(setting) for setting in settings}
        row["state"] = result.state if result else "waiting"
        known = vars(result) if result and result.steps else {"losses": {}}
        row |= {name: known.get(name) for name in _NUMBERS}
        row["total"] = known["losses"].get("total")
        row |= {f"loss.{term}": known["losses"].get(term) for term in terms}
        files = result.files if result else ()
        row["result"] = Path(os.path.relpath(files[0], out)).as_posix() if files else None
        rows.append(row)
    return rows


def means_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of every column of numbers, over the runs that ended."""
    done = [row for row in rows if row["state"] == "finished"]
    names = (*_NUMBERS, "total")
    return {name: fmean(row[name] for row in done) for name in names} if done else {}


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a CSV file's text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str) and value[:1] in "=+-@":  # a spreadsheet would compute it
        return f"'{value}"
    return value


def write_table(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write `summary.csv`."""
    write_file(out / SUMMARY_FILE, to_csv(rows).encode())


def write_summary(matrix: Matrix, results: Sequence[JobResult], out: Path) -> None:
    """Write `summary.csv` and the contact sheet.

    Raises:
        NstflowError: They can't be written.
    """
    rows = rows_of(matrix, results, out)
    pictures = [(row["cell"], out / row["result"] if row["result"] else None) for row in rows]
    try:
        write_table(rows, out)
        if any(path for _, path in pictures):
            write_file(out / SHEET_FILE, contact_sheet(pictures, _columns(matrix)))
    except OSError as error:
        got = f"the summary can't be written ({error.strerror or error})."
        hint = "The results are in the directories of the runs."
        failure = NstflowError(Problem(str(out), "", got, hint))
        failure.closing = "the runs have ended"
        raise failure from error


def _columns(matrix: Matrix) -> int | None:
    """Return how many pictures go in a row: the choices of the last axis, if there are several."""
    if len({len(cell.values) for cell in matrix.cells}) > 1:
        return None
    last = [list(cell.values.items())[-1] for cell in matrix.cells]
    count = len({str(item) for item in last})
    axes = {str(list(cell.values.items())[:-1]) for cell in matrix.cells}
    return count if len(axes) > 1 and count * len(axes) == len(matrix) else None
