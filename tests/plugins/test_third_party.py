"""The packages under plugins/, as if others had written them: installed by pip, found, used."""

import csv
import math
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

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
def test_it_is_found_and_shown(package: Package, call: Any) -> None:
    assert row_of(Plugins(), package) == PluginRow(package.plugin, package.title, package.offers)
    lines = call("plugins").out.splitlines()
    at = lines.index(f"{package.plugin}  {package.title}")
    slot, _, names = lines[at + 1].strip().partition("  ")
    if package in LOSSES:
        assert (f"{slot}: {names.strip()}",) == package.offers
    else:
        assert (slot, names.strip()) == ("observes", ", ".join(HOOKS))


@each_loss
def test_its_loss_is_shown_with_its_settings(package: Package, call: Any) -> None:
    offer = Plugins().catalog["losses"][package.plugin]
    assert [offer.stage] == package.entry_point().load().nstflow_stages()
    assert (offer.plugin, offer.package) == (package.plugin, package.title)
    shown = call("stages", "losses", package.plugin).out
    assert f"from {package.title}" in shown
    settings = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert {*offer.stage.model_fields} - {"use"} <= set(settings)


def test_importing_them_does_not_import_tensorflow() -> None:
    modules = ", ".join(package.entry_point().module for package in PACKAGES)
    script = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@each
def test_its_recipe_is_valid_and_runs(
    package: Package, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("validate", package.recipe).code == 0
    monkeypatch.setenv("NSTFLOW_TENSORBOARD", "on")
    sets = [part for path, value in SMALL.items() for part in ("--set", f"{path}={value}")]
    done = call("run", package.recipe, "--device", "cpu", "--quiet", "--out", "out", *sets)
    assert done.code == 0, done.err
    folders = [file.parent for file in (tmp_path / "out").rglob("result.png")]
    assert len(folders) == (3 if package.plugin == "tensorboard" else 1)
    for folder in folders:
        with Image.open(folder / "result.png") as picture:
            assert max(picture.size) == 48
        with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4
        (events,) = folder.glob("events.out.tfevents.*.nstflow")
        scalars = EventAccumulator(str(events)).Reload().Scalars("loss/total")
        assert [event.step for event in scalars] == [1, 2, 3, 4]
        assert all(math.isfinite(float(value)) for row in rows for value in row.values())


@each_loss
def test_without_it_its_recipe_names_the_missing_loss(package: Package, call: Any) -> None:
    for name in (package.plugin, package.name):
        done = call("validate", package.recipe, "--block-plugin", name)
        assert done.code == 2
        assert f"{package.recipe}:" in done.err
        assert f"no loss is called '{package.plugin}'." in done.err
        assert f"{package.plugin} ({package.name}" not in done.err  # it is not installed then
        assert row_of(Plugins({name}), package).error == "blocked"
