"""What a recipe may write after `weights:`."""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from nstflow.engine.weights import imagenet, keras, load_weights, named_assets, weights_asset
from nstflow.errors import NstflowError
from refusals import refused
from vgg19_table import TABLE

Shape = tuple[int, int, int, int]
SHAPES: dict[str, Shape] = {"one": (3, 3, 3, 4), "two": (3, 3, 4, 2)}
VGG19 = {layer: (3, 3, *channels) for layer, channels in TABLE.items()}


def save(path: Path, **changed: Any) -> None:
    arrays = {
        f"{layer}/{part}": np.ones(size, np.float32)
        for layer, shape in SHAPES.items()
        for part, size in (("kernel", shape), ("bias", shape[-1:]))
    }
    np.savez(path, **(arrays | changed))


def test_random_weights_are_the_same_each_time(tmp_path: Path) -> None:
    one = load_weights("random", SHAPES, tmp_path)
    two = load_weights("random", SHAPES, tmp_path / "elsewhere")
    for layer, shape in SHAPES.items():
        kernel, bias = one[layer]
        assert (kernel.shape, bias.shape) == (shape, shape[-1:])
        assert kernel.dtype == bias.dtype == np.float32
        assert kernel.tobytes() == two[layer][0].tobytes()
        assert not bias.any()


def test_random_weights_are_he_normal_whatever_follows(tmp_path: Path) -> None:
    shapes: dict[str, Shape] = {"one": (3, 3, 64, 128), "two": (3, 3, 128, 1)}
    kernel, _ = load_weights("random", shapes, tmp_path)["one"]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.01)
    assert abs(kernel.mean()) < 0.001
    alone, _ = load_weights("random", {"one": shapes["one"]}, tmp_path)["one"]
    np.testing.assert_array_equal(alone, kernel)


def save_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for layer, shape in SHAPES.items():
            file[f"{layer}/{layer}_W_1:0"] = np.full(shape, 3, "f4")
            file[f"{layer}/{layer}_b_1:0"] = np.ones(shape[-1], "f4")


@pytest.mark.parametrize("name", ["w.npz", "w.NPZ", "sub/w.npz"])
def test_own_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    with (tmp_path / name).open("wb") as file:
        save(file)  # type: ignore[arg-type]  # NumPy appends no suffix to a file
    weights = load_weights(name, SHAPES, tmp_path)
    assert weights["two"][0].shape == (3, 3, 4, 2)
    assert load_weights(str(tmp_path / name), SHAPES, Path("/"))  # an absolute path


def test_own_h5_file_and_that_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_h5(tmp_path / "w.h5")
    monkeypatch.setattr(keras, "fetch", lambda: tmp_path / "w.h5")
    for name in ("w.h5", "keras"):
        assert load_weights(name, SHAPES, tmp_path)["one"][0].max() == 3


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "w.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_weights("~/w.npz", SHAPES, Path("/nowhere"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("imagnet", "Did you mean 'imagenet'? Known: imagenet, keras, random, or the path"),
        ("Keras", "Did you mean 'keras'?"),
        ("zzz", "Known: imagenet, keras, random, or the path of a .h5 or .npz file."),
        ("weights.pth", "Known: imagenet"),
        ("../h5", "Known:"),
        ("", "Known:"),
        (".npz", "Known:"),
    ],
)
def test_unknown_name(name: str, hint: str, tmp_path: Path) -> None:
    problem = refused(load_weights, name, SHAPES, tmp_path)
    assert (problem.where, problem.what) == ("", "weights")
    assert problem.got == f"there are no weights called '{name}'."
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("name", "words"),
    [("v.keras", "the archive of a whole model"), ("sub/v.HDF5", "only those with the suffix .h5")],
)
def test_other_files_of_keras(name: str, words: str, tmp_path: Path) -> None:
    """Not the weights `keras`, which have nearly the same name."""
    problem = refused(load_weights, name, SHAPES, tmp_path)
    assert problem == refused(weights_asset, name, tmp_path)
    assert problem.got.startswith(f"'{name}' is ")
    assert words in problem.got
    assert "`model.save_weights('v.weights.h5')`" in problem.hint
    assert "Did you mean" not in problem.hint


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.npz", "no file "),
        ("folder.h5", "no file "),
        ("a\0b.npz", "no file "),
        (f"{'x' * 300}.npz", "can't be looked up"),
        ("~nobody_of_this_name/w.h5", "can't be looked up"),
    ],
)
def test_file_that_is_not_there(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "folder.h5").mkdir()
    for action in (load_weights, lambda name, _, folder: weights_asset(name, folder)):
        problem = refused(action, name, SHAPES, tmp_path)
        assert problem.what == "weights"
        assert words in problem.got


def test_assets_say_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    save(tmp_path / "w.npz")
    random = weights_asset("random", tmp_path)
    assert random.present
    assert "tests of mechanics only" in random.note
    assert weights_asset("w.npz", tmp_path).present
    assert "w.npz" in weights_asset("w.npz", tmp_path).name
    assert [(asset.name, asset.present) for asset in named_assets()] == [
        ("ImageNet weights", False),
        ("Keras weights", False),
        ("random weights", True),
    ]
    assert weights_asset("imagenet", tmp_path).fetch is not None
    assert random.fetch is None


def test_damaged_weights_are_a_problem_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTFLOW_CACHE", str(tmp_path))
    imagenet.path().parent.mkdir()
    imagenet.path().write_bytes(b"half of it")
    problem = refused(weights_asset, "imagenet", tmp_path)
    assert problem == refused(load_weights, "imagenet", SHAPES, tmp_path)
    assert (problem.where, problem.got[:19]) == (str(imagenet.path()), "the file is damaged")
    assert "`nstflow weights fetch` replaces it" in problem.hint


def test_keras_that_can_not_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where KERAS_BACKEND names a package that is not installed."""
    monkeypatch.setitem(sys.modules, "keras", None)
    problem = refused(load_weights, "keras", SHAPES, Path())
    assert problem.got.startswith("Keras can't be imported (import of keras halted")
    assert "KERAS_BACKEND=tensorflow" in problem.hint


# the real file


@pytest.fixture(scope="module")
def real() -> dict[str, tuple[Any, Any]]:
    try:
        return load_weights("imagenet", VGG19, Path())
    except NstflowError as error:
        pytest.skip(f"the ImageNet weights are not here, and can't be fetched: {error}")


def test_imagenet_weights_decode(real: dict[str, tuple[Any, Any]]) -> None:
    assert imagenet.state() == "present"
    assert list(real) == list(VGG19)
    assert len(real) == 16
    for layer, shape in VGG19.items():
        kernel, bias = real[layer]
        assert (kernel.shape, bias.shape) == (shape, shape[-1:])
        assert kernel.dtype == bias.dtype == np.float32
        assert kernel.flags.c_contiguous
        assert len(np.unique(kernel)) <= 256
        assert 0 < kernel.std() < 0.3
