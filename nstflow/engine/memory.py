"""The process's memory, where the system takes advice about it."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

_MADV_HUGEPAGE = 14  # <sys/mman.h> of Linux
_LEAST = 8 << 20  # bytes: a page of 2 MB is no loss in these


def release_unused() -> None:
    """Give back what has been freed but is kept for later, as the compiler leaves 100 MB and more.

    Where the C library has no such call, nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def prefer_huge_pages(maps: Path = Path("/proc/self/maps")) -> int:
    """Ask Linux to back this process's large private memory by huge pages; return how many areas.

    A step goes through a gigabyte of temporary memory, and the processor looks up each page of it:
    512 times fewer of 2 MB than of 4 KB. What is used is rounded up to such pages, at most one an
    area. Where the system has no such pages, or no such call, nothing happens.

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
