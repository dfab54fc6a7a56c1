"""What several tests need: recipes on disk, the command line in this process, small packages."""

import importlib
import os
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nstflow import Stop, hookimpl
from nstflow import cli as command_line
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.plan import timings
from nstflow.runner.cache import RunCache


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Of pytest-xdist's workers, use at most eight, and keep the tests of a file in one."""
    if getattr(config.option, "numprocesses", None):  # there is none without pytest-xdist
        config.option.maxprocesses = config.option.maxprocesses or 8
        if config.option.dist == "no":
            config.option.dist = "loadfile"
            config.option.loadscopereorder = False  # it puts files with few tests last


LONGEST = (
    *("test_blocks.py", "test_reference.py", "test_run_matrix.py", "test_tutorial.py"),
    *("test_cache.py", "test_new_plugin.py", "test_notebook.py", "test_completion.py"),
)
"""Files that begin first, so that no worker waits for another's in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the others keep their order."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(LONGEST)))


def pytest_configure() -> None:
    """Pin each worker to one core: TensorFlow, and every process it starts, has one thread.

    Some tests import TensorFlow before nstflow does, which would have set this variable.
    """
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw")[2:]
    if number and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(number) % len(cores)]})


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit status, and what it wrote."""

    code: int
    out: str
    err: str


Write = Callable[..., Path]
Call = Callable[..., Answer]
Install = Callable[..., None]


@pytest.fixture(scope="session", autouse=True)
def _apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests' runs out of the user's timings, and free of what a plugin would add.

    Those of one process share what is equal, as the runs of a matrix do.
    """
    folder, shared = tmp_path_factory.mktemp("timings"), RunCache()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NSTFLOW_TENSORBOARD", "off")  # of plugins/nstflow-tensorboard
        patch.setattr(timings, "_folder", lambda: folder)
        patch.setattr("nstflow.runner.run.RunCache", lambda: shared)
        yield


class Asks:
    """Asks a run to stop at its first step."""

    def __init__(self) -> None:
        self.stop = Stop()

    @hookimpl
    def nstflow_progress(self) -> None:
        self.stop.request()


@pytest.fixture(scope="session")
def asking() -> type[Asks]:
    """Return what makes an observer that asks a run to stop, together with its `stop`."""
    return Asks


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file into the test's folder."""

    def write(text: str | bytes, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return write


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Call:
    """Run a command as `nstflow` would, in this process and in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["nstflow", *map(str, arguments)])
            patch.setattr(warnings, "showwarning", warnings.showwarning)  # main() sets its own
            code = 0
            try:
                command_line.main()
            except SystemExit as end:
                code = int(end.code or 0)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package: a module and the metadata that entry points are found in."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = []

    def install(package: str, source: str, *, plugin: str = "", version: str = "1.0") -> None:
        module = package.replace("-", "_")
        modules.append(module)
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        info = site / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[nstflow]\n{plugin or package} = {module}\n")
        importlib.invalidate_caches()

    yield install
    for module in modules:
        sys.modules.pop(module, None)


TINY = Path(__file__).with_name("tiny.yaml").read_text()
MATRIX = (
    TINY.replace("name: tiny", "name: grid\nsummary: Four small runs.")
    + """\
matrix:
  losses.look.weight: [1, 2]
  images.style.seed: [3, 4]
"""
)


@pytest.fixture
def grid(write: Write) -> Path:
    """A recipe of four small runs."""
    return write(MATRIX, "grid.yaml")


@pytest.fixture
def matrix(grid: Path) -> Matrix:
    """Those four runs, planned."""
    planned = plan_recipe(grid)
    assert isinstance(planned, Matrix)
    return planned
