"""Linux's control groups, by which containers limit the cores and the memory of a process."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def memory_limit(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Return the bytes that this process's groups may use; None without a limit.

    A group has what is left to the groups above it, so the least limit of them counts.

    Args:
        proc: Linux's folder of processes.
        groups: Linux's folder of control groups.
    """
    limits = []
    for folder in _folders("memory", proc, groups):
        for name in ("memory.max", "memory.limit_in_bytes"):  # of versions 2 and 1
            with contextlib.suppress(OSError, ValueError):  # "max" is not a number
                limits.append(int((folder / name).read_text()))
    return min(limits, default=None)


def core_limit(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Return how many cores this process's groups may use, rounded up; None without a limit.

    A quota is a time of computing in each period: 150 ms in 100 ms are one and a half cores.

    Args:
        proc: Linux's folder of processes.
        groups: Linux's folder of control groups.
    """
    limits = []
    for folder in _folders("cpu", proc, groups):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # "max" is not a number
            quota, period = (folder / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
            quota, period = ((folder / name).read_text() for name in names)
            limits.append(int(quota) / int(period))
    limits = [limit for limit in limits if limit > 0]  # -1 is none
    return math.ceil(min(limits)) if limits else None


def _folders(controller: str, proc: Path, groups: Path) -> Iterator[Path]:
    """Yield the folders of this process's group and of those above it, of both versions.

    In a container, the group may have a name that is only known outside: then the folder of all
    groups is that of the process's own.
    """
    try:
        lines = (proc / "self/cgroup").read_bytes().decode(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    named: dict[str, str] = {}  # controller → group
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        named |= dict.fromkeys(controllers.split(","), name)
    tops = {groups: "", groups / "unified": "", groups / controller: controller}
    for top, key in tops.items():
        parts = Path(named.get(key, "/").lstrip("/")).parts
        inside = () if ".." in parts else parts
        yield from (top.joinpath(*inside[:depth]) for depth in range(len(inside), -1, -1))
