"""The packages under plugins/, as if others had written them: installed by pip, found, used."""

import csv
import math
import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nstflow.plugins.manager import PluginRow, Plugins

ROOT = Path(__file__).parents[2]
SMALL = {
    "extractor.weights": "random",
    "preprocess.0.longest_side": "48",
    "schedule.epochs": "1",
    "schedule.steps_per_epoch": "4",
}


class Package(NamedTuple):
    """A package, and what it offers."""

    name: str
    plugin: str
    offers: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return ROOT / "plugins" / self.name

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def project(self) -> dict:
        text = (self.folder / "pyproject.toml").read_text(encoding="utf-8")
        return tomllib.loads(text)["project"]

    @property
    def title(self) -> str:
        return f"{self.name} {self.project['version']}"

    def entry_point(self) -> metadata.EntryPoint:
        entries = metadata.entry_points(group="nstflow")
        found = [entry for entry in entries if entry.name == self.plugin]
        if len(found) != 1:
            pytest.fail(
                f"{self.name} is not installed: run `{sys.executable} -m pip install"
                f" ./plugins/{self.name}` in {ROOT}",
                pytrace=False,
            )
        return found[0]


HOOKS = ("progress", "run_finished", "run_failed")
PACKAGES = (
    Package("nstflow-laplacian", "laplacian", ("losses: laplacian",)),
    Package("nstflow-sliced-wasserstein", "sliced_wasserstein", ("losses: sliced_wasserstein",)),
    Package("nstflow-tensorboard", "tensorboard", tuple(f"nstflow_{hook}" for hook in HOOKS)),
)
LOSSES = [package for package in PACKAGES if package.offers[0].startswith("losses")]

each = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.plugin)
each_loss = pytest.mark.parametrize("package", LOSSES, ids=lambda package: package.plugin)


def python(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "300", "PYTHONIOENCODING": "utf-8", **more},
        timeout=300,
    )


def nstflow(*arguments: str) -> str:
    """Run the command line, which must succeed, and return what it prints."""
    done = python("-m", "nstflow", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row_of(plugins: Plugins, package: Package) -> PluginRow:
    (row,) = (row for row in plugins.rows if row.name == package.plugin)
    return row


def test_every_package_is_tested_here() -> None:
    folders = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert folders == {package.name for package in PACKAGES}


@each
def test_pip_has_installed_what_the_folder_declares(package: Package) -> None:
    entry = package.entry_point()
    assert entry.dist is not None
    assert f"{entry.dist.name} {entry.dist.version}" == package.title, "install it again"
    assert {entry.name: entry.value} == package.project["entry-points"]["nstflow"]


@each
def test_a_package_holds_what_its_users_need(package: Package) -> None:
    module = package.name.replace("-", "_")
    assert (package.folder / module / "py.typed").is_file()
    readme = (package.folder / "README.md").read_text(encoding="utf-8")
    for word in (f"pip install ./plugins/{package.name}", "recipe.yaml", "<img src="):
        assert word in readme


@each
def test_the_plugin_is_found_by_its_entry_point(package: Package) -> None:
    row = row_of(Plugins(), package)
    assert row == PluginRow(package.plugin, package.title, package.offers)


@each_loss
def test_the_catalog_has_its_loss(package: Package) -> None:
    offer = Plugins().catalog["losses"][package.plugin]
    assert [offer.stage] == package.entry_point().load().nstflow_stages()
    assert (offer.plugin, offer.package) == (package.plugin, package.title)


@each
def test_importing_it_does_not_import_tensorflow(package: Package) -> None:
    module = package.entry_point().module
    done = python("-c", f"import sys, {module}; sys.exit('tensorflow' in sys.modules)")
    assert done.returncode == 0, done.stderr


@each
def test_plugins_shows_its_package_and_version(package: Package) -> None:
    lines = nstflow("plugins").splitlines()
    at = lines.index(f"{package.plugin}  {package.title}")
    slot, _, names = lines[at + 1].strip().partition("  ")
    if package in LOSSES:
        assert (f"{slot}: {names.strip()}",) == package.offers
    else:
        assert (slot, names.strip()) == ("observes", ", ".join(HOOKS))


@each_loss
def test_stages_shows_it_with_its_settings(package: Package) -> None:
    shown = nstflow("stages", "losses", package.plugin)
    assert f"from {package.title}" in shown
    stage = Plugins().catalog["losses"][package.plugin].stage
    settings = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert {*stage.model_fields} - {"use"} <= set(settings)


@each
def test_its_recipe_is_sound(package: Package) -> None:
    many = ", 3 runs" if package.plugin == "tensorboard" else ""
    told = nstflow("validate", str(package.recipe)).strip()
    assert told == f"{package.recipe}: sound{many}"


@each
def test_its_recipe_runs(package: Package, tmp_path: Path) -> None:
    sets = [part for path, value in SMALL.items() for part in ("--set", f"{path}={value}")]
    out = tmp_path / "run"
    words = ["run", str(package.recipe), "--device", "cpu", "--quiet", "--out", str(out), *sets]
    done = python("-m", "nstflow", *words, NSTFLOW_TENSORBOARD="on")
    assert done.returncode == 0, done.stderr
    folders = [file.parent for file in out.rglob("result.png")]
    assert len(folders) == (3 if package.plugin == "tensorboard" else 1)
    for folder in folders:
        with Image.open(folder / "result.png") as picture:
            assert max(picture.size) == 48
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4
        (events,) = folder.glob("events.out.tfevents.*.nstflow")
        told = EventAccumulator(str(events)).Reload().Scalars("loss/total")
        assert [event.step for event in told] == [1, 2, 3, 4]
        assert all(math.isfinite(float(value)) for row in rows for value in row.values())


@each_loss
def test_without_it_its_recipe_names_the_missing_loss(package: Package) -> None:
    for name in (package.plugin, package.name):
        done = python("-m", "nstflow", "validate", str(package.recipe), "--block-plugin", name)
        assert done.returncode == 2
        assert f"{package.recipe}:" in done.stderr
        assert f"no loss is called '{package.plugin}'." in done.stderr
        assert f"{package.plugin} ({package.name}" not in done.stderr  # it is not installed then
        assert row_of(Plugins({name}), package).error == "blocked"
