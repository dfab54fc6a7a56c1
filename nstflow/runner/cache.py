"""What runs of one process share: images, networks, targets and compiled programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nstflow.storage.files import sha256_of


class LRU:
    """Keeps the things used last, as long as there is capacity for them.

    Args:
        capacity: How much it keeps.
        cost: How much of the capacity a thing takes; each takes 1 by default.
    """

    def __init__(self, capacity: int, cost: Callable[[Any], int] = lambda _: 1) -> None:
        self._capacity, self._cost = capacity, cost
        self._kept: list[tuple[Any, Any]] = []  # a list: keys are compared, not all can be hashed

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what is kept for a key, or make it."""
        for index, (known, thing) in enumerate(self._kept):
            if known == key:
                self._kept.append(self._kept.pop(index))
                return thing
        thing = make()
        self._kept.append((key, thing))
        while sum(self._cost(thing) for _, thing in self._kept) > self._capacity:
            del self._kept[0]
        return thing


class RunCache:
    """What the runs of one process share.

    Sharing changes no byte of a picture: what is shared would be made again, equal.

    Attributes:
        images: Loaded images, by their loader and their files' hashes.
        networks: Built networks, by the extractor, its layers and its files' hashes.
        targets: The targets of terms, by term, network and the reference's pixels.
        programs: Compiled steps, by what they compute and its shapes.
        descriptions: Compiled programs that compute a reference's features, by network and size.
    """

    def __init__(self) -> None:
        self._where: object = None
        self._clear()

    def on(self, where: object) -> None:
        """Drop everything if it was made for another device, or another way to compute on it."""
        if where != self._where:
            self._where = where
            self._clear()

    def _clear(self) -> None:
        self.images = LRU(256 << 20, _bytes_of)
        self.networks = LRU(2)
        self.targets = LRU(256 << 20, _bytes_of)
        # TensorFlow keeps what it traced and compiled as long as the process lives: to drop these
        # would win nothing
        self.programs = LRU(64)
        self.descriptions = LRU(64)


def hashes_of(files: Iterable[Path]) -> object:
    """Return the hashes of files; where one can't be read, an object that equals no other."""
    try:
        return [sha256_of(file) for file in files]
    except OSError:
        return object()


def _bytes_of(thing: Any) -> int:
    """Return about how much memory images, tensors, and collections of them take."""
    if isinstance(thing, dict):
        return sum(map(_bytes_of, thing.values()))
    if isinstance(thing, list | tuple):
        return sum(map(_bytes_of, thing))
    if hasattr(thing, "pixels"):
        return int(thing.pixels.nbytes)
    if hasattr(thing, "dtype") and hasattr(thing, "shape"):
        return 4 * math.prod(map(int, thing.shape))
    return 64
