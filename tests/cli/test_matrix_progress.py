"""What is seen of many runs: every number whole, however narrow the terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from nstflow import JobProgress, JobResult, Problem
from nstflow.cli.console import matrix_progress
from nstflow.cli.console.matrix_progress import MatrixDisplay, show_table
from nstflow.matrix.plan import Matrix
from nstflow.matrix.summary import rows_of

DONE = JobResult(
    "weight-1_seed-3",
    "finished",
    steps=6,
    seconds=2.5,
    total_seconds=65.0,
    losses={"total": 12_345_678.0, "keep": 2_345_678.0, "look": 10_000_000.0},
    halfway=20_345_678.0,
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], io.StringIO]:
    """Return what is printed on a screen of so many columns."""

    def screen(width: int, *, terminal: bool = False) -> io.StringIO:
        text = io.StringIO()
        console = Console(
            file=text, width=width, force_terminal=terminal, highlight=False, markup=False
        )
        monkeypatch.setattr(matrix_progress, "out", console)
        monkeypatch.setattr("nstflow.cli.console.output.out", console)
        monkeypatch.setattr("nstflow.cli.console.output.err", console)
        return text

    return screen


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_cuts_no_number(
    matrix: Matrix, screen: Callable[[int], io.StringIO], width: int
) -> None:
    names = [cell.name for cell in matrix.cells]
    outcomes = [
        DONE,
        replace(DONE, name=names[1], state="stopped", steps=2),
        JobResult(names[2], "failed"),
    ]
    text = screen(width)
    show_table(matrix, rows_of(matrix, outcomes, Path()))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert all(number in text.getvalue() for number in ("2.5 s", "20,345,678", "12,345,678"))
    assert ("2,345,678 " in lines[2].replace("12,345,678 ", "")) == (width == 200)  # the terms
    assert "stopped after 2" in lines[3]
    assert "failed" in lines[4]
    assert "waiting" in lines[5]
    assert lines[6].split()[:3] == ["mean", "2.5", "s"]


def test_a_line_for_each_run_that_ended(
    matrix: Matrix, screen: Callable[[int], io.StringIO]
) -> None:
    text = screen(200)
    failed = JobResult("b", "failed", problems=(Problem("x", "", "it broke."),), notes=("careful",))
    with MatrixDisplay(matrix) as display:
        display.tell(JobProgress("a", 0, 6))
        display.tell(JobProgress("a", 3, 6, 5.0))
        display.ended(replace(DONE, resumed_from=4))
        display.ended(failed)
        display.ended(replace(DONE, already=True))
        display.ended(replace(DONE, state="stopped"))
    lines = text.getvalue().splitlines()
    assert lines[:2] == ["grid  Four small runs.", "4 runs, 24 steps in all"]
    words = " ".join(lines[2].split())
    assert words == "weight-1_seed-3 1 min 5 s loss 12,345,678 went on after step 4"
    assert lines[3] == "note: b: careful"
    assert lines[4].endswith("failed: it broke.")
    assert lines[5].endswith("has ended already")
    assert lines[6].endswith("stopped")


def test_silence_but_for_warnings(matrix: Matrix, screen: Callable[[int], io.StringIO]) -> None:
    text = screen(200)
    with MatrixDisplay(matrix, silent=True) as display:
        display.tell(JobProgress("a", 0, 6))
        display.ended(DONE)
        display.ended(replace(DONE, notes=("careful",)))
    assert text.getvalue() == "note: weight-1_seed-3: careful\n"


def test_a_terminal_has_a_bar_for_each_run_at_work(
    matrix: Matrix, screen: Callable[..., io.StringIO]
) -> None:
    text = screen(100, terminal=True)
    first, second = (cell.name for cell in matrix.cells[:2])
    with MatrixDisplay(matrix) as display:
        display.tell(JobProgress(first, 0, 6))
        display.tell(JobProgress(second, 3, 6, 5.0))
        display._live.refresh()
        during = text.getvalue()
        display.ended(replace(DONE, name=first))
        text.truncate(0)
        display._live.refresh()
        after = text.getvalue()
    assert "compiling" in during
    assert "loss 5" in during
    assert "0 of 4 runs" in during
    assert "1 of 4 runs" in after
    assert first not in after
    assert second in after
