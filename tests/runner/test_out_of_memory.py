"""The error of a run for which there is not enough memory."""

from pathlib import Path

import pytest

from nstflow.engine.memory import available, is_out_of_memory
from nstflow.errors import Problem
from nstflow.plan import Plan, make_plan
from nstflow.plan.fitting import memory_at
from nstflow.recipe.reader import load_recipe
from nstflow.runner.out_of_memory import out_of_memory

RECIPE = Path(__file__).parents[2] / "recipes" / "single_style.yaml"


def plan_of(*settings: str) -> Plan:
    return make_plan(load_recipe(RECIPE, settings))


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return a plan at 512 pixels."""
    return plan_of()


def problem(plan: Plan, there_is: int | None) -> Problem:
    (problem,) = out_of_memory(plan, there_is).problems
    return problem


def test_the_largest_size_that_fits(plan: Plan) -> None:
    assert plan.memory is not None
    found = problem(plan, 1_300_000_000)
    needed = f"{plan.memory / 1e9:.2f} GB"
    assert found.got == (
        f"there is not enough memory. This run needs about {needed}. 1.30 GB are free."
    )
    words = found.hint.split()
    assert words[:5] == ["What", "would", "fit:", "--set", "size=288"]
    smaller, larger = plan_of(words[4]), plan_of("preprocess.0.longest_side=320")
    assert smaller.memory == pytest.approx(1_300_000_000, rel=0.15)
    assert larger.memory is not None
    assert larger.memory > 1_300_000_000 * 0.9


def test_a_smaller_scale_is_the_plan_of_a_smaller_size(plan: Plan) -> None:
    # as the larger one has settled them
    convolution = "extractor.convolution={block5_conv1: winograd, block5_conv2: winograd}"
    assert memory_at(plan, 0.5) == plan_of("preprocess.0.longest_side=256", convolution).memory
    assert memory_at(plan, 0.01) is None  # too small for the network


@pytest.mark.parametrize(
    ("settings", "there_is", "hint"),
    [
        ([], 100_000_000, "No size would fit"),
        (
            [],
            64_000_000_000,
            "Close other programs, or take a smaller size: --set size=384.",
        ),
        ([], None, "Take a smaller size: --set size=256."),
        (["preprocess=[]"], 1_300_000_000, "What would fit: a longest side of "),
        (
            ["preprocess.0.only=[content]"],  # the style stays as it is
            None,
            "Take a smaller size.",
        ),
        (
            ["preprocess=[{use: crop}, {use: resize, longest_side: 300}]"],
            None,
            "Take a smaller size: --set preprocess.1.longest_side=150.",
        ),
    ],
)
def test_what_to_do(settings: list[str], there_is: int | None, hint: str) -> None:
    found = problem(plan_of(*settings), there_is)
    assert found.hint.startswith(hint)
    assert ("are free" in found.got) == (there_is is not None)


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


def test_what_linux_counts_as_available_and_what_the_process_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sysconf", lambda _: 4096)
    assert linux(tmp_path / "a", MEMINFO) == 2000 * 1024 + 100 * 4096
    assert linux(tmp_path / "b", MEMINFO, limit="max\n") == 2000 * 1024 + 100 * 4096
    assert linux(tmp_path / "c", MEMINFO, limit="1000000\n") == 1_000_000
    assert linux(tmp_path / "d", MEMINFO, old="1000000\n") == 1_000_000
    assert linux(tmp_path / "e", "nonsense", limit="7\n") == 7
    assert available(tmp_path, tmp_path) is None  # elsewhere nothing is known
