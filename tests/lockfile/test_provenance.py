"""How a picture says that it was made, its inputs found again, and pictures that lie."""

import contextlib
import os
import re
import shutil
import sys
import warnings
import zlib
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

import nstflow
from nstflow.errors import NstflowError
from nstflow.lockfile.check import warn_differences
from nstflow.lockfile.provenance import lock_of, read_anything, read_record, recipe_of
from nstflow.plan import make_plan
from nstflow.recipe.reader import load_recipe
from nstflow.recipe.yaml import parse_yaml
from nstflow.stages.result import Result
from pictures import draw
from png_files import chunks_of, png_of


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, recipe_text: str) -> Path:
    """Return a maker's home: a recipe, and inputs by relative, absolute and home paths."""
    home = tmp_path_factory.mktemp("secret-home")
    draw(home / "private photos" / "größer photo.png")
    draw(home / "style.png", seed=1)
    (home / "weights").mkdir()
    np.savez(home / "weights" / "mine.npz", a=np.zeros(1))
    text = recipe_text.replace("photo.png", '"../private photos/größer photo.png"')
    text = text.replace("style.png", f"{home / 'style.png'}\n  again: ~/style.png")
    text = text.replace("weights: random", f"weights: {home / 'weights' / 'mine.npz'}")
    text = text.replace("block1_conv1", "image")  # the weights are not read
    (home / "recipes").mkdir()
    (home / "recipes" / "recipe.yaml").write_text(text, encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def made(home: Path) -> Result:
    """Return the maker's run, as `run` leaves it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        return nstflow.run(load_recipe(home / "recipes" / "recipe.yaml"), home / "out")


@pytest.fixture
def given(home: Path, made: Result, tmp_path: Path) -> Path:
    """Return a folder of another person: the picture, and the inputs under other names."""
    folder = tmp_path / "given"
    for name, source in {
        "got.png": made.files[0],
        "a/b/1.png": home / "private photos" / "größer photo.png",
        "a/2 ü.jpg": home / "style.png",
        "net.npz": home / "weights" / "mine.npz",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder / name)
    return folder


def assert_same_pixels(file: Path, made: Result) -> None:
    with PIL.Image.open(file) as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(made.image.pixels * 255))


def record_of(file: Path) -> dict[str, Any]:
    data: dict[str, Any] = parse_yaml(read_record(file), "record")[0]
    return data


# what a picture says


def test_picture_has_the_lock_with_names_for_paths(made: Result, read: Any) -> None:
    data, lock = record_of(made.files[0]), read(made.folder / "recipe.lock.yaml")
    assert read_record(made.files[0]).startswith(f"# Written by nstflow {version('nstflow')}: ")
    assert data["images"]["content"].pop("path") == "größer photo.png"
    assert data["images"]["style"].pop("path") == data["images"]["again"].pop("path") == "style.png"
    assert data["extractor"].pop("weights") == "mine.npz"
    assert len(data["lock"]["files"]) == 4
    for image in lock["images"].values():
        del image["path"]
    del lock["extractor"]["weights"]
    assert data == lock


def test_nothing_of_the_makers_home_is_in_the_picture(made: Result, home: Path) -> None:
    """The lock in the run directory has paths: there they are needed."""
    content = made.files[0].read_bytes()
    assert b"gr\xc3\xb6\xc3\x9fer photo.png" in content
    folders = [part for part in home.parts if len(part) > 4]
    for part in [*folders, "private photos", "weights/", "recipes", str(home)]:
        assert part.encode() not in content, part
    assert not re.search(r"\.\.|[/~]", read_record(made.files[0]))
    assert b"private photos" in (made.folder / "recipe.lock.yaml").read_bytes()


def test_metadata_is_left_out_on_request(call: Any, ran: Path, tmp_path: Path) -> None:
    answer = call("run", ran / "recipe.yaml", "--out", "plain", "--no-metadata", "--quiet")
    assert answer.code == 0
    content = (tmp_path / "plain" / "result.png").read_bytes()
    assert b"nstflow" not in content
    assert b"sha256" not in content
    with PIL.Image.open(tmp_path / "plain" / "result.png") as image:
        assert image.info == {}
        with PIL.Image.open(ran / "out" / "result.png") as other:
            np.testing.assert_array_equal(np.asarray(image), np.asarray(other))
    answer = call("show", "plain/result.png")
    assert answer.code == 2
    assert "this picture does not say how it was made." in answer.err
    assert "--no-metadata" in answer.err


def test_only_a_picture_that_was_stopped_says_so(ran: Path) -> None:
    assert "stopped_at" not in read_record(ran / "out" / "result.png")
    stopped = ran / "stopped" / "result.png"
    steps = len((ran / "stopped" / "history.csv").read_text().splitlines()) - 1
    assert record_of(stopped)["lock"]["stopped_at"] == steps < 4
    with pytest.warns(nstflow.NstflowWarning, match=r"was stopped after step \d; this takes all 4"):
        warn_differences(make_plan(recipe_of(stopped, ran)))


# rerun


def test_rerun_finds_the_inputs_by_their_hashes(call: Any, made: Result, given: Path) -> None:
    answer = call("rerun", given / "got.png", "--images", given, "--out", given / "again", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{given / 'again' / 'result.png'}\n"
    assert_same_pixels(given / "again" / "result.png", made)
    data = record_of(given / "again" / "result.png")
    assert data["images"]["content"]["path"] == "1.png"
    assert data["lock"]["files"]["images.content.path"]["bytes"] > 0
    assert call("diff", given / "got.png", given / "again").code == 0


def test_rerun_passes_over_links_and_other_things(given: Path, tmp_path: Path) -> None:
    """Decoys of the same size, what can't be read, the same file twice, a folder by a link."""
    (tmp_path / "link").symlink_to(given)
    one = given / "a" / "b" / "1.png"
    (given / "0.png").write_bytes(bytes(one.stat().st_size))
    os.mkfifo(given / "a" / "0.png")
    (given / "a" / "broken.png").symlink_to("nowhere.png")
    (given / "loop").symlink_to(given)
    with open(os.fsencode(given) + b"/\xff.png", "wb") as file:  # noqa: PTH123 - no Path has it
        file.write(one.read_bytes())
    shutil.copy(one, given / "a" / "copy.png")
    recipe = recipe_of(given / "got.png", tmp_path / "link")
    assert {setting: str(path) for setting, path in paths_of(recipe).items()} == {
        "images.content.path": "a/copy.png",
        "images.style.path": "a/2 ü.jpg",
        "images.again.path": "a/2 ü.jpg",
        "extractor.weights": "net.npz",
    }
    make_plan(recipe)


def test_only_files_of_the_right_size_are_read(
    put: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with thousands of photographs; and never a pipe, from which nothing comes."""
    read: list[str] = []

    def hashing(path: Path) -> str:
        read.append(path.name)
        return "f" * 64

    monkeypatch.setattr("nstflow.lockfile.provenance.sha256_of", hashing)
    images = tmp_path / "images"
    images.mkdir()
    for name, content in {"a": b"", "b": b"1", "c": b"12", "d": b"123"}.items():
        (images / name).write_bytes(content)
    os.mkfifo(images / "e")
    files = [
        f"images.{name}.path: {{sha256: {'a' * 64}, bytes: {n}}}"
        for name, n in (("content", 0), ("style", 2))
    ]
    picture = put(recipe("{content: a.png, style: b.png}", f"{{{', '.join(files)}}}"))
    with pytest.raises(NstflowError, match="is not in"):
        recipe_of(picture, images)
    assert read == ["a", "c"]


def paths_of(recipe: Any) -> dict[str, Any]:
    paths = {f"images.{name}.path": image.path for name, image in recipe.images.items()}
    return {**paths, "extractor.weights": recipe.extractor.weights}


@pytest.mark.parametrize("name", ["~1.png", "~", "~root", "null", "1e-4", " ", "- a: b #c", "\\"])
def test_rerun_whatever_an_input_is_called(
    name: str, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (given / "a" / "b" / "1.png").rename(given / name)
    for images in (given, Path()):
        monkeypatch.chdir(given)
        plan = make_plan(recipe_of(given / "got.png", images))
        assert plan.files["images.content.path"].samefile(given / name)
        assert plan.sources["content"] == (32, 24)


def test_rerun_where_inputs_are_missing(call: Any, given: Path) -> None:
    """All are listed, and one that was changed by a byte is missing."""
    (given / "net.npz").unlink()
    photo = given / "a" / "b" / "1.png"
    data = bytearray(photo.read_bytes())
    digest, size = sha256(data).hexdigest(), f"{len(data):,}"
    data[-1] ^= 1
    photo.write_bytes(data)
    answer = call("rerun", given / "got.png", "--images", given, "--out", given / "again")
    assert answer.code == 2
    assert (
        f"got.png  images.content.path\n    größer photo.png is not in '{given}':"
        f" no file of {size} bytes there has the sha256 {digest}.\n"
    ) in answer.err
    assert "got.png  extractor.weights\n    mine.npz is not in" in answer.err
    assert "2 problems" in answer.err
    assert not (given / "again").exists()
    answer = call("rerun", given / "got.png", "--images", given / "nowhere")
    assert answer.code == 2
    assert f"--images {given / 'nowhere'}\n    there is no such folder." in answer.err


def test_rerun_elsewhere_warns_of_what_is_not_the_same(call: Any, given: Path, put: Any) -> None:
    record = read_record(given / "got.png")
    put(record.replace("\n  python: ", "\n  python: 3.0."), given / "got.png")
    options = ["--images", given, "--out", given / "again", "-q"]
    with warnings.catch_warnings(action="default"):
        answer = call("rerun", given / "got.png", *options)
    assert answer.code == 0
    assert answer.err.startswith("note: lock.python was 3.0.")
    assert answer.err.endswith(": a picture like it, perhaps not the same pixels\n")


def test_what_show_prints_as_yaml_can_be_run(call: Any, made: Result, given: Path) -> None:
    answer = call("show", given / "got.png", "--yaml")
    assert answer.code == 0
    assert answer.out == read_record(given / "got.png")
    for name in ("größer photo.png", "style.png", "mine.npz"):
        source = next(p for p in made.plan.files.values() if p.name == name)
        shutil.copy(source, given / name)
    (given / "r.yaml").write_text(answer.out, encoding="utf-8")
    assert call("run", "--locked", given / "r.yaml", "--out", given / "x", "-q").code == 0
    assert_same_pixels(given / "x" / "result.png", made)


# pictures that lie


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """Write a PNG that carries a text."""

    def put(text: str, path: Path | None = None) -> Path:
        path = path or tmp_path / "hostile.png"
        texts = PIL.PngImagePlugin.PngInfo()
        texts.add_itxt("nstflow", text)
        PIL.Image.new("RGB", (4, 4)).save(path, pnginfo=texts)
        return path

    return put


def recipe(images: str = "{content: {use: noise}}", files: str = "{}", more: str = "") -> str:
    return (
        f"name: x\nimages: {images}\nlosses: {{a: {{use: total_variation}}}}\n{more}"
        f"lock:\n  files: {files}\n  python: '3'\n  tensorflow: '2'\n  device: CPU\n"
        "  device_kind: cpu\n"
    )


def refused(call: Any, command: str, name: str, images: str = ".") -> str:
    """Return what a command says of a picture that it can't use."""
    rest = {"rerun": ["--images", images, "--out", "out"], "diff": [name]}
    answer = call(command, name, *rest.get(command, []))
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err
    assert name in answer.err
    assert not Path("out").exists()
    return str(answer.err)


def hashed(path: Path) -> str:
    data = path.read_bytes()
    return f"{{sha256: {sha256(data).hexdigest()}, bytes: {len(data)}}}"


WATCHED: list[list[str]] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if WATCHED and event == "open" and isinstance(arguments[0], str | bytes):
        WATCHED[-1].append(os.fsdecode(arguments[0]))


@pytest.fixture(scope="module")
def _watching() -> None:
    sys.addaudithook(_watch)  # stays, and does nothing where nobody watches


@pytest.fixture
def opened(_watching: None) -> Iterator[list[str]]:
    """Return the names of all files that are opened from now on."""
    WATCHED.append([])
    yield WATCHED[-1]
    WATCHED.pop()


def test_watching_sees_what_is_opened(opened: list[str], tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    opened.clear()
    with PIL.Image.open(tmp_path / "a.png"):
        pass
    assert opened == [str(tmp_path / "a.png")]


WAYS_OUT = ["SECRET", "../secret.png", "../home/../secret.png", "~/secret.png", "link/secret.png"]


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_no_file_is_opened_that_a_picture_leads_to(
    *,
    way: str,
    short: bool,
    known: bool,
    call: Any,
    put: Any,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether or not it has the file's hash; a file of that hash in the folder is taken."""
    secret = draw(tmp_path / "secret.png", seed=9)
    images = tmp_path / "images"
    images.mkdir()
    (images / "link").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = way.replace("SECRET", str(secret))
    image = f"'{path}'" if short else f"{{use: file, path: '{path}'}}"
    files = f"{{images.content.path: {hashed(secret)}}}" if known else "{}"
    picture = put(recipe(f"{{content: {image}}}", files))
    opened.clear()
    answer = call("rerun", picture, "--images", images, "--out", "out")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    wanted = "is not in" if known else "the lock has no hash of this file."
    assert f"hostile.png  images.content.path\n    {'secret.png ' if known else ''}{wanted}" in (
        answer.err
    )
    for command in (("show", picture), ("show", picture, "--yaml"), ("diff", picture, picture)):
        assert call(*command).code == 0
    assert not [name for name in opened if "secret" in name]
    if known:
        shutil.copy(secret, images / "mine.png")
        made = recipe_of(picture, images)
        assert paths_of(made)["images.content.path"] == Path("mine.png")


@pytest.mark.parametrize("weights", ["/etc/passwd", "../secret.h5", "../secret.npz", "secret"])
def test_no_weights_are_opened_that_a_picture_leads_to(
    weights: str, call: Any, put: Any, tmp_path: Path, opened: list[str]
) -> None:
    (tmp_path / "images").mkdir()
    for suffix in ("h5", "npz"):
        (tmp_path / f"secret.{suffix}").write_bytes(b"secret")
    put(recipe(more=f"extractor: {{weights: {weights}}}\n"))
    opened.clear()
    assert "extractor.weights" in refused(call, "rerun", "hostile.png", "images")
    assert not [name for name in opened if "secret" in name or name == "/etc/passwd"]


BAD_LOCKS = {
    "no YAML": "{[",
    "a list": "[1, 2]",
    "a text": "just words",
    "nothing": "",
    "a tag": "name: !!python/object/apply:os.system ['true']\n",
    "no lock": "name: x\nimages: {content: /etc/passwd}\nlosses: {a: {use: total_variation}}\n",
    "null for a lock": "name: x\nimages: {content: a.png}\nlosses: {}\nlock: null\n",
    "a number for a lock": "name: x\nlock: 5\n",
    "a list for a lock": "name: x\nlock: [files]\n",
    "an empty lock": "name: x\nlock: {}\n",
    "a number for the files": recipe(files="5"),
    "a list for the files": recipe(files="[a]"),
    "a number for a file": recipe(files="{images.content.path: 5}"),
    "null for a file": recipe(files="{images.content.path: null}"),
    "a file without a size": recipe(files=f"{{a: {{sha256: {'a' * 64}}}}}"),
    "a negative size": recipe(files=f"{{a: {{sha256: {'a' * 64}, bytes: -1}}}}"),
    "a hash that is none": recipe(files="{a: {sha256: '../../etc', bytes: 1}}"),
    "a hash in capitals": recipe(files=f"{{a: {{sha256: {'A' * 64}, bytes: 1}}}}"),
    "more than a lock has": recipe().replace("device_kind", "device_king"),
    "weights without a hash": recipe() + "  weights: {net: 5}\n",
    "a plugin of a number": recipe() + "  plugins: {nstflow: 1}\n",
    "a step that is none": recipe() + "  stopped_at: -1\n",
    "half a letter": 'name: "\\ud800"\n',
    "a bomb": "a: &a [x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]\n" for a, b in pairwise("abcdef")),
    "too deep": "a: " + "[" * 100 + "]" * 100,
    "too long": "a: b\n" * 60_000,
}


@pytest.mark.parametrize("command", ["show", "rerun", "diff"])
@pytest.mark.parametrize("kind", BAD_LOCKS)
def test_bad_lock(kind: str, command: str, call: Any, put: Any) -> None:
    put(BAD_LOCKS[kind])
    refused(call, command, "hostile.png")


ODD_RECIPES = {
    "stages of wrong kinds": (
        "name: [1]\nsummary: {a: b}\nimages: [a, {use: [b]}, null]\nlosses: 5\nextractor: x\n"
        "preprocess: {a: 1}\noutputs: null\nseed: {}\ncompute: [1]\nschedule: {use: {}}\n"
    )
    + recipe().partition("\n")[2].partition("lock:")[1]
    + recipe().partition("lock:")[2],
    "a plugin that is not here": recipe("{content: {use: far_away, deep: {a: [1, {b: c}]}}}"),
    "a null byte": recipe('{content: "a\\0b.png"}', f"{{a: {{sha256: {'a' * 64}, bytes: 1}}}}"),
}


@pytest.mark.parametrize("kind", ODD_RECIPES)
def test_odd_recipe_with_a_valid_lock(kind: str, call: Any, put: Any) -> None:
    """It can be shown, and nothing more."""
    put(ODD_RECIPES[kind])
    answer = call("show", "hostile.png")
    assert (answer.code, answer.err) == (0, "")
    assert "made with" in answer.out
    refused(call, "rerun", "hostile.png")


def test_control_characters_do_not_reach_the_terminal(call: Any, put: Any) -> None:
    text = recipe(
        '{content: {use: "no\\e[2Jise", "\\e]0;key": "a\\nb"}}',
        f'{{"\\e[1mfile": {{sha256: {"a" * 64}, bytes: 1}}}}',
    )
    text = text.replace("name: x", 'name: "\\e[2J"\nsummary: "\\u202e\\x9b2J"')
    put(text.replace("device: CPU", 'device: "C\\e[5mPU"') + '  plugins: {"\\e[31m": "\\a"}\n')
    answer = call("show", "hostile.png")
    assert answer.code == 0
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(answer.out)
    assert r"no\x1b[2Jise (\x1b]0;key a\nb)" in answer.out


# pictures that are damaged, or none


def test_text_behind_the_pixels_is_found(made: Result, tmp_path: Path) -> None:
    """Other programs put it there when they save."""
    content = made.files[0].read_bytes()
    parts = chunks_of(content)
    assert png_of(parts) == content
    text = next(part for part in parts if part[0] == b"iTXt")
    rest = [part for part in parts if part[0] != b"iTXt"]
    (tmp_path / "a.png").write_bytes(png_of([*rest[:-1], text, rest[-1]]))
    assert read_record(tmp_path / "a.png") == read_record(made.files[0])


def test_text_of_the_older_kinds_is_read(tmp_path: Path) -> None:
    head, *rest = chunks_of(draw(tmp_path / "a.png").read_bytes())
    for kind, text in (
        (b"tEXt", b"nstflow\0seed: 1"),
        (b"zTXt", b"nstflow\0\0" + zlib.compress(b"seed: 1")),
        (b"iTXt", b"nstflow\0\1\0\0\0" + zlib.compress(b"seed: 1")),
    ):
        (tmp_path / "a.png").write_bytes(png_of([head, (kind, text), *rest]))
        assert read_record(tmp_path / "a.png") == "seed: 1"


def test_text_that_unpacks_to_too_much(call: Any, tmp_path: Path) -> None:
    head, *rest = chunks_of(draw(tmp_path / "a.png").read_bytes())
    bomb = b"nstflow\0\0" + zlib.compress(bytes(1 << 28), 9)
    assert len(bomb) < 1 << 19
    (tmp_path / "a.png").write_bytes(png_of([head, (b"zTXt", bomb), *rest]))
    refused(call, "show", "a.png")


def test_picture_that_was_cut_off_or_altered(made: Result, tmp_path: Path) -> None:
    """Wherever: the record is whole, or there is an error."""
    content, record = made.files[0].read_bytes(), read_record(made.files[0])
    path, whole = tmp_path / "damaged.png", 0
    for length in [*range(0, len(content), 97), 8, len(content) - 1]:
        path.write_bytes(content[:length])
        with contextlib.suppress(NstflowError):
            assert read_record(path) == record
            whole += 1
    assert 0 < whole < len(content) // 97
    for at in range(0, 1000, 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
        with contextlib.suppress(NstflowError):
            lock_of(read_anything(path)[0], needed=True)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.webp", "a.tif", "plain.png", "cut.png", "empty.png", "text.png", "."]
)
@pytest.mark.parametrize("command", ["show", "rerun"])
def test_what_has_no_lock(command: str, name: str, call: Any, tmp_path: Path) -> None:
    for other in ("a.jpg", "a.webp", "a.tif"):
        PIL.Image.new("RGB", (4, 4)).save(tmp_path / other)
    plain = draw(tmp_path / "plain.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(plain[:20])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes("größer".encode("latin-1"))
    problem = refused(call, command, name)
    assert not name.startswith("a.") or "Only PNG files say how they were made." in problem


# what read_anything takes


def test_each_kind_is_read_with_its_folder(made: Result) -> None:
    lock = made.folder / "recipe.lock.yaml"
    recipe_file = made.folder.parent / "recipes" / "recipe.yaml"
    source, folder = read_anything(made.folder)
    assert (source.text, folder) == (lock.read_text(encoding="utf-8"), made.folder)
    assert read_anything(lock)[1] == made.folder
    assert read_anything(recipe_file)[1] == recipe_file.parent
    source, folder = read_anything(made.files[0])
    assert (source.text, folder) == (read_record(made.files[0]), None)
    renamed = made.folder.parent / "renamed.txt"
    shutil.copy(made.files[0], renamed)  # by its content, not by its name
    assert read_anything(renamed)[1] is None


def test_run_directory_without_its_lock(made: Result, tmp_path: Path) -> None:
    shutil.copytree(made.folder, tmp_path / "run")
    (tmp_path / "run" / "recipe.lock.yaml").unlink()
    with pytest.raises(NstflowError, match=r"has no recipe\.lock\.yaml: it was killed"):
        read_anything(tmp_path / "run")
    (tmp_path / "run" / "recipe.lock.yaml").write_text("name: x\n")
    with pytest.raises(NstflowError, match="there is no lock in it"):
        read_anything(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(NstflowError, match="this folder holds no run"):
        read_anything(tmp_path / "run")
