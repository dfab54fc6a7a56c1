"""PNG files taken apart and put together again, chunk by chunk."""

import struct
import zlib
from collections.abc import Iterable

Chunk = tuple[bytes, bytes]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunks_of(data: bytes) -> list[Chunk]:
    """Return the name and content of each chunk of a file."""
    found, at = [], len(SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_of(chunks: Iterable[Chunk]) -> bytes:
    """Return the file of these chunks, each with its checksum."""
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
