"""VGG-19: its table of layers, what it costs, and what it says of images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from nstflow import Size, Tensor, tf
from nstflow.builtin.extractors import vgg19
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.loaders.file import File
from nstflow.toolkit import load_weights

ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("NSTFLOW_SHARED", ROOT.parent / "shared")) / "reference"
NOWHERE = Path("/nowhere")

# Simonyan and Zisserman 2015, table 1, column E: channels in and out of each convolution
TABLE = {
    "block1_conv1": (3, 64),
    "block1_conv2": (64, 64),
    "block2_conv1": (64, 128),
    "block2_conv2": (128, 128),
    "block3_conv1": (128, 256),
    "block3_conv2": (256, 256),
    "block3_conv3": (256, 256),
    "block3_conv4": (256, 256),
    "block4_conv1": (256, 512),
    "block4_conv2": (512, 512),
    "block4_conv3": (512, 512),
    "block4_conv4": (512, 512),
    "block5_conv1": (512, 512),
    "block5_conv2": (512, 512),
    "block5_conv3": (512, 512),
    "block5_conv4": (512, 512),
}


def random_features(layers: list[str], size: Size, **settings: Any) -> Mapping[str, Tensor]:
    pixels = np.random.default_rng(0).random((1, *size, 3), np.float32)
    return VGG19(weights="random", **settings).build(layers, NOWHERE)(tf.constant(pixels))


# The table


def test_there_are_sixteen_layers_in_order() -> None:
    assert list(VGG19().layer_names()) == list(TABLE)


def test_kernels_have_the_shapes_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, tuple[int, ...]] = {}

    def load(name: str, shapes: dict[str, tuple[int, ...]], folder: Path) -> object:
        asked.update(shapes)
        return load_weights(name, dict.fromkeys(shapes, (1, 1, 1, 1)), folder)

    monkeypatch.setattr(vgg19, "load_weights", load)
    VGG19(weights="random").build(["block5_conv4"], NOWHERE)
    assert list(asked.items()) == [(layer, (3, 3, *shape)) for layer, shape in TABLE.items()]


def test_weights_below_the_deepest_layer_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str, shapes: dict[str, Any], folder: Path) -> object:
        asked.extend(shapes)
        return load_weights(name, shapes, folder)

    monkeypatch.setattr(vgg19, "load_weights", load)
    VGG19(weights="random").build(["block2_conv1", "block1_conv1"], NOWHERE)
    assert asked == ["block1_conv1", "block1_conv2", "block2_conv1"]


# Settings


def test_groups_have_defaults() -> None:
    assert VGG19().layers == {
        "content": ("block5_conv2",),
        "style": ("block1_conv1", "block3_conv1", "block5_conv1"),
    }


def test_groups_that_are_written_join_the_defaults() -> None:
    stage = VGG19(layers={"style": ("block2_conv1",), "mine": ("block1_conv1", "block1_conv2")})
    assert stage.layers == {
        "content": ("block5_conv2",),
        "style": ("block2_conv1",),
        "mine": ("block1_conv1", "block1_conv2"),
    }
    assert VGG19().layers["style"] == ("block1_conv1", "block3_conv1", "block5_conv1")


@pytest.mark.parametrize("settings", [{"weights": ""}, {"pooling": "min"}, {"layers": {"A": ()}}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        VGG19(**settings)


# Cost: 2 · 9 · in · out operations a position


def test_the_cost_of_one_convolution() -> None:
    """9 · 3 · 64 products and as many sums at each of 10 · 20 positions."""
    cost = VGG19().cost(["block1_conv1"], (10, 20))
    assert cost.forward == 2 * 9 * 3 * 64 * 200 == 691_200
    assert cost.backward == 691_200


def test_the_cost_of_a_common_picture() -> None:
    """512×384 pixels down to block5_conv2, block by block: about 291 GFLOP both ways."""
    blocks = [
        18 * (3 * 64 + 64 * 64) * 512 * 384,
        18 * (64 * 128 + 128 * 128) * 256 * 192,
        18 * (128 * 256 + 3 * 256 * 256) * 128 * 96,
        18 * (256 * 512 + 3 * 512 * 512) * 64 * 48,
        18 * (2 * 512 * 512) * 32 * 24,
    ]
    cost = VGG19().cost(["block1_conv1", "block5_conv2"], (384, 512))
    assert cost.forward == sum(blocks) == 145_634_623_488
    assert cost.forward + cost.backward == pytest.approx(291e9, rel=0.002)


def test_the_deepest_layer_alone_costs() -> None:
    assert VGG19().cost(["block2_conv2", "block1_conv1"], (16, 16)) == VGG19().cost(
        ["block2_conv2"], (16, 16)
    )
    assert VGG19().cost([], (16, 16)).forward == 0


def test_an_odd_row_is_dropped_by_the_cost_too() -> None:
    """7×9 pixels are 3×4 in block 2."""
    block1 = 18 * (3 * 64 + 64 * 64) * 7 * 9
    assert VGG19().cost(["block2_conv1"], (7, 9)).forward == block1 + 18 * 64 * 128 * 3 * 4


@pytest.mark.parametrize("layer", TABLE)
def test_too_few_pixels_are_refused(layer: str) -> None:
    least = 2 ** (int(layer[5]) - 1)
    VGG19().cost([layer], (least, least))
    for size in ((least - 1, 64), (64, least - 1)):
        with pytest.raises(ValueError, match=f"too few for {layer[:7]}") as raised:
            VGG19().cost([layer], size)
        assert f"{size[1]}×{size[0]} pixels" in str(raised.value)
        assert str(raised.value).endswith(f"each side needs {least}")


# Features


def test_feature_maps_halve_from_block_to_block() -> None:
    network = VGG19(weights="random").build(list(TABLE), NOWHERE)
    for height, width in ((16, 17), (35, 18)):
        features = network(tf.random.stateless_uniform((1, height, width, 3), (0, 0)))
        assert list(features) == list(TABLE)
        for layer, (_, channels) in TABLE.items():
            block = int(layer[5]) - 1
            assert features[layer].shape == (1, height >> block, width >> block, channels)
            assert float(tf.reduce_min(features[layer])) == 0  # after the ReLU


def test_exactly_the_layers_that_were_asked_for_come_back() -> None:
    assert set(random_features(["block2_conv1", "block1_conv2"], (8, 8))) == {
        "block1_conv2",
        "block2_conv1",
    }


@pytest.mark.parametrize(
    ("pooling", "pool"), [("max", "max_pool2d"), ("avg", "avg_pool2d")], ids=["max", "avg"]
)
def test_layers_follow_from_one_another(pooling: str, pool: str) -> None:
    """Against TensorFlow's own convolution and pooling, from RGB pixels to block 2."""
    names = ["block1_conv1", "block1_conv2", "block2_conv1"]
    features = random_features(names, (9, 14), pooling=pooling)
    weights = load_weights("random", {name: (3, 3, *TABLE[name]) for name in names}, NOWHERE)
    pixels = np.random.default_rng(0).random((1, 9, 14, 3), np.float32)
    x = pixels[..., [2, 1, 0]] * 255 - np.float32([103.939, 116.779, 123.68])
    reduce: Callable[..., Tensor] = getattr(tf.nn, pool)
    for name in names:
        if name == "block2_conv1":
            x = reduce(x, 2, 2, "VALID")
        kernel, bias = weights[name]
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
        np.testing.assert_allclose(features[name], x, rtol=1e-4, atol=1e-3 * float(np.max(x)))


@pytest.fixture(scope="module")
def network() -> Callable[[Tensor], Mapping[str, Tensor]]:
    """Build the network with the real weights, all of it."""
    return VGG19().build(list(TABLE), NOWHERE)


@pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"the reference numbers are not here: no folder {REFERENCE}"
)
@pytest.mark.parametrize("name", ["tubingen_256.png", "starry_night_256.png", "the_scream_256.png"])
def test_features_agree_with_another_implementation(
    name: str, network: Callable[[Tensor], Mapping[str, Tensor]]
) -> None:
    """Mean, deviation and ‖FᵀF / positions‖ of every layer, as PyTorch computed them."""
    expected = json.loads((REFERENCE / "features.json").read_text())[name]
    assert list(expected) == list(TABLE)
    features = network(tf.constant(File(path=Path(name)).load(REFERENCE).pixels[None]))
    for layer, numbers in expected.items():
        x = features[layer].numpy()[0]
        assert list(x.shape) == numbers["shape"]
        points = x.reshape(-1, x.shape[-1])
        gram = points.T @ points / len(points)
        measured = {
            "mean": x.mean(dtype=np.float64),
            "std": x.std(dtype=np.float64),  # of a population: divided by n
            "gram_frobenius": np.linalg.norm(gram),
        }
        for statistic, value in measured.items():
            assert value == pytest.approx(numbers[statistic], rel=1e-3), (layer, statistic)
