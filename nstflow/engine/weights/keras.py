"""Keras's own weights of VGG-19, in Keras's cache."""

import os
from pathlib import Path

from nstflow.errors import NstflowError, Problem
from nstflow.stages.tensorflow import start
from nstflow.stages.types import Asset
from nstflow.storage.files import sha256_of

_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
_MD5 = "253f8cb515780f3b799900260a226db6"
_ORIGIN = "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"


def path() -> Path:
    """Return where Keras keeps its file, without importing Keras."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "models" / _FILE


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
    start()  # Keras imports TensorFlow
    from keras.utils import get_file

    try:
        return Path(get_file(_FILE, _ORIGIN + _FILE, cache_subdir="models", file_hash=_MD5))
    except Exception as error:  # Keras raises a bare Exception where the download fails
        problem = f"Keras could not fetch its weights ({error})."
        hint = "`weights: imagenet` takes the same network from the package index."
        raise NstflowError(Problem("", "weights", problem, hint)) from error


def _fetch_silently(_report: object) -> None:
    fetch()  # Keras shows its own progress
