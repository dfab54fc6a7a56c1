"""Keras, and its own weights in its cache."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.stages.tensorflow import start
from nstflow.stages.types import Asset
from nstflow.storage.files import no_home, sha256_of

_KERNELS = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"

_FILES = {
    **{
        name: _KERNELS.format(name.lower())
        for name in (
            *("VGG16", "VGG19", "Xception", "ResNet50", "ResNet101", "ResNet152"),
            *("ResNet50V2", "ResNet101V2", "ResNet152V2"),
            *("DenseNet121", "DenseNet169", "DenseNet201"),
        )
    },
    "InceptionV3": _KERNELS.format("inception_v3"),
    "InceptionResNetV2": _KERNELS.format("inception_resnet_v2"),
    "MobileNet": "mobilenet_1_0_224_tf_no_top.h5",
    "MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    "MobileNetV3Small": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "MobileNetV3Large": "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    **{f"EfficientNetB{n}": f"efficientnetb{n}_notop.h5" for n in range(8)},
    **{
        f"EfficientNetV2{kind}": f"efficientnetv2-{kind.lower()}_notop.h5"
        for kind in ("B0", "B1", "B2", "B3", "S", "M", "L")
    },
    **{
        f"ConvNeXt{kind}": f"convnext_{kind.lower()}_notop.h5"
        for kind in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
}
"""Network of keras.applications → the file of its ImageNet weights without the classifier.

NASNet is not among them: Keras loads its weights for one size of images only.
"""

_FILE = _FILES["VGG19"]
_MD5 = "253f8cb515780f3b799900260a226db6"
_ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"


def import_keras(setting: str) -> Any:
    """Return the module `keras`, imported after TensorFlow.

    Args:
        setting: What needs it, for the problem.

    Raises:
        NstflowError: It can't be imported, as where its backend is not installed.
    """
    start()
    try:
        import keras
    except Exception as error:  # an unknown backend is a ValueError
        problem = f"Keras can't be imported ({error})."
        hint = "If it has another backend, set the environment variable KERAS_BACKEND=tensorflow."
        raise NstflowError(Problem("", setting, problem, hint)) from error
    return keras


def path(network: str = "VGG19") -> Path:
    """Return where Keras keeps its file, without importing Keras.

    Raises:
        NstflowError: The user has no home folder.
    """
    try:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    except RuntimeError as error:
        raise NstflowError(no_home("Keras's weights", "KERAS_HOME")) from error
    return home / "models" / _FILES[network]


def asset() -> Asset:
    """Return what a plan says of the file."""
    note = "Keras's own file, 80 MB, float32, fetched by Keras"
    present = path().is_file()
    sha256 = sha256_of(path()) if present else None
    return Asset("Keras weights", present, note, _fetch_silently, sha256)


def keras_asset(network: str, fetch: Callable[[object], None]) -> Asset:
    """Return what a plan says of Keras's ImageNet weights of a network.

    Args:
        network: Its name in `keras.applications`.
        fetch: Downloads them, as `Asset.fetch`.
    """
    name, note = f"ImageNet weights of {network}", "Keras's own file, fetched by Keras"
    if network not in _FILES:  # of a later Keras, or misspelt, which Keras alone knows
        return Asset(name, present=False, note="fetched by Keras when it builds the network")
    present = path(network).is_file()
    return Asset(name, present, note, fetch, sha256_of(path(network)) if present else None)


def fetch() -> Path:
    """Return the file, fetched by Keras's own downloader.

    Raises:
        NstflowError: It can't be fetched.
    """
    keras = import_keras("weights")
    try:
        get_file = keras.utils.get_file
        return Path(get_file(_FILE, _ORIGIN + _FILE, cache_subdir="models", file_hash=_MD5))
    except Exception as error:  # Keras raises a bare Exception where the download fails
        problem = f"Keras could not fetch its weights ({error})."
        hint = "`weights: imagenet` takes the same network from the package index."
        raise NstflowError(Problem("", "weights", problem, hint)) from error


def _fetch_silently(_report: object) -> None:
    fetch()  # Keras shows its own progress
