"""HDF5 files of weights, read in a process of its own that has limits of time and memory.

On some damaged files HDF5 (1.14.6) never stops and takes memory for ever, or crashes: then that
process ends, and this one says so.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstflow.engine.weights.formats import WeightsError, floats, read_npz

if TYPE_CHECKING:
    from nstflow.engine.weights.formats import Array, Shape, Weights

SECONDS = 60  # of computing; the file of a large network takes less than one
_WAIT = 600  # of waiting, where the file is far away
_ROOM = 512 << 20  # bytes besides the numbers themselves
_GZIP = {1, 2}  # HDF5's filters deflate and shuffle
_REFUSED = 3  # the exit code that goes with a reason


def read_h5(path: Path, shapes: Mapping[str, Shape]) -> Weights:
    """Read an HDF5 file as Keras saves weights: one group a layer, the kernel 4-D, the bias 1-D."""
    asked = json.dumps({"path": os.fspath(path), "shapes": shapes, "seconds": SECONDS})
    command = [sys.executable, "-P", "-c", f"import {__name__} as reader; reader.main()"]
    try:
        done = subprocess.run(  # noqa: S603 - nothing of the file is in the command
            command,
            input=asked.encode(),
            capture_output=True,
            timeout=_WAIT,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is for this process
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"reading it did not end in {_WAIT} s") from error
    except OSError as error:
        raise WeightsError(f"a process to read it can't be started ({error})") from error
    if done.returncode == 0:
        return read_npz(io.BytesIO(done.stdout), shapes)
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == _REFUSED:
        raise WeightsError(said)
    end = said.splitlines()[-1] if said else f"ended by '{signal.strsignal(-done.returncode)}'"
    raise WeightsError(f"it is no sound HDF5 file (HDF5 did not survive it: {end})")


def decode(path: Path, shapes: Mapping[str, Shape]) -> Weights:
    """Read the file in this process, without limits."""
    import h5py

    weights: Weights = {}
    try:
        with h5py.File(path, "r") as file:
            root = _group(file, "model_weights") if "model_weights" in file else file
            for layer, shape in shapes.items():
                found: dict[int, Array] = {}
                # visititems follows no link that leads out of the file
                _group(root, layer).visititems(_collector(found, shape))
                if set(found) != {1, 4}:
                    raise WeightsError(f"{layer} needs one kernel and one bias of shape {shape}")
                weights[layer] = (found[4], found[1])
    except WeightsError:
        raise
    except Exception as error:  # a damaged file raises anything
        raise WeightsError(f"it is no sound HDF5 file ({error})") from error
    return weights


def _group(parent: Any, name: str) -> Any:
    """Return a group that is in the file itself, not one that a link leads to."""
    import h5py

    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or parent.get(name, getclass=True) is not h5py.Group:
        raise WeightsError(f"it has no group {name}")
    return parent[name]


def _collector(found: dict[int, Array], shape: Shape) -> Callable[[str, Any], None]:
    import h5py

    def collect(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.shape not in (shape, shape[-1:]):
            return
        if item.external or item.is_virtual:
            raise WeightsError(f"{name} refers to another file")
        if len(item.shape) in found:
            raise WeightsError(f"{name} is the second array of shape {item.shape} in its layer")
        packing = item.id.get_create_plist()  # other filters than gzip's crash on damaged numbers
        if {packing.get_filter(i)[0] for i in range(packing.get_nfilters())} - _GZIP:
            raise WeightsError(f"{name} is packed in another way than gzip's")
        if math.prod(item.chunks or ()) > max(item.size, 1 << 20):
            raise WeightsError(f"{name} has parts larger than the whole")
        found[len(item.shape)] = floats(item, name)

    return collect


def _limit(shapes: Mapping[str, Shape], seconds: int) -> None:
    """Bound what this process may take from now on, where the system can."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    numbers = sum(math.prod(shape) + shape[-1] for shape in shapes.values())
    room = pages * resource.getpagesize() + _ROOM + 32 * numbers  # as float64, twice, and packed
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Read the file that standard input names; write its arrays, or why there are none."""
    import h5py  # noqa: F401 - before the limit
    import numpy as np

    asked = json.load(sys.stdin)
    shapes = {layer: tuple(shape) for layer, shape in asked["shapes"].items()}
    _limit(shapes, asked["seconds"])
    try:
        weights = decode(Path(asked["path"]), shapes)
    except WeightsError as error:
        sys.stderr.write(str(error))
        sys.exit(_REFUSED)
    arrays: dict[str, Array] = {}
    for layer, (kernel, bias) in weights.items():
        arrays |= {f"{layer}/kernel": kernel, f"{layer}/bias": bias}
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    sys.stdout.buffer.write(packed.getbuffer())
