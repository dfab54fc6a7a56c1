"""The tutorial, followed word for word: each file saved, each line run, in their order."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

# What a reader does not see: the same runs at a size that a test can afford.
SMALLER = ["preprocess.0.longest_side=32", "schedule.epochs=1", "schedule.steps_per_epoch=5"]
SMALLER += ["extractor.layers={content: [block2_conv2], style: [block1_conv1, block2_conv1]}"]


class Block(NamedTuple):
    language: str
    title: str
    text: str


BLOCKS = [
    Block(match[1], match[2] or "", match[3])
    for match in re.finditer(
        r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
]


def do(line: str, folder: Path) -> str:
    """Run a line of the page, and return what it prints."""
    words = shlex.split(line)
    if words[0] == "nstflow":
        words = [sys.executable, "-m", *words]
        if words[3] == "run":
            words += [part for setting in SMALLER for part in ("--set", setting)]
    elif words[0] == "python":
        words = [sys.executable, *words[1:], *(["-p", "no:cacheprovider"] * ("pytest" in words))]
    elif words == ["pip", "install", "pytest"]:
        return ""  # this test has it
    elif words[:3] == ["pip", "install", "-e"]:  # beside the environment of these tests
        package = words[3].partition("[")[0]
        words = ["-q", "--no-deps", "--target", str(folder / "site"), package]
        words = [sys.executable, "-m", "pip", "install", *words]
    else:
        assert words[0] == "mkdir", f"what should run {line}?"
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "site")},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_has_nothing_that_is_not_followed() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "python", "yaml"}
    assert all(block.title or block.language == "sh" for block in BLOCKS)
    assert len(BLOCKS) == PAGE.count("\n```") // 2
    for block in BLOCKS:
        if block.title:
            assert f"`{block.title}`" in PAGE


def test_the_loss_has_at_most_fifteen_lines() -> None:
    text = next(block.text for block in BLOCKS if block.title == "mine/moments.py")
    code = [line for line in text.splitlines() if line.strip()]
    assert len(code) <= 15
    assert "hookimpl" in text
    assert "import" in text


def test_pytest_needs_no_plugin_of_its_own_in_the_clone(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine() -> None: pass\n")
    do(f"python -m pytest -p no:xdist -c {ROOT}/pyproject.toml {tmp_path}", tmp_path)


def test_followed_word_for_word(tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    printed = {}
    for block in BLOCKS:
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
            continue
        for line in block.text.splitlines():
            printed[line] = do(line, tmp_path)
    assert "valid" in printed["nstflow validate mine/recipe.yaml --plugin mine/moments.py"]
    shown = printed["nstflow stages losses moments --plugin mine/moments.py"]
    assert "moments: {use: moments, image: style" in shown
    assert "Factor of the mean square" in shown
    assert "nstflow-moments 0.1.0" in printed["nstflow plugins"]
    for name in ("first", "second", "third"):
        run = tmp_path / "runs" / name
        assert (run / "result.png").is_file()
        lock = (run / "recipe.lock.yaml").read_text(encoding="utf-8")
        assert "use: moments" in lock
        assert ("moments.py" in lock) == (name != "third")
    with (tmp_path / "runs" / "first" / "history.csv").open(newline="") as file:
        losses = [float(row["style"]) for row in csv.DictReader(file)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("number", re.findall(r"a module of (\d+) lines", PAGE))
def test_the_template_has_as_many_lines_as_the_page_says(number: str) -> None:
    template = ROOT / "nstflow/cli/new_plugin/templates/losses/MODULE.py"
    assert len(template.read_text(encoding="utf-8").splitlines()) == int(number)
