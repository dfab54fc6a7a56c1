"""Errors as text: with the arguments of Python, where the command line shows its options."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nstflow
from nstflow.errors import NstflowError, NstflowWarning, Problem, in_python

PACKAGE = Path(nstflow.__file__).parent

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

OTHERS = {"--help", "--yaml", "--tf", "--xla"}
"""Of commands to type, and flags of TensorFlow."""


@pytest.mark.parametrize(
    ("option", "argument"),
    [
        ("Start again with --overwrite.", "Start again with overwrite=True."),
        ("another place with --out.", "another place with out=DIR."),
        ("`--resume` continues", "`resume=True` continues"),
        ("but not with --no-metadata; others", "but not with metadata=False; others"),
        ("or use --device auto.", 'or use device="auto".'),
        ("Leave --set out, or --locked.", "Leave overrides out, or locked=True."),
        ("Repeat the --set options of it", "Repeat the overrides of it"),
        ("size: --set a.0.side=384.", 'size: overrides=["a.0.side=384"].'),
        ("--set a.side=28 (1 GB)", 'overrides=["a.side=28"] (1 GB)'),
        ("instead: --set 'matrix.a.b=[…]'.", 'instead: overrides=["matrix.a.b=[…]"].'),
        ("--block-plugin one or", 'block=["one"] or'),
        ("--settle, a--set, --set-up", "--settle, a--set, --set-up"),
    ],
)
def test_an_option_is_an_argument_in_python(option: str, argument: str) -> None:
    assert in_python(option) == argument
    assert str(Problem("x.yaml:1:2", "", "it is wrong.", option)).endswith(f"wrong. {argument}")
    assert str(NstflowWarning(option)) == argument


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("--set losses={use: a, b: --out}", "overrides: losses={use: a, b: --out}"),
        ("--plugin my terms.py", "plugins: my terms.py"),
        ("--overwrite --resume", "overwrite=True resume=True"),
        ("--workers", "workers"),
        ("recipe.yaml:3:4", "recipe.yaml:3:4"),
    ],
)
def test_a_place_on_the_command_line(where: str, shown: str) -> None:
    assert str(Problem(where, "", "no.")) == f"{shown}\n    no."


def test_what_the_python_api_says(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text((Path(__file__).with_name("tiny.yaml")).read_text())
    with pytest.raises(NstflowError) as caught:
        nstflow.load_recipe(path, ["losses.look.wieght=2", "seed=-1"], block=["nope"])
    text = str(caught.value)
    assert text.startswith("overrides: ")
    assert "overrides: losses.look.wieght\n    unknown setting" in text
    assert "block: nope\n" in text
    assert not OPTION.search(text)
    plan = nstflow.make_plan(nstflow.load_recipe(path))
    with pytest.raises(NstflowError, match=r"^overwrite=True resume=True\n"):
        nstflow.run(plan, tmp_path / "out", overwrite=True, resume=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(NstflowError, match=r"Choose another place with out=DIR\.$"):
        nstflow.run(plan, tmp_path / "out")


def test_a_notebook_shows_the_problems_alone() -> None:
    error = NstflowError([Problem("a", "b", "c.", "Use --out."), Problem("--resume", "", "d.")])
    assert error._render_traceback_() == [
        "NstflowError:",
        "a  b",
        "    c. Use out=DIR.",
        "resume=True",
        "    d.",
    ]


def texts(file: Path) -> Iterator[str]:
    """Yield the texts in a file's code, docstrings left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in statements:
            yield node.value


def test_every_option_in_a_text_has_an_argument() -> None:
    found = 0
    for file in PACKAGE.rglob("*.py"):
        part = file.relative_to(PACKAGE).parts
        if part[0] == "cli" or part[-1] == "imagenet.py":  # which has options of pip
            continue
        for text in texts(file):
            found += bool(OPTION.search(text))
            left = {*OPTION.findall(in_python(text))} - OTHERS
            assert not left, f"{file}: {text!r}"
    assert found > 30
