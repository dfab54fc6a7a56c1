"""What runs of one process share, and that sharing changes no byte."""

import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from nstflow import (
    LossTerm,
    Preprocessor,
    Recipe,
    StatisticTerm,
    builtin,
    hookimpl,
    load_recipe,
    run,
    tf,
)
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.loaders.noise import NoiseImage
from nstflow.engine.loop import Loop
from nstflow.runner.cache import LRU, RunCache, hashes_of

TINY = (Path(__file__).parents[1] / "tiny.yaml").read_text()
RECIPE = TINY.replace("content, layers: [image]", "content, layers: [block2_conv1]")
RECIPE = RECIPE.replace("style, layers: [image]", "style, layers: [block1_conv1, image]")
RECIPE = RECIPE.replace("epochs: 2", "epochs: 1")


@pytest.fixture
def read(write: Any) -> Any:
    def read(*overrides: str) -> Recipe:
        return load_recipe(write(RECIPE), overrides)

    return read


def counted(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[str]:
    """Count the calls of a method."""
    calls: list[str] = []
    real = getattr(kind, name)

    def call(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append(name)
        return real(self, *arguments, **named)

    monkeypatch.setattr(kind, name, call)
    return calls


def test_the_cache_keeps_what_was_used_last() -> None:
    made: list[str] = []

    def get(key: str) -> str:
        def make() -> str:
            made.append(key)
            return key.upper()

        return str(cache.get(key, make))

    cache = LRU(2)
    assert [get(key) for key in "abab"] == ["A", "B", "A", "B"]
    assert made == ["a", "b"]
    get("a")
    get("c")  # b, used longest ago, goes
    assert made == ["a", "b", "c"]
    get("a")
    get("b")
    assert made == ["a", "b", "c", "b"]


def test_the_cache_has_a_capacity() -> None:
    cache = LRU(10, len)
    first = cache.get("a", lambda: "x" * 6)
    assert cache.get("a", lambda: "new") is first
    cache.get("b", lambda: "y" * 5)
    assert cache.get("a", lambda: "new") == "new"
    huge = "z" * 11
    assert cache.get("huge", lambda: huge) is huge  # and is not kept
    assert cache.get("huge", lambda: "again") == "again"


def test_hashes_of_files(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert hashes_of([path]) == ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
    assert hashes_of([path, tmp_path / "b"]) != hashes_of([path, tmp_path / "b"])
    assert hashes_of([]) == []


# runs


SAME_PROGRAM = [
    ["losses.look.weight=3"],
    ["seed=4"],
    ["images.style.seed=9"],
    ["images.content.seed=5", "losses.keep.weight=-1"],
    ["schedule.epochs=2"],
]
OTHER_PROGRAM = [
    ["images.content.height=30"],
    ["losses.look.scale=sum"],
    ["losses.look.layers=[block1_conv1]"],
    ["losses.more={use: total_variation}"],
    ["optimizer.learning_rate=0.3"],
    ["extractor.pooling=avg"],
    ["extractor.layers.other=[block1_conv1]", "losses.look.layers=other"],
]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> RunCache:
    """Return what a run of the recipe left to share."""
    folder, shared = tmp_path_factory.mktemp("first"), RunCache()
    (folder / "recipe.yaml").write_text(RECIPE)
    run(load_recipe(folder / "recipe.yaml"), folder / "run", shared=shared)
    return shared


@pytest.mark.parametrize(
    ("changes", "programs"),
    [(each, 0) for each in SAME_PROGRAM] + [(each, 1) for each in OTHER_PROGRAM],
    ids=str,
)
def test_runs_that_compute_alike_compile_once_and_sharing_changes_no_byte(
    read: Any,
    used: RunCache,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: list[str],
    programs: int,
) -> None:
    traced = counted(monkeypatch, Loop, "trace")
    shared = run(read(*changes), tmp_path / "shared", shared=used)
    assert len(traced) == programs
    alone = run(read(*changes), tmp_path / "alone", shared=RunCache())
    assert shared.files[0].read_bytes() == alone.files[0].read_bytes()
    for column in {*shared.history} - {"seconds"}:
        assert shared.history[column] == alone.history[column]


def test_what_is_the_same_is_loaded_built_and_described_once(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = counted(monkeypatch, NoiseImage, "load")
    built = counted(monkeypatch, VGG19, "build")
    targets = counted(monkeypatch, LossTerm, "target")
    shared = RunCache()
    for weight in (1, 2, 3):
        out = tmp_path / str(weight)
        run(read(f"losses.look.weight={weight}"), out, shared=shared)
    assert (len(loaded), len(built)) == (2, 1)
    described = len(targets)
    run(read("images.style.seed=8"), tmp_path / "other", shared=shared)
    assert len(loaded) == 3
    assert len(targets) == described + described // 2  # those of one image of two


def test_a_file_that_changed_is_loaded_again(write: Any, tmp_path: Path) -> None:
    from PIL import Image

    recipe = write(RECIPE.replace("{use: noise, height: 32, width: 24}", "photo.png"))
    shared, pictures = RunCache(), []
    for number, gray in enumerate((40, 200)):
        Image.new("RGB", (24, 32), (gray, gray, gray)).save(tmp_path / "photo.png")
        result = run(load_recipe(recipe), tmp_path / str(number), shared=shared)
        pictures.append(result.image.pixels.mean())
    assert pictures[1] - pictures[0] > 0.4


class Traced(VGG19):
    """Has a compiled function of its own, which outlives a program."""

    use: Literal["traced"] = "traced"  # type: ignore[assignment]  # another name

    def build(self, layers: Any, folder: Path) -> Any:
        return tf.function(super().build(layers, folder))


class Greedy(StatisticTerm):
    """Reads what is the engine's."""

    use: Literal["greedy"] = "greedy"

    def summarize(self, points: Any, weights: Any) -> Any:
        return tf.reduce_sum(points * weights) * self.weight

    def distance(self, summary: Any, target: Any) -> Any:
        return tf.square(summary - target)


class Spoiler(Preprocessor):
    """Writes into the image that it is handed."""

    use: Literal["spoiler"] = "spoiler"

    def size(self, size: Any) -> Any:
        return size

    def apply(self, image: Any, images: Any) -> Any:  # noqa: ARG002 - the contract
        image.pixels[:] *= 0.5
        return image


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer the stages above."""
    own = builtin.nstflow_stages()
    monkeypatch.setattr(
        builtin, "nstflow_stages", hookimpl(lambda: [*own, Traced, Greedy, Spoiler]), raising=True
    )
    builtin.nstflow_stages.__name__ = "nstflow_stages"


@pytest.mark.usefixtures("offered")
def test_a_network_with_a_compiled_function_of_its_own(read: Any, tmp_path: Path) -> None:
    shared, changes = RunCache(), ["extractor.use=traced", "images.style.width=24"]
    changes.append("images.style.height=32")  # one size: what is traced first is used again
    first = run(read(*changes), tmp_path / "first", shared=shared)
    again = run(read(*changes, "losses.look.scale=sum"), tmp_path / "again", shared=shared)
    plain = run(read(*changes[1:]), tmp_path / "plain", shared=RunCache())
    assert len(again.history["step"]) == 3
    np.testing.assert_allclose(first.history["total"], plain.history["total"], rtol=1e-4)


@pytest.mark.usefixtures("offered")
def test_a_term_that_reads_its_weight_multiplies_by_one(read: Any, tmp_path: Path) -> None:
    """The engine multiplies by the weight, so that runs of other weights share the program."""
    look = "losses.look={{use: greedy, image: style, layers: [image], weight: {}}}"
    first, second = (
        run(read(look.format(weight)), tmp_path / str(weight)).history["look"][0]
        for weight in (1, 7)
    )
    assert second == pytest.approx(7 * first)


@pytest.mark.usefixtures("offered")
def test_a_stage_that_writes_into_an_image_is_told_so(read: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        run(read("preprocess=[{use: spoiler}]"), tmp_path / "run")


def test_another_device_has_things_of_its_own() -> None:
    shared = RunCache()
    shared.on(("CPU", True))
    assert shared.programs.get("x", lambda: 1) == 1
    shared.on(("CPU", True))
    assert shared.programs.get("x", lambda: 2) == 1
    shared.on(("GPU", True))
    assert shared.programs.get("x", lambda: 3) == 3
    shared.on(("GPU", False))
    assert shared.programs.get("x", lambda: 4) == 4


def test_networks_of_other_layers_share_their_numbers(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nstflow.engine import convolution

    monkeypatch.setattr(convolution, "_alive", weakref.WeakValueDictionary())
    shared = RunCache()
    run(read(), tmp_path / "first", shared=shared)
    before = len(convolution._alive)
    run(read("losses.keep.layers=[block1_conv2]"), tmp_path / "other", shared=shared)
    assert len(convolution._alive) == before
    run(read("losses.keep.layers=[block2_conv2]"), tmp_path / "more", shared=shared)
    assert len(convolution._alive) == before + 1


MEMORY = """
import resource, sys
from pathlib import Path
from nstflow import load_recipe, run
from nstflow.runner.cache import RunCache

recipe, folder, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
shared = RunCache()
for number in range(count):
    changes = [f"images.content.seed={number}", f"images.content.height={64 + number % 6}"]
    run(load_recipe(recipe, changes), folder / str(number), shared=shared)
    if number + 1 in (count // 2, count):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        print(pages * resource.getpagesize() >> 20)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_flat_over_many_runs(write: Any, tmp_path: Path) -> None:
    """Of six sizes; each run has an image of its own."""
    recipe = write(RECIPE)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, recipe, tmp_path / "runs", "48"],
        capture_output=True,
        check=True,
        timeout=900,
    )
    half, whole = map(int, done.stdout.split())
    assert whole < half + 10, f"{half} MiB after 24 runs, {whole} after 48"
