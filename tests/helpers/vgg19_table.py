"""Simonyan and Zisserman 2015, table 1, column E."""

from itertools import pairwise

CHANNELS = [3, *[64] * 2, *[128] * 2, *[256] * 4, *[512] * 8]
LAYERS = [
    f"block{block}_conv{number}"
    for block, count in enumerate((2, 2, 4, 4, 4), 1)
    for number in range(1, count + 1)
]

TABLE = dict(zip(LAYERS, pairwise(CHANNELS), strict=True))
"""Channels in and out of each convolution."""
