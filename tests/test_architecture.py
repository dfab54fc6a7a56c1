"""The layers of the package, and what each may reach."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nstflow

PACKAGE = Path(nstflow.__file__).parent

# A module imports only from lines above its own.
LAYERS = [
    ("errors", "lazy", "fields", "atomic", "digest", "checkpoint", "stopping"),
    ("mishaps",),
    ("values", "facts", "plugin_files"),
    ("result", "claim", "jobs"),
    ("stages",),
    ("terms",),
    ("slots", "hookspecs"),
    ("catalog",),
    ("weights", "engine"),
    ("toolkit",),
    ("builtin",),
    ("observers", "soundness"),
    ("plugins",),
    ("recipe",),
    ("blame", "describing"),
    ("sizes",),
    ("plan",),
    ("run_cache",),
    ("history", "assembly", "lock", "exhaustion", "ledger"),
    ("store", "optimization", "compare", "finished"),
    ("agreement", "images", "saving", "provenance"),
    ("execution",),
    ("runner", "locking"),
    ("working",),
    ("matrix", "contact_sheet"),
    ("matrix_directory",),
    ("summary", "choosing"),
    ("closing",),
    ("batch",),
    ("verify",),
    ("testing", "scaffold"),
    ("pytest_plugin",),
    ("console",),
    ("listings", "stage_listing", "display", "matrix_display"),
    ("recounting",),
    ("cli",),
    ("__main__",),
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(file: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each module of nstflow that a file imports when it runs, early or late."""
    tree = ast.parse(file.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)


def layer_of(module: str) -> str:
    return module.split(".")[1]


def test_every_module_has_a_layer() -> None:
    names = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in modules()}
    assert names - {"__init__"} == set(RANK)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_lower_layers_never_import_higher_ones(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own in ("__init__", "builtin"):
        return  # the public names, imported when asked for; built-ins have the rule below
    for module, names in imports(file):
        targets = [module]
        if module == "nstflow":  # a public name is its home's
            targets = [nstflow._HOME_OF.get(name, f"nstflow.{name}") for name in names]
        for target in targets:
            if target.startswith("nstflow."):
                layer = layer_of(target)
                assert layer == own or RANK[layer] < RANK[own], f"{file.name} imports {target}"


@pytest.mark.parametrize(
    "file", sorted((PACKAGE / "builtin").rglob("*.py")), ids=lambda file: file.stem
)
def test_builtins_use_public_names_alone(file: Path) -> None:
    for module, names in imports(file):
        if module == "nstflow":
            assert set(names) <= set(nstflow.__all__), f"{file} imports {names}"
        elif module.startswith("nstflow"):
            assert module == "nstflow.toolkit" or module.startswith("nstflow.builtin"), file


def test_only_engine_and_stages_reach_tensorflow() -> None:
    # values: the methods of Features; testing: what checks stages
    allowed = {"engine", "builtin", "terms", "values", "lazy", "testing"}
    for file in modules():
        own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for module, names in imports(file):
            reaches = module.split(".")[0] == "tensorflow" or (
                module in ("nstflow", "nstflow.stages.tensorflow") and "tf" in names
            )
            assert not reaches or own in allowed, file


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_holds_one_idea(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 230


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["validate", "recipes/quickstart.yaml"],
        ["plan", "recipes/quickstart.yaml"],
        ["schema"],
        ["stages"],
        ["stages", "losses", "gram"],
        ["plugins"],
    ],
    ids=" ".join,
)
def test_looking_commands_do_not_import_tensorflow(arguments: list[str]) -> None:
    script = (
        "import sys; from nstflow.cli import main\n"
        f"sys.argv = ['nstflow', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "print('heavy:', sorted({'tensorflow', 'keras', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stdout + done.stderr


def test_public_names_are_there_and_documented() -> None:
    for name in nstflow.__all__:
        thing = getattr(nstflow, name)
        if isinstance(thing, type):
            assert thing.__doc__, name
    with pytest.raises(AttributeError):
        nstflow.nothing_like_that  # noqa: B018 - looking is the test


def test_the_image_of_public_names_is_complete() -> None:
    assert set(nstflow._HOME_OF) == set(nstflow.__all__)
    assert set(dir(nstflow)) >= set(nstflow.__all__)
