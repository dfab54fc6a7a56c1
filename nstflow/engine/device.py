"""The device that computes: chosen, named, its threads."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nstflow.engine.cgroups import GROUPS, PROC, core_limit
from nstflow.errors import NstflowError, Problem
from nstflow.stages.tensorflow import tf

DeviceChoice = Literal["auto", "cpu", "gpu"]

_VARIABLES = (  # docs/reliability.md has what was tried
    "XLA_FLAGS",
    "TF_XLA_FLAGS",
    "ONEDNN_MAX_CPU_ISA",  # Eigen's products of matrices are oneDNN's
    "DNNL_MAX_CPU_ISA",  # its old name
    "OPENBLAS_CORETYPE",  # of NumPy's
    "NVIDIA_TF32_OVERRIDE",
)

_NO_DIFFERENCE = ("--xla_dump_", "--tf_xla_persistent_cache_")  # flags that only write files


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
        """Return a context in which TensorFlow computes here.

        Raises:
            NstflowError: This process was forked from one in which TensorFlow has computed. Its
                threads are missing here, so it would wait for them for ever.
        """
        if _computing.setdefault("process", os.getpid()) != os.getpid():
            got = "this process was forked from one that has made a run, and can't compute."
            hint = 'Start it by "spawn": multiprocessing.get_context("spawn").'
            raise NstflowError(Problem("", "fork", got, hint))
        context: AbstractContextManager[None] = tf.device(self.name)
        return context


_computing: dict[str, int] = {}
"""The number of the process that has computed, as `process`; a fork has it, too."""


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
        if not _chosen_threads() and cores() < threads():
            with contextlib.suppress(NstflowError):  # TensorFlow runs already, with more
                use_threads(cores())
        count = threads()
        onednn = ", oneDNN" if _uses_onednn() else ""
        title = f"{processor()}{onednn}, {count} thread{'' if count == 1 else 's'}"
        return Device("/CPU:0", title, "cpu", whole=count >= cores())
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
    if threads() == count:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
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


def environment() -> dict[str, str]:
    """Return the environment variables that are set and change how TensorFlow rounds.

    The device's title has the number of threads. Of flags, those that name files are left out.
    """
    values = {name: os.environ.get(name, "").strip() for name in _VARIABLES}
    for name in [name for name in values if name.endswith("XLA_FLAGS")]:
        values[name] = _flags(values[name])
    # a lockfile can hold no bytes that are not text
    return {name: text.encode(errors="replace").decode() for name, text in values.items() if text}


def _flags(value: str) -> str:
    """Return the flags of XLA in a value, or in the file that a value without a dash names."""
    if value and not value.startswith("-"):
        with contextlib.suppress(OSError, ValueError):  # XLA ignores it, too
            value = Path(value).read_text(encoding="utf-8")
    flags = [flag for flag in value.split() if not flag.startswith(_NO_DIFFERENCE)]
    return " ".join(flag for flag in flags if "/" not in flag and "\\" not in flag)


def _uses_onednn() -> bool:
    """Return whether oneDNN's operations are on: TensorFlow was started by other code, then.

    TensorFlow has no public name for this.
    """
    with contextlib.suppress(ImportError, AttributeError):
        port = importlib.import_module("tensorflow.python.util._pywrap_util_port")
        return bool(port.IsMklEnabled())
    return False


def threads() -> int:
    """Return how many threads TensorFlow computes with on the CPU."""
    return _chosen_threads() or _affinity()


def _chosen_threads() -> int:
    """Return the number of threads that was set, or 0: TensorFlow then takes all it can be run on.

    TensorFlow does not know of a container's limit.
    """
    if chosen := tf.config.threading.get_intra_op_parallelism_threads():
        return int(chosen)
    try:
        return int(os.environ.get("TF_NUM_INTRAOP_THREADS", ""))
    except ValueError:  # TensorFlow ignores it, too
        return 0


def cores(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Return how many cores this process may use: those it can be run on, or a container's limit.

    Args:
        proc: Linux's folder of processes.
        groups: Linux's folder of control groups.
    """
    return min(_affinity(), core_limit(proc, groups) or _affinity())


def _affinity() -> int:
    """Return how many cores this process can be run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1
