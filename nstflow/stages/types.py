"""The data that stages exchange: images, features, phases, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nstflow.stages.tensorflow import Tensor, tf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Size = tuple[int, int]
"""Height and width in pixels."""


def size_text(size: Size) -> str:
    """Return a size as a person writes it, width first: `512×384`."""
    return f"{size[1]}×{size[0]}"


PIXELS = "image"
"""The layer that every image has: its pixels."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image outside the engine. Its arrays can't be written: make new ones.

    Attributes:
        pixels: RGB, float32 `(height, width, 3)`, each value in [0, 1], sRGB encoded.
        alpha: Opacity, float32 `(height, width)` in [0, 1], or None for an opaque image. Where it
            is given, statistics of the image's features weigh each position by it.

    Raises:
        ValueError: The arrays have another shape or type, or hold values outside [0, 1].
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _check("pixels", self.pixels, (*self.pixels.shape[:2], 3))
        object.__setattr__(self, "pixels", _read_only(self.pixels))
        if self.alpha is not None:
            _check("alpha", self.alpha, self.size)
            object.__setattr__(self, "alpha", _read_only(self.alpha))

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        height, width = self.pixels.shape[:2]
        return height, width


def _check(name: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if array.dtype != "float32":
        hint = 'convert them by .astype("float32")'
        raise ValueError(f"an image's {name} are float32, but these are {array.dtype}: {hint}")
    if array.shape != shape or 0 in shape:
        raise ValueError(f"an image's {name} have the shape {shape}, but these {array.shape}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # phrased so that NaN fails too
        span = f"these span [{low:g}, {high:g}]: clip them"
        raise ValueError(f"an image's {name} lie in [0, 1], but {span}")


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a view that can't be written: stages and runs share images."""
    view = array.view()
    view.flags.writeable = False
    return view


class Features(Mapping[str, Tensor]):
    """What the extractor says of one image: layer name → feature map `(1, h, w, c)`.

    A loss term is handed exactly its layers. The layer `"image"` is the pixels themselves.

    Attributes:
        weights: Layer name → how much each position counts, `(1, h, w, 1)` summing to 1.
        seed: Two int32 numbers made of the recipe's seed, the term and the step, for
            `tf.random.stateless_*`; at a step it is the same however often it is asked.
    """

    def __init__(
        self, maps: Mapping[str, Tensor], weights: Mapping[str, Tensor], seed: Tensor
    ) -> None:
        self._maps = dict(maps)
        self.weights = dict(weights)
        self.seed = seed
        self._shared: list[tuple[Any, Any, Any]] = []  # key, graph, value

    def __getitem__(self, layer: str) -> Tensor:
        return self._maps[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    def points(self, layer: str) -> tuple[Tensor, Tensor]:
        """Return a layer as a cloud of points: `(n, c)`, and their weights `(n, 1)`."""
        x, weights = self._maps[layer], self.weights[layer]
        flat = tf.reshape(weights, (-1, 1))
        same = common_value(weights)
        if same is not None:
            flat = tf.fill(flat.shape, same)  # still known to be equal, as reshaped is not
        return tf.reshape(x, (-1, x.shape[-1])), flat

    def uniform(self, layer: str) -> bool:
        """Say whether all positions of a layer count the same, as far as is known beforehand."""
        return common_value(self.weights[layer]) is not None

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return what `compute` gives, computed once for all keys that are equal.

        All terms of an image share it. Call it where gradients are recorded as in the rest of a
        score: what it returns is used by other terms too.
        """
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        for known, where, value in self._shared:
            if where is graph and known == key:
                return value
        self._shared.append((key, graph, compute()))
        return self._shared[-1][2]

    def only(self, layers: Sequence[str], seed: Tensor) -> Features:
        """Return the features of these layers alone, with the seed of one term."""
        own = Features(
            {layer: self._maps[layer] for layer in layers},
            {layer: self.weights[layer] for layer in layers},
            seed,
        )
        own._shared = self._shared
        return own


def common_value(weights: Tensor) -> float | None:
    """Return what all the weights are, where that is known before computing and they agree."""
    values = tf.get_static_value(weights)
    if values is None or values.size == 0 or (values != values.flat[0]).any():
        return None
    return float(values.flat[0])


@dataclass(frozen=True)
class Phase:
    """A stretch of steps at one size.

    Attributes:
        steps: How many steps, at least 1.
        steps_per_epoch: How many steps count as one epoch: for display, and for `stop`.
        scale: Size relative to the prepared images; 1 is full size.
        stop: Asked after each epoch with the run's history so far (column → values of every
            step, as in `history.csv`); True ends the phase.
    """

    steps: int
    steps_per_epoch: int
    scale: float = 1.0
    stop: Callable[[Mapping[str, Sequence[float]]], bool] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.steps_per_epoch < 1 or not self.scale > 0:
            raise ValueError(f"a phase has steps, epochs and a scale above 0, but got {self}")

    @property
    def epochs(self) -> int:
        """How many epochs the phase has; the last may be shorter."""
        return -(-self.steps // self.steps_per_epoch)


@dataclass(frozen=True)
class Cost:
    """What describing one image takes.

    Attributes:
        forward: Floating-point operations of the pass from the pixels to the deepest layer, a
            multiplication and an addition counted as two.
        backward: The same for the gradient with respect to the pixels.
        constants: Bytes that the network's weights take while it computes; None where unknown.
        maps: Bytes of the feature maps that the gradient needs, or None.
        scratch: Bytes that a single layer needs in addition, at most, or None.
    """

    forward: int
    backward: int
    constants: int | None = None
    maps: int | None = None
    scratch: int | None = None


State = dict[str, Any]
"""What an optimizer remembers between steps: name → tensor, shapes fixed during a phase."""


Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""canvas `(1, h, w, 3)` → (weighted loss of every term `(terms,)`, gradient of their sum)."""


@dataclass(frozen=True)
class Asset:
    """A file that a stage needs besides those that the recipe names, such as a network's weights.

    Attributes:
        name: Its name for people.
        present: Whether it is there and valid, and need not be fetched.
        note: A short description.
        fetch: Downloads it; takes a function to report the bytes done and the total to. None where
            there is nothing to fetch.
        sha256: The file's, in hexadecimal; None where there is no file, or it is not here yet.
    """

    name: str
    present: bool
    note: str = ""
    fetch: Callable[[Callable[[int, int], None]], None] | None = field(default=None, repr=False)
    sha256: str | None = None
