"""The process's memory: released, given huge pages, measured."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from nstflow.engine.cgroups import GROUPS, PROC, memory_limit
from nstflow.stages.tensorflow import tf

_MADV_HUGEPAGE = 14  # <sys/mman.h> of Linux
_LEAST = 8 << 20  # bytes: smaller areas would waste much of a 2 MB page


def release_unused() -> None:
    """Return freed memory to the system: after compiling, 100 MB and more.

    Where the C library has no such call, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def prefer_huge_pages(maps: Path = Path("/proc/self/maps")) -> int:
    """Ask Linux for huge pages for this process's large private memory; return how many areas.

    A step goes through a gigabyte of temporary memory, and the processor looks up each page of it:
    512 times fewer of 2 MB than of 4 KB. Memory use is rounded up by at most one
    such page an area. Where the system has no huge pages, or no such call, nothing happens.

    Args:
        maps: The kernel's list of this process's memory.
    """
    if sys.platform != "linux":
        return 0
    try:
        advise = ctypes.CDLL(None).madvise
        lines = maps.read_bytes().split(b"\n")  # bytes: paths of files are among them
    except (OSError, AttributeError):
        return 0
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    advised = 0
    for line in lines:
        fields = line.split()
        if len(fields) != 5 or fields[1] != b"rw-p":  # noqa: PLR2004 - a sixth would be its file
            continue
        first, last = (int(end, 16) for end in fields[0].split(b"-"))
        if last - first >= _LEAST:
            advised += advise(first, last - first, _MADV_HUGEPAGE) == 0
    return advised


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on the device or the host."""
    if "tensorflow" in sys.modules and isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    return isinstance(error, MemoryError)


def available(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Return the bytes that this process can use in total, including those in use; None if unknown.

    What Linux counts as available, limited by the container and `ulimit -v`.

    Args:
        proc: Linux's folder of processes.
        groups: Linux's folder of control groups.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines())
        own = int((proc / "self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        limits.append(int(lines["MemAvailable"].split()[0]) * 1024 + own)
    if (limit := memory_limit(proc, groups)) is not None:
        limits.append(limit)
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft)
    return min(limits, default=None)
