"""Colour profiles made byte by byte."""

import struct
from collections.abc import Sequence

SRGB_PRIMARIES = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _point(xyz: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, xyz))


def make_profile(
    name: str, exponent: float, primaries: Sequence[Sequence[float]] | None = SRGB_PRIMARIES
) -> bytes:
    """Make an ICC profile: three primaries, or grey without, and one exponent for all curves."""
    white = (0.9642, 1.0, 0.8249)
    described = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(described)) + described + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _point(white),
    }
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for letter, xyz in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags[letter + b"XYZ"], tags[letter + b"TRC"] = _point(xyz), curve
    directory, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for signature, content in tags.items():
        directory += signature + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    space = b"GRAY" if primaries is None else b"RGB "
    head = struct.pack(">I4sI", start + len(body), b"lcms", 0x02400000)
    head += b"mntr" + space + b"XYZ " + bytes(12) + b"acsp" + bytes(28) + _point(white)[8:]
    return head.ljust(128, b"\0") + directory + body
