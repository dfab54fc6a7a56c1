"""Any convolutional network of `keras.applications`."""

import bisect
import inspect
import math
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nstflow import Asset, Cost, Extractor, Name, NstflowError, Problem, Size, Tensor
from nstflow.toolkit import (
    conv3x3,
    import_keras,
    keras_asset,
    size_text,
    suggest,
    weights_asset,
    weights_file,
)

_PIXELS = "image"
_NAMES = ("imagenet", "random")  # in place of a file
_FILES = (".h5",)
_LARGEST = 1024  # side of an image, to find the least one that a network takes
_MOST_LISTED = 30  # names in a hint
_ALIKE = 5  # letters

_HOW_TO_SAVE = (
    "It needs the weights of this network without its classifier (include_top=False), saved by"
    " `model.save_weights('w.weights.h5')`."
)
_LONGEST = 300  # letters of a text of Keras


class KerasNetwork(Extractor):
    """Compute the features of an image with a network of `keras.applications`, chosen by its name.

    Layers have the names that Keras gives them, without its input, and mean what the layer puts
    out: in VGG16, convolutions after their ReLU; in networks with batch normalization, a
    convolution alone, and its activation is another layer. A layer can be used if its output is a
    feature map `(1, h, w, c)`. The network is built without its classifier, down to the layers in
    use, for images of any size. It predicts: batch normalization uses the stored means, and dropout
    does nothing. Pixels, scaled to 0-255, are prepared as the network's `preprocess_input` does.

    `weights: imagenet` are those of Keras, which downloads them into its own folder at first use. A
    file has the weights of the same network without its classifier, as
    `model.save_weights("w.weights.h5")` writes them; Keras reads them, and no code in them is
    executed.

    The names and the least size are known only when the network is built, before the first step, so
    `nstflow plan` checks neither, and does not know the cost. Keras computes everything but the 3×3
    convolutions with stride 1, which are those of `vgg19` with `convolution: direct`.

    Error: a name that Keras does not have, a layer without a feature map, an image so small that a
    layer would be empty, and Keras with another backend than TensorFlow or with channels first.

    Source: Keras, https://keras.io/api/applications/.
    """

    use: Literal["keras"] = "keras"
    network: str = Field(
        min_length=1,
        examples=["VGG16"],
        description="The name of a network in keras.applications, such as VGG16 or ResNet50.",
    )
    weights: str = Field(
        "imagenet",
        min_length=1,
        description="imagenet, random (for tests), or the path of a .h5 file.",
    )
    layers: dict[Name, tuple[str, ...]] = Field(
        {},
        examples=[{"content": ["block4_conv2"], "style": ["block1_conv1", "block3_conv1"]}],
        description="Named groups of layers, by the names of Keras.",
    )

    def layer_names(self) -> None:
        """Return None: only Keras knows the layers."""

    def cost(self, layers: Sequence[str], size: Size) -> Cost | None:  # noqa: ARG002 - the contract
        """Return None: only Keras knows the cost."""
        return None

    def assets(self, folder: Path) -> Sequence[Asset]:
        """Return the weights."""
        if self.weights == "imagenet":
            return [keras_asset(self.network, partial(_fetch, self.network))]
        if self.weights == "random":
            return [weights_asset("random", folder)]
        file = weights_file(self.weights, folder, _NAMES, _FILES)
        return [Asset(f"weights {file.name}", present=True, note="a local file")]

    def files(self, folder: Path) -> Mapping[str, Path]:
        """Return the file of weights, if `weights` names one."""
        if self.weights in _NAMES:
            return {}
        return {"weights": folder / os.path.expanduser(self.weights)}  # noqa: PTH111 - as `Stage`

    def build(
        self, layers: Sequence[str], folder: Path
    ) -> Callable[[Tensor], Mapping[str, Tensor]]:
        """Build the network with its weights, and keep what the layers need."""
        keras = _keras()
        whole, prepare = _network(keras, self.network, pretrained=self.weights == "imagenet")
        known = _by_name(whole)
        self._check_layers(layers, known)
        if self.weights == "random":
            _draw(keras, whole)
        elif self.weights != "imagenet":
            _load(whole, weights_file(self.weights, folder, _NAMES, _FILES))
        network = keras.Model(whole.inputs, {layer: known[layer].output for layer in layers})
        network.trainable = False
        _speed_up(keras, network)

        def describe(canvas: Tensor) -> dict[str, Tensor]:
            size = canvas.shape[1], canvas.shape[2]
            if not _fits(network, size):
                raise NstflowError(self._too_small(network, size))
            maps: dict[str, Tensor] = network(prepare(canvas * 255.0), training=False)
            return maps

        return describe

    def _check_layers(self, layers: Sequence[str], known: Mapping[str, Any]) -> None:
        problems = []
        named = [layer for group in self.layers.values() for layer in group]
        for layer in dict.fromkeys([*layers, *named]):
            if layer == _PIXELS:
                continue
            if layer not in known:
                got = f"{self.network} has no layer '{layer}'."
                problems.append(Problem("", f"layers.{layer}", got, self._near(layer, known)))
            elif len(shape := getattr(known[layer].output, "shape", ())) != 4:  # noqa: PLR2004
                of = f"the layer '{layer}' of {self.network}"
                got = f"{of} is no feature map: its output has the shape {shape}."
                hint = "Use one whose output is (1, h, w, c), such as a convolution."
                problems.append(Problem("", f"layers.{layer}", got, hint))
        if problems:
            raise NstflowError(problems)

    def _near(self, layer: str, known: Mapping[str, Any]) -> str:
        names = list(known)
        # the nearest begins like it: only so many are compared
        alike = sorted(names, key=lambda name: name[:_ALIKE] != layer[:_ALIKE])
        there_are = f"Its layers: {', '.join(names)}."
        if len(names) > _MOST_LISTED:
            script = (
                "import keras;"
                f" [print(layer.name) for layer in keras.applications.{self.network}("
                "weights=None, include_top=False).layers]"
            )
            there_are = f'This lists its {len(names)} layers: python -c "{script}"'
        return f"{suggest(layer, alike)} {there_are}".strip()

    def _too_small(self, network: Any, size: Size) -> Problem:
        sides = range(1, _LARGEST + 1)
        least = bisect.bisect_left(sides, True, key=lambda side: _fits(network, (side, side))) + 1
        if least > _LARGEST:
            got = f"{self.network} can't be computed for images of any size, such as"
            return Problem(
                "", "network", f"{got} {size_text(size)} pixels.", "Use another network."
            )
        of = f"these layers of {self.network}"
        got = f"{size_text(size)} pixels are too few for {of}: each side needs {least}."
        # of a side that was rounded to its pixels, too
        longest = math.ceil(least * max(size) / (min(size) - 0.5))
        hint = "Prepare the images, or begin the schedule, at a larger size: a longest side of"
        return Problem("", "layers", got, f"{hint} {longest} pixels is enough.")


def _keras() -> Any:
    """Return the module `keras`, if it computes as this stage needs it."""
    keras = import_keras("use")
    wanted = {
        "backend": ("tensorflow", keras.config.backend()),
        "image_data_format": ("channels_last", keras.config.image_data_format()),
        "floatx": ("float32", keras.config.dtype_policy().name),
    }
    for setting, (value, got) in wanted.items():
        if got != value:
            problem = f"Keras is set to {setting} {got}, but this stage needs {value}."
            how = "in its file keras.json"
            if setting == "backend":
                how = "by the environment variable KERAS_BACKEND"
            raise NstflowError(Problem("", "use", problem, f"Set it {how}."))
    return keras


def _network(keras: Any, name: str, *, pretrained: bool) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """Return a network for images of any size, and the function that prepares its pixels."""
    networks = dict(inspect.getmembers(keras.applications, inspect.isfunction))
    if name not in networks:
        hint = f"{suggest(name, networks)} There are {', '.join(networks)}.".strip()
        problem = f"Keras has no network called '{name}'."
        raise NstflowError(Problem("", "network", problem, hint))
    try:
        with warnings.catch_warnings():
            # that the weights are those of 224×224 pixels
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            network = networks[name](
                include_top=False,
                weights="imagenet" if pretrained else None,
                input_shape=(None, None, 3),
            )
    except Exception as error:  # a bare Exception where a download fails
        problem = f"Keras can't make {name} with these weights ({_text(error)})."
        hint = "It downloads them at first use: check the connection. Or name a file."
        raise NstflowError(Problem("", "weights", problem, hint)) from error
    prepare: Callable[[Tensor], Tensor] = vars(inspect.getmodule(networks[name]))[
        "preprocess_input"
    ]
    return network, prepare


def _fetch(name: str, _report: object) -> None:
    _network(_keras(), name, pretrained=True)  # Keras shows its own progress


def _by_name(network: Any) -> dict[str, Any]:
    """Return name → layer, in the network's order, without its input.

    Keras numbers layers that its code does not name, `add` and `add_1`, through all networks of a
    process. Here the numbers begin anew, as in a new process.
    """
    first: dict[str, int] = {}
    parts = []
    for layer in network.layers[1:]:
        stem = re.sub(r"_\d+$", "", layer.name)
        if stem.replace("_", "") != type(layer).__name__.lower():
            stem = layer.name
        number = int(layer.name[len(stem) + 1 :] or 0)
        first[stem] = min(first.get(stem, number), number)
        parts.append((stem, number, layer))
    return {
        f"{stem}_{number - first[stem]}" if number > first[stem] else stem: layer
        for stem, number, layer in parts
    }


def _draw(keras: Any, network: Any) -> None:
    """Draw the kernels He-normal, as those of `vgg19`; what else there is stays as Keras begins it.

    The standard deviation is √(2 / n), where n inputs reach each output.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    for layer in network.layers:
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if len(shape) > 1:
                by_channel = isinstance(layer, keras.layers.DepthwiseConv2D)
                by_channel |= variable.name == "depthwise_kernel"
                inputs = math.prod(shape[:2] if by_channel else shape[:-1])
                variable.assign(generator.normal(0, math.sqrt(2 / inputs), shape))


def _load(network: Any, file: Path) -> None:
    """Load the weights of a file."""
    import numpy as np

    for variable in network.weights:  # what Keras does not find in a file, it leaves as it is
        variable.assign(np.full(variable.shape, math.nan))
    got = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it does not find
            network.load_weights(file)
        for layer in network.layers:
            if not all(np.isfinite(variable).all() for variable in layer.weights):
                got = (
                    f"'{layer.name}' has none in it, or numbers that are not finite (NaN, infinite)"
                )
                break
    except Exception as error:  # noqa: BLE001 - a damaged file raises anything
        got = f"Keras can't load it ({_text(error)})"
    if got:
        raise NstflowError(Problem("", "weights", f"'{file}' can't be used: {got}.", _HOW_TO_SAVE))


def _speed_up(keras: Any, network: Any) -> None:
    """Compute plain 3×3 convolutions as `vgg19` does, whose gradient is several times as fast."""
    import numpy as np

    plain = ((3, 3), (1, 1), (1, 1), "same", 1)
    for layer in network.layers:
        if type(layer) is keras.layers.Conv2D and plain == (
            *(layer.kernel_size, layer.strides, layer.dilation_rate),
            *(layer.padding, layer.groups),
        ):
            kernel = layer.kernel.numpy()
            product = conv3x3(kernel, np.zeros(kernel.shape[-1], np.float32))  # Keras adds the bias
            layer.convolution_op = lambda x, _kernel, product=product: product(x)


def _fits(network: Any, size: Size) -> bool:
    """Return whether all layers have positions, for an image of a size."""
    try:
        shapes = network.compute_output_shape((1, *size, 3))
    except ValueError:
        return False
    return all(min(shape[1:3]) > 0 for shape in shapes.values())


def _text(error: Exception) -> str:
    """Return what Keras says, in one line."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
