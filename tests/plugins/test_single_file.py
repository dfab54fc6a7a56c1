"""A file as a plugin: the quick way, recorded and checked like a package."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from nstflow import NstflowError
from nstflow.plugins.manager import Plugins
from nstflow.plugins.single_file import read_plugin
from refusals import refused

TERM = """\
from typing import Literal

from nstflow import StatisticTerm, hookimpl, tf


class Spread(StatisticTerm):
    \"\"\"Match the mean color.\"\"\"

    use: Literal["spread"] = "spread"
    layers: tuple[str, ...] = ("image",)

    def summarize(self, points, weights):
        return tf.reduce_sum(weights * points, axis=0)

    def distance(self, summary, target):
        return tf.reduce_mean(tf.square(summary - target))


@hookimpl
def nstflow_stages():
    return [Spread]
"""
RECIPE = (Path(__file__).parents[1] / "tiny.yaml").read_text()
RECIPE = RECIPE.replace("use: gram, image: style, layers: [image]", "use: spread, image: style")


def test_a_recipe_can_name_what_a_file_offers(call: Any, write: Any, tmp_path: Path) -> None:
    recipe, plugin = write(RECIPE), write(TERM, "my_terms.py")
    without = call("validate", recipe)
    assert without.code == 2
    assert "no loss is called 'spread'" in without.err
    assert call("validate", recipe, "--plugin", plugin).code == 0
    done = call("run", recipe, "--plugin", plugin, "--out", "out")
    assert done.code == 0, done.err
    lock = (tmp_path / "out" / "recipe.lock.yaml").read_text()
    assert f"my_terms.py: {read_plugin(plugin).sha256}" in lock


def test_a_lock_holds_to_the_file(call: Any, write: Any, tmp_path: Path) -> None:
    recipe, plugin = write(RECIPE), write(TERM, "my_terms.py")
    call("run", recipe, "--plugin", plugin, "--out", "out")
    lock = tmp_path / "out" / "recipe.lock.yaml"
    same = call("run", lock, "--locked", "--plugin", plugin, "--out", "same")
    assert same.code == 0, same.err
    first, second = (tmp_path / name / "result.png" for name in ("out", "same"))
    assert first.read_bytes() == second.read_bytes()
    rerun = ("rerun", "out/result.png", "--images", ".", "--out", "again")
    for command in (rerun, ("verify", "out"), ("diff", "out", "again/result.png")):
        assert "no loss is called 'spread'" in call(*command).err
        done = call(*command, "--plugin", plugin)
        assert done.code == 0, done.err
    plugin.write_text(TERM.replace("square", "abs"))
    other = call("run", lock, "--locked", "--plugin", plugin, "--out", "other")
    assert other.code == 2
    assert "lock.plugins.my_terms.py" in other.err
    assert call("run", lock, "--locked", "--out", "other").code == 2


def test_runs_of_a_matrix_take_the_file_along(call: Any, write: Any, tmp_path: Path) -> None:
    recipe = write(RECIPE + "matrix: {losses.look.weight: [1, 2]}\n")
    command = ["run", recipe, "--plugin", write(TERM, "my_terms.py")]
    pictures = []
    for executor, *options in (["serial"], ["processes", "--workers", "1"]):  # as many threads
        done = call(*command, "--executor", executor, "--out", executor, *options)
        assert done.code == 0, done.err
        files = sorted((tmp_path / executor).glob("*/result.png"))
        pictures.append([file.read_bytes() for file in files])
    assert len(pictures[0]) == 2
    assert pictures[0] == pictures[1]


def test_a_file_is_executed_once_and_a_changed_one_again(write: Any, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    text = f"{TERM}\nwith __import__('io').open({str(runs)!r}, 'a') as file:\n    file.write('x')\n"
    plugin = read_plugin(write(text, "my_terms.py"))
    first, second = Plugins(files=[plugin]), Plugins(files=[plugin, plugin])
    assert runs.read_text() == "x"
    assert first.catalog["losses"]["spread"].stage is second.catalog["losses"]["spread"].stage
    changed = read_plugin(write(text.replace("color", "colour"), "my_terms.py"))
    third = Plugins(files=[changed])
    assert runs.read_text() == "xx"
    assert third.catalog["losses"]["spread"].stage is not first.catalog["losses"]["spread"].stage


def test_a_file_can_observe(call: Any, write: Any) -> None:
    recipe, plugin = (
        write(RECIPE.replace("spread", "gram")),
        write(
            """\
        from nstflow import hookimpl

        @hookimpl
        def nstflow_run_finished(result):
            print("seen:", len(result.history["step"]))
        """,
            "watch.py",
        ),
    )
    layers = ["--set", "losses.look.layers=[image]"]
    answer = call("run", recipe, "--plugin", plugin, "--out", "out", *layers)
    assert "seen: 6" in answer.out


def test_a_traceback_shows_the_file(write: Any) -> None:
    recipe = write(RECIPE)
    plugin = write(TERM.replace("tf.square(summary - target)", "tf.nothing(summary)"), "broken.py")
    command = [sys.executable, "-m", "nstflow", "run", recipe, "--plugin", plugin]
    done = subprocess.run(command, cwd=plugin.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "return tf.reduce_mean(tf.nothing(summary))" in done.stderr
    assert "Raised in losses.look (use: spread), provided by broken.py" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1 / 0", "ZeroDivisionError: division by zero (PATH:1)"),
        ("def f(:", "SyntaxError: "),
        (TERM.replace("from typing import Literal", ""), "NameError: name 'Literal' is not"),
        ("raise SystemExit(3)", "SystemExit: 3 (PATH:1)"),
        ("x = 1", "no function of it carries @nstflow.hookimpl"),
        (
            TERM.replace("nstflow_stages", "nstflow_stage"),
            "there is no hook nstflow_stage (did you mean 'nstflow_stages'?).",
        ),
        (TERM.replace("[Spread]", "[3]"), "3 is not a stage class"),
        (TERM.replace("return [Spread]", "return 1 / 0"), "nstflow_stages failed: ZeroDivision"),
        ("\0", "null bytes"),
        ("x = '\ud800'".encode(errors="surrogatepass"), "SyntaxError"),
    ],
)
def test_a_file_that_is_no_plugin(write: Any, text: str | bytes, words: str) -> None:
    path = write(text if isinstance(text, bytes) else textwrap.dedent(text), "bad.py")
    problem = refused(lambda: Plugins(files=[read_plugin(path)]))
    assert problem.where == f"--plugin {path}"
    assert words.replace("PATH", str(path)) in problem.got


@pytest.mark.parametrize("name", ["none.py", "folder.py", "text.txt", "x\0.py"])
def test_what_is_no_file_of_python(write: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.py").mkdir()
    write("x", "text.txt")
    with pytest.raises(NstflowError, match="Name a Python file"):
        read_plugin(tmp_path / name)


def test_two_files_that_offer_one_name_collide(write: Any) -> None:
    files = [read_plugin(write(TERM + "\n" * n, f"terms{n}.py")) for n in (1, 2)]
    catalog = Plugins(files=files).catalog
    assert "spread" not in catalog["losses"]
    got, hint = catalog.explain_missing("losses", "spread")
    assert "terms1.py" in got
    assert "--block-plugin terms1.py or --block-plugin terms2.py" in hint
