"""New plugin packages: each kind is generated, passes its own test, and runs its own recipe."""

import csv
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nstflow import NstflowError
from nstflow.cli.new_plugin import KINDS, new_plugin

FILES = {"README.md", "pyproject.toml", "recipe.yaml", "tests"}


def run(folder: Path, *command: str, paths: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of Python in a package's folder, as if the package were installed."""
    paths = paths or os.pathsep.join([str(folder), str(folder.parent / "site")])
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def register(folder: Path) -> None:
    """Write what pip would of a package: its name, version and entry points."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = folder.parent / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    entries = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["nstflow"].items())
    (info / "entry_points.txt").write_text(f"[nstflow]\n{entries}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_works_at_once(
    kind: str, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = new_plugin("nstflow-soft-focus", kind, tmp_path)
    assert folder == tmp_path / "nstflow-soft-focus"
    assert {path.name for path in folder.iterdir()} == FILES | {"nstflow_soft_focus.py"}
    module = (folder / "nstflow_soft_focus.py").read_text()
    assert len(module.splitlines()) < 40
    for path in folder.rglob("*.*"):
        left = {"NAME", "MODULE", "USE", "CLASS", "KIND"} & set(path.read_text().split())
        assert not left, f"{path.name} has {left}"
    register(folder)
    for path in (tmp_path / "site", folder):
        monkeypatch.syspath_prepend(str(path))
    monkeypatch.chdir(folder)
    settings = ("extractor.weights=random", "schedule.steps_per_epoch=2")
    small = [word for setting in settings for word in ("--set", setting)]
    made = call("run", "recipe.yaml", *small, "--set", "preprocess.0.longest_side=32")
    assert made.code == 0, made.err
    with (folder / "runs" / "soft_focus" / "history.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    shown = call("plugins").out
    assert "nstflow-soft-focus 0.1.0" in shown
    if kind == "observers":
        assert "soft_focus: after epoch 4" in made.out
    else:
        assert f"\n  {kind}  soft_focus\n" in shown
    sys.modules.pop("nstflow_soft_focus")


def test_the_tests_of_new_packages_pass(tmp_path: Path) -> None:
    folders = [new_plugin(f"nstflow-soft-{kind}", kind, tmp_path) for kind in KINDS]
    for folder in folders:
        register(folder)
    paths = os.pathsep.join([*map(str, folders), str(tmp_path / "site")])
    names = [folder.name for folder in folders]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *names]
    tested = run(tmp_path, *command, paths=paths)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert re.search(r"^(\d+) passed", tested.stdout, re.MULTILINE)


def test_a_new_package_can_be_installed(tmp_path: Path) -> None:
    folder = new_plugin("nstflow-soft-focus", "losses", tmp_path)
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site"), "."]
    installed = run(folder, *pip)
    assert installed.returncode == 0, installed.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "nstflow_soft_focus.py").unlink()
    shown = run(folder, "-m", "nstflow", "stages", "losses", "soft_focus")
    assert shown.returncode == 0, shown.stderr
    assert "Match the mean and the mean square" in shown.stdout


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("Soft", "losses", "not a valid name for a package"),
        ("soft_focus", "losses", "not a valid name for a package"),
        ("../up", "losses", "not a valid name for a package"),
        ("-x", "losses", "not a valid name for a package"),
        ("", "losses", "not a valid name for a package"),
        ("nstflow", "losses", "there is a module 'nstflow' already"),
        ("nstflow-gram", "losses", "offers 'gram' already"),
        ("nstflow-class", "losses", "'class' can't be the name of a stage"),
        ("nstflow-3d", "losses", "'3d' can't be the name of a stage"),
        ("soft", "loses", "Did you mean 'losses'?"),
        ("soft", "optimizer", "there is no template for 'optimizer'"),
        ("taken", "losses", "exists already"),
    ],
)
def test_what_can_not_be_begun(tmp_path: Path, name: str, kind: str, words: str) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(NstflowError, match=r".") as caught:
        new_plugin(name, kind, tmp_path)
    assert words in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_nothing_half_written_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(NstflowError, match="No space left"):
        new_plugin("soft", "losses", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_to_do_next(call: Any, tmp_path: Path) -> None:
    answer = call("new-plugin", "nstflow-soft", "--slot", "postprocess")
    assert answer.code == 0
    assert "nstflow-soft: written" in answer.out
    assert "pip install -e './nstflow-soft[test]' && pytest nstflow-soft" in answer.out
    assert (tmp_path / "nstflow-soft" / "nstflow_soft.py").is_file()
    assert call("new-plugin", "nstflow-soft").code == 2
