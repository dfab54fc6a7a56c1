"""TensorFlow, imported at first use: a stage file reads like ordinary TensorFlow and costs nothing.

`nstflow --help` and `nstflow validate` answer at once because nothing imports TensorFlow until a
method computes.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A `tf.Tensor`. Annotating with `tf.Tensor` itself would import TensorFlow."""


class _LazyTensorFlow:
    """Stand-in for the module `tensorflow`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspection by tools must not cost an import
            raise AttributeError(name)
        return getattr(_tensorflow(), name)

    def __repr__(self) -> str:
        return "<tensorflow, imported at first use>"


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its notices would tear the display
    return importlib.import_module("tensorflow")


tf: Any = _LazyTensorFlow()
