"""Measure the activations of VGG-19 over photographs: the mean of each filter, and of pooled maps.

    python benchmarks/activations.py means [--write]
    python benchmarks/activations.py gains avg 1 2

`means` measures each filter's mean activation, over positions, then over the photographs. It prints
the range of these with `filters: normalized`, which should be 1, or writes those of the trained
filters to `nstflow/builtin/extractors/vgg19_means.npz`. `gains` prints the means of layers' pooled
maps, then of layers with each `pooling_gain`, relative to those with `max`.

The photographs are those of `recipes/images` and of two packages, which need not be importable:
their files lie in the wheels scikit-image 0.26.0 and scikit-learn 1.9.1, which pip downloads. Each
is at most 512 pixels long. They are checked by their sha256.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import common
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nstflow import tf
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.toolkit import Pooling, pool2x2

PHOTOGRAPHS = {
    "recipes/images/chelsea.png": "596aa1e7cb875eb7",
    "recipes/images/coffee.png": "cc02f8ca188b167c",
    "recipes/images/hubble.jpg": "3a19c5dd8a927a93",
    "recipes/images/rocket.jpg": "c2dd0de7c538df8d",
    "skimage/data/astronaut.png": "88431cd9653ccd53",
    "skimage/data/brick.png": "7966caf324f6ba84",
    "skimage/data/camera.png": "b0793d2adda0fa6a",
    "skimage/data/coins.png": "f8d773fc9cfa6f4d",
    "skimage/data/grass.png": "b6b6022426b38936",
    "skimage/data/gravel.png": "c48615b451bf1e60",
    "skimage/data/moon.png": "78739619d11f7eb9",
    "skimage/data/motorcycle_left.png": "db18e9c415761740",
    "sklearn/datasets/images/china.jpg": "8378025ad2519d64",
    "sklearn/datasets/images/flower.jpg": "a77f6ec41e353afd",
}
"""File, in the folder of recipes or of a package → the beginning of its sha256."""

LONGEST = 512
MEANS = common.ROOT / "nstflow" / "builtin" / "extractors" / "vgg19_means.npz"
LAYERS = tuple(VGG19().layer_names())


def photographs() -> Iterator[NDArray[np.float32]]:
    """Yield the pixels of each photograph, `(1, h, w, 3)`."""
    for name, sha256 in PHOTOGRAPHS.items():
        top, _, rest = name.partition("/")
        spec = None if top == "recipes" else find_spec(top)
        if top != "recipes" and spec is None:
            raise SystemExit(f"{name}: there is no package {top}")
        folder = Path(*spec.submodule_search_locations or ()) if spec else common.ROOT / top
        data = (folder / rest).read_bytes()
        if not hashlib.sha256(data).hexdigest().startswith(sha256):
            raise SystemExit(f"{folder / rest} is another file: its sha256 does not match")
        with Image.open(folder / rest) as file:
            image = file.convert("RGB")
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        yield np.asarray(image, np.float32)[None] / 255


def means(network: VGG19) -> dict[str, NDArray[np.float64]]:
    """Return layer → the mean activation of each filter."""
    function = network.build(LAYERS, Path())
    sums = dict.fromkeys(LAYERS, np.float64(0))
    for pixels in photographs():
        for layer, features in function(tf.constant(pixels)).items():
            sums[layer] = sums[layer] + features.numpy().mean((0, 1, 2), np.float64)
    return {layer: total / len(PHOTOGRAPHS) for layer, total in sums.items()}


def print_gains(pooling: Pooling, gains: Sequence[float]) -> None:
    """Print how large mean activations are, relative to those with maxima."""
    firsts = [f"block{block}_conv1" for block in range(2, 6)]
    befores = [max(each for each in LAYERS if each < first) for first in firsts]
    maxima, pooled, layers = Counter[str](), Counter[str](), Counter[tuple[float, str]]()
    network = VGG19().build([*befores, *firsts], Path())
    others = {
        gain: VGG19(pooling=pooling, pooling_gain=gain).build(firsts, Path()) for gain in gains
    }
    for pixels in photographs():
        canvas = tf.constant(pixels)
        features = network(canvas)
        for layer in befores:
            maxima[layer] += float(tf.reduce_mean(pool2x2(features[layer], "max")))
            pooled[layer] += float(tf.reduce_mean(pool2x2(features[layer], pooling)))
        for layer in firsts:
            maxima[layer] += float(tf.reduce_mean(features[layer]))
        for gain, other in others.items():
            for layer, maps in other(canvas).items():
                layers[gain, layer] += float(tf.reduce_mean(maps))
    print("pooled maps:", *(f"{each} {pooled[each] / maxima[each]:.3f}" for each in befores))
    for gain in gains:
        ratios = (f"{each} {layers[gain, each] / maxima[each]:.3f}" for each in firsts)
        print(f"gain {gain}:", *ratios)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("means").add_argument("--write", action="store_true")
    gains = commands.add_parser("gains")
    gains.add_argument("pooling", choices=["avg", "l2"])
    gains.add_argument("gains", type=float, nargs="+")
    options = parser.parse_args()
    if options.command == "gains":
        print_gains(options.pooling, options.gains)
        return
    if options.write:
        measured = means(VGG19())
        np.savez(MEANS, **{layer: np.float32(numbers) for layer, numbers in measured.items()})
        print("sha256", hashlib.sha256(MEANS.read_bytes()).hexdigest())
        return
    for layer, numbers in means(VGG19(filters="normalized")).items():
        print(f"{layer}: {numbers.min():.6f} to {numbers.max():.6f}")


if __name__ == "__main__":
    main()
