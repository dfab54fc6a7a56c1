"""What loss terms see of an image: maps, weights of positions, seeds."""

from collections.abc import Mapping

import numpy as np
import pytest

from nstflow import Image, Tensor, tf
from nstflow.engine.features import Describer, describe, region_weights, seed_of
from nstflow.stages.loss import Region
from nstflow.stages.types import Geometry, Size


def network(canvas: Tensor) -> Mapping[str, Tensor]:
    """Halve and quarter, as an extractor would; an odd last row or column is dropped."""
    half = tf.nn.avg_pool2d(canvas, 2, 2, "VALID")
    return {"half": half, "quarter": tf.nn.avg_pool2d(half, 2, 2, "VALID")[..., :2]}


def picture(alpha: object = None, size: tuple[int, int] = (8, 12)) -> Image:
    pixels = np.random.default_rng(0).random((*size, 3), np.float32)
    return Image(pixels, None if alpha is None else np.asarray(alpha, np.float32))


def test_the_pixels_are_a_layer() -> None:
    image = picture()
    features = Describer(network)(image)
    assert list(features) == ["image", "half", "quarter"]
    np.testing.assert_array_equal(features["image"][0], image.pixels)
    expected = image.pixels.reshape(4, 2, 6, 2, 3).mean((1, 3))
    np.testing.assert_allclose(features["half"][0], expected, rtol=1e-5)
    assert features["quarter"].shape == (1, 2, 3, 2)


def test_no_network_is_needed_for_pixels() -> None:
    for features in (
        Describer(None)(picture()),
        describe(None, tf.constant(picture().pixels[None])),
    ):
        assert list(features) == ["image"]
        assert set(features.weights) == {"image"}


def test_without_alpha_every_position_counts_the_same() -> None:
    features = Describer(network)(picture())
    for layer, positions in (("image", 96), ("half", 24), ("quarter", 6)):
        weights = features.weights[layer].numpy()
        assert weights.shape == (*features[layer].shape[:3], 1)
        np.testing.assert_allclose(weights, 1 / positions, rtol=1e-6)


def test_weights_follow_alpha() -> None:
    """Of each cell, its share of all that is opaque."""
    alpha = np.random.default_rng(1).random((8, 12))
    features = Describer(network)(picture(alpha))
    cells = {
        "image": alpha,
        "half": alpha.reshape(4, 2, 6, 2).mean((1, 3)),
        "quarter": alpha.reshape(2, 4, 3, 4).mean((1, 3)),
    }
    for layer, cover in cells.items():
        expected = cover / cover.sum()
        np.testing.assert_allclose(features.weights[layer][0, ..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(8, 12), (9, 13), (4, 31), (64, 5)])
@pytest.mark.parametrize("kind", ["none", "random", "half", "one", "faint", "nothing"])
def test_weights_sum_to_1(kind: str, size: tuple[int, int]) -> None:
    """However little is opaque; where nothing is, every position counts the same."""
    alpha = np.zeros(size)
    if kind == "random":
        alpha = np.random.default_rng(1).random(size)
    elif kind == "half":
        alpha[:, : size[1] // 2] = 1
    elif kind == "one":
        alpha[0, 0] = 1
    elif kind == "faint":
        alpha[1, 1] = 1 / 65535
    image = picture(None if kind == "none" else alpha, size)
    features = describe(network, tf.constant(image.pixels[None]), image.alpha)
    for layer, weights in features.weights.items():
        assert weights.shape == (*features[layer].shape[:3], 1)
        assert float(tf.reduce_min(weights)) >= 0
        assert float(tf.reduce_sum(weights)) == pytest.approx(1, rel=1e-5), layer


def test_an_image_of_which_nothing_counts_counts_evenly() -> None:
    features = Describer(network)(picture(np.zeros((8, 12))))
    np.testing.assert_allclose(features.weights["half"], 1 / 24, rtol=1e-6)


def test_a_reference_has_the_features_of_a_canvas() -> None:
    """To the bit, compiled: else a canvas equal to the content would have a content loss."""
    image = picture()
    program = tf.function(lambda x: dict(describe(network, x)), jit_compile=True, autograph=False)
    canvas = program(tf.constant(image.pixels[None]))
    for layer, values in Describer(network)(image).items():
        np.testing.assert_array_equal(values, canvas[layer])


def test_only_keeps_the_layers_and_their_weights() -> None:
    features = Describer(network)(picture())
    own = features.only(["quarter", "image"], seed_of(7, tf.constant(3)))
    assert list(own) == list(own.weights) == ["quarter", "image"]
    assert len(own) == 2
    assert own.seed.numpy().tolist() == [7, 3]
    assert "half" not in own


@pytest.mark.parametrize("step", [0, 5, tf.constant(5), tf.constant(5, tf.int64)])
def test_a_seed_is_two_whole_numbers(step: object) -> None:
    seed = seed_of(2**31 - 1, step)
    assert seed.dtype == tf.int32
    assert seed.numpy().tolist() == [2**31 - 1, int(step)]


# regions


@pytest.mark.parametrize(
    ("image", "geometry"),
    [((32, 40), Geometry(4, 10)), ((33, 43), Geometry(4, 3)), ((9, 7), Geometry(1, 1))],
)
def test_inside_is_the_least_value_in_view(image: Size, geometry: Geometry) -> None:
    """Computed position by position; what is outside of the image is no obstacle."""
    mask = np.random.default_rng(0).random(image, np.float32) * 0.5 + 0.5
    stride, reach = geometry.stride, geometry.reach
    size = image[0] // stride, image[1] // stride
    least = [
        [
            mask[
                max(0, y * stride - reach) : y * stride + stride + reach,
                max(0, x * stride - reach) : x * stride + stride + reach,
            ].min()
            for x in range(size[1])
        ]
        for y in range(size[0])
    ]
    weights = region_weights(mask, size, region=Region("m", "inside"), view=(image, geometry))
    np.testing.assert_allclose(weights[0, ..., 0], np.array(least) / np.sum(least), rtol=1e-4)


def test_a_region_grows_and_shrinks_by_positions() -> None:
    mask = np.zeros((7, 7), np.float32)
    mask[2:5, 2:5] = 1
    for grow, rows in ((0, 3), (1, 5), (2, 7), (-1, 1)):
        weights = np.asarray(region_weights(mask, (7, 7), region=Region("m", "resize", grow)))
        assert np.count_nonzero(weights) == rows**2
        assert weights.sum() == pytest.approx(1)
    assert region_weights(mask, (7, 7), region=Region("m", "resize", -2)) is None


def test_what_is_transparent_does_not_grow_into_a_region() -> None:
    mask, alpha = np.zeros((2, 1, 4), np.float32)
    mask[:, 0], alpha[:, :2] = 1, 1
    weights = region_weights(mask, (1, 4), alpha, Region("m", "resize", 2))
    np.testing.assert_allclose(np.asarray(weights)[0, 0, :, 0], [0.5, 0.5, 0, 0])
