"""TensorFlow, imported at first use: a stage file reads like ordinary TensorFlow and costs nothing.

`nstflow --help` and `nstflow validate` answer at once because nothing imports TensorFlow until a
method computes.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any, TypeAlias

from nstflow.storage.files import check_temporary_folder

Tensor: TypeAlias = Any
"""A `tf.Tensor`. Annotating with `tf.Tensor` itself would import TensorFlow."""

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"

_FIXED = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""Variables that TensorFlow reads when it is imported, and that change how it rounds.

oneDNN's operations are on by default on some processors only. With one value everywhere, the
user's own makes no difference. Nearly all is computed by XLA, which does not use them.
"""

_LOCKING = "HDF5_USE_FILE_LOCKING"
"""The variable that HDF5 reads when TensorFlow imports it: by default, files that are read are
locked, which fails on file systems without locks."""


class _LazyTensorFlow:
    """Stand-in for the module `tensorflow`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspection by tools must not cost an import
            raise AttributeError(name)
        start()
        return getattr(importlib.import_module("tensorflow"), name)

    def __repr__(self) -> str:
        return "<tensorflow, imported at first use>"


def start() -> None:
    """Import TensorFlow, if no one has yet, with the variables that decide how it rounds.

    Raises:
        NstflowError: There is no folder for temporary files, which TensorFlow needs.
    """
    if "tensorflow" in sys.modules:
        return
    check_temporary_folder()
    os.environ.update(_FIXED)
    os.environ.setdefault(_LOCKING, "FALSE")
    if _LOG_LEVEL in os.environ:
        importlib.import_module("tensorflow")
        return
    os.environ[_LOG_LEVEL] = "3"  # what matters comes as an exception
    with _without_notices():
        importlib.import_module("tensorflow")


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    """Drop what is written to the standard error, or pass it on where something is raised.

    TensorFlow's libraries write notices there before any log level applies; they would tear the
    progress display.
    """
    try:
        saved = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as notices:
        os.dup2(notices.fileno(), 2)
        try:
            yield
        except Exception:
            notices.seek(0)
            os.write(saved, notices.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


tf: Any = _LazyTensorFlow()
