"""The device that computes: chosen, named, its threads."""

from __future__ import annotations

import contextlib
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstflow.errors import NstflowError, Problem
from nstflow.stages.tensorflow import tf

DeviceChoice = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        name: TensorFlow's name for it.
        title: Its name for people, with what decides how it rounds.
        kind: Its kind.
        whole: Whether all of it is used: on a CPU, every core that this process may use.
    """

    name: str
    title: str
    kind: Literal["cpu", "gpu"]
    whole: bool = True

    def scope(self) -> AbstractContextManager[None]:
        """Return a context in which TensorFlow computes here."""
        context: AbstractContextManager[None] = tf.device(self.name)
        return context


def choose_device(choice: DeviceChoice, *, deterministic: bool) -> Device:
    """Return the first GPU, or the CPU where there is none or it was asked for.

    A GPU's memory is allocated as needed, so that the card can be shared, and TF32, TensorFlow's
    default for products of float32, is switched off.

    Raises:
        NstflowError: A GPU was requested, and TensorFlow finds none.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # set by an earlier run of this process
            tf.config.experimental.set_memory_growth(gpu, enable=True)
    if choice == "cpu":
        gpus = []
    if choice == "gpu" and not gpus:
        hint = "Install nstflow[gpu] and NVIDIA's driver, or use --device auto."
        raise NstflowError(Problem("--device gpu", "", "TensorFlow sees no GPU here.", hint))
    if not gpus:
        threads = tf.config.threading.get_intra_op_parallelism_threads() or cores()
        title = f"{processor()}, {threads} thread{'' if threads == 1 else 's'}"
        return Device("/CPU:0", title, "cpu", whole=threads >= cores())
    if deterministic:  # for the rest of the process: TensorFlow has no way back
        tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    details = tf.config.experimental.get_device_details(gpus[0])
    return Device("/GPU:0", str(details.get("device_name", "GPU")), "gpu")


def use_threads(count: int) -> None:
    """Set the number of threads that compute on the CPU in this process.

    Raises:
        NstflowError: TensorFlow already runs with another number and can't change it.
    """
    threading = tf.config.threading
    if (threading.get_intra_op_parallelism_threads() or cores()) == count:
        return
    try:
        threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        got = "TensorFlow already runs in this process with another number of threads."
        raise NstflowError(Problem(f"threads {count}", "", got, "Use a new process.")) from error


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name and vector width: another one rounds differently.

    Args:
        cpuinfo: Linux's description of the processor; other systems are asked through `platform`.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    about = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in about.items()}
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    widths = {"avx512f": "AVX-512", "avx2": "AVX2"}
    wide = next((title for flag, title in widths.items() if flag in flags), "")
    words = " ".join(f"CPU {name}".split())
    return f"{words} ({wide})" if wide else words


def cores() -> int:
    """Return how many cores this process may use."""
    import os

    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1
