"""Compare the speed and memory of nstflow and two other programs on a CPU.

    python benchmarks/peers.py [--sizes 512x384 256x192] [--rounds 3] [--steps 4]
        [--programs nstflow pastiche tutorial]

All programs use one content image, one style image, VGG-19 with the same layers, and Adam, at the
same size. They are nstflow, pastiche (PyTorch), and TensorFlow's tutorial: Keras's VGG19 and a
gradient tape in a `tf.function`, without XLA. Each run has its own process, and each round runs all
programs. The time of a run is the median of its steps, without compilation and without two warm-up
steps. The table shows the median and the range of the rounds, and the peak memory of a process,
including its start and compilation.

The first use installs pastiche in `build/pastiche-venv`, with pip. From PyPI, this may install the
large CUDA build of PyTorch; set `PIP_INDEX_URL` to use another index.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import common

PROGRAMS = ("nstflow", "pastiche", "tutorial")


def run_nstflow(folder: Path, size: common.Size, steps: int) -> dict[str, Any]:  # noqa: ARG001
    """Time nstflow."""
    return common.run_nstflow(folder, 1, steps)


def run_pastiche(folder: Path, size: common.Size, steps: int) -> dict[str, Any]:
    """Time pastiche, in a Python that has it installed."""
    import torch
    from pastiche.pastiche import PasticheArtist

    torch.set_num_threads(common.cores())
    artist = PasticheArtist(
        str(folder / "content.png"),
        [str(folder / "style0.png")],
        optimizer="adam",
        device="cpu",
        size=size[::-1],
        style_size=size[::-1],
        content_layers=[common.CONTENT_LAYER.replace("conv", "relu")],
        style_layers=[layer.replace("conv", "relu") for layer in common.STYLE_LAYERS],
    )
    return timed(artist.draw, steps)


def run_tutorial(folder: Path, size: common.Size, steps: int) -> dict[str, Any]:  # noqa: ARG001
    """Time the program of TensorFlow's tutorial."""
    import keras
    import tensorflow as tf

    from nstflow.engine.weights import load_weights

    vgg = keras.applications.VGG19(include_top=False, weights=None)
    shapes = {layer.name: tuple(layer.kernel.shape) for layer in vgg.layers if layer.weights}
    for name, (kernel, bias) in load_weights("imagenet", shapes, folder).items():
        vgg.get_layer(name).set_weights([kernel, bias])
    vgg.trainable = False
    layers = (common.CONTENT_LAYER, *common.STYLE_LAYERS)
    model = keras.Model(vgg.inputs, [vgg.get_layer(layer).output for layer in layers])

    def load(name: str) -> Any:
        image = keras.utils.load_img(folder / f"{name}.png")
        return tf.constant(keras.utils.img_to_array(image)[None] / 255.0)

    def describe(image: Any) -> tuple[Any, list[Any]]:
        content, *styles = model(keras.applications.vgg19.preprocess_input(image * 255.0))
        return content, [gram(x) for x in styles]

    def gram(x: Any) -> Any:
        positions = tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        return tf.einsum("bijc,bijd->bcd", x, x) / positions

    content_target, style_targets = describe(load("content"))[0], describe(load("style0"))[1]
    canvas = tf.Variable(load("content"))
    optimizer = keras.optimizers.Adam(0.02, beta_1=0.99, epsilon=0.1)

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            content, styles = describe(canvas)
            pairs = zip(styles, style_targets, strict=True)
            style_loss = tf.add_n([tf.reduce_mean((x - y) ** 2) for x, y in pairs]) / len(styles)
            loss = common.CONTENT_WEIGHT * tf.reduce_mean((content - content_target) ** 2)
            loss += common.STYLE_WEIGHT * style_loss
        optimizer.apply_gradients([(tape.gradient(loss, canvas), canvas)])
        canvas.assign(tf.clip_by_value(canvas, 0.0, 1.0))
        return loss

    return timed(lambda: step().numpy(), steps)


def timed(step: Callable[[], object], steps: int) -> dict[str, Any]:
    """Return the median time of the steps after the warm-up, and the peak memory."""
    seconds = []
    for _ in range(common.WARM_UP + steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds_per_step": median(seconds[common.WARM_UP :]), "peak_mb": common.peak_mb()}


def pastiche_python() -> Path:
    """Return the Python of pastiche's environment, and create it if it does not exist."""
    home = common.ROOT / "build" / "pastiche-venv"
    python = home / "bin" / "python"
    done = home / "complete"
    if not done.is_file():
        pip = [str(python), "-m", "pip", "install"]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(home)],
            [*pip, "torch==2.13.0", "numpy", "pillow"],
            [*pip, "--no-deps", "pastiche==1.6.0"],
        ):
            subprocess.run(command, check=True)  # noqa: S603 - the commands above
        done.touch()
    return python


def compare(
    programs: Sequence[str], size: common.Size, rounds: int, steps: int, pastiche: Path | None
) -> None:
    """Run the programs in turn at one size, and print the table."""
    runs: dict[str, list[dict[str, Any]]] = {program: [] for program in programs}
    with tempfile.TemporaryDirectory() as folder:
        common.write_images(Path(folder), size, 1)
        for _ in range(rounds):
            for program in programs:
                python = pastiche if pastiche and program == "pastiche" else sys.executable
                arguments = ["--child", program, folder, "x".join(map(str, size)), steps]
                runs[program].append(common.run_child(__file__, arguments, python))
    seconds = {name: [run["seconds_per_step"] for run in runs[name]] for name in programs}
    rows = [
        (
            name,
            f"{median(each):.3f}",
            f"{min(each):.3f}-{max(each):.3f}",
            f"{median(each) / median(seconds[programs[0]]):.2f}",
            f"{max(run['peak_mb'] for run in runs[name]):.0f}",
        )
        for name, each in seconds.items()
    ]
    print(f"\n{size[0]}x{size[1]}, {rounds} rounds of {steps} steps\n")
    common.print_table(("program", "s/step", "min-max", "ratio", "peak MB"), rows)
    for name in programs:
        first = runs[name][0]
        if "compile_seconds" in first:
            compiling = median(run["compile_seconds"] for run in runs[name])
            print(f"\n{name} compiled for {compiling:.1f} s before its first step.", flush=True)
        if name == "pastiche":
            print(f"\n{', '.join(f'{k} {v}' for k, v in first['versions'].items())}", flush=True)


def main() -> None:
    """Read the command line and compare, or be one of the programs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [(512, 384), (256, 192)]
    parser.add_argument("--sizes", nargs="+", type=common.parse_size, default=sizes)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="measured steps of each run")
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    parser.add_argument("--pastiche-python", type=Path, help="a Python that has pastiche installed")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        program, folder, size, steps = options.child
        run = {"nstflow": run_nstflow, "pastiche": run_pastiche, "tutorial": run_tutorial}[program]
        figures = run(Path(folder), common.parse_size(size), int(steps))
        print(json.dumps({**figures, "versions": common.versions("torch", "pastiche")}))
        return
    python = options.pastiche_python
    if python is None and "pastiche" in options.programs:
        python = pastiche_python()
    print(common.machine("nstflow", "tensorflow", "keras"))
    for size in options.sizes:
        compare(options.programs, size, options.rounds, options.steps, python)


if __name__ == "__main__":
    main()
