"""What a user can get wrong, on the command line; the modules' own tests have every variant.

Each ends with status 2, says where and what, shows no traceback, and leaves nothing behind.
"""

import errno
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import numpy as np
import PIL.Image
import pytest

from pictures import saved

VALID = (Path(__file__).parents[1] / "tiny.yaml").read_text()


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(call: Any, tmp_path: Path) -> Any:
    """Run a command that must fail as a user's mistake does; return what it prints."""

    def refused(*arguments: object) -> str:
        before = everything(tmp_path)
        answer = call(*arguments)
        printed = str(answer.err)
        assert answer.code == 2, printed
        assert "Traceback" not in printed
        assert answer.out == ""
        ended = printed.endswith(("; nothing was run.\n", "; the run stopped.\n"))
        assert ended is (arguments[0] in ("run", "rerun"))
        assert everything(tmp_path) == before
        return printed

    return refused


@pytest.fixture
def bad(refused: Any, write: Any) -> Any:
    """Run a recipe that must be refused; return what is printed."""

    def bad(text: str | bytes, *arguments: str) -> str:
        write(text, "r.yaml")
        printed = refused("run", "r.yaml", *arguments)
        if not arguments:  # all commands that read it print the same
            assert refused("plan", "r.yaml").splitlines()[:-1] == printed.splitlines()[:-1]
        return printed

    return bad


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # names and values
        (
            changed("use: gram", "use: gramm"),
            ":9:15  losses.look.use\n    no loss is called 'gramm'. Did you mean 'gram'?",
        ),
        (
            changed("weight: 10", "wieght: 10"),
            ":8:41  losses.keep.wieght\n    unknown setting. Did you mean 'weight'?\n1 problem in",
        ),
        (
            changed("weight: 10", "weight: heavy"),
            ":8:49  losses.keep.weight\n    this must be a number, but is the text 'heavy'.",
        ),
        (
            changed("weight: 10", "weight: 1e999"),
            ":8:49  losses.keep.weight\n    this must be a finite number, but is ",
        ),
        (
            changed("preprocess: []", "preprocess: [{use: resize, longest_side: -1}]"),
            ":5:42  preprocess.0.longest_side\n    this must be at least 1, but is -1.",
        ),
        (
            changed("style, layers: [image]", "style, layers: [image, block5_conv5]"),
            ":9:51  losses.look.layers.1\n    the extractor has no layer 'block5_conv5'. Did you",
        ),
        (
            changed("image: style", "image: styel"),
            ":9:28  losses.look.image\n    no image is called 'styel'. Did you mean 'style'?",
        ),
        (
            changed("weights: random", "weights: imagnet"),
            ":6:22  extractor.weights\n    there are no weights called 'imagnet'. Did you",
        ),
        # the text
        (
            "# nothing yet\n",
            "\n    the recipe is empty. It needs at least name, images and losses.",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "\n    this is "),
        (changed("  keep:", "\tkeep:"), ":8:1\n    this is "),
        (
            changed("  look:", "  keep:"),
            ":9:3  losses.keep\n    the key is repeated: line 8 has it",
        ),
        (
            f"a0: &a0 [lol]\n{LAUGHS}",
            ":1:5  a5.0.2.7.0.4\n    the recipe expands to too many values here.",
        ),
        ("- name: x\n", "\n    a recipe is a mapping of keys to values, but this is a list."),
    ],
)
def test_a_recipe_that_is_refused(text: str | bytes, problem: str, bad: Any) -> None:
    printed = bad(text)
    assert printed.startswith(f"r.yaml{problem}")
    assert printed.endswith("\n1 problem in r.yaml; nothing was run.\n")


def test_a_recipe_that_names_python_code(bad: Any, tmp_path: Path) -> None:
    printed = bad(changed("name: tiny", "name: !!python/object/apply:os.mkdir [ran]"))
    assert printed.startswith("r.yaml:1:7  name\n    the tag tag:yaml.org,2002:python/object/apply")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_a_recipe_that_can_not_be_read(command: str, refused: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, got in (
        ("nowhere.yaml", "there is no such file."),
        ("folder", "this is a folder. Name one recipe file in it."),
        ("pipe.yaml", "this is not a regular file. Write the recipe to one."),
    ):
        printed = refused(command, name)
        assert printed.startswith(f"{name}\n    {got}"), printed
        assert printed.partition(";")[0].strip(".\n").endswith(f"\n1 problem in {name}")


def test_a_path_that_can_not_be(
    refused: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(WITH_FILE, "r.yaml")
    write(PNG, "photo.png")
    (tmp_path / "loop").symlink_to("loop")
    long = "x" * 300
    for command in (["lock", "r.yaml", "--out", long], ["verify", long], ["show", long]):
        assert "File name too long" in refused(*command)
    for place in ("loop", "loop/x"):
        assert place in refused("lock", "r.yaml", "--out", place)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "the working folder was deleted" in refused("run", tmp_path / "r.yaml")


def test_control_characters_do_not_reach_the_terminal(refused: Any, write: Any) -> None:
    write("name: x\nimages: 7\n", "evil\x1b[31m\x9b2J.yaml")
    printed = refused("validate", "evil\x1b[31m\x9b2J.yaml")
    assert "\x1b" not in printed
    assert "\x9b" not in printed
    assert r"evil\x1b[31m\x9b2J.yaml:2:9" in printed


WITH_FILE = changed("content: {use: noise, height: 32, width: 24}", "content: photo.png")


PIXELS = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
PNG = saved(PIL.Image.fromarray(PIXELS), "PNG")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (None, "there is no file '"),
        (b"not a picture", "'photo.png' is not an image in one of the formats PNG, JPEG"),
        (PNG[: len(PNG) // 2], "'photo.png' is damaged and can't be decoded ("),
    ],
)
def test_an_image_that_can_not_be_read(
    content: bytes | None, got: str, bad: Any, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "photo.png").write_bytes(content)
    printed = bad(WITH_FILE, "--out", "runs/here", "--quiet")
    assert printed.startswith(f"r.yaml:3:3  images.content.path\n    {got}")


def test_an_image_that_is_too_small(bad: Any, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (1, 1)).save(tmp_path / "photo.png")
    printed = bad(WITH_FILE.replace("content, layers: [image]", "content"))
    assert printed.startswith(
        "r.yaml:3:12  images.content\n"
        "    1×1 pixels are too few for block5_conv2: each side needs 16."
    )
    assert "larger size: a longest side of 16 pixels is enough." in printed


def test_a_damaged_file_in_the_cache(
    bad: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nstflow.engine.weights import imagenet

    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path / "cache"))
    imagenet.path().parent.mkdir(parents=True)
    imagenet.path().write_bytes(b"half")
    printed = bad(changed("weights: random", "weights: imagenet"))
    assert printed.startswith(f"{imagenet.path()}  weights imagenet\n    the file is damaged")
    assert "`nstflow weights fetch` replaces it." in printed


NETWORK = changed("content, layers: [image]", "content, layers: [block1_conv1]")


@pytest.mark.parametrize("name", ["w.npz", "w.h5"])
def test_weights_that_are_not_finite(name: str, bad: Any, tmp_path: Path) -> None:
    kernel, bias = np.full((3, 3, 3, 64), np.nan, np.float32), np.ones(64, np.float32)
    if name == "w.npz":
        np.savez(tmp_path / name, **{"block1_conv1/kernel": kernel, "block1_conv1/bias": bias})
    else:
        with h5py.File(tmp_path / name, "w") as file:
            file["block1_conv1/block1_conv1_W_1:0"] = kernel
            file["block1_conv1/block1_conv1_b_1:0"] = bias
    printed = bad(NETWORK.replace("weights: random", f"weights: {name}"), "--out", "here", "-q")
    assert printed.startswith(
        f"r.yaml:6:22  extractor.weights\n    '{tmp_path / name}' can't be used: block1_conv1"
        " holds numbers that are not finite (NaN or infinite)."
    )


def failing(number: int) -> Mock:
    return Mock(side_effect=OSError(number, os.strerror(number)))


@pytest.fixture
def _never_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Mock(side_effect=AssertionError("it began to compute"))
    monkeypatch.setattr("nstflow.engine.device.choose_device", compute)


@pytest.mark.usefixtures("_never_computes")
@pytest.mark.parametrize(
    ("method", "number", "hint"),
    [
        ("mkdir", errno.EROFS, "Choose"),
        ("write_bytes", errno.ENOSPC, "Free some space, or choose"),
        ("replace", errno.EDQUOT, "Free some space, or choose"),
    ],
)
def test_output_folder_that_is_full_or_read_only(
    method: str, number: int, hint: str, refused: Any, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    write(VALID, "r.yaml")
    monkeypatch.setattr(Path, method, failing(number))
    printed = refused("run", "r.yaml", "--out", "out", "--quiet")
    assert printed == (
        f"out\n    the run directory can't be written: {os.strerror(number)}."
        f" {hint} another place with --out.\n"
        "1 problem; nothing was run.\n"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_read_only_folder(refused: Any, write: Any, tmp_path: Path) -> None:
    write(VALID, "r.yaml")
    (tmp_path / "locked").mkdir(mode=0o500)
    printed = refused("run", "r.yaml", "--out", "locked/out", "--quiet")
    assert "Permission denied" in printed


def test_disk_that_fills_up_while_the_picture_is_written(
    call: Any, monkeypatch: pytest.MonkeyPatch, write: Any, tmp_path: Path
) -> None:
    def full(_: Any, path: Path, **__: Any) -> None:
        Path(path).write_bytes(b"half a picture")
        failing(errno.ENOSPC)()

    write(VALID, "r.yaml")
    monkeypatch.setattr(PIL.Image.Image, "save", full)
    answer = call("run", "r.yaml", "--out", "out", "--quiet")
    assert answer.code == 2
    assert answer.err.startswith("out\n    the run directory can't be written: No space left")
    assert answer.err.endswith("; the run stopped, and can be resumed with --resume.\n")
    left = {"recipe.yaml", "recipe.lock.yaml", "history.csv", "run.json", "checkpoint.safetensors"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == left
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert call("run", "r.yaml", "--out", "out", "--quiet", "--resume").code == 0


@pytest.mark.usefixtures("_never_computes")
@pytest.mark.parametrize("place", ["file", "file/out", "/proc/x", "loop/x", "x" * 300])
def test_output_folder_that_can_not_be(
    place: str, refused: Any, write: Any, tmp_path: Path
) -> None:
    write(VALID, "r.yaml")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to("loop")
    assert "another place with --out" in refused("run", "r.yaml", "--out", place, "--quiet")


@pytest.mark.usefixtures("_never_computes")
def test_files_that_are_not_of_a_run_are_never_replaced(
    refused: Any, write: Any, tmp_path: Path
) -> None:
    write(WITH_FILE, "recipe.yaml")
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("mine")
    for options in (["thesis"], ["thesis", "--overwrite"], [".", "--overwrite"]):
        printed = refused("run", "recipe.yaml", "--quiet", "--out", *options)
        assert "Nothing was deleted" in printed


@pytest.mark.usefixtures("_never_computes")
def test_an_image_in_the_run_that_would_be_overwritten(
    refused: Any, write: Any, tmp_path: Path
) -> None:
    write(WITH_FILE, "out/recipe.yaml")
    write('{"state": "finished", "files": ["photo.png"]}', "out/run.json")
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "out" / "photo.png")
    printed = refused("run", "out/recipe.yaml", "--out", "out", "--overwrite", "--quiet")
    assert "photo.png is a file that the recipe reads" in printed


@pytest.mark.parametrize(
    ("options", "heads"),
    [
        (["--set", "losses.look.wieght=2"], ["--set losses.look.wieght"]),
        (["--set", "losses.look.weight"], ["--set losses.look.weight"]),
        (
            ["--set", "name.x=1", "--set", "preprocess.7=1", "--set", "losses=["],
            ["--set name.x=1", "--set preprocess.7=1", "--set losses=["],
        ),
        (["--block-plugin", "nope"], ["--block-plugin nope"]),
    ],
)
def test_options_that_are_wrong(options: list[str], heads: list[str], bad: Any) -> None:
    printed = bad(VALID, *options).splitlines()
    assert [line for line in printed if line.startswith("--")] == heads
    assert printed[-1].startswith(f"{len(heads)} problem")


ALL = """\
name: My Recipe
images:
  content: photo.png
  style: {use: nosie}
  small: text.png
preprocess:
  - {use: resize, longest_side: -5}
extractor: {weights: nowhere.h5, layers: {style: [block1_conv9]}}
start: {like: nobody}
losses:
  keep: {use: contents}
  total: {use: content, wieght: 3, weight: .nan}
  look: {use: gram, image: styl, layers: []}
  more: {use: gram, image: styl, layers: [block9_conv1]}
schedule: {use: epochs, epochs: "10"}
outputs:
  - {use: png}
  - {use: png}
plugins: {block: [nope]}
"""


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_all_problems_are_printed_at_once(
    command: str, write: Any, refused: Any, tmp_path: Path
) -> None:
    write(ALL, "r.yaml")
    (tmp_path / "text.png").write_text("not a picture")
    printed = refused(command, "r.yaml").splitlines()
    assert [line for line in printed if line.startswith("r.yaml:")] == [
        "r.yaml:1:7  name",
        "r.yaml:3:3  images.content.path",
        "r.yaml:4:16  images.style.use",
        "r.yaml:5:3  images.small.path",
        "r.yaml:7:33  preprocess.0.longest_side",
        "r.yaml:8:22  extractor.weights",
        "r.yaml:8:51  extractor.layers.style.0",
        "r.yaml:9:15  start.like",
        "r.yaml:11:15  losses.keep.use",
        "r.yaml:12:3  losses.total",
        "r.yaml:12:25  losses.total.wieght",
        "r.yaml:12:44  losses.total.weight",
        "r.yaml:13:42  losses.look.layers",
        "r.yaml:14:28  losses.more.image",
        "r.yaml:14:43  losses.more.layers.0",
        "r.yaml:15:33  schedule.epochs",
        "r.yaml:18:5  outputs.1",
        "r.yaml:19:19  plugins.block.0",
    ]
    assert printed[-1].strip(".").partition(";")[0] == "18 problems in r.yaml"
    assert len(printed) == 2 * 18 + 1


def test_several_recipes_are_validated_each_by_itself(
    write: Any, call: Any, tmp_path: Path
) -> None:
    write(VALID, "good.yaml")
    write(changed("use: gram", "use: gramm"), "one.yaml")
    write("", "two.yaml")
    answer = call("validate", "one.yaml", "good.yaml", "two.yaml", tmp_path / "three.yaml")
    assert answer.code == 2
    assert answer.out == "good.yaml: valid\n"
    for name in ("one.yaml", "two.yaml", "three.yaml"):
        assert f"{name}.\n" in answer.err
