"""What is shown of many runs: no number is cut, however narrow the terminal."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nstflow import JobProgress, JobResult, Problem
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


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_cuts_no_number(matrix: Matrix, terminal: Any, width: int) -> None:
    names = [cell.name for cell in matrix.cells]
    outcomes = [
        DONE,
        replace(DONE, name=names[1], state="stopped", steps=2),
        JobResult(names[2], "failed"),
    ]
    screen = terminal(width)
    show_table(matrix, rows_of(matrix, outcomes, Path()))
    lines = screen.text.splitlines()
    assert max(map(len, lines)) <= width
    assert all(number in screen.text for number in ("2.5 s", "20,345,678", "12,345,678"))
    assert ("2,345,678 " in lines[2].replace("12,345,678 ", "")) == (width == 200)  # the terms
    assert "stopped after 2" in lines[3]
    assert "failed" in lines[4]
    assert "waiting" in lines[5]
    assert lines[6].split()[:3] == ["mean", "2.5", "s"]


def test_a_line_for_each_run_that_ended(matrix: Matrix, capsys: pytest.CaptureFixture[str]) -> None:
    failed = JobResult("b", "failed", problems=(Problem("x", "", "it broke."),), notes=("careful",))
    with MatrixDisplay(matrix) as display:
        display.progress(JobProgress("a", 0, 6))
        display.progress(JobProgress("a", 3, 6, 5.0))
        display.ended(replace(DONE, resumed_from=4))
        display.ended(failed)
        display.ended(replace(DONE, already=True))
        display.ended(replace(DONE, state="stopped"))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["grid  Four small runs.", "4 runs, 24 steps in all"]
    words = " ".join(lines[2].split())
    assert words == "weight-1_seed-3 1 min 5 s loss 12,345,678 resumed after step 4"
    assert lines[3].endswith("failed: it broke.")
    assert lines[4].endswith("finished already")
    assert lines[5].endswith("stopped")
    assert err == "note: b: careful\n"


def test_a_silent_display_prints_only_warnings(
    matrix: Matrix, capsys: pytest.CaptureFixture[str]
) -> None:
    with MatrixDisplay(matrix, silent=True) as display:
        display.progress(JobProgress("a", 0, 6))
        display.ended(DONE)
        display.ended(replace(DONE, notes=("careful",)))
    assert capsys.readouterr() == ("", "note: weight-1_seed-3: careful\n")


def test_a_terminal_has_a_bar_for_each_current_run(matrix: Matrix, terminal: Any) -> None:
    screen = terminal(100)
    first, second = (cell.name for cell in matrix.cells[:2])
    with MatrixDisplay(matrix) as display:
        display.progress(JobProgress(first, 0, 6))
        display.progress(JobProgress(second, 3, 6, 5.0))
        display._bars.refresh()
        during = screen.text
        display.ended(replace(DONE, name=first))
        screen.truncate(0)
        display._bars.refresh()
        after = screen.text
    assert "compiling" in during
    assert "loss 5" in during
    assert "0 of 4 runs" in during
    assert "1 of 4 runs" in after
    assert first not in after
    assert second in after
