"""What came of many runs: the rows of a table, the same for the screen and for `summary.csv`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from nstflow.jobs import JobResult
from nstflow.matrix import Matrix

_NUMBERS = ("seconds", "compile_seconds", "total_seconds", "halfway", "total")


def rows_of(matrix: Matrix, outcomes: Sequence[JobResult], out: Path) -> list[dict[str, Any]]:
    """Return a row for each run, in the recipe's order; what is not known is None.

    The columns: `cell`; each setting of the matrix; `state`, which is `waiting` where a run never
    began; `steps`; `seconds` of these, `compile_seconds`, `total_seconds`; `halfway`, the total
    loss after half of the steps; `total`, the last one; each term, as `loss.style`; `result`.
    """
    ended = {outcome.name: outcome for outcome in outcomes}
    settings = list(dict.fromkeys(path for cell in matrix.cells for path in cell.values))
    terms = list(dict.fromkeys(term for plan in matrix.plans for term in plan.terms))
    rows = []
    for cell in matrix.cells:
        row: dict[str, Any] = {"cell": cell.name}
        row |= {setting: cell.values.get(setting) for setting in settings}
        row |= _numbers(ended.get(cell.name), terms)
        files = ended[cell.name].files if cell.name in ended else ()
        row["result"] = Path(os.path.relpath(files[0], out)).as_posix() if files else None
        rows.append(row)
    return rows


def means_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean of every column of numbers, over the runs that ended."""
    done = [row for row in rows if row["state"] == "finished"]
    return {name: fmean(row[name] for row in done) for name in _NUMBERS} if done else {}


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as a CSV file's text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _numbers(outcome: JobResult | None, terms: Sequence[str]) -> dict[str, Any]:
    names = ["steps", *_NUMBERS, *(f"loss.{term}" for term in terms)]
    if outcome is None or not outcome.steps:
        return {"state": outcome.state if outcome else "waiting"} | dict.fromkeys(names)
    numbers = {name: getattr(outcome, name) for name in _NUMBERS if name != "total"}
    losses = {f"loss.{term}": outcome.losses.get(term) for term in terms}
    known = {"steps": outcome.steps, **numbers, "total": outcome.losses["total"], **losses}
    return {"state": outcome.state} | {name: known[name] for name in names}


def _written(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, str) and value[:1] in "=+-@":  # a spreadsheet would compute it
        return f"'{value}"
    return value
