"""Image files made byte by byte, so that a test knows what is in them."""

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nstflow import NstflowError, Problem
from nstflow.builtin.loaders.file import File
from png_files import Chunk, png_of

SRGB_PRIMARIES = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., Problem]:
    """Check that a file of the test's folder is refused in one way; return the problem."""

    def refused(file: str | File, match: str, *, decoding: bool = False) -> Problem:
        file = File(path=Path(file)) if isinstance(file, str) else file
        for method in (file.load,) if decoding else (file.size, file.load):
            with pytest.raises(NstflowError, match=match) as raised:
                method(tmp_path)
            (problem,) = raised.value.problems
            assert (problem.where, problem.what) == ("", "path")  # the plan adds the place
        return problem

    return refused


@pytest.fixture
def write_png(tmp_path: Path) -> Callable[..., str]:
    """Write rows of samples as a PNG that Pillow would not write: 16 bits, chunks anywhere."""

    def write(
        name: str,
        rows: NDArray[np.uint8] | NDArray[np.uint16],
        colour: int,
        before: Sequence[Chunk] = (),
        after: Sequence[Chunk] = (),
    ) -> str:
        height, width = rows.shape[:2]
        big_endian = rows.astype(rows.dtype.newbyteorder(">"))
        scanlines = b"".join(b"\0" + row.tobytes() for row in big_endian)
        head = struct.pack(">IIBBBBB", width, height, rows.itemsize * 8, colour, 0, 0, 0)
        chunks = [(b"IHDR", head), *before, (b"IDAT", zlib.compress(scanlines)), *after]
        (tmp_path / name).write_bytes(png_of([*chunks, (b"IEND", b"")]))
        return name

    return write


@pytest.fixture(scope="session")
def make_profile() -> Callable[..., bytes]:
    """Make an ICC profile: three primaries, or grey without, and one exponent for all curves."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def point(xyz: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, xyz))

    def make(
        name: str, exponent: float, primaries: Sequence[Sequence[float]] | None = SRGB_PRIMARIES
    ) -> bytes:
        white = (0.9642, 1.0, 0.8249)
        described = name.encode() + b"\0"
        tags = {
            b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(described)) + described + b"\0" * 78,
            b"cprt": b"text\0\0\0\0none\0",
            b"wtpt": point(white),
        }
        curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))
        if primaries is None:
            tags[b"kTRC"] = curve
        else:
            for letter, xyz in zip((b"r", b"g", b"b"), primaries, strict=True):
                tags[letter + b"XYZ"], tags[letter + b"TRC"] = point(xyz), curve
        directory, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
        for signature, content in tags.items():
            directory += signature + struct.pack(">II", start + len(body), len(content))
            body += content + b"\0" * (-len(content) % 4)
        space = b"GRAY" if primaries is None else b"RGB "
        head = struct.pack(">I4sI", start + len(body), b"lcms", 0x02400000)
        head += b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + point(white)[8:]
        return head.ljust(128, b"\0") + directory + body

    return make
