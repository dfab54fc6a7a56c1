"""The data that stages exchange: images, features, phases, costs."""

from __future__ import annotations

import io
import math
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
    """Return a size as text, width first: `512×384`."""
    return f"{size[1]}×{size[0]}"


def scaled(size: Size, scale: float) -> Size:
    """Return the size of an image in a phase."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


PIXELS = "image"
"""The layer that every image has: its pixels."""


_LONGEST_SHOWN = 1024
"""Pixels of the longest side of an image in a notebook, which stores it in its own file."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image outside the engine. Its arrays are read-only: make new ones.

    Attributes:
        pixels: RGB, float32 `(height, width, 3)`, each value in [0, 1], encoded as in its profile.
        alpha: Opacity, float32 `(height, width)` in [0, 1], or None for an opaque image, whose
            pixels are then as seen on white. Statistics of the image's features use it as the
            weight of each position. The picture has that of the image `start.like`.
        profile: The ICC profile of the pixels, an RGB one; None where they are sRGB. A run converts
            its images to the profile of the image `start.like`, and outputs store it. So what a
            stage other than a loader returns needs none.
        exif: What the camera wrote, as a block of EXIF, for outputs that copy it; None without. The
            picture has that of the image `start.like`.

    Raises:
        ValueError: The arrays have a wrong shape or type, or values outside [0, 1].
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    profile: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)

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

    def encode(self, form: str, longest_side: int, **options: Any) -> tuple[bytes, Size]:
        """Return a file of the picture, made smaller if its longest side is longer, and its size.

        Args:
            form: Pillow's name of the format.
            longest_side: In pixels.
            options: What Pillow takes for the format.
        """
        import numpy as np
        import PIL.Image

        picture = PIL.Image.fromarray(np.rint(self.pixels * 255).astype(np.uint8))
        picture.thumbnail((longest_side, longest_side), PIL.Image.Resampling.LANCZOS)
        file = io.BytesIO()
        picture.save(file, form, icc_profile=self.profile, **options)
        return file.getvalue(), (picture.height, picture.width)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """Show the picture in a notebook."""
        data, (height, width) = self.encode("PNG", _LONGEST_SHOWN)
        return data, {"width": width, "height": height}


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
    """The features of one image: layer name → feature map `(1, h, w, c)`.

    A loss term receives exactly its own layers. The layer `"image"` is the pixels.

    Attributes:
        weights: Layer name → how much each position counts, `(1, h, w, 1)`, with the sum 1.
        seed: Two int32 numbers for `tf.random.stateless_*`. They depend only on the recipe's seed,
            the term and the step.
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
        """Return the positions of a layer as points `(n, c)`, and their weights `(n, 1)`."""
        x, weights = self._maps[layer], self.weights[layer]
        flat = tf.reshape(weights, (-1, 1))
        same = common_value(weights)
        if same is not None:
            flat = tf.fill(flat.shape, same)  # still known to be equal, as reshaped is not
        return tf.reshape(x, (-1, x.shape[-1])), flat

    def uniform(self, layer: str) -> bool:
        """Return whether all positions of a layer are known to have the same weight."""
        return common_value(self.weights[layer]) is not None

    def size(self, layer: str) -> Size:
        """Return height and width of a layer, in positions."""
        _, height, width, _ = self._maps[layer].shape
        return height, width

    def mean(self, layer: str, values: Tensor) -> Tensor:
        """Return the mean of a map `(1, h, w, 1)` by the weights of a layer, a scalar.

        If all positions count the same, it is the plain mean.
        """
        values = tf.ensure_shape(values, (1, *self.size(layer), 1))
        if self.uniform(layer):
            return tf.reduce_mean(values)
        return tf.reduce_sum(self.weights[layer] * values)

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return the result of `compute`; for equal keys it is computed only once.

        The result is shared by all terms of an image, so call this method under the same gradient
        tapes as the rest of the score.
        """
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        for known, where, value in self._shared:
            if where is graph and known == key:
                return value
        self._shared.append((key, graph, compute()))
        return self._shared[-1][2]

    def only(
        self, layers: Sequence[str], seed: Tensor, weights: Mapping[str, Tensor] | None = None
    ) -> Features:
        """Return the features of these layers only, with the seed of one term.

        Args:
            layers: The layers to keep.
            seed: Two int32 numbers.
            weights: Layer name → the weights of a region, in place of those of the whole. The
                result then shares what `once` computes only with the features made from it.
        """
        weighed = {**self.weights, **(weights or {})}
        own = Features(
            {layer: self._maps[layer] for layer in layers},
            {layer: weighed[layer] for layer in layers},
            seed,
        )
        if weights is None:
            own._shared = self._shared
        return own


def common_value(weights: Tensor) -> float | None:
    """Return the value of all weights if it is known before computing and equal, else None."""
    values = tf.get_static_value(weights)
    if values is None or values.size == 0 or (values != values.flat[0]).any():
        return None
    return float(values.flat[0])


@dataclass(frozen=True)
class Phase:
    """A number of steps at one size.

    Attributes:
        steps: The number of steps, at least 1.
        steps_per_epoch: The number of steps in an epoch; used for display and for `stop`.
        scale: The size relative to the prepared images; 1 is full size.
        stop: Called after each epoch with the history of this phase: column → value of every step,
            as in `history.csv`. If it returns True, the phase ends.
        weights: Loss term → the factor of its weight in this phase, 1 for a term that is left out.
            A term with the factor 0 is not computed; its column has zeros.
    """

    steps: int
    steps_per_epoch: int
    scale: float = 1.0
    stop: Callable[[Mapping[str, Sequence[float]]], bool] | None = field(default=None, repr=False)
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for term, factor in self.weights.items():
            if not math.isfinite(factor):
                raise ValueError(f"the factor of '{term}' in a phase is {factor}, not a number")
        if self.steps < 1 or self.steps_per_epoch < 1 or not self.scale > 0:
            raise ValueError(f"a phase has steps, epochs and a scale above 0, but got {self}")

    @property
    def epochs(self) -> int:
        """The number of epochs; the last one may be shorter."""
        return self.epochs_in(self.steps)

    def epochs_in(self, steps: int) -> int:
        """Return the number of epochs in some of the steps."""
        return -(-steps // self.steps_per_epoch)


@dataclass(frozen=True)
class Geometry:
    """How the positions of a layer lie over the pixels.

    Attributes:
        stride: Pixels from one position to the next; position (0, 0) stands for the first
            `stride` × `stride` pixels.
        reach: Pixels that a position sees beyond those, on each side.
    """

    stride: int
    reach: int


@dataclass(frozen=True)
class Cost:
    """The cost of computing the features of one image.

    Attributes:
        forward: Floating-point operations from the pixels to the deepest layer. A multiplication
            with an addition counts as two.
        backward: The same for the gradient with respect to the pixels.
        constants: Bytes of the network's weights in memory during a run; None if unknown.
        maps: Bytes of the feature maps that are kept for the gradient; None if unknown.
        scratch: Bytes of the largest temporary memory of a single layer; None if unknown.
    """

    forward: int
    backward: int
    constants: int | None = None
    maps: int | None = None
    scratch: int | None = None


State = dict[str, Any]
"""What an optimizer keeps between steps: name → tensor. Shapes don't change during a phase."""

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""canvas `(1, h, w, 3)` → (weighted loss of every term `(terms,)`, gradient of their sum)."""


@dataclass(frozen=True)
class Asset:
    """A file that a stage needs besides those that the recipe names, such as a network's weights.

    Attributes:
        name: A name to display.
        present: Whether it exists and is valid, so that it need not be downloaded.
        note: A short description.
        fetch: Downloads it, and reports progress by calling its argument with the number of bytes
            downloaded and the total. None if there is nothing to download.
        sha256: The sha256 of the file in hexadecimal; None if there is no file yet.
    """

    name: str
    present: bool
    note: str = ""
    fetch: Callable[[Callable[[int, int], None]], None] | None = field(default=None, repr=False)
    sha256: str | None = None
