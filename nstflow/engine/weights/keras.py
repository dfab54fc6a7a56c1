"""Keras, and its own weights of VGG-19 in its cache."""

import os
from pathlib import Path
from typing import Any

from nstflow.errors import NstflowError, Problem
from nstflow.stages.tensorflow import start
from nstflow.stages.types import Asset
from nstflow.storage.files import sha256_of

_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
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


def models_folder() -> Path:
    """Return where Keras keeps weights, without importing Keras."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "models"


def path() -> Path:
    """Return where Keras keeps its file of VGG-19."""
    return models_folder() / _FILE


def asset() -> Asset:
    """Return what a plan says of the file."""
    note = "Keras's own file, 80 MB, float32, fetched by Keras"
    present = path().is_file()
    sha256 = sha256_of(path()) if present else None
    return Asset("Keras weights", present, note, _fetch_silently, sha256)


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
