"""What a container leaves to a process, in folders like those of Linux."""

from pathlib import Path

import pytest

from nstflow.engine import device
from nstflow.engine.cgroups import core_limit, memory_limit
from nstflow.engine.device import cores
from nstflow.engine.memory import available


def linux(folder: Path, cgroup: str | None, files: dict[str, str]) -> tuple[Path, Path]:
    """Make the folders of processes and groups."""
    proc, groups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    if cgroup is not None:
        (proc / "self" / "cgroup").write_text(cgroup)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    return proc, groups


OLD = "5:cpuset:/\n4:memory:/a/b\n3:cpu,cpuacct:/a/b\n1:name=systemd:/a\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "700\n"}, 700),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/memory.max": "max\n", "a/b/memory.max": "700\n"}, 700),
        ("0::/a/b\n", {"a/memory.max": "600\n", "a/b/memory.max": "700\n"}, 600),
        ("0::/a/b\n", {"memory.max": "9\n", "a/memory.max": "max\n"}, 9),
        ("0::/a:b\n", {"a:b/memory.max": "700\n"}, 700),
        ("0::/../other\n", {"memory.max": "700\n", "other/memory.max": "6\n"}, 700),
        ("0::/docker/x\n", {"memory.max": "700\n"}, 700),  # it has no such folder inside
        (OLD, {"memory/a/b/memory.limit_in_bytes": "700\n"}, 700),
        (
            OLD,
            {
                "memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/a/memory.limit_in_bytes": "700\n",
            },
            700,
        ),
        (OLD, {"memory/memory.limit_in_bytes": "700\n"}, 700),
        ("0::/a\n", {"unified/a/memory.max": "700\n"}, 700),
        (None, {"memory.max": "700\n"}, 700),
        ("nonsense", {"memory.max": "x", "memory/memory.limit_in_bytes": ""}, None),
        ("0::/a\n", {}, None),
    ],
)
def test_memory(
    cgroup: str | None, files: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    proc, groups = linux(tmp_path, cgroup, files)
    assert memory_limit(proc, groups) == limit
    (proc / "meminfo").write_text("MemAvailable:    2000 kB\n")
    (proc / "self" / "statm").write_text("500 0 10 1 0 1 0\n")
    assert available(proc, groups) == min(limit or 2_048_000, 2_048_000)


def old(quota: str, period: str = "100000", group: str = "a/b/") -> dict[str, str]:
    return {f"cpu/{group}cpu.cfs_quota_us": quota, f"cpu/{group}cpu.cfs_period_us": period}


@pytest.mark.parametrize(
    ("cgroup", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "1000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "800000 200000\n"}, 3),
        ("0::/docker/x\n", {"cpu.max": "200000 100000\n"}, 2),
        (OLD, old("200000"), 2),
        (OLD, old("-1"), None),
        (OLD, old("-1") | old("50000", "25000", "a/"), 2),
        (OLD, old("200000", "0"), None),
        (OLD, {"cpu/a/b/cpu.cfs_quota_us": "200000"}, None),
        ("nonsense", {"cpu.max": "2\n"}, None),
        (None, {}, None),
    ],
)
def test_cores(
    cgroup: str | None,
    files: dict[str, str],
    limit: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proc, groups = linux(tmp_path, cgroup, files)
    assert core_limit(proc, groups) == limit
    monkeypatch.setattr(device, "_affinity", lambda: 64)
    assert cores(proc, groups) == (limit or 64)
    monkeypatch.setattr(device, "_affinity", lambda: 1)
    assert cores(proc, groups) == 1
