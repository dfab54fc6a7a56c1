"""Check that a run makes the same picture again."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.builtin.loaders.decode import Decoded, decode
from nstflow.errors import NstflowError, Problem
from nstflow.lockfile.check import warn_differences
from nstflow.plan import make_plan
from nstflow.recipe.reader import NO_OPTIONS, ReadOptions, parse
from nstflow.recipe.source import read_source
from nstflow.runner.run import run
from nstflow.storage.files import check_temporary_folder
from nstflow.storage.run_record import LOCK_FILE, explain_not_a_run, read_run_record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nstflow.engine.device import DeviceChoice
    from nstflow.stages.job import Stop


@dataclass(frozen=True)
class Comparison:
    """A file that a run wrote, and that it wrote again.

    Attributes:
        name: The file's name.
        largest: The largest difference of a pixel's channel, of `levels`; None if the files are
            not images of one size, so that only their bytes could be compared.
        mean: The mean difference of all channels of all pixels, of `levels`; likewise.
        equal: Whether every pixel is the same, or every byte of what is not an image.
        levels: The largest value of a channel: 255, or 65535 if a file has more than 8 bits.
    """

    name: str
    largest: int | None
    mean: float | None
    equal: bool
    levels: int = 255


def verify(
    folder: Path,
    options: ReadOptions = NO_OPTIONS,
    *,
    device: DeviceChoice = "auto",
    observers: Iterable[object] = (),
    stop: Stop | None = None,
) -> list[Comparison] | None:
    """Run a run directory's lockfile in a temporary folder, and compare the files that it writes.

    On the same machine every pixel is equal. Another processor, device or version of TensorFlow
    rounds differently, and the differences grow over the steps.

    Args:
        folder: The run directory of a run that took all its steps.
        options: Plugin files, and blocked plugins.
        device: Where to compute.
        observers: Objects that watch the run.
        stop: Asks to stop.

    Returns:
        A comparison for each file that the outputs wrote; None if it was stopped.

    Raises:
        NstflowError: The folder is not that of a finished run, or an input is missing.
    """
    record = read_run_record(folder)
    if record is None:
        raise NstflowError(Problem(str(folder), "", *explain_not_a_run(folder)))
    if record.state != "finished":
        got, hint = "this run has not finished.", "Finish it first: run its recipe with --resume."
        raise NstflowError(Problem(str(folder), "", got, hint))
    for name in record.files:  # before all the steps are taken
        if not (folder / name).is_file():
            got = "this file of the run is missing."
            hint = "Restore it, or run the lockfile again with --overwrite."
            raise NstflowError(Problem(str(folder / name), "", got, hint))
    plan = make_plan(parse(read_source(folder / LOCK_FILE), options).recipe_or_raise())
    warn_differences(plan)
    if record.phases and any(phase.stop for phase in plan.phases):
        # the lockfile lacks what they took: the run was killed at its very end
        plan = plan.taking(record.phases)
    check_temporary_folder()
    with tempfile.TemporaryDirectory(prefix="nstflow-verify-") as scratch:
        again = Path(scratch, "run")
        result = run(plan, again, device=device, observers=observers, stop=stop)
        if result.interrupted:
            return None
        return [compare(folder / name, again / name) for name in record.files]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two files pixel by pixel, or byte by byte if they are not images of one size."""
    import numpy as np

    both: list[Decoded] = []
    try:
        with warnings.catch_warnings(action="ignore"):
            both = [decode(file, keep_profile=True) for file in (first, second)]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - not an image, or a damaged one
        both = []
    if not both or both[0].pixels.shape != both[1].pixels.shape:
        equal = second.is_file() and first.read_bytes() == second.read_bytes()
        return Comparison(first.name, None, None, equal)
    levels = max(2**each.bits - 1 for each in both)
    channels: list[NDArray[np.int32]] = []
    clear = any(each.alpha is not None for each in both)
    while both:  # each is freed as soon as it is read
        channels.append(np.rint(_channels(both.pop(0), clear) * levels).astype(np.int32))
    apart = np.abs(channels[0] - channels[1])
    return Comparison(first.name, int(apart.max()), float(apart.mean()), not apart.any(), levels)


def _channels(image: Decoded, clear: bool) -> NDArray[np.float32]:
    """Return red, green and blue, and opacity if either of two images has it."""
    import numpy as np

    if not clear:
        return image.pixels
    alpha = np.float32(1) if image.alpha is None else image.alpha
    alpha = np.broadcast_to(alpha, image.pixels.shape[:2])
    return np.concatenate([image.pixels, alpha[..., None]], -1)
