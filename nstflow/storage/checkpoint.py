"""What a run needs to continue from a step as if it had never stopped, in a safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_CANVAS, _STATE, _HISTORY = "canvas", "state/", "history/"

_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class DamagedCheckpointError(Exception):
    """The file is not a whole checkpoint; the text says why."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run between two dispatches.

    Attributes:
        step: Steps taken in the run.
        phases: Steps that each phase before the current one took.
        canvas: `(1, h, w, 3)`, float32.
        state: The optimizer's: name → array.
        history: Column → value of every step, as `history.csv` has them.
        lock: What `pack` was given.
    """

    step: int
    phases: tuple[int, ...]
    canvas: Array
    state: Mapping[str, Array]
    history: Mapping[str, list[float]]
    lock: str = ""

    def pack(self, lock: str = "") -> bytes:
        """Return the checkpoint as a safetensors file that carries its own sha256.

        Args:
            lock: The sha256 of the lock of its run.
        """
        import numpy as np
        from safetensors.numpy import save

        arrays = {
            _CANVAS: self.canvas,
            **{_STATE + name: array for name, array in self.state.items()},
            **{_HISTORY + name: np.array(v, np.float64) for name, v in self.history.items()},
        }
        # safetensors takes the memory as it lies
        arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        numbers = {"step": str(self.step), "phases": json.dumps(self.phases)}
        numbers |= {"columns": json.dumps(list(self.history)), "lock": lock}
        return save(arrays, {**numbers, "sha256": _sha256(arrays, numbers)})


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file.

    Raises:
        DamagedCheckpointError: It is cut short or altered, or something else.
        OSError: It can't be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            numbers = dict(file.metadata())
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        sha256 = numbers.pop("sha256")
        if sha256 != _sha256(arrays, numbers):
            raise DamagedCheckpointError("its sha256 is not the one that it was written with")
        history = {
            name: [float(value) for value in arrays[_HISTORY + name]]
            for name in json.loads(numbers["columns"])
        }
        return Checkpoint(
            step=int(numbers["step"]),
            phases=tuple(map(int, json.loads(numbers["phases"]))),
            canvas=arrays[_CANVAS],
            state={k.removeprefix(_STATE): v for k, v in arrays.items() if k.startswith(_STATE)},
            history={**history, "step": [int(value) for value in history["step"]]},
            lock=numbers.get("lock", ""),
        )
    except (SafetensorError, *_DAMAGE) as error:
        raise DamagedCheckpointError(f"it can't be read ({error})") from error


def _sha256(arrays: Mapping[str, Any], numbers: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
