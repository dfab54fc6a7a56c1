"""Networks of Keras: the features, the names of layers, weights, and what is refused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstflow import Tensor, load_recipe, make_plan, tf
from nstflow.builtin.extractors import keras as keras_stage
from nstflow.builtin.extractors.keras import KerasNetwork
from nstflow.builtin.extractors.vgg19 import VGG19
from nstflow.engine.weights import keras as keras_weights
from nstflow.storage.files import sha256_of
from nstflow.testing import run_tiny
from refusals import problems_of, refused

NOWHERE = Path("/nowhere")
MODERN = "MobileNetV3Small"
BGR_MEANS = (103.939, 116.779, 123.68)  # of ImageNet, as in the papers of VGG and ResNet
RGB_MEANS, RGB_DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def keras() -> Any:
    return keras_weights.import_keras("")


def canvas(height: int = 32, width: int = 40) -> Tensor:
    return tf.constant(np.random.default_rng(0).random((1, height, width, 3), np.float32))


def features(network: str, *layers: str, **settings: Any) -> Mapping[str, Tensor]:
    stage = KerasNetwork(network=network, **{"weights": "random", **settings})
    return stage.build(layers, NOWHERE)(canvas())


# Features


def test_a_plan_knows_neither_layers_nor_cost() -> None:
    stage = KerasNetwork(network="VGG16")
    assert stage.layer_names() is None
    assert stage.cost(["block1_conv1"], (64, 64)) is None
    assert stage.geometry("block1_conv1") is None


def test_vgg19_is_that_of_the_other_extractor() -> None:
    """Pixels, layers and random weights are prepared apart from each other."""
    layers = ["block1_conv1", "block3_conv4", "block5_conv2"]
    ours = VGG19(weights="random", convolution="direct").build(layers, NOWHERE)(canvas())
    maps = features("VGG19", *layers)
    assert maps.keys() == ours.keys()
    for layer in layers:
        np.testing.assert_allclose(maps[layer], ours[layer], rtol=1e-4, atol=1e-4)


def bgr(x: Any) -> Any:
    return x[..., ::-1] * 255 - np.float32(BGR_MEANS)


@pytest.mark.parametrize(
    ("network", "layer", "margin", "prepared"),
    [
        ("ResNet50", "conv1_pad", 3, bgr),  # by preprocess_input, and padded
        (MODERN, "rescaling", 0, lambda x: 2 * x - 1),  # inside the network
        (
            "ConvNeXtTiny",
            "convnext_tiny_prestem_normalization",
            0,
            lambda x: (x - np.float32(RGB_MEANS)) / np.float32(RGB_DEVIATIONS),
        ),
    ],
)
def test_pixels_are_prepared_as_the_network_was_trained(
    network: str, layer: str, margin: int, prepared: Callable[[Any], Any]
) -> None:
    got = np.asarray(features(network, layer)[layer])
    got = got[:, margin : got.shape[1] - margin, margin : got.shape[2] - margin]
    np.testing.assert_allclose(got, prepared(canvas().numpy()), rtol=1e-4, atol=1e-3)


def test_batch_normalization_uses_the_stored_means() -> None:
    """A mean of 0 and a variance of 1 in a new network, with the network's epsilon of 0.001."""
    maps = features(MODERN, "conv", "conv_bn")
    np.testing.assert_allclose(maps["conv_bn"], maps["conv"] / np.sqrt(1.001), rtol=1e-5, atol=1e-5)


def test_random_kernels_are_he_normal(keras: Any) -> None:
    whole, _ = keras_stage._network(keras, MODERN, pretrained=False)
    keras_stage._draw(keras, whole)
    for name, inputs in (("conv_1", 96), ("expanded_conv_8_depthwise", 25)):
        kernel = whole.get_layer(name).kernel.numpy()
        assert kernel.std() == pytest.approx(np.sqrt(2 / inputs), rel=0.05)
    assert not whole.get_layer("conv_1_bn").beta.numpy().any()


def test_a_network_is_the_same_each_time_in_one_process() -> None:
    """Keras has counted on from the first: its `activation` is not called so any more."""
    layers = ["activation", "re_lu_1", "expanded_conv_2_add"]
    one, two = features(MODERN, *layers), features(MODERN, *layers)
    assert [x.numpy().tobytes() for x in one.values()] == [
        x.numpy().tobytes() for x in two.values()
    ]
    assert one["activation"].shape == (1, 16, 20, 16)


def test_nothing_below_the_deepest_layer_is_computed() -> None:
    network = KerasNetwork(network="VGG16", weights="random").build(["block1_conv2"], NOWHERE)
    graph = tf.function(network).get_concrete_function(tf.TensorSpec((1, 32, 40, 3))).graph
    assert sum(operation.type == "Conv2D" for operation in graph.get_operations()) == 2


@pytest.mark.parametrize(
    ("network", "layer"), [("VGG16", "block2_conv1"), (MODERN, "expanded_conv_1_project_bn")]
)
def test_the_gradient_once_compiled(
    network: str, layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the same each time, and that of Keras alone, not compiled."""
    build = KerasNetwork(network=network, weights="random").build
    slopes = []
    for compiled in (True, True, False):
        if not compiled:
            monkeypatch.setattr(keras_stage, "_speed_up", lambda *_: None)
        describe = build([layer], NOWHERE)

        def slope(x: Tensor, describe: Any = describe) -> Tensor:
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_mean(tf.square(describe(x)[layer]))
            return tape.gradient(loss, x)

        program = tf.function(slope, jit_compile=True, autograph=False) if compiled else slope
        slopes.append(program(canvas()).numpy())
    assert slopes[0].tobytes() == slopes[1].tobytes()
    assert np.abs(slopes[2]).max() > 0
    np.testing.assert_allclose(slopes[0], slopes[2], atol=1e-3 * np.abs(slopes[2]).max())


@pytest.mark.parametrize(("network", "layer"), [("VGG16", "block2_conv1"), (MODERN, "activation")])
def test_a_run(network: str, layer: str, tmp_path: Path) -> None:
    result = run_tiny(
        tmp_path,
        extractor={"use": "keras", "network": network, "weights": "random"},
        losses={"style": {"use": "gram", "image": "style", "layers": [layer]}},
    )
    totals = result.history["total"]
    assert totals[-1] < totals[0]
    assert result.plan.cost is None
    assert result.plan.memory is None


# What is refused


RECIPE = """
    name: odd
    images:
      content: {use: noise, height: 32, width: 20}
      style: {use: noise, height: 32, width: 32}
    preprocess: []
    extractor:
      use: keras
      network: MobileNetV3Small
      weights: random
      layers:
        style: [activation, expanded_conv_2_ad]
        unused: [image, conv]
    losses:
      content: {use: content, image: content, layers: [conv_bm]}
      style: {use: gram, image: style, layers: {activation: 1, expanded_conv_4_adds: 2}}
    """


def test_names_are_checked_before_the_first_step_each_at_its_line(write: Any, call: Any) -> None:
    recipe = write(RECIPE)
    assert make_plan(load_recipe(recipe)).layers == (
        "activation",
        "conv_bm",
        "expanded_conv_4_adds",
    )
    answer = call("run", "recipe.yaml")
    assert answer.code == 2
    for place, near in (
        ("recipe.yaml:12:25  extractor.layers.style.1", "expanded_conv_2_add"),
        ("recipe.yaml:15:52  losses.content.layers.0", "conv_bn"),
        ("recipe.yaml:16:60  losses.style.layers.expanded_conv_4_adds", "expanded_conv_4_add"),
    ):
        assert place in answer.err
        assert f"Did you mean '{near}'?" in " ".join(answer.err.split())
    assert "3 problems in recipe.yaml; nothing was run." in answer.err


def test_a_network_that_keras_lacks() -> None:
    problem = refused(features, "VGG166", "block1_conv1")
    assert (problem.what, problem.got) == ("network", "Keras has no network called 'VGG166'.")
    assert problem.hint.startswith("Did you mean 'VGG16'? There are ConvNeXtBase, ")


def test_layers_that_keras_lacks_are_listed_or_how_to_list_them() -> None:
    few = refused(features, "VGG16", "zzz")
    assert few.what == "layers.zzz"
    assert few.hint.startswith("Its layers: block1_conv1, block1_conv2, block1_pool, ")
    many = refused(features, MODERN, "zzz").hint
    assert many.startswith('This lists its 156 layers: python -c "import keras; ')


def test_the_command_that_lists_layers_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    hint = refused(features, MODERN, "zzz").hint
    exec(hint.split('"')[1])  # noqa: S102 - our own text
    assert "expanded_conv_1_project_bn\n" in capsys.readouterr().out


def test_a_layer_without_positions() -> None:
    found = problems_of(features, "EfficientNetB0", "block1a_se_squeeze", "block1a_bn")
    assert [problem.what for problem in found] == ["layers.block1a_se_squeeze"]
    assert "is no feature map: its output has the shape (None, 32)" in found[0].got


@pytest.mark.parametrize(
    ("network", "layer", "least", "enough"),
    [("VGG16", "block3_conv1", 4, 64), (MODERN, "conv_1", 31, 43)],
)
def test_the_least_size(network: str, layer: str, least: int, enough: int) -> None:
    describe = KerasNetwork(network=network, weights="random").build([layer], NOWHERE)
    assert 0 not in describe(canvas(least, least))[layer].shape
    problem = refused(describe, canvas(40, least - 1))
    assert problem.what == "layers"
    assert problem.got.startswith(f"{least - 1}×40 pixels are too few")
    assert problem.got.endswith(f"each side needs {least}.")
    assert problem.hint.endswith(f"a longest side of {enough} pixels is enough.")


def test_a_network_that_takes_no_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_stage, "_fits", lambda *_: False)
    problem = refused(features, "VGG16", "block1_conv1")
    assert (problem.what, problem.hint) == ("network", "Use another network.")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("backend", "torch", "set to backend torch, but this stage needs tensorflow"),
        ("image_data_format", "channels_first", "channels_first, but this stage needs channels_la"),
    ],
)
def test_keras_that_is_set_otherwise(
    name: str, value: str, words: str, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keras.config, name, lambda: value)
    problem = refused(features, "VGG16", "block1_conv1")
    assert problem.what == "use"
    assert words in problem.got


# Weights


@pytest.fixture(scope="module")
def saved(keras: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Files of the weights of a network, and the network; none is as Keras or nstflow begins it."""
    folder = tmp_path_factory.mktemp("weights")
    whole = keras.applications.MobileNetV3Small(weights=None, include_top=False)
    generator = np.random.default_rng(3)
    for variable in whole.weights:
        variable.assign(generator.uniform(0.1, 0.4, variable.shape))
    whole.save_weights(folder / "w.weights.h5")
    whole.save(folder / "old.h5")
    return folder, whole


LAYERS = ["conv_bn", "expanded_conv_3_depthwise_bn"]


def expected(keras: Any, whole: Any) -> list[Any]:
    outputs = [whole.get_layer(layer).output for layer in LAYERS]
    return list(keras.Model(whole.inputs, outputs)(canvas() * 255, training=False))


@pytest.mark.parametrize("name", ["w.weights.h5", "old.h5"])
def test_a_file(name: str, keras: Any, saved: tuple[Path, Any]) -> None:
    folder, whole = saved
    stage = KerasNetwork(network=MODERN, weights=name)
    maps = stage.build(LAYERS, folder)(canvas())
    for layer, want in zip(LAYERS, expected(keras, whole), strict=True):
        np.testing.assert_array_equal(maps[layer], want)
    assert stage.files(folder) == {"weights": folder / name}
    assert [asset.name for asset in stage.assets(folder)] == [f"weights {name}"]


def test_files_that_are_refused(saved: tuple[Path, Any], tmp_path: Path) -> None:
    folder, whole = saved
    good = (folder / "w.weights.h5").read_bytes()
    (tmp_path / "cut.weights.h5").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.h5").write_text("kernel = 5")
    bias = whole.get_layer("conv_bn").beta
    before = bias.numpy()
    bias.assign(np.full(16, np.nan))
    whole.save_weights(tmp_path / "nan.weights.h5")
    bias.assign(before)
    for name, words in (
        ("cut.weights.h5", "Keras can't load it"),
        ("text.h5", "Keras can't load it"),
        ("nan.weights.h5", "'conv_bn' has none in it, or numbers that are not finite"),
        ("nowhere.h5", "there is no file"),
        ("w.keras", "the archive of a whole model"),
        ("keras", "there are no weights called 'keras'."),
    ):
        stage = KerasNetwork(network=MODERN, weights=name)
        problem = refused(stage.build, LAYERS, tmp_path)
        assert problem.what == "weights"
        assert words in problem.got, name


def test_a_file_of_another_network(saved: tuple[Path, Any]) -> None:
    folder, _ = saved
    stage = KerasNetwork(network="VGG16", weights="w.weights.h5")
    assert "include_top=False" in refused(stage.build, ["block1_conv1"], folder).hint


@pytest.mark.parametrize("network", ["VGG16", MODERN, "EfficientNetB0"])
def test_imagenet_is_what_keras_downloads(
    network: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def get_file(name: str, *_: Any, **__: Any) -> None:
        asked.append(name)
        raise Exception("URL fetch failure")  # noqa: TRY002 - as Keras

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    stage = KerasNetwork(network=network)
    (asset,) = stage.assets(NOWHERE)
    assert (asset.present, asset.sha256) == (False, None)
    for fetch in (lambda: asset.fetch and asset.fetch(print), lambda: stage.build(["x"], NOWHERE)):
        problem = refused(fetch)
        assert problem.what == "weights"
        assert f"can't make {network} with these weights (URL fetch failure)" in problem.got
    file = keras_weights.path(network)
    assert asked == [file.name] * 2
    file.parent.mkdir()
    file.write_bytes(b"numbers")
    (asset,) = stage.assets(NOWHERE)
    assert (asset.present, asset.sha256) == (True, sha256_of(file))


def test_imagenet_is_loaded_by_keras(
    keras: Any, saved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = saved
    file = str(folder / "w.weights.h5")
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: file)
    maps = KerasNetwork(network=MODERN).build(LAYERS, NOWHERE)(canvas())
    for layer, want in zip(LAYERS, expected(keras, whole), strict=True):
        np.testing.assert_array_equal(maps[layer], want)


def test_a_network_of_a_later_keras_has_no_file_yet() -> None:
    (asset,) = KerasNetwork(network="VGG42").assets(NOWHERE)
    assert (asset.present, asset.fetch, asset.sha256) == (False, None, None)
