"""What is said where memory runs out."""

from __future__ import annotations

from pathlib import Path

import pytest

from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import Problem
from nstflow.plan import Plan, make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.runner.out_of_memory import memory_at, out_of_memory

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return a plan at 512 pixels."""
    return make_plan(load_recipe(RECIPES / "single_style.yaml"))


def problem(plan: Plan, there_is: int | None) -> Problem:
    (told,) = out_of_memory(plan, there_is).problems
    return told


def test_what_was_needed_and_what_there_is(plan: Plan) -> None:
    assert plan.memory is not None
    told = problem(plan, 1_300_000_000)
    needed = f"{plan.memory / 1e9:.1f} GB"
    assert told.got == (
        f"there is not enough memory: this run needs about {needed}, 1.3 GB are free."
    )


def test_the_largest_size_that_fits(plan: Plan) -> None:
    told = problem(plan, 1_300_000_000)
    words = told.hint.split()
    assert words[:5] == ["What", "would", "fit:", "--set", "preprocess.0.longest_side=288"]
    smaller = make_plan(load_recipe(RECIPES / "single_style.yaml", [words[4]]))
    larger = make_plan(
        load_recipe(RECIPES / "single_style.yaml", ["preprocess.0.longest_side=320"])
    )
    assert smaller.memory is not None
    assert larger.memory is not None
    assert smaller.memory == pytest.approx(1_300_000_000, rel=0.15)
    assert larger.memory > smaller.memory


def test_a_smaller_scale_is_the_plan_of_a_smaller_size(plan: Plan) -> None:
    half = memory_at(plan, 0.5)
    small = make_plan(
        load_recipe(
            RECIPES / "single_style.yaml",
            [
                "preprocess.0.longest_side=256",
                # as the larger one has settled them
                "extractor.convolution={block5_conv1: winograd, block5_conv2: winograd}",
            ],
        )
    )
    assert half == small.memory
    assert memory_at(plan, 0.01) is None  # too small for the network


def test_no_size_fits(plan: Plan) -> None:
    assert "No size would fit" in problem(plan, 100_000_000).hint


def test_there_should_have_been_enough(plan: Plan) -> None:
    told = problem(plan, 64_000_000_000)
    assert told.hint == (
        "Close other programs, or take a smaller size: --set preprocess.0.longest_side=384."
    )


def test_nothing_is_known_of_the_device(plan: Plan) -> None:
    told = problem(plan, None)
    assert "are free" not in told.got
    assert told.hint == "Take a smaller size: --set preprocess.0.longest_side=256."


def test_a_recipe_that_prepares_nothing() -> None:
    plan = make_plan(load_recipe(RECIPES / "single_style.yaml", ["preprocess=[]"]))
    assert "a longest side of " in problem(plan, 1_300_000_000).hint


@pytest.mark.parametrize(
    ("error", "is_it"), [(MemoryError(), True), (ValueError(), False), (KeyError(), False)]
)
def test_which_errors_are_meant(error: BaseException, is_it: bool) -> None:
    assert is_out_of_memory(error) is is_it


def linux(
    folder: Path, meminfo: str, limit: str | None = None, old: str | None = None
) -> int | None:
    (folder / "self").mkdir(parents=True)
    (folder / "self" / "statm").write_text("500 100 10 1 0 1 0\n")
    (folder / "meminfo").write_text(meminfo)
    (folder / "memory").mkdir()
    if limit is not None:
        (folder / "memory.max").write_text(limit)
    if old is not None:
        (folder / "memory" / "memory.limit_in_bytes").write_text(old)
    return available(folder, folder)


MEMINFO = "MemTotal:  9000 kB\nMemAvailable:    2000 kB\n"


@pytest.mark.usefixtures("_pages_of_4096")
def test_what_linux_counts_as_available_and_what_the_process_has(tmp_path: Path) -> None:
    assert linux(tmp_path / "a", MEMINFO) == 2000 * 1024 + 100 * 4096
    assert linux(tmp_path / "b", MEMINFO, limit="max\n") == 2000 * 1024 + 100 * 4096
    assert linux(tmp_path / "c", MEMINFO, limit="1000000\n") == 1_000_000
    assert linux(tmp_path / "d", MEMINFO, old="1000000\n") == 1_000_000
    assert linux(tmp_path / "e", "nonsense", limit="7\n") == 7


@pytest.fixture
def _pages_of_4096(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 4096)


def test_nothing_is_known_elsewhere(tmp_path: Path) -> None:
    assert available(tmp_path, tmp_path) is None
