"""Measure each convolution of VGG-19 against the rate of a large matrix product, on a CPU.

    python benchmarks/roofline.py [--size 512x384] [--iterations 6] [--repeats 3]

For every layer up to block5_conv2, it measures `conv3x3` and its gradient with respect to the
input, with the algorithm that is the layer's default ("chosen": direct or winograd) and with the
direct one. Both include the bias and run in a compiled loop, so that allocating memory is not
measured. GFLOP/s are effective: the operations of the direct algorithm divided by the time. So
winograd can be faster than the matrix product. The numbers are random, and each time is the
shortest of the repeats.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import common

from nstflow import tf  # loaded at first use

CHANNELS = {"block1": 64, "block2": 128, "block3": 256, "block4": 512, "block5": 512}
LAST = "block5_conv2"
PRODUCT = 2048

Apply = Callable[[Any], Any]


def product_rate(repeats: int) -> float:
    """Return the GFLOP/s of a float32 matrix product with XLA, as the best of the repeats."""
    program = tf.function(tf.matmul, jit_compile=True, autograph=False)
    a, b = (tf.random.stateless_normal((PRODUCT, PRODUCT), (0, n)) for n in (1, 2))
    times = []
    for _ in range(2 * repeats + 1):
        start = time.perf_counter()
        program(a, b)[0, 0].numpy()
        times.append(time.perf_counter() - start)
    return 2 * PRODUCT**3 / min(times[1:]) / 1e9


def loop_seconds(apply: Apply, shape: tuple[int, ...], iterations: int, repeats: int) -> float:
    """Return the seconds of one call in a compiled loop.

    Each iteration changes one number of the input by the previous result, and keeps the whole
    result, so that the compiler can't move anything out of the loop.
    """

    def body(index: Any, x: Any, y: Any) -> tuple[Any, ...]:
        x = tf.tensor_scatter_nd_update(x, [[0, 0, 0, 0]], [y[0, 0, 0, 0] * 1e-3])
        return index + 1, x, apply(x)

    def loop(x: Any, y: Any, count: Any) -> Any:
        return tf.while_loop(lambda index, *_: index < count, body, (tf.constant(0), x, y))[2]

    x = tf.random.stateless_normal(shape, (0, 0))
    y = tf.zeros(tf.function(apply, autograph=False).get_concrete_function(x).output_shapes)
    program = tf.function(loop, jit_compile=True, autograph=False)
    program = program.get_concrete_function(x, y, tf.constant(1))
    program(x, y, tf.constant(1))  # compiles, and warms up
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        program(x, y, tf.constant(iterations))[0, 0, 0, 0].numpy()
        times.append(time.perf_counter() - start)
    return min(times) / iterations


def both_ways(convolve: Apply, shape: tuple[int, ...]) -> tuple[Apply, Apply]:
    """Return a convolution, and its gradient with respect to an input of this shape."""

    def gradient(upstream: Any) -> Any:
        x = tf.zeros(shape)  # the gradient doesn't depend on it: XLA leaves the forward pass out
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = convolve(x)
        return tape.gradient(y, x, output_gradients=upstream)

    return convolve, gradient


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=common.parse_size, default=(512, 384))
    parser.add_argument("--iterations", type=int, default=6, help="calls in a loop")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

    import numpy as np

    from nstflow.builtin.extractors.vgg19 import VGG19
    from nstflow.engine.convolution import conv3x3

    width, height = options.size
    network = VGG19(weights="random")
    names = list(network.layer_names())
    names = names[: names.index(LAST) + 1]
    chosen = network.settled(names, (height, width), "cpu").convolution
    rate = product_rate(options.repeats)
    print(common.machine("nstflow", "tensorflow"))
    print(f"\n{PRODUCT}x{PRODUCT} matrix product, float32: {rate:.0f} GFLOP/s")
    print(f"\n{width}x{height}, milliseconds and effective GFLOP/s\n")

    rows, flops_in_all = [], 0
    totals = {"chosen": 0.0, "direct": 0.0}
    inputs = 3
    for name in names:
        block = int(name[len("block")]) - 1
        outputs, rows_down, columns = CHANNELS[f"block{block + 1}"], height >> block, width >> block
        flops = 2 * 9 * inputs * outputs * rows_down * columns
        kernel = np.random.default_rng(0).normal(
            0, (2 / 9 / inputs) ** 0.5, (3, 3, inputs, outputs)
        )
        shapes = [(1, rows_down, columns, channels) for channels in (inputs, outputs)]
        seconds: dict[tuple[str, str], float] = {}
        for method in dict.fromkeys(("direct", chosen[name])):
            convolve = conv3x3(kernel.astype(np.float32), np.zeros(outputs, np.float32), method)
            for way, apply, shape in zip(
                ("forward", "gradient"), both_ways(convolve, shapes[0]), shapes, strict=True
            ):
                seconds[way, method] = loop_seconds(
                    apply, shape, options.iterations, options.repeats
                )
        for way in ("forward", "gradient"):
            best, direct = seconds[way, chosen[name]], seconds[way, "direct"]
            totals["chosen"] += best
            totals["direct"] += direct
            flops_in_all += flops
            rows.append((name, way, chosen[name], *figures(flops, best, direct, rate)))
        inputs = outputs
    rows.append(("all", "", "", *figures(flops_in_all, totals["chosen"], totals["direct"], rate)))
    header = ("layer", "", "chosen", "ms", "GFLOP/s", "share", "direct ms", "GFLOP/s", "share")
    common.print_table(header, rows)


def figures(flops: int, chosen: float, direct: float, rate: float) -> list[str]:
    """Return ms, GFLOP/s and the share of the product's rate, for both algorithms."""
    cells = []
    for seconds in (chosen, direct):
        speed = flops / seconds / 1e9
        cells += [f"{seconds * 1e3:.2f}", f"{speed:.1f}", f"{speed / rate:.0%}"]
    return cells


if __name__ == "__main__":
    main()
