"""The pages on the architecture and on reliability name what exists."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "nstflow"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TREE = re.findall(r"^([a-z_]+)(?:\.py|/)? +", PAGE.split("```")[1], re.MULTILINE)


def test_it_is_short() -> None:
    lines = PAGE.splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 100


def test_every_path_exists() -> None:
    paths = re.findall(r"`([\w/]+(?:\.py|/))`", PAGE)
    assert len(paths) > 30
    missing = [path for path in paths if not any((at / path).exists() for at in (PACKAGE, ROOT))]
    assert not missing


def test_the_tree_is_the_package() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith(("_", "py."))}
    assert sorted(TREE) == sorted(found)
    assert len(TREE) <= 16


def test_every_module_is_in_the_tree() -> None:
    named = set(re.findall(r"\w+", PAGE.split("```")[1]))
    for package in ("storage", "stages", "engine", "plugins", "recipe", "lockfile", "runner"):
        modules = {file.stem for file in (PACKAGE / package).glob("*.py")} - {"__init__"}
        assert modules <= named, package


def test_the_rule_is_the_linters() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rule = contracts["tool"]["importlinter"]["contracts"][0]
    assert rule["name"] in PAGE
    assert " > ".join(rule["layers"]) in " ".join(PAGE.split())


def test_the_tests_that_the_page_on_reliability_names_exist() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w/]*test_\w+\.py)`", page))
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / "tests" / name).is_file()]
