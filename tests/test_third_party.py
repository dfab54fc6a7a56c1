"""A package that others could have written: installed by pip, found by its entry point."""

import csv
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from PIL import Image

from nstflow.plugins import PluginRow, Plugins

ROOT = Path(__file__).parents[1]
PACKAGE = "nstflow-laplacian"
FOLDER = ROOT / "plugins" / PACKAGE
RECIPE = FOLDER / "recipe.yaml"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TITLE = f"{PACKAGE} {PROJECT['version']}"


def entry_point() -> metadata.EntryPoint:
    found = [entry for entry in metadata.entry_points(group="nstflow") if entry.name == "laplacian"]
    if len(found) != 1:
        pytest.fail(
            f"{PACKAGE} is not installed: run `{sys.executable} -m pip install --no-deps -e"
            f" plugins/{PACKAGE}` in {ROOT}",
            pytrace=False,
        )
    return found[0]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    entry_point()
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "300", "PYTHONIOENCODING": "utf-8"},
        timeout=300,
    )


def nstflow(*arguments: str) -> str:
    """Run the command line, which must succeed, and return what it prints."""
    done = python("-m", "nstflow", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row_of(plugins: Plugins) -> PluginRow:
    (row,) = (row for row in plugins.rows if row.name == "laplacian")
    return row


def test_pip_has_installed_what_the_folder_declares() -> None:
    entry = entry_point()
    assert entry.dist is not None
    assert f"{entry.dist.name} {entry.dist.version}" == TITLE, "it is stale: install it again"
    assert {entry.name: entry.value} == PROJECT["entry-points"]["nstflow"]


def test_the_plugin_is_found_by_its_entry_point() -> None:
    stages = entry_point().load().nstflow_stages()
    plugins = Plugins()
    assert row_of(plugins) == PluginRow("laplacian", TITLE, ("losses: laplacian",))
    offer = plugins.catalog["losses"]["laplacian"]
    assert [offer.stage] == stages
    assert (offer.plugin, offer.package) == ("laplacian", TITLE)


def test_importing_it_does_not_import_tensorflow() -> None:
    done = python("-c", "import sys, nstflow_laplacian; sys.exit('tensorflow' in sys.modules)")
    assert done.returncode == 0, done.stderr


def test_plugins_shows_its_package_and_version() -> None:
    (line,) = (line for line in nstflow("plugins").splitlines() if line.startswith("laplacian"))
    assert line.split(maxsplit=1)[1].split("  ")[0] == TITLE
    assert "losses: laplacian" in line


def test_stages_shows_it_with_its_settings() -> None:
    shown = nstflow("stages", "losses", "laplacian")
    assert f"from {TITLE}" in shown
    assert "Keep the content's outlines" in shown
    settings = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert {"image", "layers", "weight", "pool", "scale"} <= set(settings)


def test_its_recipe_is_sound() -> None:
    assert nstflow("validate", str(RECIPE)).strip() == f"{RECIPE}: sound"


def test_its_recipe_runs(tmp_path: Path) -> None:
    small = {
        "extractor.weights": "random",
        "preprocess.0.longest_side": "48",
        "schedule.epochs": "1",
        "schedule.steps_per_epoch": "4",
    }
    sets = [part for path, value in small.items() for part in ("--set", f"{path}={value}")]
    nstflow("run", str(RECIPE), "--device", "cpu", "--quiet", "--out", str(tmp_path / "run"), *sets)
    with Image.open(tmp_path / "run" / "result.png") as picture:
        assert picture.size == (48, 32)
    with (tmp_path / "run" / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    outlines = [float(row["outlines"]) for row in rows]
    assert len(outlines) == 4
    assert outlines[0] < 1e-3 * outlines[1]  # the canvas starts as the content
    assert all(0 < loss < float("inf") for loss in outlines[1:])


@pytest.mark.parametrize("name", ["laplacian", PACKAGE])
def test_without_it_its_recipe_names_the_missing_loss(name: str) -> None:
    done = python("-m", "nstflow", "validate", str(RECIPE), "--block-plugin", name)
    assert done.returncode == 2
    assert f"{RECIPE}:" in done.stderr
    assert "losses.outlines.use" in done.stderr
    assert "no loss is called 'laplacian'." in done.stderr
    assert "laplacian (" not in done.stderr  # it is not listed as installed
    assert row_of(Plugins({name})).trouble == "blocked"
