"""VGG-19, the network of the first papers on neural style transfer."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from nstflow import Asset, Cost, Extractor, Geometry, Name, Size, Tensor, tf
from nstflow.toolkit import Method, conv3x3, load_weights, pool2x2, suggest, weights_asset

_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions
_MEAN_BGR = (103.939, 116.779, 123.68)  # of ImageNet, as the network was trained
_FLOAT = 4  # bytes

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
    the network. Borders are padded with zeros. Pooling halves a side and drops an odd last row or
    column.

    Errors: a side is shorter than 2ᵇ⁻¹ pixels for a layer of block b (16 for `block5_*`).

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", ICLR 2015, configuration E.
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
        description="Named groups of layers; each group left out has its default.",
    )
    pooling: Literal["max", "avg"] = Field("max", description="Maximum or mean of four positions.")
    convolution: Literal["auto"] | Method | dict[str, Method] = Field(
        "auto",
        description="auto, direct, winograd, or a mapping layer: algorithm, the rest auto.",
    )

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
        """Return the weights."""
        return [weights_asset(self.weights, folder)]

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
        for layer in _down_to(layers):
            block, (*_, inputs, outputs) = _LAYERS[layer]
            height, width = size[0] >> block, size[1] >> block
            if not (height and width):
                least = 1 << block
                raise ValueError(
                    f"{size[1]}×{size[0]} pixels are too few for {layer}: each side needs {least}"
                )
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
        # popped: the kernel is freed once the convolution has its own copies
        convolutions = {name: conv3x3(*weights.pop(name), self._method(name)) for name in names}

        def describe(canvas: Tensor) -> dict[str, Tensor]:
            x = canvas[..., ::-1] * 255.0 - tf.constant(_MEAN_BGR)
            features = {}
            depth = 0
            for name in names:
                if _LAYERS[name][0] > depth:
                    depth += 1
                    x = pool2x2(x, self.pooling)
                x = tf.nn.relu(convolutions[name](x))
                if name in layers:
                    features[name] = x
            return features

        return describe

    def _method(self, layer: str) -> Method:
        if isinstance(self.convolution, dict):
            return self.convolution.get(layer, "direct")
        return "direct" if self.convolution == "auto" else self.convolution


def _down_to(layers: Sequence[str]) -> list[str]:
    """Return every layer that the deepest of `layers` needs, in order."""
    names = list(_LAYERS)
    return names[: max((names.index(layer) + 1 for layer in layers), default=0)]
