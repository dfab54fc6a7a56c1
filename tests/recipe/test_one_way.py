"""From a recipe to its plan: few functions, and nothing that is read, found or asked twice."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import nstflow.matrix.plan
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.loaders.file import File
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.plugins.manager import Plugins

ROOT = Path(__file__).parents[2]
PACKAGE = Path(nstflow.matrix.plan.__file__).parents[1]
RECIPE = ROOT / "recipes" / "single_style.yaml"

MOST_FUNCTIONS = 25
"""Of the packages that read and plan, to understand what `nstflow plan` does."""


@pytest.fixture
def entered(call: Any) -> Callable[..., tuple[Counter[str], Counter[Any]]]:
    """Count the functions that a command enters, and those that are given a file."""

    def entered(*command: object) -> tuple[Counter[str], Counter[Any]]:
        functions: Counter[str] = Counter()
        with_file: Counter[Any] = Counter()

        def look(frame: FrameType, event: str, _: object) -> None:
            code = frame.f_code
            file = Path(code.co_filename)
            reads = file.parent == PACKAGE / "recipe" or file == PACKAGE / "plan" / "__init__.py"
            if event == "call" and reads and not code.co_name.startswith("<"):
                function = f"{file.relative_to(PACKAGE)} {code.co_qualname}"
                functions[function] += 1
                for name in code.co_varnames[: code.co_argcount]:
                    if isinstance(value := frame.f_locals[name], str | Path):
                        with_file[function, name, str(value)] += 1

        sys.setprofile(look)
        try:
            answer = call(*command)
        finally:
            sys.setprofile(None)
        assert answer.code == 0, answer.err
        return functions, with_file

    return entered


def test_a_plan_takes_few_functions(entered: Any) -> None:
    functions, with_file = entered("plan", RECIPE)
    assert len(functions) <= MOST_FUNCTIONS, "\n".join(sorted(functions))
    given = {key: count for key, count in with_file.items() if key[2] == str(RECIPE)}
    assert {key[0] for key in given} >= {"recipe/source.py read_source"}
    assert set(given.values()) == {1}, given


def test_a_matrix_finds_and_asks_once(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()

    def counted(owner: type, name: str) -> None:
        method = getattr(owner, name)

        def count(*arguments: Any) -> Any:
            asked[f"{owner.__name__}.{name}"] += 1
            return method(*arguments)

        monkeypatch.setattr(owner, name, count)

    counted(Plugins, "__init__")
    counted(VGG19, "assets")
    counted(VGG19, "cost")
    counted(File, "size")
    (tmp_path / "images").symlink_to(ROOT / "recipes" / "images")
    text = RECIPE.read_text(encoding="utf-8")
    weights, seeds, pooling = range(1, 6), range(6), ["max", "avg"]
    axes = f"losses.style.weight: {[*weights]}, seed: {[*seeds]}, extractor.pooling: {pooling}"
    matrix = plan_recipe(write(f"{text}matrix: {{{axes}}}\n"))
    assert isinstance(matrix, Matrix)
    assert len(matrix) == 60
    assert asked["Plugins.__init__"] == 1
    assert asked["VGG19.assets"] == 2  # extractors
    assert asked["VGG19.cost"] == 2 * (2 + 1)  # the sizes of two images, and the settled extractor
    assert asked["File.size"] == 2  # images
