"""The files of a new package beside its module: how it is built, tested, tried and described."""

from __future__ import annotations

from collections.abc import Mapping

from nstflow.cli.new_plugin.modules import OBSERVER, SLOTS

PROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "NAME"
version = "0.1.0"
description = "A plugin for nstflow"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["nstflow>=VERSION"]

[project.optional-dependencies]
test = ["pytest>=8"]

[project.entry-points.nstflow]
USE = "MODULE"

[tool.hatch.build.targets.wheel]
only-include = ["MODULE.py"]
"""

STAGE_TEST = """\
from MODULE import CLASS

from nstflow.testing import check_stage


def test_it_keeps_to_the_contract():
    check_stage(CLASS)


def test_a_recipe_can_name_it(nstflow_run):
    result = nstflow_run(RUN)
    assert result.files[0].is_file()
"""

OBSERVER_TEST = """\
def test_it_tells_of_a_run(nstflow_run, capsys):
    nstflow_run()
    told = capsys.readouterr().out
    assert "USE: after epoch 1, 'content' is the largest loss" in told
    assert "holds result.png" in told
"""

RUNS = {
    "losses": """losses={"mine": {"use": "USE", "image": "style", "layers": ["image"]}}""",
    "preprocess": """preprocess=[{"use": "USE"}]""",
    "postprocess": """postprocess=[{"use": "USE"}]""",
}

RECIPE = """\
nstflow: 1
name: USE
summary: A first try.

images: # any file will do: `content: photo.jpg`
  content: {use: noise, height: 96, width: 128}
  style: {use: noise, height: 96, width: 96, seed: 1}

preprocess:
  - {use: resize, longest_side: 128}
PREPROCESS
losses:
  content: {use: content, weight: 10000}
LOSS
schedule: {use: epochs, epochs: 2, steps_per_epoch: 10}
POSTPROCESS"""

PARTS = {
    "PREPROCESS": {"preprocess": "  - {use: USE}\n"},
    "LOSS": {"losses": "  mine: {use: USE, image: style}\n"},
    "POSTPROCESS": {"postprocess": "\npostprocess:\n  - {use: USE}\n"},
}

README = """\
# NAME

A plugin for nstflow.

```sh
pip install -e '.[test]'
pytest
nstflow run recipe.yaml
```

`MODULE.py` is all of it: change it into what you have in mind. `nstflow plugins` shows that it is
found; SHOW
"""


def of(kind: str, words: Mapping[str, str]) -> dict[str, str]:
    """Return name → text of every file.

    Args:
        kind: What the package is for.
        words: What the words in capitals stand for.
    """
    use = words["USE"]
    show = f"`nstflow stages {kind} {use}` shows its settings."
    recipe = RECIPE
    for part, texts in PARTS.items():
        plain = "  style: {use: gram, image: style, weight: 0.1}\n" if part == "LOSS" else ""
        recipe = recipe.replace(part, texts.get(kind, plain))
    texts = {
        "pyproject.toml": PROJECT,
        f"{words['MODULE']}.py": SLOTS.get(kind, OBSERVER),
        f"tests/test_{words['MODULE']}.py": OBSERVER_TEST,
        "recipe.yaml": recipe,
        "README.md": README.replace("SHOW", show if kind in SLOTS else "it speaks at every run."),
    }
    if kind in SLOTS:
        test = STAGE_TEST.replace("RUN", RUNS[kind])
        texts[f"tests/test_{words['MODULE']}.py"] = test
    return {name: _filled(text, words) for name, text in texts.items()}


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
