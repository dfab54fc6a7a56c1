"""What is written of many runs in the end."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from nstflow import JobResult
from nstflow.matrix.contact_sheet import contact_sheet
from nstflow.matrix.plan import Matrix
from nstflow.matrix.summary import means_of, rows_of, to_csv, write_summary

DONE = JobResult(
    "weight-1_seed-3",
    "finished",
    steps=6,
    seconds=2.5,
    compile_seconds=1.5,
    total_seconds=5.0,
    losses={"total": 12.0, "keep": 2.0, "look": 10.0},
    halfway=20.0,
    files=(Path("/out/weight-1_seed-3/result.png"),),
)


@pytest.fixture
def outcomes() -> list[JobResult]:
    """One that ended, one that was stopped, one that failed; the fourth never began."""
    stopped = replace(DONE, name="weight-1_seed-4", state="stopped", steps=2)
    return [DONE, stopped, JobResult("weight-2_seed-3", "failed")]


def test_a_row_for_each_run(matrix: Matrix, outcomes: list[JobResult]) -> None:
    rows = rows_of(matrix, outcomes, Path("/out"))
    assert rows[0] == {
        "cell": "weight-1_seed-3",
        "losses.look.weight": 1,
        "images.style.seed": 3,
        "state": "finished",
        "steps": 6,
        "seconds": 2.5,
        "compile_seconds": 1.5,
        "total_seconds": 5.0,
        "halfway": 20.0,
        "total": 12.0,
        "loss.keep": 2.0,
        "loss.look": 10.0,
        "result": "weight-1_seed-3/result.png",
    }
    assert [row["state"] for row in rows] == ["finished", "stopped", "failed", "waiting"]
    assert [row["steps"] for row in rows] == [6, 2, None, None]
    assert all(list(row) == list(rows[0]) for row in rows)


def test_means_are_those_of_the_runs_that_ended(matrix: Matrix, outcomes: list[JobResult]) -> None:
    other = replace(DONE, name="weight-2_seed-4", seconds=3.5, losses={"total": 14.0})
    means = means_of(rows_of(matrix, [*outcomes, other], Path("/out")))
    assert (means["seconds"], means["total"], means["halfway"]) == (3.0, 13.0, 20.0)
    assert means_of(rows_of(matrix, outcomes[1:], Path("/out"))) == {}


def test_the_file_reads_back(matrix: Matrix, outcomes: list[JobResult]) -> None:
    text = to_csv(rows_of(matrix, outcomes, Path("/out")))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert (rows[0]["total"], rows[0]["losses.look.weight"]) == ("12", "1")
    assert (rows[3]["state"], rows[3]["total"]) == ("waiting", "")


def test_no_cell_is_a_formula(matrix: Matrix) -> None:
    rows = rows_of(matrix, [], Path("/out"))
    rows[0]["losses.look.weight"] = "=1+2"
    rows[1]["losses.look.weight"] = -3.5
    written = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert written[0]["losses.look.weight"] == "'=1+2"
    assert written[1]["losses.look.weight"] == "-3.5"


def color(path: Path, size: tuple[int, int], value: tuple[int, int, int]) -> Path:
    Image.new("RGB", size, value).save(path)
    return path


def test_a_sheet_has_every_picture_in_its_place(tmp_path: Path) -> None:
    red = color(tmp_path / "red.png", (80, 40), (250, 0, 0))
    blue = color(tmp_path / "blue.png", (40, 80), (0, 0, 250))
    (tmp_path / "text.txt").write_text("no picture")
    named = [("red", red), ("blue", blue), ("none", None), ("text", tmp_path / "text.txt")]
    sheet = Image.open(io.BytesIO(contact_sheet(named, columns=2, side=160)))
    assert sheet.width == 2 * 160 + 3 * 12
    assert sheet.getpixel((12 + 80, 12 + 160 - 40)) == (250, 0, 0)  # on the row's ground line
    assert sheet.getpixel((24 + 160 + 80, 12 + 80)) == (0, 0, 250)
    dark = [
        sum(sheet.crop(box).convert("L").histogram()[:128])
        for box in (
            (12, 172, 172, 190),  # the name below the first
            (12, 200, 172, 210),  # and the frame of the third has none
        )
    ]
    assert dark[0] > 20
    assert dark[1] == 0


def test_a_transparent_picture_is_on_the_paper(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (80, 80), (0, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 80, 40))
    clear.save(tmp_path / "clear.png")
    named = [("clear", tmp_path / "clear.png")]
    sheet = Image.open(io.BytesIO(contact_sheet(named, columns=1, side=160)))
    assert sheet.getpixel((12 + 80, 12 + 10)) == sheet.getpixel((0, 0))
    assert sheet.getpixel((12 + 80, 12 + 150)) == (0, 0, 0)


@pytest.mark.parametrize("count", [1, 2, 7, 450])
def test_a_sheet_is_no_larger_than_a_screen_is_wide(tmp_path: Path, count: int) -> None:
    picture = color(tmp_path / "a.png", (30, 20), (9, 9, 9))
    name = "a-long_name-of_many-parts-" * 3
    sheet = Image.open(io.BytesIO(contact_sheet([(name, picture)] * count)))
    assert sheet.width <= 2400
    assert sheet.height <= 4 * 2400


def test_names_on_a_sheet_have_no_letters_that_the_font_has_not() -> None:
    def sheet(*names: str) -> bytes:
        return contact_sheet([(name, None) for name in names], side=60)

    assert sheet("été_1", "b") == sheet("ete_1", "b") != sheet("t_1", "b")
    assert sheet("浮世絵_seed-3", "ночь") == sheet("1 seed-3", "2")


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (7, 3), (10, 5), (12, 4), (13, 4)])
def test_rows_are_full_where_they_can_be(tmp_path: Path, count: int, columns: int) -> None:
    picture = color(tmp_path / "a.png", (30, 20), (9, 9, 9))
    sheet = Image.open(io.BytesIO(contact_sheet([("a", picture)] * count, side=60)))
    assert sheet.width == columns * (60 + 12) + 12


def test_the_files_beside_the_runs(
    matrix: Matrix, outcomes: list[JobResult], tmp_path: Path
) -> None:
    folder = tmp_path / "weight-1_seed-3"
    folder.mkdir()
    picture = color(folder / "result.png", (30, 20), (9, 9, 9))
    outcomes[0] = replace(DONE, files=(picture,))
    outcomes[1] = replace(outcomes[1], files=())
    write_summary(matrix, outcomes, tmp_path)
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.width == 2 * 320 + 3 * 12  # a row for each weight
    assert len((tmp_path / "summary.csv").read_text().splitlines()) == 5


def test_without_a_picture_there_is_no_sheet(matrix: Matrix, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    write_summary(matrix, [], tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"summary.csv"}
