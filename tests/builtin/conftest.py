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
from profiles import make_profile


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


@pytest.fixture(scope="session", name="make_profile")
def _make_profile() -> Callable[..., bytes]:
    return make_profile
