"""HDF5 files of weights, read in another process, with limits of time and memory.

On some damaged files HDF5 (1.14.6) crashes, or runs for ever and takes all memory: then that
process ends, and this one raises an error.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nstflow.engine.weights.formats import WeightsError, floats, read_npz

if TYPE_CHECKING:
    from nstflow.engine.weights.formats import Array, Shape, Weights

SECONDS = 60  # of computing; the file of a large network takes less than one
TIMEOUT = 600  # seconds of waiting, where the file is on a slow disk
_BASE_MEMORY = 512 << 20  # bytes, besides the numbers themselves
_ALLOWED_FILTERS = {1, 2}  # HDF5's deflate and shuffle
_VARIABLES = {"HDF5_USE_FILE_LOCKING": "FALSE"}  # to read needs none; some file systems have none
_NOT_VALID = 3  # the exit code where standard error says why


def read_h5(path: Path, shapes: Mapping[str, Shape]) -> Weights:
    """Read an HDF5 file as Keras saves weights: one group a layer, the kernel 4-D, the bias 1-D.

    Keras 2 names the groups as the layers. Keras 3 numbers them by their class in the order of the
    network: `layers/conv2d`, `layers/conv2d_1` and so on. The shapes are in this order.
    """
    command = [sys.executable, "-P", "-c", f"import {__name__} as reader; reader.main()"]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are only read
            [*command, os.fspath(path), json.dumps(shapes), str(SECONDS)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            env=os.environ | _VARIABLES | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is for this process
        )
    except subprocess.TimeoutExpired as error:
        raise WeightsError(f"reading it did not end in {TIMEOUT} s") from error
    except OSError as error:
        raise WeightsError(f"a process to read it can't be started ({error})") from error
    if done.returncode == 0:
        return read_npz(io.BytesIO(done.stdout), shapes)
    errors = done.stderr.decode(errors="replace").strip()
    if done.returncode == _NOT_VALID:
        raise WeightsError(errors)
    if done.returncode < 0:
        errors = f"it was ended by '{signal.strsignal(-done.returncode)}'"
    end = errors.splitlines()[-1] if errors else f"exit code {done.returncode}"
    raise WeightsError(f"it is not a valid HDF5 file (the process that read it failed: {end})")


def main() -> None:
    """Read the file of the arguments; print its arrays as .npz, or why it is not valid."""
    import h5py  # noqa: F401 - before the limit of memory
    import numpy as np

    path, layers, seconds = sys.argv[1:]
    shapes = {layer: tuple(shape) for layer, shape in json.loads(layers).items()}
    numbers = sum(math.prod(shape) + shape[-1] for shape in shapes.values())
    limit(_BASE_MEMORY + 32 * numbers, int(seconds))  # twice as float64, and as .npz
    try:
        weights = decode(Path(path), shapes)
    except WeightsError as error:
        sys.stderr.write(str(error))
        sys.exit(_NOT_VALID)
    arrays: dict[str, Any] = {f"{layer}/kernel": kernel for layer, (kernel, _) in weights.items()}
    arrays |= {f"{layer}/bias": bias for layer, (_, bias) in weights.items()}
    np.savez(sys.stdout.buffer, **arrays)


def limit(memory: int, seconds: int) -> None:
    """Limit this process, on Linux, to this much more memory and computing; never raise a limit."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    limits = {resource.RLIMIT_AS: used + memory, resource.RLIMIT_CPU: seconds}
    for kind, wanted in {**limits, resource.RLIMIT_CORE: 0}.items():
        soft, hard = resource.getrlimit(kind)
        allowed = [each for each in (soft, hard) if each != resource.RLIM_INFINITY]
        resource.setrlimit(kind, (min([wanted, *allowed]), hard))


def decode(path: Path, shapes: Mapping[str, Shape]) -> Weights:
    """Read the file in this process, without limits."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            root = _group(file, "model_weights") if "model_weights" in file else file
            groups = list(shapes)
            if "layers" in root and groups[0] not in root:
                root = _group(root, "layers")
                groups = ["conv2d", *(f"conv2d_{number}" for number in range(1, len(shapes)))]
            return {
                layer: _layer(_group(root, group), shape)
                for group, (layer, shape) in zip(groups, shapes.items(), strict=True)
            }
    except WeightsError:
        raise
    except Exception as error:  # a damaged file raises anything
        raise WeightsError(f"it is not a valid HDF5 file ({error})") from error


def _group(parent: Any, name: str) -> Any:
    """Return a group that is in the file itself, not behind a link."""
    import h5py

    link = parent.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink) or parent.get(name, getclass=True) is not h5py.Group:
        raise WeightsError(f"it has no group {name}")
    return parent[name]


def _layer(group: Any, shape: Shape) -> tuple[Array, Array]:
    """Return the one kernel and the one bias in a group or in groups in it."""
    import h5py

    items: list[tuple[str, Any]] = []
    group.visititems(lambda *item: items.append(item))  # follows no link out of the file
    found: dict[int, Array] = {}
    for name, item in items:
        if isinstance(item, h5py.Dataset) and item.shape in (shape, shape[-1:]):
            if len(item.shape) in found:
                raise WeightsError(f"{name} is the second array of shape {item.shape} in its layer")
            found[len(item.shape)] = _array(name, item)
    if set(found) != {1, 4}:
        raise WeightsError(f"{group.name[1:]} needs one kernel and one bias of shape {shape}")
    return found[4], found[1]


def _array(name: str, item: Any) -> Array:
    if item.external or item.is_virtual:
        raise WeightsError(f"{name} refers to another file")
    packing = item.id.get_create_plist()  # other filters than gzip's crash on damaged numbers
    if {packing.get_filter(i)[0] for i in range(packing.get_nfilters())} - _ALLOWED_FILTERS:
        raise WeightsError(f"{name} is compressed by another filter than gzip")
    if math.prod(item.chunks or ()) > max(item.size, 1 << 20):
        raise WeightsError(f"{name} has chunks larger than itself")
    return floats(item, name)
