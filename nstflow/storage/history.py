"""The history of a run: a column for each loss, a row for each step."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence


def to_csv(history: Mapping[str, Sequence[float]]) -> str:
    """Return the text of `history.csv`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(history)
    rows.writerows(zip(*history.values(), strict=True))
    return text.getvalue()


def from_csv(text: str) -> dict[str, list[float]]:
    """Return the history that a text holds.

    Raises:
        ValueError: It is not a history.
    """
    try:
        names, *rows = csv.reader(io.StringIO(text), strict=True)
    except csv.Error as error:
        raise ValueError(f"it is not a CSV file ({error})") from error
    if "step" not in names or len(set(names)) < len(names):
        raise ValueError("it has no column 'step', or two of one name")
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {
        name: [int(value) if name == "step" else float(value) for value in column]
        for name, column in zip(names, columns, strict=True)
    }
