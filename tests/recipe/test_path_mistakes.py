"""What is written for a path and is none: web addresses, and Windows paths in double quotes."""

from pathlib import Path
from typing import Any

import pytest

from nstflow import load_recipe
from nstflow.errors import FETCH, SINGLE_QUOTES, is_address
from nstflow.matrix.plan import plan_recipe
from nstflow.recipe.reader import ReadOptions
from nstflow.recipe.source import read_source
from refusals import refused

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text(encoding="utf-8")
STYLE = "{use: noise, height: 16, width: 16, seed: 1}"
ADDRESS = "https://example.org/a.png"
NO_PATH = "this is a web address, not a path."


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        (f"images.style={ADDRESS}", "images.style.path"),
        (f"images.style={{use: mask, path: '{ADDRESS}?b=1'}}", "images.style.path"),
        ("extractor={weights: 'https://example.org/a.h5'}", "extractor.weights"),
        ("extractor={weights: 's3://bucket/a'}", "extractor.weights"),
    ],
)
def test_a_setting_that_is_a_web_address(setting: str, place: str, write: Any) -> None:
    problem = refused(plan_recipe, write(TINY), ReadOptions((setting,)))
    assert (problem.got, problem.hint) == (NO_PATH, FETCH)
    assert place.startswith(problem.what or setting.partition("=")[0])


def test_an_image_that_is_a_web_address(write: Any) -> None:
    path = write(TINY.replace(STYLE, "a.png"))
    assert refused(plan_recipe, path, ReadOptions(images=(ADDRESS,))).got == NO_PATH
    pattern = ReadOptions(images=(f"{ADDRESS}?size=5",))
    assert refused(plan_recipe, path, pattern).hint == FETCH


@pytest.mark.parametrize("address", ["https://example.org/r.yaml", "HTTP://example.org/r"])
def test_a_recipe_that_is_a_web_address(address: str, write: Any) -> None:
    assert refused(read_source, Path(address)).hint == FETCH
    assert refused(load_recipe, write(TINY), layers=[address]).hint == FETCH
    assert refused(load_recipe, write(f"name: x\nextends: {address}\n")).hint == FETCH


def test_a_drive_is_no_address() -> None:
    assert not any(
        map(is_address, [r"C:\a.png", "C:/a.png", "a:b/c", "xhttp:/a", "a.png", "http", ""])
    )


@pytest.mark.parametrize(
    "path",
    [r"C:\Users\me\a.png", r"D:\xyz.png", r"C:\bin\a.png", r"C:\my\a.png", r"\\server\a.png"],
)
def test_a_windows_path_in_double_quotes(path: str, write: Any) -> None:
    if path.startswith("\\\\"):
        path = path[1:]  # "\\server" is \server, and "\s" is no escape
    problem = refused(plan_recipe, write(TINY.replace(STYLE, f'"{path}"')))
    assert problem.hint == SINGLE_QUOTES
    assert ":4:" in problem.where


@pytest.mark.parametrize(
    "path", [r"C:\temp.png", r"C:\new.png", r"D:\Paris.png", r"D:\Land.png", r"D:\_old.png"]
)
def test_a_windows_path_whose_letters_are_escapes(path: str, write: Any) -> None:
    problem = refused(plan_recipe, write(TINY.replace(STYLE, f'"{path}"')))
    assert (problem.what, problem.hint) == ("images.style.path", SINGLE_QUOTES)


def test_single_quotes_need_no_hint(write: Any) -> None:
    problem = refused(plan_recipe, write(TINY.replace(STYLE, r"'C:\temp\a.png'")))
    assert r"C:\temp\a.png" in problem.got
    assert problem.hint != SINGLE_QUOTES
