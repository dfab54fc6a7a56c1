"""The history of a run: a column for each loss, a row for each step."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

from nstflow.errors import STOPPED, NstflowError, Problem
from nstflow.plan import Plan
from nstflow.recipe.parsing import Keys, dotted


def columns_of(plan: Plan) -> tuple[str, ...]:
    """Return the columns: `step`, `total`, each loss term, `seconds`."""
    return ("step", "total", *plan.terms, "seconds")


def record(
    history: Mapping[str, list[float]],
    plan: Plan,
    rows: Sequence[Sequence[float]],
    seconds: float,
    last_step: int,
) -> None:
    """Add the rows of a dispatch; its steps share its time evenly.

    Args:
        history: Column → value of every step before.
        plan: The run's.
        rows: For each step the loss of each term.
        seconds: What the dispatch took.
        last_step: The number of its last step, from 1.

    Raises:
        NstflowError: A loss is not finite; the problem names the term and the step.
    """
    before = history["seconds"][-1] if history["seconds"] else 0.0
    for index, row in enumerate(rows, 1):
        step = last_step - len(rows) + index
        losses = dict(zip(plan.terms, row, strict=True))
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise not_finite(plan, ("losses", name), f"the loss ({loss})", step)
        for name, loss in losses.items():
            history[name].append(loss)
        history["step"].append(step)
        history["total"].append(sum(row))
        history["seconds"].append(before + seconds * index / len(rows))


def not_finite(plan: Plan, keys: Keys, what: str, step: int) -> NstflowError:
    """Return the error of a number that has run out of range."""
    source = plan.recipe.source
    got = f"{what} is not finite at step {step}: the numbers have run out of range."
    hint = "Lower optimizer.learning_rate or a weight; a NaN may also come from a loss itself."
    error = NstflowError(Problem(source.where(keys), dotted(keys), got, hint), source.label)
    error.closing = STOPPED  # going on would come to the same
    return error


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
        ValueError: It is no such text.
    """
    try:
        names, *rows = csv.reader(io.StringIO(text), strict=True)
    except csv.Error as error:
        raise ValueError(f"it is no CSV ({error})") from error
    if "step" not in names or len(set(names)) < len(names):
        raise ValueError("it has no column 'step', or two of one name")
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {
        name: [int(value) if name == "step" else float(value) for value in column]
        for name, column in zip(names, columns, strict=True)
    }
