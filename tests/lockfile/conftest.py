"""One recipe for all tests of lockfiles: its text, its files, and its runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nstflow
from nstflow.lockfile.build import Lockfile, make_lock
from nstflow.plan import Plan, make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.yaml import parse_yaml
from pictures import draw

RECIPE = """\
name: tiny
images:
  content: photo.png
  style: style.png
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [block1_conv1], weight: 10}
  look: {use: gram, image: style, layers: [image], weight: 7}
optimizer: {epsilon: 1e-8}  # each step can be seen
schedule: {use: epochs, epochs: 2, steps_per_epoch: 2}
"""

TERM = """
import nstflow
from typing import Literal


class Term(nstflow.LossTerm):
    '''A loss.'''

    use: Literal["term"] = "term"

    def target(self, features):
        return None

    def score(self, features, target):
        return 0.0


@nstflow.hookimpl
def nstflow_stages():
    return [Term]
"""


@pytest.fixture(scope="session")
def recipe_text() -> str:
    """Return the recipe: two images beside it, random weights, four steps."""
    return RECIPE


def lay(folder: Path) -> Path:
    (folder / "recipe.yaml").write_text(RECIPE)
    draw(folder / "photo.png")
    draw(folder / "style.png", seed=1)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the test's folder, with the recipe and its images."""
    return lay(tmp_path)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory, asking: Any) -> Path:
    """Return a folder with the recipe, its finished run (out), and one that stopped (stopped)."""
    folder = lay(tmp_path_factory.mktemp("ran"))
    plan = make_plan(load_recipe(folder / "recipe.yaml"))
    nstflow.run(plan, folder / "out")
    asks = asking()
    nstflow.run(plan, folder / "stopped", observers=[asks], stop=asks.stop)
    return folder


@pytest.fixture
def planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plan the recipe, or another text in its place, with settings."""
    monkeypatch.chdir(folder)  # where paths in settings start

    def planned(*settings: str, text: str = RECIPE, **options: Any) -> Plan:
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        return make_plan(load_recipe(folder / "recipe.yaml", settings, **options))

    return planned


@pytest.fixture(scope="session")
def lockfile_of() -> Callable[[Plan, Path], Lockfile]:
    """Return the lockfile of a plan in a folder, on a device that no machine has."""

    def lockfile_of(plan: Plan, folder: Path) -> Lockfile:
        return make_lock(plan, folder).on("a device", "cpu")

    return lockfile_of


@pytest.fixture
def locked(folder: Path, planned: Any, lockfile_of: Any) -> Callable[..., Path]:
    """Write `a.lock.yaml` for the recipe, or for another text."""

    def locked(text: str = RECIPE) -> Path:
        path = folder / "a.lock.yaml"
        path.write_text(lockfile_of(planned(text=text), folder).to_text(), encoding="utf-8")
        return path

    return locked


@pytest.fixture(scope="session")
def read() -> Callable[[Path], dict[str, Any]]:
    """Read a lockfile as data."""

    def read(path: Path) -> dict[str, Any]:
        data: dict[str, Any] = parse_yaml(path.read_text(encoding="utf-8"), "lock")[0]
        return data

    return read


@pytest.fixture
def with_term(install: Any) -> str:
    """Install a plugin with a loss, version 2.5; return the recipe with it."""
    install("nstflow-term", TERM, version="2.5")
    return RECIPE.replace("losses:\n", "losses:\n  extra: {use: term, layers: [image]}\n")
