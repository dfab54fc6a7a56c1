"""Recipes in layers: `extends`, `--with`, and where paths start."""

from pathlib import Path
from typing import Any

import pytest

from nstflow.errors import NstflowError
from nstflow.plugins.single_file import read_plugin
from nstflow.recipe.layers import with_layers
from nstflow.recipe.reader import ReadOptions, load_recipe, read
from nstflow.recipe.source import read_source
from nstflow.storage.files import cache_folder

BASE = """\
name: base
summary: The base.
seed: 7
images: {content: photo.png, style: {use: noise, width: 16, height: 16}}
extractor: {weights: random, layers: {content: [block1_conv1], style: [block1_conv1]}}
losses:
  content: {use: content, weight: 10}
  style: {use: gram, image: style, weight: 1, scale: sum}
optimizer: {use: lbfgs, history: 5}
postprocess: [{use: keep_color}]
"""


@pytest.fixture
def merged(write: Any) -> Any:
    """Return the data of a recipe that extends BASE, in a folder beside it, with layers."""

    def merged(text: str, *layers: str) -> dict[str, Any]:
        write(BASE, "bases/base.yaml")
        top = write(f"name: top\nextends: ../bases/base.yaml\n{text}", "own/top.yaml")
        files = tuple(str(write(each, f"l{n}.yaml")) for n, each in enumerate(layers))
        drafts = read(top, ReadOptions(layers=files))
        data: dict[str, Any] = drafts[0].origin.source.data
        return data

    return merged


def test_mappings_merge_and_the_name_is_the_recipes(merged: Any) -> None:
    data = merged("losses: {style: {weight: 3}, smooth: {use: total_variation}}\n")
    assert data["name"] == "top"
    assert (data["seed"], data["summary"]) == (7, "The base.")
    assert data["losses"]["style"] == {"use": "gram", "image": "style", "weight": 3, "scale": "sum"}
    assert list(data["losses"]) == ["content", "style", "smooth"]
    assert "extends" not in data


def test_another_stage_and_lists_replace(merged: Any) -> None:
    data = merged("losses: {style: {use: mean_std}}\npostprocess: []\nextractor: {pooling: avg}\n")
    assert data["losses"]["style"] == {"use": "mean_std"}
    assert data["postprocess"] == []
    assert (data["extractor"]["weights"], data["extractor"]["pooling"]) == ("random", "avg")


def test_a_left_out_use_is_the_default(merged: Any) -> None:
    assert merged("optimizer: {learning_rate: 0.1}\n")["optimizer"] == {
        "use": "adam",
        "learning_rate": 0.1,
    }
    assert merged("images: {style: paint.png}\n")["images"]["style"] == {
        "use": "file",
        "path": "paint.png",
    }


def test_null_removes_entries_and_is_a_value_elsewhere(merged: Any) -> None:
    text = "losses: {content: null}\nextractor: {layers: {content: null}}\noptimizer: null\n"
    data = merged(text + "schedule: {use: scales, seconds: null}\n")
    assert list(data["losses"]) == ["style"]
    assert list(data["extractor"]["layers"]) == ["style"]
    assert data["optimizer"] == {"use": "adam"}
    assert data["schedule"]["seconds"] is None


def test_layers_count_in_their_order_and_keep_the_name(merged: Any) -> None:
    data = merged("seed: 8\n", "name: other\nseed: 9\nlosses: {style: {weight: 4}}\n", "seed: 10\n")
    assert (data["name"], data["seed"], data["losses"]["style"]["weight"]) == ("top", 10, 4)


def test_a_base_may_extend_another(write: Any) -> None:
    write(BASE, "a.yaml")
    write("extends: a.yaml\nname: b\nseed: 8\n", "b.yaml")
    data = read(write("extends: b.yaml\nname: c\nsummary: C.\n", "c.yaml"))[0].origin.source.data
    assert (data["name"], data["seed"], data["summary"]) == ("c", 8, "C.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("extends: top.yaml\n", "2:10 extends: this recipe extends itself."),
        ("extends: other.yaml\n", "2:10 extends: this recipe extends itself."),
        ("extends: nothing.yaml\n", "2:10 extends: there is no file '"),
        ("extends: [a]\n", "2:10 extends: this must be the name or the path of a recipe"),
        ("extends: base.yaml\nlock: {}\n", "2:10 extends: a lockfile can't extend a recipe."),
    ],
)
def test_what_is_wrong_with_extends(write: Any, text: str, expected: str) -> None:
    write("name: other\nextends: top.yaml\n", "other.yaml")
    write(BASE, "base.yaml")
    with pytest.raises(NstflowError) as caught:
        read(write(f"name: top\n{text}", "top.yaml"))
    (problem,) = caught.value.problems
    where = ":".join(problem.where.split(":")[-2:])
    assert f"{where} {problem.what}: {problem.got}".startswith(expected)


def test_a_name_is_required_of_the_recipe_itself(write: Any) -> None:
    write(BASE, "base.yaml")
    top = write("extends: base.yaml\n", "top.yaml")
    (problem,) = read(top)[0].problems
    assert (problem.what, problem.got) == ("name", "this is required, but missing.")
    assert problem.where == f"{top}:1:1"


def test_a_base_is_beside_the_file_or_has_a_name(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never looked for where the command was typed, and no folder hides a name."""
    monkeypatch.chdir(tmp_path)
    write(BASE, "base.yaml")
    top = write("extends: base.yaml\nname: top\n", "own/top.yaml")
    with pytest.raises(NstflowError, match="there is no file"):
        read(top)
    (tmp_path / "own" / "sketch").mkdir()
    write(BASE, "sketch")
    named = write("extends: sketch\nname: named\n", "own/named.yaml")
    assert read(named)[0].origin.source.data["preprocess"][0]["longest_side"] == 160


def test_a_mistake_in_a_base_has_its_own_place(write: Any) -> None:
    base = write("name: a\nname: b\n", "base.yaml")
    with pytest.raises(NstflowError) as caught:
        read(write("extends: base.yaml\nname: top\n", "top.yaml"))
    assert caught.value.problems[0].where == f"{base}:2:1"


def test_null_must_remove_something(merged: Any) -> None:
    for text in ("losses: {styel: null}", "matrix: {seed: null}", "extractor: {layers: {x: null}}"):
        with pytest.raises(NstflowError, match="there is no such entry to remove"):
            merged(f"{text}\n")


def test_a_lockfile_is_no_layer(merged: Any) -> None:
    with pytest.raises(NstflowError, match="a lockfile can't be a layer"):
        merged("seed: 3\n", "lock: {python: '3'}\n")


def test_a_long_chain_and_many_images_take_no_long_time(write: Any) -> None:
    write(BASE, "c0.yaml")
    for number in range(1, 31):
        write(f"extends: c{number - 1}.yaml\nname: c{number}\n", f"c{number}.yaml")
    assert read(Path(write("", "x")).with_name("c30.yaml"))[0].problems == []
    many = "".join(f"  i{number}: a.png\n" for number in range(3000))
    write(
        BASE.replace("images: {content: photo.png, ", "images: {")
        .replace("images: {", f"images:\n{many}  ")
        .replace("style: {use: noise, width: 16, height: 16}}", "style: a.png"),
        "many.yaml",
    )
    top = write(f"extends: many.yaml\nname: top\nimages:\n{many}", "top.yaml")
    assert with_layers(read_source(top)).data["images"]["i2999"]["path"] == "a.png"


def test_errors_name_the_file_that_wrote_the_value(write: Any) -> None:
    write(BASE.replace("weight: 10", "weight: ten"), "base.yaml")
    more = write("losses: {style: {weihgt: 2}}\n", "more.yaml")
    top = write("extends: base.yaml\nname: top\nseed: -1\n", "top.yaml")
    (draft,) = read(top, ReadOptions(layers=(str(more),)))
    places = [(Path(each.where.split(":")[0]).name, each.what) for each in draft.problems]
    assert places == [
        ("base.yaml", "losses.content.weight"),
        ("top.yaml", "seed"),
        ("more.yaml", "losses.style.weihgt"),
    ]


def test_each_path_starts_where_it_was_written(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bases/photo.png", "here/a.png", "own/b.png", "layers/w.h5"):
        write("", name)
    monkeypatch.chdir(tmp_path / "here")
    write(BASE, "bases/base.yaml")
    top = write("extends: ../bases/base.yaml\nname: top\nimages: {two: b.png}\n", "own/top.yaml")
    more = write("extractor: {weights: w.h5}\n", "layers/more.yaml")
    recipe = load_recipe(top, ["images.style={path: a.png}"], layers=[more])
    files = {key: path.resolve() for key, path in recipe.origin.files().items()}
    assert files == {
        "images.content.path": tmp_path / "bases" / "photo.png",
        "images.style.path": tmp_path / "here" / "a.png",
        "images.two.path": tmp_path / "own" / "b.png",
        "extractor.weights": tmp_path / "layers" / "w.h5",
    }
    assert recipe.folder == tmp_path / "own"


def test_the_home_folder_is_found_everywhere(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(write("", "elsewhere/x").parent)
    write(BASE, "base.yaml")
    write("extends: ~/base.yaml\nname: top\n", "top.yaml")
    recipe = load_recipe("~/top.yaml", ["images.content.path=~/photo.png"], layers=["~/top.yaml"])
    assert recipe.origin.files()["images.content.path"].resolve() == tmp_path / "photo.png"
    write("", "p.py")
    assert read_plugin("~/p.py").name == "p.py"
    monkeypatch.setenv("NSTFLOW_CACHE", "~/cache")
    assert cache_folder() == tmp_path / "cache"
    assert not Path("~").exists()


def test_patterns_of_a_matrix_start_where_they_were_written(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here/a.png", "here/b.png", "own/c.png"):
        write("", name)
    monkeypatch.chdir(tmp_path / "here")
    top = write(f"{BASE}matrix: {{images.style.path: ['*.png']}}\n", "own/top.yaml")
    top.write_text(top.read_text().replace("{use: noise, width: 16, height: 16}", "c.png"))

    def styles(*sets: str) -> list[str]:
        drafts = read(top, ReadOptions(overrides=sets))
        files = [draft.recipe_or_raise().origin.files() for draft in drafts]
        return [each["images.style.path"].resolve().name for each in files]

    assert styles() == ["c.png"]
    assert styles("matrix.images.style.path=['*.png']") == ["a.png", "b.png"]


PATHS = '''
from pathlib import Path
from typing import Literal

import nstflow


class Album(nstflow.Loader):
    """Grey pixels, whatever is in the files."""

    use: Literal["album"] = "album"
    cover: Path
    paths: tuple[Path, ...] = ()

    def size(self, folder):
        return 16, 16

    def load(self, folder):
        raise NotImplementedError


@nstflow.hookimpl
def nstflow_stages():
    return [Album]
'''


def test_paths_of_a_plugin_start_where_they_were_written(
    write: Any, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("nstflow-album", PATHS)
    monkeypatch.chdir(write("", "here/x").parent)
    text = BASE.replace(
        "style: {use: noise, width: 16, height: 16}", "style: {use: album, cover: c}"
    )
    recipe = load_recipe(write(text, "own/r.yaml"), ["images.style.paths=[a, ../b]"])
    files = {key: path.resolve() for key, path in recipe.origin.files().items()}
    assert files["images.style.cover"] == tmp_path / "own" / "c"
    assert files["images.style.paths.0"] == tmp_path / "here" / "a"
    assert files["images.style.paths.1"] == tmp_path / "b"


def test_append_adds_to_a_list_and_keeps_each_place(write: Any, merged: Any) -> None:
    more = "{append: [{use: resize, longest_side: 9}]}"
    data = merged(f"preprocess: {more}\n", f"postprocess: {more}\n")
    resize = {"use": "resize", "longest_side": 9}
    assert data["preprocess"] == [{"use": "resize", "longest_side": 512}, resize]  # the default
    assert data["postprocess"] == [{"use": "keep_color"}, resize]
    write(BASE, "base.yaml")
    wrong = write("name: x\nextends: base.yaml\noutputs: {append: [{use: png, x: 1}]}\n", "x.yaml")
    (problem,) = read(wrong)[0].problems
    assert (problem.where, problem.what) == (f"{wrong}:3:31", "outputs.1.x")


@pytest.mark.parametrize(
    "more", ["{append: {use: resize}}", "{append: [], prepend: []}", "{append: null}"]
)
def test_append_holds_a_list_alone(merged: Any, more: str) -> None:
    with pytest.raises(NstflowError, match="'append' is a list, and stands alone"):
        merged(f"postprocess: {more}\n")


def test_a_list_without_a_base_has_nothing_to_append_to(write: Any) -> None:
    text = BASE.replace("[{use: keep_color}]", "{append: [{use: keep_color}]}")
    (problem,) = read(write(text, "a.yaml"))[0].problems
    assert problem.what == "postprocess"
