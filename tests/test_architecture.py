"""What import-linter does not see: names, words, imports of what is heavy."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nstflow

PACKAGE = Path(nstflow.__file__).parent
ROOT = PACKAGE.parent
COMMANDS = [
    ["--help"],
    ["validate", "recipes/quickstart.yaml"],
    ["plan", "quickstart"],
    ["recipes"],
    ["schema"],
    ["stages"],
    ["stages", "losses", "gram"],
    ["plugins"],
]


def imported(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the part of the package, the module and the name of each import."""
    for file in sorted(folder.rglob("*.py")):
        if not (file.parent / "__init__.py").is_file():
            continue  # a template of new-plugin
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                part, module = file.relative_to(PACKAGE).parts[0], getattr(node, "module", None)
                yield from ((part, module or "", alias.name) for alias in node.names)


def test_builtin_stages_import_only_what_plugins_may() -> None:
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    allowed = {
        alias.name
        for node in ast.walk(stub)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] in ("stages", "hookspecs", "errors")
        for alias in node.names
    }
    for _, module, name in imported(PACKAGE / "builtin"):
        if module == "nstflow":
            assert name in allowed
        elif module.startswith("nstflow."):
            assert module == "nstflow.toolkit" or module.startswith("nstflow.builtin"), module


def test_only_some_packages_use_tensorflow() -> None:
    parts = {part for part, _, name in imported(PACKAGE) if name in ("tf", "tensorflow")}
    assert parts == {"engine", "stages", "builtin", "testing"}


def test_looking_commands_do_not_import_tensorflow() -> None:
    script = f"""
import sys
from nstflow.cli import main
for words in {COMMANDS}:
    sys.argv = ["nstflow", *words]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, words
    heavy = {{"tensorflow", "keras", "h5py"}} & set(sys.modules)
    assert not heavy, (words, heavy)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def test_public_names_are_there_and_documented() -> None:
    for name in nstflow.__all__:
        thing = getattr(nstflow, name)
        if isinstance(thing, type):
            assert thing.__doc__, name
    assert set(dir(nstflow)) >= set(nstflow.__all__)
    with pytest.raises(AttributeError):
        nstflow.nothing_like_that  # noqa: B018 - looking is the test


def test_no_quaint_words() -> None:
    words = r"foretell|foretold|told of|\bbear(s|ing)?\b|\bdear\b|give back|mishap|ledger|blame"
    quaint = re.compile(rf"{words}|soundness", re.IGNORECASE)
    files = [path for folder in (PACKAGE, ROOT / "docs") for path in folder.rglob("*.*")]
    for path in [ROOT / "README.md", *files]:
        if path.suffix in (".py", ".pyi", ".md", ".yaml", ".toml"):
            assert not (found := quaint.search(path.read_text())), f"{path}: {found}"
