"""Any bytes for a file of weights: arrays of the shapes asked for, all finite, or words."""

import io
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import strategies as some

from nstflow.engine.weights import formats, hdf5, load_weights
from nstflow.errors import NstflowError
from torch_files import SHAPES

pytestmark = pytest.mark.fuzz


ODD = [(1 << n) + k for n in (0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64) for k in (-1, 0)]


def arrays() -> dict[str, Any]:
    generator = np.random.default_rng(9)
    made: dict[str, Any] = {}
    for layer, shape in SHAPES.items():
        made[f"{layer}/kernel"] = generator.normal(size=shape).astype(np.float32)
        made[f"{layer}/bias"] = generator.normal(size=shape[-1]).astype(np.float32)
    return made


def npz(save: Callable[..., None], **changed: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays() | changed)
    return buffer.getvalue()


def h5(**options: Any) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        for name, array in arrays().items():
            packed = {"compression": "gzip", "shuffle": True, "chunks": (2, 2, 2, 2)}
            file.create_dataset(name, data=array, **(packed if array.ndim > 1 else {}))
        file["one"].attrs["weight_names"] = [b"one_W_1:0", b"one_b_1:0"]
    return buffer.getvalue()


FILES = {
    ".h5": [h5(), h5(libver="latest"), h5(userblock_size=512)],
    ".npz": [
        npz(np.savez),
        npz(np.savez_compressed),
        npz(np.savez, **{"one/kernel": np.asfortranarray(np.ones(SHAPES["one"], ">f8"))}),
    ],
}


headers = some.one_of(
    some.text(max_size=60),
    some.builds(
        "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}\n".format,
        some.sampled_from(["'<f4'", "'>f8'", "'O'", "'V4'", "'f2'", "[('a', '<f4')]", "'S9'", "5"]),
        some.sampled_from(["True", "False", "0", "'x'"]),
        some.one_of(
            some.lists(some.sampled_from([-1, *ODD, 10**30]), max_size=5).map(tuple),
            some.sampled_from(["()", "5", "None", "(3, 3, 3, 4)", "(4,)", "(" * 99, "[3]"]),
        ),
    ),
)


@some.composite
def odd_npz(draw: Any) -> bytes:
    """Return a whole archive of arrays that are damaged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", draw(some.sampled_from([0, 8, 12, 14]))) as archive:
        for name in arrays():
            header = draw(headers).encode()
            version = draw(some.sampled_from([1, 1, 2, 3, 0, 9]))
            length = struct.pack("<H" if version == 1 else "<I", len(header))
            body = draw(some.binary(max_size=20)) * draw(some.sampled_from([1, 9, 40]))
            start = b"\x93NUMPY" + bytes([version, 0])
            archive.writestr(f"{name}.npy", start + length + header + body)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def read_or_refused() -> Iterator[Callable[[str, bytes], str]]:
    """Say what became of the bytes of a file of weights of a kind."""

    def read_or_refused(kind: str, data: bytes) -> str:
        path = folder / f"w{kind}"
        path.write_bytes(data)
        try:
            if kind == ".h5":  # in this process: one for each example would take minutes
                weights = formats.checked(hdf5.decode(path, SHAPES), SHAPES)
            else:
                weights = load_weights(path.name, SHAPES, folder)
        except (NstflowError, formats.WeightsError) as error:
            return "refused" if str(error) else "refused without a word"
        for layer, shape in SHAPES.items():
            kernel, bias = weights[layer]
            assert (kernel.shape, bias.shape) == (shape, shape[-1:])
            assert kernel.dtype == bias.dtype == np.float32
            assert np.isfinite(kernel).all()
            assert np.isfinite(bias).all()
        return "read"

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield read_or_refused


@pytest.mark.parametrize("kind", FILES)
def test_edited_files(kind: str, tried: Any, edited_bytes: Any, read_or_refused: Any) -> None:
    def edited(data: bytes) -> str:
        return str(read_or_refused(kind, data))

    assert {edited(data) for data in FILES[kind]} == {"read"}
    outcomes = tried(edited, edited_bytes(FILES[kind]), 40)
    assert outcomes.keys() == {"read", "refused"}


@pytest.mark.parametrize("kind", FILES)
def test_any_bytes(kind: str, tried: Any, read_or_refused: Any) -> None:
    starts = some.sampled_from(
        [b"", *(data[:length] for data in FILES[kind] for length in (8, 99))]
    )

    def blob(data: bytes) -> str:
        return str(read_or_refused(kind, data))

    blobs = some.builds(bytes.__add__, starts, some.binary(max_size=300))
    assert tried(blob, blobs, 20).keys() == {"refused"}


def test_archives_of_odd_arrays(tried: Any, read_or_refused: Any) -> None:
    def archive(data: bytes) -> str:
        return str(read_or_refused(".npz", data))

    assert tried(archive, odd_npz(), 30).keys() <= {"read", "refused"}
