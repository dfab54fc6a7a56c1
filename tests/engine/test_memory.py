"""Advice about memory: given where the system takes it, and never missed."""

import mmap
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nstflow.engine import memory
from nstflow.engine.memory import prefer_huge_pages, release_unused

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not SWITCH.is_file() or "[never]" in SWITCH.read_text(), reason="no huge pages on this system"
)
def test_large_memory_is_advised() -> None:
    with mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        assert prefer_huge_pages() >= 1
        flags = re.findall(
            r"^Size: +(\d+) kB$.*?^VmFlags:(.*?)$",
            Path("/proc/self/smaps").read_text(),
            re.MULTILINE | re.DOTALL,
        )
    assert any(int(size) >= 32 << 10 and " hg" in flag for size, flag in flags)


@pytest.mark.skipif(sys.platform != "linux", reason="the list of memory is Linux's")
def test_files_code_and_small_areas_are_left_alone(tmp_path: Path) -> None:
    """Addresses that are not this process's own: a call for one of them would fail."""
    maps = tmp_path / "maps"
    maps.write_text(
        "10000000-20000000 r-xp 00000000 00:00 0 \n"
        "20000000-30000000 rw-s 00000000 00:00 0 \n"
        "30000000-30001000 rw-p 00000000 00:00 0 \n"
        "40000000-50000000 rw-p 00000000 fe:00 77 /a/file\n"
    )
    with maps.open("ab") as more:  # a path may hold any byte, and breaks of lines to Unicode alone
        more.write(b"60000000-70000000 rw-p 00000000 fe:00 78 /\xff\xc2\x85rw-p\n")
    calls: list[object] = []

    class Library:
        def __init__(self, _: object) -> None:
            self.madvise = Advice()

    class Advice:
        def __call__(self, *arguments: object) -> int:
            calls.append(arguments)
            return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.ctypes, "CDLL", Library)
        assert prefer_huge_pages(maps) == 0
        maps.write_text("50000000-60000000 rw-p 00000000 00:00 0 \n")
        assert prefer_huge_pages(maps) == 1
    assert calls == [(0x50000000, 0x10000000, 14)]


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert prefer_huge_pages(tmp_path / "missing") == 0
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert prefer_huge_pages() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is the GNU C library's")
def test_freed_memory_is_released() -> None:
    """Many small blocks, all freed but the last, which keeps the end of the heap in use."""
    program = """
import mmap
from nstflow.engine.memory import release_unused

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * mmap.PAGESIZE

blocks = [bytes(100_000) for _ in range(2000)]
last = blocks.pop()
full = resident()
del blocks
release_unused()
print(full - resident())
"""
    # a process of its own: the heap of this one has freed areas already
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) > 100_000_000


def test_a_library_without_the_calls_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: object())
    release_unused()
    assert prefer_huge_pages() == 0
