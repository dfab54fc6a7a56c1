"""VGG-19: its table of layers, what it costs, and what it says of images."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from nstflow import Geometry, NstflowError, Size, Tensor, tf
from nstflow.builtin.extractors import vgg19
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.builtin.loaders.file import File
from nstflow.engine import convolution
from nstflow.storage.files import sha256_of
from nstflow.toolkit import Method, conv3x3, load_weights
from vgg19_table import TABLE

ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("NSTFLOW_SHARED", ROOT.parent / "shared")) / "reference"
NOWHERE = Path("/nowhere")
MEANS = Path(vgg19.__file__).with_name("vgg19_means.npz")


def down_to(layer: str) -> list[str]:
    return list(TABLE)[: list(TABLE).index(layer) + 1]


def random_features(layers: list[str], size: Size, **settings: Any) -> Mapping[str, Tensor]:
    pixels = np.random.default_rng(0).random((1, *size, 3), np.float32)
    return VGG19(weights="random", **settings).build(layers, NOWHERE)(tf.constant(pixels))


# The table


def test_there_are_sixteen_layers_in_order() -> None:
    assert list(VGG19().layer_names()) == list(TABLE)


@pytest.mark.parametrize("deepest", ["block2_conv1", "block5_conv4"])
def test_weights_down_to_the_deepest_layer_are_loaded(
    deepest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the shapes of the paper, and none below."""
    asked: dict[str, tuple[int, ...]] = {}

    def load(name: str, shapes: dict[str, tuple[int, ...]], folder: Path) -> object:
        asked.update(shapes)
        return load_weights(name, dict.fromkeys(shapes, (1, 1, 1, 1)), folder)

    monkeypatch.setattr(vgg19, "load_weights", load)
    VGG19(weights="random").build([deepest, "block1_conv1"], NOWHERE)
    assert list(asked.items()) == [(x, (3, 3, *TABLE[x])) for x in down_to(deepest)]


# Settings


def test_groups_that_are_written_join_the_defaults() -> None:
    defaults = {
        "content": ("block5_conv2",),
        "style": ("block1_conv1", "block3_conv1", "block5_conv1"),
    }
    written = {"style": ("block2_conv1",), "mine": ("block1_conv1", "block1_conv2")}
    assert VGG19(layers=written).layers == {**defaults, **written}
    assert VGG19().layers == defaults


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": ""},
        {"pooling": "min"},
        {"pooling_gain": 0},
        {"pooling_gain": math.inf},
        {"padding": "reflect"},
        {"filters": "normalized", "weights": "random"},
        {"filters": "normalized", "weights": "mine.h5"},
        {"layers": {"A": ()}},
        {"convolution": "fft"},
        {"convolution": {"block1_conv1": "fft"}},
        {"convolution": {"block1_conv1": "auto"}},
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        VGG19(**settings)


def test_normalized_filters_name_their_file_in_a_lockfile() -> None:
    weights, means = VGG19(filters="normalized").assets(NOWHERE)
    assert [weights.sha256] == [asset.sha256 for asset in VGG19().assets(NOWHERE)]
    assert (means.present, means.sha256) == (True, sha256_of(MEANS))


# How to compute: what the recipe leaves open is settled for a size and a device


def ways(
    layer: str, size: Size, device: Literal["cpu", "gpu"] = "cpu", **settings: Any
) -> dict[str, Method]:
    """Return how each layer is computed down to `layer`."""
    settled = VGG19(**settings).settled([layer], size, device)
    assert isinstance(settled, VGG19)
    assert isinstance(settled.convolution, dict)
    return settled.convolution


def test_a_gpu_leaves_all_convolutions_to_its_library() -> None:
    assert ways("block5_conv2", (384, 512), "gpu") == dict.fromkeys(
        down_to("block5_conv2"), "direct"
    )


@pytest.mark.parametrize(
    ("size", "last"),
    [
        ((384, 512), "block5_conv4"),
        ((320, 320), "block5_conv4"),  # 20 · 20 positions in block 5
        ((319, 320), "block4_conv4"),  # 19 · 20, for the odd row is dropped
        ((80, 80), "block3_conv4"),
        ((64, 64), "block2_conv2"),
        ((200, 8), "block2_conv2"),
        ((39, 40), "block1_conv2"),
    ],
)
def test_a_cpu_computes_large_maps_below_block_1_by_winograd(size: Size, last: str) -> None:
    """Large: 400 positions or more."""
    assert ways("block5_conv4", size) == {
        **dict.fromkeys(TABLE, "direct"),
        **dict.fromkeys(down_to(last)[2:], "winograd"),
    }


def test_the_deepest_layer_settles_how_many_there_are() -> None:
    settled = VGG19().settled(["block2_conv1", "block1_conv1"], (64, 64), "cpu")
    assert isinstance(settled, VGG19)
    assert settled.convolution == {
        "block1_conv1": "direct",
        "block1_conv2": "direct",
        "block2_conv1": "winograd",
    }
    assert settled.settled(["block2_conv1"], (64, 64), "cpu") == settled


def test_what_is_written_for_a_layer_is_kept_and_the_rest_is_chosen() -> None:
    written: dict[str, Method] = {"block1_conv2": "winograd", "block2_conv1": "direct"}
    stage = VGG19(convolution=written)
    for device, rest in (("cpu", "winograd"), ("gpu", "direct")):
        assert ways("block2_conv2", (64, 64), device, convolution=written) == {
            "block1_conv1": "direct",
            "block1_conv2": "winograd",
            "block2_conv1": "direct",
            "block2_conv2": rest,
        }
    stage.settled(["block2_conv2"], (64, 64), "cpu")
    assert stage.convolution == {"block1_conv2": "winograd", "block2_conv1": "direct"}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize("method", ["direct", "winograd"])
def test_one_way_for_all_leaves_nothing_open(method: Method, device: Literal["cpu", "gpu"]) -> None:
    stage = VGG19(convolution=method, pooling="avg")
    assert stage.settled(["block5_conv2"], (384, 512), device) == stage
    assert stage.convolution == method


def test_settling_changes_nothing_else() -> None:
    stage = VGG19(weights="random", pooling="avg", layers={"style": ("block1_conv2",)})
    settled = stage.settled(["block3_conv1"], (384, 512), "cpu")
    assert settled == stage.model_copy(
        update={"convolution": ways("block3_conv1", (384, 512), weights="random")}
    )
    assert stage.convolution == "auto"


def test_a_way_for_a_layer_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="no layer 'block3_cnv1'") as raised:
        VGG19(convolution={"block1_conv1": "direct", "block3_cnv1": "winograd"})
    assert "Did you mean 'block3_conv1'?" in str(raised.value)


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        ("auto", ["direct"] * 3),  # not settled
        ("direct", ["direct"] * 3),
        ("winograd", ["winograd"] * 3),
        ({"block1_conv2": "winograd", "block5_conv1": "direct"}, ["direct", "winograd", "direct"]),
    ],
)
def test_each_layer_is_built_as_it_is_written(
    convolution: Any, expected: list[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Method] = []

    def record(kernel: Any, bias: Any, method: Method, padding: Any) -> object:
        built.append(method)
        return conv3x3(kernel, bias, method, padding)

    monkeypatch.setattr(vgg19, "conv3x3", record)
    VGG19(weights="random", convolution=convolution).build(["block2_conv1"], NOWHERE)
    assert built == expected


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


def test_constants_are_the_kernels_both_ways_or_their_mixtures() -> None:
    """Floats of 4 bytes: a kernel and the same one turned, or 36 mixtures for both."""
    layers, size = ["block2_conv1"], (16, 16)
    weights = 3 * 64 + 64 * 64 + 64 * 128
    direct = VGG19(convolution="direct").cost(layers, size)
    winograd = VGG19(convolution="winograd").cost(layers, size)
    mixed = VGG19(convolution={"block2_conv1": "winograd"}).cost(layers, size)
    assert direct.constants == 4 * 18 * weights == 898_560
    assert winograd.constants == 4 * 36 * weights == 1_797_120
    assert mixed.constants == 4 * (18 * (3 * 64 + 64 * 64) + 36 * 64 * 128)
    assert VGG19().cost(layers, size) == direct  # as it would be built
    assert VGG19().cost([], size).constants == 0


def test_constants_are_those_that_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor that `build` makes of a kernel; the biases are not worth counting."""
    made: list[int] = []
    constant = tf.constant

    def note(value: Any, *arguments: Any) -> Tensor:
        tensor = constant(value, *arguments)
        made.append(4 * int(tf.size(tensor)) if tensor.shape.rank > 1 else 0)
        return tensor

    stage = VGG19(weights="random", convolution={"block2_conv1": "winograd"})
    with monkeypatch.context() as patch:
        patch.setattr(convolution, "_alive", {})  # else kernels of other tests are shared
        patch.setattr(tf, "constant", note)
        stage.build(["block2_conv1"], NOWHERE)
    assert sum(made) == stage.cost(["block2_conv1"], (16, 16)).constants


def test_maps_are_counted_and_the_scratch_of_the_largest_layer() -> None:
    """16×24 pixels; Winograd's 36 mixtures of each tile of 16 positions, in and out, and 24."""
    whole, half = 16 * 24, 8 * 12
    maps = 4 * (2 * 64 * whole + 128 * half)
    direct = VGG19(convolution="direct").cost(["block2_conv1"], (16, 24))
    assert (direct.maps, direct.scratch) == (maps, 4 * (64 + 64) * whole)
    deep = VGG19(convolution={"block2_conv1": "winograd"}).cost(["block2_conv1"], (16, 24))
    assert (deep.maps, deep.scratch) == (maps, 4 * (64 + 128) * (36 + 24) * 2 * 3)
    both = VGG19(convolution="winograd").cost(["block2_conv1"], (16, 24))
    assert (both.maps, both.scratch) == (maps, 4 * (64 + 64) * (36 + 24) * 4 * 6)


def test_operations_are_those_of_the_direct_way() -> None:
    """They measure the network, not how it is computed."""
    costs = [
        VGG19(convolution=way).cost(["block5_conv2"], (384, 512)) for way in ("direct", "winograd")
    ]
    assert {(cost.forward, cost.backward) for cost in costs} == {(145_634_623_488,) * 2}


def test_mirrored_pixels_cost_as_others() -> None:
    layers = ["block1_conv1", "block3_conv1"]
    mirror, zeros = VGG19(padding="mirror"), VGG19()
    assert mirror.cost(layers, (20, 31)) == zeros.cost(layers, (52, 63))
    assert ways("block3_conv4", (48, 48), padding="mirror") == ways("block3_conv4", (80, 80))
    with pytest.raises(ValueError, match="31×16 pixels are too few for padding: mirror"):
        mirror.cost(layers, (16, 31))


@pytest.mark.parametrize("layer", TABLE)
def test_too_few_pixels_are_refused(layer: str) -> None:
    least = 2 ** (int(layer[5]) - 1)
    VGG19().cost([layer], (least, least))
    for size in ((least - 1, 64), (64, least - 1)):
        with pytest.raises(ValueError, match=f"too few for {layer[:7]}") as raised:
            VGG19().cost([layer], size)
        assert f"{size[1]}×{size[0]} pixels" in str(raised.value)
        assert str(raised.value).endswith(f"each side needs {least}")


# Weights


def test_weights_that_keras_writes(tmp_path: Path) -> None:
    tf.constant(0)  # TensorFlow, with the variables of nstflow
    import keras

    network = keras.applications.VGG19(weights=None, include_top=False)
    network.save_weights(tmp_path / "v.weights.h5")
    weights = load_weights("v.weights.h5", {x: (3, 3, *TABLE[x]) for x in TABLE}, tmp_path)
    for layer, (kernel, bias) in weights.items():
        np.testing.assert_array_equal(kernel, network.get_layer(layer).kernel)
        np.testing.assert_array_equal(bias, network.get_layer(layer).bias)


# Features


@pytest.mark.parametrize(
    ("layer", "stride", "reach"),
    [
        ("block1_conv1", 1, 1),
        ("block3_conv1", 4, 10),
        ("block4_conv2", 8, 38),
        ("block5_conv1", 16, 70),
        ("block5_conv4", 16, 118),
    ],
)
def test_geometry(layer: str, stride: int, reach: int) -> None:
    assert VGG19().geometry(layer) == Geometry(stride, reach)


@pytest.mark.parametrize("layer", ["block1_conv2", "block3_conv1"])
def test_a_position_sees_what_its_geometry_says(layer: str) -> None:
    """The gradient of one position, with mean pooling, which leaves no pixel out."""
    geometry = VGG19().geometry(layer)
    network = VGG19(weights="random", pooling="avg").build([layer], NOWHERE)
    canvas = tf.constant(np.random.default_rng(0).random((1, 64, 64, 3), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(canvas)
        position = 32 // geometry.stride
        value = tf.reduce_sum(network(canvas)[layer][0, position, position])
    seen = np.flatnonzero(np.abs(tape.gradient(value, canvas)[0]).sum((1, 2)))
    assert (seen[0], seen[-1]) == (32 - geometry.reach, 31 + geometry.stride + geometry.reach)


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


def root_of_squares(x: Tensor, *arguments: Any) -> Tensor:
    return tf.sqrt(4 * tf.nn.avg_pool2d(tf.square(x), *arguments))


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [("max", tf.nn.max_pool2d), ("avg", tf.nn.avg_pool2d), ("l2", root_of_squares)],
    ids=["max", "avg", "l2"],
)
@pytest.mark.parametrize(("padding", "mode"), [("zeros", "CONSTANT"), ("replicate", "SYMMETRIC")])
def test_layers_follow_from_one_another(pooling: str, pool: Any, padding: str, mode: str) -> None:
    """Against TensorFlow's own convolution and pooling, from RGB pixels to block 2.

    Only the first convolution has another padding, which for a border of one is symmetric.
    """
    names = ["block1_conv1", "block1_conv2", "block2_conv1"]
    gain = 1.0 if pooling == "max" else 1.5
    settings = {"pooling": pooling, "pooling_gain": gain, "padding": padding}
    features = random_features(names, (9, 14), **settings)
    weights = load_weights("random", {name: (3, 3, *TABLE[name]) for name in names}, NOWHERE)
    pixels = np.random.default_rng(0).random((1, 9, 14, 3), np.float32)
    x = pixels[..., [2, 1, 0]] * 255 - np.float32([103.939, 116.779, 123.68])
    for name in names:
        if name == "block2_conv1":
            x = gain * pool(x, 2, 2, "VALID")
        kernel, bias = weights[name]
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode)
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID") + bias)
        np.testing.assert_allclose(features[name], x, rtol=1e-4, atol=1e-3 * float(np.max(x)))
        mode = "CONSTANT"


def test_a_plain_image_has_no_border_where_its_edges_are_repeated() -> None:
    canvas = tf.fill((1, 6, 7, 3), 0.3)
    spreads = {}
    for padding in ("zeros", "replicate"):
        network = VGG19(weights="random", padding=padding).build(["block1_conv1"], NOWHERE)
        features = network(canvas)["block1_conv1"].numpy()
        spreads[padding] = np.ptp(features, (1, 2)).max() / features.max()
    assert spreads["replicate"] < 1e-5
    assert spreads["zeros"] > 0.1


@pytest.mark.parametrize("size", [(17, 17), (35, 18)])
def test_a_mirrored_image_is_a_larger_one_whose_maps_are_cropped(size: Size) -> None:
    pixels = np.random.default_rng(0).random((1, *size, 3), np.float32)
    larger = np.pad(pixels, ((0, 0), (16, 16), (16, 16), (0, 0)), "reflect")
    zeros, mirror = (
        VGG19(weights="random", padding=padding).build(list(TABLE), NOWHERE)
        for padding in ("zeros", "mirror")
    )
    expected = zeros(tf.constant(larger))
    for layer, x in mirror(tf.constant(pixels)).items():
        block = int(layer[5]) - 1
        assert x.shape[1:3] == (size[0] >> block, size[1] >> block)
        margin = 16 >> block
        np.testing.assert_array_equal(x, expected[layer][:, margin:-margin, margin:-margin])


def test_gradients_of_a_mirrored_image_are_compiled_the_same() -> None:
    """Each mirrored pixel adds its gradient to the one it mirrors."""
    network = VGG19(weights="random", padding="mirror").build(["block2_conv1"], NOWHERE)

    def gradient(canvas: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(canvas)
            value = tf.reduce_mean(tf.square(network(canvas)["block2_conv1"]))
        return tape.gradient(value, canvas)

    canvas = tf.constant(np.random.default_rng(0).random((1, 19, 22, 3), np.float32))
    expected = gradient(canvas).numpy()
    program = tf.function(gradient, jit_compile=True, autograph=False)
    once, again = program(canvas).numpy(), program(canvas).numpy()
    np.testing.assert_allclose(once, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(once, again)


def test_both_ways_describe_an_image_alike() -> None:
    layers = ["block1_conv1", "block2_conv1", "block3_conv4", "block4_conv1"]
    direct, winograd = (
        random_features(layers, (20, 27), convolution=way) for way in ("direct", "winograd")
    )
    for layer in layers:
        one, other = direct[layer].numpy(), winograd[layer].numpy()
        assert not np.array_equal(one, other)
        assert np.abs(one - other).max() < 1e-4 * one.std()


@pytest.fixture(scope="module")
def network() -> Callable[[Tensor], Mapping[str, Tensor]]:
    """Build the network with the real weights, all of it."""
    return VGG19().build(list(TABLE), NOWHERE)


@pytest.fixture(scope="module")
def photograph() -> Tensor:
    """Return the cat at 113×75 pixels."""
    pixels = File(path=Path("chelsea.png")).load(ROOT / "recipes" / "images").pixels
    return tf.constant(pixels[None, ::4, ::4])


@pytest.mark.parametrize("pooling", ["max", "avg", "l2"])
def test_normalized_features_are_divided_by_the_means(pooling: str, photograph: Tensor) -> None:
    """With each pooling and a gain, for all are homogeneous."""
    settings = {"pooling": pooling, "pooling_gain": 1.25, "convolution": "direct"}
    trained, normalized = (
        VGG19(filters=filters, **settings).build(list(TABLE), NOWHERE)(photograph)
        for filters in ("trained", "normalized")
    )
    means = np.load(MEANS)
    assert {layer: means[layer].shape for layer in means} == {
        layer: (channels,) for layer, (_, channels) in TABLE.items()
    }
    for layer, x in trained.items():
        expected = x.numpy() / means[layer]
        errors = (normalized[layer].numpy() - expected) / expected.std()
        assert np.abs(errors).max() < 1e-3, layer
        assert errors.std() < 1e-5, layer


def test_means_are_those_of_photographs() -> None:
    """The cat is one of 14, so it gives no filter more than 14 times its mean."""
    pixels = File(path=Path("chelsea.png")).load(ROOT / "recipes" / "images").pixels
    network = VGG19(filters="normalized").build(list(TABLE), NOWHERE)
    for layer, x in network(tf.constant(pixels[None])).items():
        means = x.numpy().mean((0, 1, 2), np.float64)
        assert means.max() < 14, layer
        assert 0.5 < means.mean() < 3, layer


def test_damaged_means_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / MEANS.name
    damaged.write_bytes(MEANS.read_bytes()[:-1] + b"?")
    monkeypatch.setattr(vgg19, "_MEANS_FILE", damaged)
    with pytest.raises(NstflowError, match="is damaged"):
        VGG19(filters="normalized").build(["block1_conv1"], NOWHERE)


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
