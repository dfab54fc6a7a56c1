"""Every command and code block of the README and the docs does what it says."""

import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import nstflow
from nstflow.matrix.plan import Matrix, plan_recipe
from nstflow.matrix.run import run_matrix
from nstflow.recipe.reader import ReadOptions
from nstflow.recipe.yaml import parse_yaml
from nstflow.stages.stage import Stage
from nstflow.testing import run_tiny

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted(set(ROOT.glob("docs/*.md")) - {ROOT / "docs" / "tutorial.md"}),  # has its own test
    *sorted(ROOT.glob("plugins/*/README.md")),
]

# What a reader does not see: the same commands at a size that a test can afford.
BENCHMARKS = {
    "benchmarks/peers.py": "--programs nstflow tutorial --sizes 48x32 --rounds 1 --steps 1",
    "benchmarks/scaling.py": "--sizes 32 --styles 2 --styles-size 32 --rounds 1 --steps 1",
    "benchmarks/many.py": "--longest-side 32 --weights 1 --steps 1 --rounds 1 --executors serial",
    "benchmarks/optimizers.py": "--size 32 --pairs coffee:swirls --methods adam-one-cycle-300",
    "benchmarks/roofline.py": "--size 32x32 --iterations 1 --repeats 1",
}
SMALLER = ["preprocess.0.longest_side=32", "schedule={use: epochs, epochs: 1, steps_per_epoch: 3}"]
SMALLER += ["extractor.layers={content: [block2_conv2], style: [block1_conv1, block2_conv1]}"]
FEWER = "matrix={losses.style.weight: [0.01, 0.3]}"


class Block(NamedTuple):
    page: Path
    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for page in PAGES:
        for match in re.finditer(
            r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            line = page.read_text()[: match.start()].count("\n") + 1
            found.append(Block(page, match[1], match[2], line))
    return [block for block in found if block.language == language]


def test_every_block_has_a_known_language() -> None:
    text = "".join(page.read_text() for page in PAGES)
    opened = re.findall(r"^ *```(.+)$", text, re.MULTILINE)
    assert set(opened) == {"sh", "yaml", "python", "text"}
    assert len(opened) == sum(len(blocks(language)) for language in set(opened))
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(opened)


def commands() -> list[Any]:
    """Return every command, where it stands first."""
    first = {
        command: str(block)
        for block in reversed(blocks("sh"))
        for command in block.text.splitlines()
        if command.strip()
    }
    return [pytest.param(line, id=f"{at}: {line[:40]}") for line, at in first.items()]


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the docs call `runs/quickstart`, as a small one."""
    plan = nstflow.load_recipe(ROOT / "recipes" / "quickstart.yaml", SMALLER)
    return nstflow.run(plan, tmp_path_factory.mktemp("docs") / "quickstart").folder


@pytest.mark.parametrize("command", commands())
def test_command(
    command: str, small_run: Path, tmp_path: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "pip install" in command:
        check_installation(command)
        return
    monkeypatch.chdir(ROOT)
    program, *words = shlex.split(command)
    if words[0] == "copy":
        monkeypatch.chdir(tmp_path)  # it writes into the working directory
    if program == "python":
        known = subprocess.check_output([sys.executable, words[0], "--help"], text=True)
        assert {word for word in words if word.startswith("--")} <= set(
            re.split(r"[\s,\[\]]", known)
        )
        assert words[0] in BENCHMARKS
        return
    assert program == "nstflow", f"what should run {command}?"
    if "--out" in words:
        words[words.index("--out") + 1] = str(tmp_path / "out")
    elif words[0] == "run":
        words += ["--out", str(tmp_path / "out")]
    if words[0] == "run" and "--locked" not in words:
        words += [word for setting in SMALLER for word in ("--set", setting)]
        words += ["--set", FEWER] * (words[1] == "styles_and_weights")
    answer = call(*(word.replace("runs/quickstart", str(small_run)) for word in words))
    expected = 1 if words[0] == "diff" else 0  # the two that are compared there do differ
    assert answer.code == expected, answer.out + answer.err


@pytest.mark.benchmarks
@pytest.mark.parametrize("script", BENCHMARKS)
def test_benchmark(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    subprocess.run([sys.executable, script, *BENCHMARKS[script].split()], check=True)


def check_installation(command: str) -> None:
    """Look at a command that `.ci/run`, or the environment of these tests, has run."""
    for part in re.findall(r"pip install (?:-e )?(.*?)(?: &&|$)", command):
        for target in shlex.split(part):
            name = target.partition("[")[0]
            folders = list(ROOT.glob(name)) if "*" in name else [ROOT / name]
            assert folders, target
            for folder in folders:
                project = (folder / "pyproject.toml").read_text()
                if extra := re.search(r"\[(\w+)\]", target):
                    assert f"\n{extra[1]} = [" in project


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_recipe(block: Block, tmp_path: Path) -> None:
    text = block.text
    data, _ = parse_yaml(text, str(block))
    if "name" not in data:  # a part of a recipe: put into a whole one
        text = (ROOT / "recipes" / "single_style.yaml").read_text()
        for key in data:
            text = re.sub(rf"^{key}:.*?(?=^\S|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
        text += block.text
    (tmp_path / "images").symlink_to(ROOT / "recipes" / "images")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text)
    planned = plan_recipe(recipe)
    assert planned.plans if isinstance(planned, Matrix) else planned.steps > 0


def test_the_page_of_matrices_shows_the_recipe_as_it_is() -> None:
    shown = next(block.text for block in blocks("yaml") if block.page.name == "matrix.md")
    assert (ROOT / "recipes" / "styles_and_weights.yaml").read_text().endswith(shown)


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    shown = blocks("yaml")[0].text
    assert (ROOT / "recipes" / "quickstart.yaml").read_text().endswith(shown)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(ROOT)
    load, run = nstflow.load_recipe, nstflow.run
    monkeypatch.setattr(
        nstflow, "load_recipe", lambda path, sets=(): load(path, [*sets, *SMALLER]), raising=False
    )
    monkeypatch.setattr(
        nstflow, "run", lambda plan, _out: run(plan, tmp_path / "run"), raising=False
    )
    name = f"docs_{block.line}_{block.page.stem}"
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)  # pydantic looks annotations up there
    exec(compile(block.text, str(block), "exec"), module.__dict__)  # noqa: S102 - our own docs
    if hasattr(module, "nstflow_stages"):
        check_plugin(module, block.text, tmp_path)
    elif "@hookimpl" in block.text:
        run_tiny(tmp_path, observers=[module])
        assert "epoch 1 of 1" in capsys.readouterr().out
    elif "nstflow.run" in block.text:
        assert (tmp_path / "run" / "result.png").is_file()
    else:
        assert capsys.readouterr().out


def check_executor(executor: Any, folder: Path) -> None:
    """Make the runs of a matrix by an executor."""
    sets = [*SMALLER, "extractor={use: vgg19, weights: random}", FEWER]
    matrix = plan_recipe(ROOT / "recipes" / "styles_and_weights.yaml", ReadOptions(tuple(sets)))
    assert isinstance(matrix, Matrix)
    outcomes = run_matrix(matrix, executor, folder / "runs")
    assert [outcome.state for outcome in outcomes] == ["finished"] * 2


def check_plugin(module: types.ModuleType, text: str, folder: Path) -> None:
    """Run a recipe that uses the first stage that a module offers."""
    from nstflow.plugins.catalog import name_of
    from nstflow.plugins.single_file import read_plugin
    from nstflow.stages.slots import slot_of

    stage: type[Stage] = module.nstflow_stages()[0]
    slot = slot_of(stage)
    if issubclass(stage, nstflow.Executor):
        check_executor(stage(), folder)
        return
    file = folder / "plugin.py"
    file.write_text(text)
    use = {"use": name_of(stage)}
    slots = {"losses": {"new": {**use, "image": "style"}}, "postprocess": [use]}
    result = run_tiny(folder, plugins=(read_plugin(file),), **{slot.name: slots[slot.name]})
    if slot.name == "losses":
        losses = result.history["new"]
        assert losses[-1] < losses[0]
    else:
        assert (result.image.pixels[:8] == 0).all()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", page.read_text()):
        link = "".join(target)
        if not link.startswith(("http:", "https:", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


def test_the_readme_shows_the_error_that_is_printed(tmp_path: Path, call: Any) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "images").symlink_to(ROOT / "recipes" / "images")
    wrong = (ROOT / "recipes" / "two_styles.yaml").read_text()
    wrong = wrong.replace("style1: {use: gram,", "style1: {use: gramm,")
    wrong = wrong.replace("layers: style, weight: 0.1}\n\n", "layers: style, wieght: 0.1}\n\n")
    (tmp_path / "recipes" / "two_styles.yaml").write_text(wrong)
    answer = call("run", "recipes/two_styles.yaml")
    assert answer.code == 2
    printed = re.sub(r", \w+ \(nstflow-[\w-]+\)", "", answer.err)  # of plugins
    shown = next(block.text for block in blocks("text") if "gramm" in block.text)
    assert printed == shown
