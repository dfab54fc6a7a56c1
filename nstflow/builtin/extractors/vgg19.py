"""VGG-19, the network of the first papers on neural style transfer."""

import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, ValidationInfo, field_validator

from nstflow import (
    Asset,
    Cost,
    Extractor,
    Geometry,
    Name,
    NstflowError,
    Problem,
    Size,
    Tensor,
    tf,
)
from nstflow.toolkit import (
    Method,
    Padding,
    Pooling,
    conv3x3,
    load_weights,
    pool2x2,
    suggest,
    weights_asset,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions
_MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet, as the network was trained
_FLOAT = 4  # bytes
_MARGIN = 16  # mirrored pixels: a whole position of the deepest layers

# benchmarks/activations.py writes the file, and docs/weights.md names the photographs.
_MEANS_FILE = Path(__file__).with_name("vgg19_means.npz")
_MEANS = Asset(
    "mean activations",
    present=True,
    note="of each filter over 14 photographs; the file is part of nstflow",
    sha256="40f42664129e80d6de20ca6f8ea43853d1c681957de46a1440655b507e4588b8",
)

# Where Winograd's algorithm is faster on a CPU: not in the two thinnest layers, which are bound by
# memory, and not on maps so small that reading its larger kernels is most of the work.
_LEAST_OUTPUTS, _LEAST_POSITIONS = 128, 400


def _table() -> dict[str, tuple[int, tuple[int, int, int, int]]]:
    """Return layer → its block, from 0, and the shape of its kernel (rows, columns, in, out)."""
    layers = {}
    inputs = 3
    for block, (channels, convolutions) in enumerate(_BLOCKS):
        for number in range(1, convolutions + 1):
            layers[f"block{block + 1}_conv{number}"] = block, (3, 3, inputs, channels)
            inputs = channels
    return layers


_LAYERS = _table()


class VGG19(Extractor):
    """Compute the features of an image with the convolutions of VGG-19, each after its ReLU.

    Layers have the names that Keras gives them, `block1_conv1` to `block5_conv4`. Pixels are
    converted to BGR and scaled to 0-255, and ImageNet's mean is subtracted, as in the training of
    the network. Each convolution pads its border with zeros. With `padding: replicate`, the first
    one repeats the edges of the image instead. With `mirror`, the image is extended by 16 pixels,
    mirrored about its outer pixels, and feature maps are cropped again. Pooling halves both sides
    and drops an odd last row or column. Of 2×2 values it takes the maximum, the mean, or √(Σ x²),
    and multiplies it by `pooling_gain`.

    With `filters: normalized`, m is the mean activation of each filter over photographs, and a
    feature F becomes F / m: a kernel and its bias are divided by the m of its outputs, and the
    kernel is multiplied by the m of its inputs. The losses then have other values, so give them
    other weights in the recipe.

    Error: a side of an image is shorter than 2ᵇ⁻¹ pixels, where b is the block of the deepest layer
    in use (16 pixels for `block5_*`); with `mirror`, shorter than 17 pixels.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, configuration E. Normalized filters: Gatys, Ecker and Bethge, "Image
    Style Transfer Using Convolutional Neural Networks", CVPR 2016.
    """

    use: Literal["vgg19"] = "vgg19"
    weights: str = Field(
        "imagenet",
        min_length=1,
        description="imagenet, keras, random (for tests), or the path of a .h5 or .npz file.",
    )
    layers: dict[Name, tuple[str, ...]] = Field(
        {
            "content": ("block5_conv2",),
            "style": ("block1_conv1", "block3_conv1", "block5_conv1"),
        },
        description="Named groups of layers; `content` and `style` have defaults if left out.",
    )
    filters: Literal["trained", "normalized"] = Field(
        "trained",
        description="normalized: each filter is scaled to a mean activation of 1 on photographs.",
    )
    padding: Literal["zeros", "replicate", "mirror"] = Field(
        "zeros",
        description="What is outside the image. zeros: as in training; replicate: its edges, for"
        " the first convolution only; mirror: 16 mirrored pixels, against coloured dots at the"
        " border.",
    )
    pooling: Pooling = Field(
        "max",
        description="Of 2×2 positions: maximum, mean, or root of the sum of squares (l2).",
    )
    pooling_gain: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Multiplies each pooled map. 1.4 with avg and 0.65 with l2 keep mean"
        " activations within 15 % and 11 % of those with max.",
    )
    convolution: Literal["auto"] | Method | dict[str, Method] = Field(
        "auto",
        description="The algorithm of the convolutions, which changes speed and rounding: auto"
        " (chosen for each layer), direct or winograd. Or a mapping of layers to these; layers left"
        " out are auto.",
    )

    @field_validator("filters")
    @classmethod
    def _require_known_means(cls, filters: str, info: ValidationInfo) -> str:
        known = ("imagenet", "keras")
        if filters == "normalized" and info.data.get("weights", "imagenet") not in known:
            raise ValueError("the filters' mean activations are known for imagenet and keras alone")
        return filters

    @field_validator("convolution")
    @classmethod
    def _name_layers(cls, convolution: object) -> object:
        for layer in convolution if isinstance(convolution, dict) else ():
            if layer not in _LAYERS:
                hint = suggest(layer, _LAYERS) or f"There are {', '.join(_LAYERS)}"
                raise ValueError(f"there is no layer '{layer}'. {hint}")
        return convolution

    @field_validator("layers")
    @classmethod
    def _fill_in_groups(cls, layers: dict[Name, tuple[str, ...]]) -> dict[Name, tuple[str, ...]]:
        return {**cls.model_fields["layers"].default, **layers}

    def layer_names(self) -> Sequence[str]:
        """Return the sixteen convolutions."""
        return tuple(_LAYERS)

    def assets(self, folder: Path) -> Sequence[Asset]:
        """Return the weights, and the mean activations of normalized filters."""
        weights = weights_asset(self.weights, folder)
        return [weights] if self.filters == "trained" else [weights, _MEANS]

    def files(self, folder: Path) -> Mapping[str, Path]:
        """Return the file of weights, if `weights` names one."""
        if not Path(self.weights).suffix:
            return {}
        return {"weights": folder / os.path.expanduser(self.weights)}  # noqa: PTH111 - as `Stage`

    def settled(
        self, layers: Sequence[str], size: Size, device: Literal["cpu", "gpu"]
    ) -> Extractor:
        """Choose how to compute each convolution that the recipe leaves open."""
        if self.convolution in ("direct", "winograd"):
            return self
        chosen: dict[str, Method] = {}
        size = self._padded(size)
        for layer in _down_to(layers):
            block, (*_, inputs, outputs) = _LAYERS[layer]
            fits = inputs > 3 and outputs >= _LEAST_OUTPUTS  # noqa: PLR2004 - RGB
            large = (size[0] >> block) * (size[1] >> block) >= _LEAST_POSITIONS
            chosen[layer] = "winograd" if device == "cpu" and fits and large else "direct"
        if isinstance(self.convolution, dict):
            chosen |= self.convolution
        return self.model_copy(update={"convolution": chosen})

    def cost(self, layers: Sequence[str], size: Size) -> Cost:
        """Return the operations of the convolutions computed directly, and the bytes they hold."""
        flops = constants = maps = scratch = 0
        names = _down_to(layers)
        for deepest in names[-1:]:
            least, what = 1 << _LAYERS[deepest][0], deepest
            if self.padding == "mirror":
                least, what = _MARGIN + 1, "padding: mirror"
            if min(size) < least:
                raise ValueError(
                    f"{size[1]}×{size[0]} pixels are too few for {what}: each side needs {least}"
                )
        for layer in names:
            block, (*_, inputs, outputs) = _LAYERS[layer]
            height, width = (side >> block for side in self._padded(size))
            positions, winograd = height * width, self._method(layer) == "winograd"
            flops += 2 * 9 * inputs * outputs * positions
            constants += _FLOAT * inputs * outputs * (36 if winograd else 2 * 9)
            maps += _FLOAT * outputs * positions
            mixtures = 36 / 16 + 24 / 16 if winograd else 1  # of both axes, and of one
            scratch = max(scratch, round(_FLOAT * (inputs + outputs) * positions * mixtures))
        return Cost(flops, flops, constants=constants, maps=maps, scratch=scratch)

    def geometry(self, layer: str) -> Geometry:
        """Return how a layer lies over the pixels: each convolution sees one position around."""
        blocks = [_LAYERS[name][0] for name in _down_to([layer])]
        return Geometry(1 << blocks[-1], sum(1 << block for block in blocks))

    def build(
        self, layers: Sequence[str], folder: Path
    ) -> Callable[[Tensor], Mapping[str, Tensor]]:
        """Load the weights as far as the deepest layer needs them."""
        names = _down_to(layers)
        weights = load_weights(self.weights, {name: _LAYERS[name][1] for name in names}, folder)
        if self.filters == "normalized":
            _normalize(weights)
        # popped: the kernel is freed once the convolution has its own copies
        convolutions = {}
        for name in names:
            first = self.padding == "replicate" and name == names[0]
            padding: Padding = "replicate" if first else "zeros"
            convolutions[name] = conv3x3(*weights.pop(name), self._method(name), padding)

        def describe(canvas: Tensor) -> dict[str, Tensor]:
            x = canvas[..., ::-1] * 255.0 - tf.constant(_MEAN_BGR)
            margin = _MARGIN if self.padding == "mirror" else 0
            if margin:
                x = tf.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]], "REFLECT")
            features = {}
            depth = 0
            for name in names:
                if _LAYERS[name][0] > depth:
                    depth += 1
                    margin //= 2
                    x = pool2x2(x, self.pooling)
                    if self.pooling_gain != 1:
                        x *= self.pooling_gain
                x = tf.nn.relu(convolutions[name](x))
                if name in layers:
                    features[name] = x[:, margin:-margin, margin:-margin] if margin else x
            return features

        return describe

    def _padded(self, size: Size) -> Size:
        margins = 2 * _MARGIN if self.padding == "mirror" else 0
        return size[0] + margins, size[1] + margins

    def _method(self, layer: str) -> Method:
        if isinstance(self.convolution, dict):
            return self.convolution.get(layer, "direct")
        return "direct" if self.convolution == "auto" else self.convolution


def _down_to(layers: Sequence[str]) -> list[str]:
    """Return every layer that the deepest of `layers` needs, in order."""
    names = list(_LAYERS)
    return names[: max((names.index(layer) + 1 for layer in layers), default=0)]


def _normalize(weights: "dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]") -> None:
    """Divide kernel and bias of each filter by its mean activation m, so that features are F / m.

    The next layer's weights for it are multiplied by m. ReLU and pooling keep positive factors.
    """
    import numpy as np

    data = _MEANS_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != _MEANS.sha256:
        got = f"'{_MEANS_FILE}' is damaged: its sha256 is not the expected one."
        raise NstflowError(Problem("", "filters", got, "Install nstflow again."))
    means = np.load(io.BytesIO(data))
    inputs = np.ones(3)
    for layer, (kernel, bias) in weights.items():
        outputs = means[layer].astype(np.float64)
        scaled = kernel * (inputs[:, None] / outputs)
        weights[layer] = scaled.astype(np.float32), (bias / outputs).astype(np.float32)
        inputs = outputs
