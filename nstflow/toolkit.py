"""For authors of stages: the functions that the built-in stages use.

`conv3x3` with its `Method` and `Padding`, `pool2x2` with its `Pooling` for extractors;
`load_weights`, `weights_asset`, `weights_file` for their weights, `import_keras` and `keras_asset`
where Keras has them; `gram_matrix`, `weighted_mean`, `mean_square`,
`matrix_root`, `trace_of_root` and the setting `Normalize` for losses; `running_mean` for
optimizers; `fit_longest_side`, `resize_image`, `ResizeMethod` for images at other sizes;
`resample`, `resize_matrix` for tensors in a compiled program; `match_colors`, `with_colors_of`,
`to_grey`, `srgb_to_linear` and `linear_to_srgb`, with the settings `ColorMatch` and `ColorSpace`,
for colours; `uniform_noise`, `to_bytes` and `to_integers` for pixels; `suggest`, `size_text` and
`require_same_size` for problems; `cores` for executors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nstflow.engine.averaging import running_mean
from nstflow.engine.colors import (
    ColorMatch,
    ColorSpace,
    linear_to_srgb,
    match_colors,
    srgb_to_linear,
    to_grey,
    with_colors_of,
)
from nstflow.engine.convolution import Method, Padding, Pooling, conv3x3, pool2x2
from nstflow.engine.device import cores
from nstflow.engine.gram import gram_matrix, mean_square, weighted_mean
from nstflow.engine.matrix_root import matrix_root, trace_of_root
from nstflow.engine.resampling import (
    ResizeMethod,
    fit_longest_side,
    resample,
    resize_image,
    resize_matrix,
)
from nstflow.engine.weights import load_weights, weights_asset, weights_file
from nstflow.engine.weights.keras import import_keras, keras_asset
from nstflow.errors import NstflowError, Problem, suggest
from nstflow.stages.loss import Normalize
from nstflow.stages.types import size_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nstflow.stages.types import Image, Size

__all__ = [
    "ColorMatch",
    "ColorSpace",
    "Method",
    "Normalize",
    "Padding",
    "Pooling",
    "ResizeMethod",
    "conv3x3",
    "cores",
    "fit_longest_side",
    "gram_matrix",
    "import_keras",
    "keras_asset",
    "linear_to_srgb",
    "load_weights",
    "match_colors",
    "matrix_root",
    "mean_square",
    "pool2x2",
    "require_same_size",
    "resample",
    "resize_image",
    "resize_matrix",
    "running_mean",
    "size_text",
    "srgb_to_linear",
    "suggest",
    "to_bytes",
    "to_grey",
    "to_integers",
    "trace_of_root",
    "uniform_noise",
    "weighted_mean",
    "weights_asset",
    "weights_file",
    "with_colors_of",
]


def uniform_noise(
    size: Size, seed: int, low: float = 0.0, high: float = 1.0
) -> NDArray[np.float32]:
    """Return independent uniform values, float32 `(h, w, 3)`, the same on every platform."""
    import numpy as np

    values = np.random.default_rng(seed).random((*size, 3), np.float32)
    return np.asarray(low + (high - low) * values, np.float32)


def to_bytes(image: Image) -> NDArray[np.uint8]:
    """Return the pixels rounded to 0-255, uint8 `(height, width, 3)`."""
    import numpy as np

    return np.rint(image.pixels * 255).astype(np.uint8)


def to_integers(image: Image, bits: Literal[8, 16] = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return what files store: 0 to 2^bits - 1, `(height, width, 3)`, or with alpha 4 channels.

    Pixels p of opacity a are on white, and files store the colour by itself: (p - (1 - a)) / a, or
    white where a = 0.
    """
    import numpy as np

    values = image.pixels
    if image.alpha is not None:
        alpha = image.alpha[..., None]
        colours = (values - (1 - alpha)) / np.where(alpha > 0, alpha, 1)
        colours = np.where(alpha > 0, colours.clip(0, 1), 1)
        values = np.concatenate([colours, alpha], -1)
    whole: NDArray[np.float32] = np.rint(values * (2**bits - 1))
    return whole.astype(np.uint8) if bits == 8 else whole.astype(np.uint16)  # noqa: PLR2004 - bits


def require_same_size(canvas: Size, reference: Size | None) -> None:
    """Check that the reference has the size of the canvas, for use in `LossTerm.check`.

    Raises:
        NstflowError: It has not; the problem names the setting `image`.
    """
    if reference is not None and reference != canvas:
        got = f"the canvas is {size_text(canvas)}, but this image {size_text(reference)}."
        hint = "Resize or crop both to one size, or set start.like to this image's name."
        raise NstflowError(Problem("", "image", got, hint))
