"""Everything a user can get wrong, by name, on the command line.

Each ends with status 2, says where and what, shows no traceback, and leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import PIL.Image
import pytest

SOUND = """\
name: tiny
images:
  content: {use: noise, height: 32, width: 24}
  style: {use: noise, height: 16, width: 16, seed: 1}
preprocess: []
extractor: {weights: random}
losses:
  keep: {use: content, layers: [image], weight: 10}
  look: {use: gram, image: style, layers: [image]}
schedule: {use: epochs, epochs: 1, steps_per_epoch: 1}
"""

Refused = Callable[..., str]


def everything(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(call: Any, tmp_path: Path) -> Refused:
    """Run a command that must fail as a user's mistake does; return what it says."""

    def refused(*arguments: object) -> str:
        before = everything(tmp_path)
        answer = call(*arguments)
        told = str(answer.err)
        assert answer.code == 2, told
        assert "Traceback" not in told
        assert answer.out == ""
        assert told.endswith(("; nothing was run.\n", "; the run stopped.\n"))
        assert everything(tmp_path) == before
        return told

    return refused


@pytest.fixture
def bad(refused: Refused, write: Any) -> Refused:
    """Run a recipe that must be refused; return what is said, line by line."""

    def bad(text: str | bytes, *arguments: str) -> str:
        write(text, "r.yaml")
        told = refused("run", "r.yaml", *arguments)
        if not arguments:  # all looking commands say the same
            assert refused("plan", "r.yaml").splitlines()[:-1] == told.splitlines()[:-1]
        return told

    return bad


def changed(old: str, new: str) -> str:
    assert SOUND.count(old) == 1
    return SOUND.replace(old, new)


def lines(*told: str) -> str:
    return "\n".join([*told, ""])


ONE = "1 problem in r.yaml; nothing was run."


def test_the_recipe_of_these_tests_is_sound(call: Any, write: Any) -> None:
    write(SOUND, "r.yaml")
    answer = call("validate", "r.yaml")
    assert (answer.code, answer.err) == (0, "")
    assert "valid" in answer.out


# the recipe's words


def test_unknown_stage(bad: Refused) -> None:
    told = bad(changed("use: gram", "use: gramm"))
    assert told.startswith(
        "r.yaml:9:15  losses.look.use\n"
        "    no loss is called 'gramm'. Did you mean 'gram'? Installed: content, gram,"
    )
    assert told.endswith(f"{ONE}\n")


def test_misspelt_setting(bad: Refused) -> None:
    assert bad(changed("weight: 10", "wieght: 10")) == lines(
        "r.yaml:8:41  losses.keep.wieght",
        "    unknown setting. Did you mean 'weight'?",
        ONE,
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "got"),
    [
        (
            "weight: 10",
            "weight: heavy",
            "8:49  losses.keep.weight",
            "a number, but is the text 'heavy'",
        ),
        (
            "weight: 10",
            "weight: '10'",
            "8:49  losses.keep.weight",
            "a number, but is the text '10'",
        ),
        ("weight: 10", "weight: true", "8:49  losses.keep.weight", "a number, but is true"),
        (
            "height: 32",
            "height: 32.5",
            "3:33  images.content.height",
            "a whole number, but is 32.5",
        ),
        ("preprocess: []", "preprocess: {}", "5:13  preprocess", "a list, but is an empty mapping"),
        ("name: tiny", "name: 5", "1:7  name", "a text, but is 5"),
        ("use: gram", "use: [gram]", "9:15  losses.look.use", "the name of a stage, but is a list"),
    ],
)
def test_wrong_type(old: str, new: str, where: str, got: str, bad: Refused) -> None:
    told = bad(changed(old, new))
    assert told.startswith(f"r.yaml:{where}\n    this should be {got}.")
    assert told.endswith(f"{ONE}\n")


def test_layer_that_the_extractor_lacks(bad: Refused) -> None:
    told = bad(changed("style, layers: [image]", "style, layers: [image, block5_conv5]"))
    assert told.startswith(
        "r.yaml:9:51  losses.look.layers\n"
        "    the extractor has no layer 'block5_conv5'. Did you mean 'block5_conv"
    )


def test_image_that_no_one_declared(bad: Refused) -> None:
    assert bad(changed("image: style", "image: styel")) == lines(
        "r.yaml:9:28  losses.look.image",
        "    no image is called 'styel'. Did you mean 'style'? Declared: content, style.",
        ONE,
    )


@pytest.mark.parametrize("layers", ["[]", "{}"])
def test_loss_without_layers(layers: str, bad: Refused) -> None:
    assert bad(changed("style, layers: [image]", f"style, layers: {layers}")) == lines(
        "r.yaml:9:43  losses.look.layers", "    a loss needs at least one layer.", ONE
    )


def test_recipe_without_losses(bad: Refused) -> None:
    assert "r.yaml:3:9  losses\n" in bad("name: x\nimages: {content: {use: noise}}\nlosses: {}\n")


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
def test_loss_weight_that_is_not_finite(number: str, bad: Refused) -> None:
    told = bad(changed("weight: 10", f"weight: {number}"))
    assert told.startswith(
        "r.yaml:8:49  losses.keep.weight\n    this should be a finite number, but is "
    )


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("height: 32", "height: -32", "3:33  images.content.height"),
        ("height: 32", "height: 0", "3:33  images.content.height"),
        ("preprocess: []", "preprocess: [{use: resize, longest_side: -1}]", "5:42  preprocess.0"),
        ("epochs: 1,", "epochs: -1,", "10:33  schedule.epochs"),
    ],
)
def test_negative_size(old: str, new: str, where: str, bad: Refused) -> None:
    told = bad(changed(old, new))
    assert told.startswith(f"r.yaml:{where}")
    assert "this should be at least 1, but is " in told


# the recipe's text


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing yet\n", "---\n"])
def test_empty_recipe(text: str, bad: Refused) -> None:
    assert bad(text) == lines(
        "r.yaml", "    the recipe is empty. It needs at least name, images and losses.", ONE
    )


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\0", b"\xff\xfe\0n", b"PK\x03\x04\x80"])
def test_binary_file(content: bytes, bad: Refused) -> None:
    assert bad(content).startswith("r.yaml\n    this is no text in UTF-8 (byte ")


def test_binary_file_that_is_ascii(bad: Refused) -> None:
    assert bad(b"name: x\0\0\0\x01").startswith("r.yaml\n    this is no text that YAML allows")


def test_yaml_with_tabs(bad: Refused) -> None:
    told = bad(changed("  keep:", "\tkeep:"))
    assert told.startswith("r.yaml:8:1\n    this is no sound YAML: ")
    assert "YAML indents with spaces, never with tabs." in told


def test_anchor_that_does_not_resolve(bad: Refused) -> None:
    told = bad(changed("layers: [image], weight: 10", "layers: *mine"))
    assert told.startswith("r.yaml:8:32\n    this is no sound YAML: found undefined alias 'mine'.")
    assert "An alias *x needs an anchor &x before it." in told


def test_duplicate_keys(bad: Refused) -> None:
    assert bad(changed("  look:", "  keep:")) == lines(
        "r.yaml:9:3  losses.keep", "    the key is repeated: line 8 has it already.", ONE
    )


def test_python_in_yaml(bad: Refused, tmp_path: Path) -> None:
    told = bad(changed("name: tiny", "name: !!python/object/apply:os.mkdir [ran]"))
    assert told.startswith("r.yaml:1:7  name\n    the tag tag:yaml.org,2002:python/object/apply")
    assert not (tmp_path / "ran").exists()


def test_billion_laughs(bad: Refused) -> None:
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert "expands to too many values" in bad(f"a0: &a0 [lol]\n{laughs}")


def test_list_for_a_recipe(bad: Refused) -> None:
    assert bad("- name: x\n").startswith(
        "r.yaml\n    a recipe is a mapping of keys to values, but this is a list."
    )


# files and folders


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_missing_recipe(command: str, refused: Refused) -> None:
    assert refused(command, "nowhere.yaml") == lines(
        "nowhere.yaml",
        "    there is no such file.",
        "1 problem in nowhere.yaml; nothing was run.",
    )


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_folder_for_a_recipe(command: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    assert refused(command, "recipes") == lines(
        "recipes",
        "    this is a folder. Name one recipe file in it.",
        "1 problem in recipes; nothing was run.",
    )


WITH_FILE = changed("content: {use: noise, height: 32, width: 24}", "content: photo.png")


def test_missing_image(bad: Refused, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "photos.png")
    assert bad(WITH_FILE) == lines(
        "r.yaml:3:3  images.content.path",
        f"    there is no file '{tmp_path / 'photo.png'}'. Did you mean 'photos.png'?",
        ONE,
    )


def test_folder_for_an_image(bad: Refused, tmp_path: Path) -> None:
    (tmp_path / "photo.png").mkdir()
    assert bad(WITH_FILE) == lines(
        "r.yaml:3:3  images.content.path",
        "    'photo.png' is a folder. Name one image file.",
        ONE,
    )


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_unreadable_image(content: bytes, bad: Refused, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(content)
    told = bad(WITH_FILE)
    assert told.startswith("r.yaml:3:3  images.content.path\n    'photo.png' ")
    assert told.endswith(f"{ONE}\n")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff", "bmp"])
def test_truncated_image(suffix: str, refused: Refused, tmp_path: Path, write: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tmp_path / f"photo.{suffix}"
    PIL.Image.fromarray(noise).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    write(WITH_FILE.replace("photo.png", path.name), "r.yaml")
    told = refused("run", "r.yaml", "--out", "runs/here", "--quiet")
    assert told.startswith(f"r.yaml:3:3  images.content.path\n    '{path.name}' ")
    assert "1 problem in r.yaml; " in told


@pytest.mark.parametrize("command", ["run", "plan", "validate"])
def test_image_of_one_pixel(command: str, write: Any, refused: Refused, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (1, 1)).save(tmp_path / "photo.png")
    write(WITH_FILE.replace("content, layers: [image]", "content"), "r.yaml")
    told = refused(command, "r.yaml")
    assert told.startswith(
        "r.yaml:3:12  images.content\n"
        "    1×1 pixels are too few for block2_conv1: each side needs 2."
    )
    assert "Prepare it, or begin the schedule, at a larger size." in told


def test_unknown_weights(bad: Refused) -> None:
    told = bad(changed("weights: random", "weights: imagnet"))
    assert told.startswith(
        "r.yaml:6:22  extractor.weights\n"
        "    there are no weights called 'imagnet'. Did you mean 'imagenet'? Known: imagenet,"
    )


def test_missing_weights(bad: Refused, tmp_path: Path) -> None:
    assert bad(changed("weights: random", "weights: w.npz")) == lines(
        "r.yaml:6:22  extractor.weights", f"    there is no file '{tmp_path / 'w.npz'}'.", ONE
    )


def test_weights_that_were_altered(
    bad: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nstflow.engine.weights import imagenet

    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path / "cache"))
    imagenet.path.parent.mkdir(parents=True)
    imagenet.path.write_bytes(b"half")
    told = bad(changed("weights: random", "weights: imagenet"))
    assert told.startswith(f"{imagenet.path}  weights imagenet\n    the file is damaged")
    assert "`nstflow weights fetch` replaces it." in told


NETWORK = changed("content, layers: [image]", "content, layers: [block1_conv1]")
SHAPE = (3, 3, 3, 64)


def _npz(path: Path, kernel: Any, bias: Any) -> None:
    np.savez(path, **{"block1_conv1/kernel": kernel, "block1_conv1/bias": bias})


def _h5(path: Path, kernel: Any, bias: Any) -> None:
    with h5py.File(path, "w") as file:
        file["block1_conv1/block1_conv1_W_1:0"] = kernel
        file["block1_conv1/block1_conv1_b_1:0"] = bias


@pytest.mark.parametrize(("save", "name"), [(_npz, "w.npz"), (_h5, "w.h5")])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (np.nan, "block1_conv1 holds numbers that are not finite (NaN or infinite)"),
        (np.inf, "block1_conv1 holds numbers that are not finite (NaN or infinite)"),
    ],
)
def test_weights_with_nan(
    save: Any, name: str, number: float, words: str, bad: Refused, tmp_path: Path
) -> None:
    kernel = np.ones(SHAPE, np.float32)
    kernel[1, 1, 1, 1] = number
    save(tmp_path / name, kernel, np.ones(64, np.float32))
    told = bad(NETWORK.replace("weights: random", f"weights: {name}"), "--out", "runs/here", "-q")
    assert told.startswith(
        f"r.yaml:6:22  extractor.weights\n    '{tmp_path / name}' can't be used: {words}."
    )


def test_weights_that_are_something_else(bad: Refused, tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_text("not at all")
    told = bad(NETWORK.replace("weights: random", "weights: w.h5"), "-q")
    assert "can't be used: it is not a valid HDF5 file" in told


# the run directory


def failing(number: int) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def _never_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(*_: Any) -> None:
        raise AssertionError("it began to compute")

    monkeypatch.setattr("nstflow.engine.device.choose_device", compute)


@pytest.mark.usefixtures("_never_computes")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("method", ["mkdir", "write_bytes", "replace"])
def test_output_folder_that_is_full_or_read_only(
    number: int, method: str, refused: Refused, monkeypatch: pytest.MonkeyPatch, write: Any
) -> None:
    write(SOUND, "r.yaml")
    monkeypatch.setattr(Path, method, failing(number))
    told = refused("run", "r.yaml", "--out", "out", "--quiet")
    assert told == lines(
        "out",
        f"    the run directory can't be written: {os.strerror(number)}."
        " Free some space, or choose another place with --out.",
        "1 problem; nothing was run.",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_read_only_folder(refused: Refused, write: Any, tmp_path: Path) -> None:
    write(SOUND, "r.yaml")
    (tmp_path / "locked").mkdir(mode=0o500)
    told = refused("run", "r.yaml", "--out", "locked/out", "--quiet")
    assert "Permission denied" in told


def test_disk_that_fills_up_while_the_picture_is_written(
    call: Any, monkeypatch: pytest.MonkeyPatch, write: Any, tmp_path: Path
) -> None:
    def full(_: Any, path: Path, **__: Any) -> None:
        Path(path).write_bytes(b"half a picture")
        failing(errno.ENOSPC)()

    write(SOUND, "r.yaml")
    monkeypatch.setattr(PIL.Image.Image, "save", full)
    answer = call("run", "r.yaml", "--out", "out", "--quiet")
    assert answer.code == 2
    assert answer.err.startswith("out\n    the run directory can't be written: No space left")
    assert answer.err.endswith("; the run stopped, and can go on with --resume.\n")
    left = {"recipe.yaml", "recipe.lock.yaml", "history.csv", "run.json", "checkpoint.safetensors"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == left
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert call("run", "r.yaml", "--out", "out", "--quiet", "--resume").code == 0


@pytest.mark.usefixtures("_never_computes")
@pytest.mark.parametrize("place", ["file", "file/out", "x" * 300])
def test_output_folder_that_can_not_be(
    place: str, refused: Refused, write: Any, tmp_path: Path
) -> None:
    write(SOUND, "r.yaml")
    (tmp_path / "file").write_text("dear")
    assert "another place with --out" in refused("run", "r.yaml", "--out", place, "--quiet")


@pytest.mark.usefixtures("_never_computes")
@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_output_folder_with_something_dear_in_it(
    options: list[str], refused: Refused, write: Any, tmp_path: Path
) -> None:
    write(SOUND, "r.yaml")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("dear")
    told = refused("run", "r.yaml", "--out", "thesis", "--quiet", *options)
    assert "Nothing was deleted" in told if options else "exists already" in told


@pytest.mark.usefixtures("_never_computes")
def test_recipe_in_the_folder_that_is_to_be_overwritten(
    refused: Refused, write: Any, tmp_path: Path
) -> None:
    write(WITH_FILE, "recipe.yaml")
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    told = refused("run", "recipe.yaml", "--out", ".", "--overwrite", "--quiet")
    assert "Nothing was deleted" in told


@pytest.mark.usefixtures("_never_computes")
def test_image_in_the_run_that_is_to_be_overwritten(
    refused: Refused, write: Any, tmp_path: Path
) -> None:
    write(WITH_FILE, "out/recipe.yaml")
    write('{"state": "finished", "files": ["photo.png"]}', "out/run.json")
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "out" / "photo.png")
    told = refused("run", "out/recipe.yaml", "--out", "out", "--overwrite", "--quiet")
    assert "photo.png is a file that the recipe reads" in told


def test_control_characters_do_not_reach_the_terminal(refused: Refused, write: Any) -> None:
    write("name: x\nimages: 7\n", "evil\x1b[31m\x9b2J.yaml")
    told = refused("validate", "evil\x1b[31m\x9b2J.yaml")
    assert "\x1b" not in told
    assert "\x9b" not in told
    assert r"evil\x1b[31m\x9b2J.yaml:2:9" in told


@pytest.mark.parametrize("command", ["validate", "run", "plan"])
def test_recipe_that_is_no_file(command: str, refused: Refused, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "this is no regular file" in refused(command, "pipe.yaml")


# the command's own options


def test_setting_that_is_wrong(bad: Refused) -> None:
    assert bad(SOUND, "--set", "losses.look.wieght=2") == lines(
        "--set losses.look.wieght  losses.look.wieght",
        "    unknown setting. Did you mean 'weight'?",
        ONE,
    )


def test_setting_that_is_none(bad: Refused) -> None:
    told = bad(SOUND, "--set", "losses.look.weight")
    assert told.startswith("--set losses.look.weight\n    this is not PATH=VALUE.")


def test_settings_that_lead_nowhere(bad: Refused) -> None:
    told = bad(SOUND, "--set", "name.x=1", "--set", "preprocess.7=1", "--set", "losses=[")
    heads = [line for line in told.splitlines() if line.startswith("--set")]
    assert heads == [
        "--set name.x=1  name.x",
        "--set preprocess.7=1  preprocess.7",
        "--set losses=[",
    ]
    assert "3 problems" in told


def test_block_of_a_plugin_that_is_not_installed(bad: Refused) -> None:
    told = bad(SOUND, "--block-plugin", "nope")
    assert told.startswith("--block-plugin nope\n    there is no plugin 'nope' to block.")


# all at once

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
def test_all_problems_are_told_at_once(
    command: str, write: Any, refused: Refused, tmp_path: Path
) -> None:
    write(ALL, "r.yaml")
    (tmp_path / "text.png").write_text("no picture")
    told = refused(command, "r.yaml").splitlines()
    assert [line for line in told if line.startswith("r.yaml:")] == [
        "r.yaml:1:7  name",
        "r.yaml:3:3  images.content.path",
        "r.yaml:4:16  images.style.use",
        "r.yaml:5:3  images.small.path",
        "r.yaml:7:33  preprocess.0.longest_side",
        "r.yaml:8:22  extractor.weights",
        "r.yaml:8:51  extractor.layers.style",
        "r.yaml:9:15  start.like",
        "r.yaml:11:15  losses.keep.use",
        "r.yaml:12:3  losses.total",
        "r.yaml:12:25  losses.total.wieght",
        "r.yaml:12:44  losses.total.weight",
        "r.yaml:13:42  losses.look.layers",
        "r.yaml:14:28  losses.more.image",
        "r.yaml:14:43  losses.more.layers",
        "r.yaml:15:33  schedule.epochs",
        "r.yaml:18:5  outputs.1",
        "r.yaml:19:19  plugins.block.0",
    ]
    assert told[-1] == "18 problems in r.yaml; nothing was run."
    assert len(told) == 2 * 18 + 1


def test_several_recipes_are_validated_each_by_itself(
    write: Any, call: Any, tmp_path: Path
) -> None:
    write(SOUND, "good.yaml")
    write(changed("use: gram", "use: gramm"), "one.yaml")
    write("", "two.yaml")
    answer = call("validate", "one.yaml", "good.yaml", "two.yaml", tmp_path / "three.yaml")
    assert answer.code == 2
    assert answer.out == "good.yaml: valid\n"
    for name in ("one.yaml", "two.yaml", "three.yaml"):
        assert f"{name}; nothing was run." in answer.err
