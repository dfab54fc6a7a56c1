"""Network weights: by name, from the cache, or from a file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nstflow.engine.weights import formats, imagenet, keras
from nstflow.engine.weights.hdf5 import read_h5
from nstflow.errors import NstflowError, Problem, suggest
from nstflow.stages.types import Asset

if TYPE_CHECKING:
    from nstflow.engine.weights.formats import Shape, Weights

__all__ = ["imagenet", "load_weights", "named_assets", "weights_asset", "weights_file"]

RANDOM_NOTE = "random numbers: for tests of mechanics only, the picture means nothing"

_NAMES = ("imagenet", "keras", "random")
_SUFFIXES = (".h5", ".npz")

_OTHER_FILES = {
    ".keras": "'{}' is the archive of a whole model, which can hold code: it is not read.",
    ".hdf5": "'{}' is an HDF5 file by its name, but only those with the suffix .h5 are read.",
}
"""Suffix of files that Keras writes but that are not read → why."""

_HOW_TO_SAVE = (
    "Save the weights alone, by `model.save_weights('{}.weights.h5')` in Keras, and name that file."
)


def load_weights(name: str, shapes: Mapping[str, Shape], folder: Path) -> Weights:
    """Return layer → (kernel `(3, 3, in, out)`, bias `(out,)`), float32, of all layers in `shapes`.

    Args:
        name: `imagenet`, fetched at first use; `keras`, fetched by Keras; `random`, seeded and
            He-normal; or the path of a `.h5` or `.npz` file, relative to `folder`.
        shapes: Layer → shape of its kernel.
        folder: The recipe's.

    Raises:
        NstflowError: The file is missing, damaged, of another kind, lacks a layer, or holds
            numbers that are not finite. Its problem says what to do.
    """
    if name == "random":
        return _random(shapes)
    read: Callable[[Path, Mapping[str, Shape]], Weights]
    if name == "imagenet":
        imagenet.fetch()
        source, read = imagenet.path(), formats.read_quantized
    elif name == "keras":
        source, read = keras.fetch(), read_h5
    else:
        source = weights_file(name, folder)
        read = read_h5 if source.suffix.lower() == ".h5" else formats.read_npz
    try:
        return formats.checked(read(source, shapes), shapes)
    except formats.WeightsError as error:
        raise NstflowError(Problem("", "weights", f"'{source}' can't be used: {error}.")) from error


def weights_asset(name: str, folder: Path) -> Asset:
    """Return what a plan says of these weights, without loading them.

    Raises:
        NstflowError: There is no such file, or the one in the cache is damaged.
    """
    if name == "random":
        return Asset("random weights", present=True, note=RANDOM_NOTE)
    if name == "imagenet":
        if imagenet.state() == "damaged":
            raise NstflowError(imagenet.damage())
        return imagenet.asset()
    if name == "keras":
        return keras.asset()
    return Asset(f"weights {weights_file(name, folder).name}", present=True, note="a local file")


def named_assets() -> list[Asset]:
    """Return the weights that recipes can name, as `weights_asset` sees them."""
    return [imagenet.asset(), keras.asset(), weights_asset("random", Path())]


def weights_file(
    name: str,
    folder: Path,
    names: Sequence[str] = _NAMES,
    suffixes: Sequence[str] = _SUFFIXES,
) -> Path:
    """Return the file that `weights` names.

    Args:
        name: What the recipe says.
        folder: The recipe's.
        names: What it may say in place of a path.
        suffixes: Of the files that can be read.

    Raises:
        NstflowError: There is no such file, or files of its kind can't be read.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in suffixes:
        got = _OTHER_FILES.get(suffix, "there are no weights called '{}'.").format(name)
        known = f"Known: {', '.join(names)}, or the path of a {' or '.join(suffixes)} file."
        hint = f"{suggest(name, names)} {known}".strip()
        if suffix in _OTHER_FILES:
            hint = _HOW_TO_SAVE.format(Path(name).stem)
        raise NstflowError(Problem("", "weights", got, hint))
    try:
        path = folder / Path(name).expanduser()
        found = path.is_file()
    except (OSError, RuntimeError) as error:  # the name is too long, or `~user` is unknown
        problem = f"'{name}' can't be looked up ({error})."
        raise NstflowError(Problem("", "weights", problem)) from error
    if not found:
        raise NstflowError(Problem("", "weights", f"there is no file '{os.path.normpath(path)}'."))
    return path


def _random(shapes: Mapping[str, Shape]) -> Weights:
    import numpy as np

    generator = np.random.default_rng(0)
    return {
        layer: (
            generator.normal(0, math.sqrt(2 / math.prod(shape[:3])), shape).astype(np.float32),
            np.zeros(shape[3], np.float32),
        )
        for layer, shape in shapes.items()
    }
