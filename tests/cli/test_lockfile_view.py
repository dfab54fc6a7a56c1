"""What is printed of finished runs."""

import re
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import pytest

import nstflow
from nstflow.cli.console.lockfile_view import show_comparisons, show_differences, show_provenance
from nstflow.lockfile.diff import Difference
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.source import parse_source
from nstflow.runner.verify import Comparison
from pictures import draw

RECIPE = """\
name: tiny
summary: A [bold]photo[/] in noise.
images:
  content: photo.png
  style: {use: noise, height: 16, width: 16, seed: 1}
preprocess: [{use: resize, longest_side: 32, only: [content]}]
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 1e4}
  look: {use: gram, image: style, layers: {image: 0.5}, weight: 7}
schedule: {use: epochs, epochs: 1, steps_per_epoch: 3}
"""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, asking: Any) -> Path:
    """Return the directory of a run that was stopped."""
    folder = tmp_path_factory.mktemp("stopped")
    draw(folder / "photo.png")
    (folder / "recipe.yaml").write_text(RECIPE)
    asks = asking()
    plan = make_plan(load_recipe(folder / "recipe.yaml"))
    nstflow.run(plan, folder / "out", observers=[asks], stop=asks.stop)
    return folder / "out"


def rows(text: str) -> dict[str, str]:
    """Return label → value of the facts under a title."""
    return dict(re.findall(r"^(.+?)  +(.*)$", text.partition("\n")[2], re.MULTILINE))


@pytest.mark.parametrize("what", ["", "result.png", "recipe.lock.yaml"])
def test_run_and_its_picture_say_how_they_were_made(what: str, call: Any, stopped: Path) -> None:
    answer = call("show", stopped / what)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("tiny  A [bold]photo[/] in noise.\n")
    printed = rows(answer.out)
    path = "photo.png" if what == "result.png" else "../photo.png"
    files = {name: printed.pop(name) for name in [*printed] if name == "images.content.path"}
    (stopped_at, device) = (printed.pop("stopped", ""), printed.pop("device"))
    assert printed == {
        "image content": f"file (path {path}, max_megapixels 64, transparency weight,"
        " profile srgb)",
        "image style": "noise (height 16, width 16, seed 1)",
        "preprocessor": "resize (only [content], longest_side 32, scale 1, method lanczos3,"
        " antialias true, enlarge true)",
        "extractor": "vgg19 (layers {content: [block5_conv2], style: [block1_conv1, block3_conv1,"
        " block5_conv1]}, weights random, filters trained, padding zeros, pooling max,"
        " pooling_gain 1)",
        "start": "image (like content, image content)",
        "loss keep": "content (image content, layers [image], weight 10000, scale mean)",
        "loss look": "gram (image style, layers {image: 0.5}, weight 7, scale mean, centered"
        " false)",
        "optimizer": "adam (learning_rate 0.02, beta_1 0.99, beta_2 0.999, epsilon 0.1, decay"
        " none, carry_moments true)",
        "schedule": "epochs (epochs 1, steps_per_epoch 3)",
        "output": "png (name result, bits 8, exif false)",
        "seed": "0",
        "compute": "precision float32, deterministic true",
        "made with": f"nstflow {version('nstflow')}, Python {python_version()},"
        f" TensorFlow {version('tensorflow')}",
    }
    assert device.startswith(("CPU", "GPU"))
    assert re.fullmatch(r"sha256 [0-9a-f]{12}…, 2,\d{3} bytes", files["images.content.path"])
    assert bool(re.fullmatch(r"after step \d", stopped_at)) is (what != "recipe.lock.yaml")


def test_lock_is_printed_as_it_is(call: Any, stopped: Path) -> None:
    answer = call("show", stopped, "--yaml")
    assert answer.out == (stopped / "recipe.lock.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("{}", ["null", "seed  0"]),
        ("name: a\nseed: 5", ["a", "seed  5"]),
        ("start: 5\nlosses: {a: b, c: null}", ["null", "start   5", "loss a  b", "seed    0"]),
        ("outputs: [png, {use: jpeg}]", ["null", "output  png", "output  jpeg", "seed    0"]),
        ("compute: {deterministic: true}", ["null", "seed     0", "compute  deterministic true"]),
        ("lock: null", ["null", "seed  0"]),
        ("name: {sha256: a, bytes: b}", ["{sha256: a, bytes: b}", "seed  0"]),
        (
            "lock: {python: '3', tensorflow: '2'}",
            ["null", "seed       0", "made with  Python 3, TensorFlow 2"],
        ),
    ],
)
def test_whatever_is_there_is_shown(
    text: str, printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show_provenance(parse_source(text, "r"))
    assert capsys.readouterr().out.splitlines() == printed


def test_differences_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Difference("seed", "1", "[2]"), Difference("losses.look.weight", "–", "0.5")]
    show_differences(found, "a b.yaml", "[x].yaml")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "setting             a b.yaml  [x].yaml",
        "seed                1         [2]",
        "losses.look.weight  –         0.5",
    ]


def test_a_narrow_terminal_cuts_nothing(terminal: Any) -> None:
    screen = terminal(40)
    show_differences([Difference("losses.style.layers", "x" * 90, "y" * 70)], "first", "second")
    assert (screen.text.count("x"), screen.text.count("y")) == (90, 72)
    assert max(map(len, screen.text.splitlines())) <= 40


def test_a_setting_keeps_its_line(terminal: Any) -> None:
    screen = terminal(80)
    name = "extractor.convolution.block2_conv1"
    show_differences([Difference(name, "word " * 30, "word " * 30)], "first", "second")
    assert f"\n{name}  word" in screen.text


def test_no_difference_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    show_differences([], "a", "b")
    assert capsys.readouterr().out == "a and b: no difference\n"


@pytest.mark.parametrize(
    ("found", "printed"),
    [
        (Comparison("a.png", 0, 0.0, equal=True), "a.png: every pixel is equal"),
        (Comparison("a.txt", None, None, equal=True), "a.txt: every byte is equal"),
        (Comparison("a.txt", None, None, equal=False), "a.txt: the bytes differ"),
        (
            Comparison("[a].png", 3, 0.0123456, equal=False),
            "[a].png: differs by 3 of 255 at most, by 0.0123 on average",
        ),
        (
            Comparison("a.png", 1, 1e-7, equal=False),
            "a.png: differs by 1 of 255 at most, by 1e-07 on average",
        ),
    ],
)
def test_comparisons(found: Comparison, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_comparisons([found])
    assert capsys.readouterr().out == f"{printed}\n"
