"""The built-in losses against formulas written out in NumPy."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Features, LossTerm, NstflowError, StatisticTerm, tf
from nstflow.builtin.losses.content import Content
from nstflow.builtin.losses.gram import Gram
from nstflow.builtin.losses.mean_std import MeanStd
from nstflow.builtin.losses.total_variation import TotalVariation
from nstflow.builtin.losses.wasserstein import Wasserstein
from nstflow.engine.objective import make_mixed_target, make_target
from nstflow.testing import check_stage

Maps = Mapping[str, NDArray[np.float64]]

SHAPES = {"deep": (3, 4, 6), "wide": (5, 7, 4)}
SHARES = {"deep": 0.3, "wide": 2.0}


def maps(seed: int, shapes: Mapping[str, tuple[int, int, int]] = SHAPES) -> Maps:
    generator = np.random.default_rng(seed)
    return {layer: generator.normal(0.4, 1, shape) for layer, shape in shapes.items()}


def uniform(values: Maps) -> Maps:
    return {layer: np.full(x.shape[:2], 1 / x[..., 0].size) for layer, x in values.items()}


def uneven(values: Maps, seed: int) -> Maps:
    """Return weights that sum to 1, of which some are 0."""
    generator = np.random.default_rng(seed)
    weights = {}
    for layer, x in values.items():
        weight = np.maximum(generator.normal(0.5, 0.5, x.shape[:2]), 0)
        weights[layer] = weight / weight.sum()
    return weights


def features(values: Maps, weights: Maps | None = None) -> Features:
    weights = uniform(values) if weights is None else weights
    return Features(
        {layer: tf.constant(x[None], tf.float32) for layer, x in values.items()},
        {layer: tf.constant(w[None, ..., None], tf.float32) for layer, w in weights.items()},
        tf.constant([0, 0]),
    )


def moments(
    x: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weighted mean and the Gram matrix."""
    return np.einsum("hw,hwi->i", weights, x), np.einsum("hw,hwi,hwj->ij", weights, x, x)


def score(term: LossTerm, canvas: Features, reference: Features) -> float:
    return float(term.score(canvas, term.target(reference)))


# content


@pytest.mark.parametrize("scale", ["mean", "sum"])
def test_content(scale: str) -> None:
    """share * mean((A - C)²), or share * ½ Σ (A - C)², by layer; its gradient is 2 (A - C) / n."""
    a, c = maps(1), maps(2)
    factors = {x: SHARES[x] * (1 / a[x].size if scale == "mean" else 1 / 2) for x in SHAPES}
    term = Content(layers=SHARES, scale=scale)
    canvas = features(a)
    with tf.GradientTape() as tape:
        tape.watch(canvas["wide"])
        loss = term.score(canvas, term.target(features(c)))
    expected = sum(factors[layer] * ((a[layer] - c[layer]) ** 2).sum() for layer in SHAPES)
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    slope = 2 * factors["wide"] * (a["wide"] - c["wide"])
    np.testing.assert_allclose(tape.gradient(loss, canvas["wide"])[0], slope, 1e-4, 1e-6)


def test_content_compares_equal_sizes_alone() -> None:
    Content().check((30, 40), (30, 40))
    Content().check((30, 40), None)
    with pytest.raises(NstflowError, match="canvas is 40×30, but this image 30×40") as raised:
        Content().check((30, 40), (40, 30))
    (problem,) = raised.value.problems
    assert (problem.where, problem.what) == ("", "image")


@pytest.mark.parametrize(
    "term",
    [
        Content(layers=SHARES),
        Content(layers=SHARES, scale="sum"),
        Gram(image="style", layers=SHARES),
        Gram(image="style", layers=SHARES, scale="sum"),
        Gram(image="style", layers=SHARES, scale="gatys", centered=True),
        MeanStd(image="style", layers=SHARES),
    ],
    ids=lambda term: f"{term.use}-{getattr(term, 'scale', '')}",
)
def test_a_canvas_that_is_the_reference_has_no_loss(term: LossTerm) -> None:
    assert score(term, features(maps(1)), features(maps(1))) == 0


# gram


def gram(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums over positions of the products of channels, FᵀF."""
    return np.einsum("hwi,hwj->ij", x, x)


def test_gram_gatys() -> None:
    """Σ (FᵀF - AᵀA)² / 4 N² M², N channels and M positions, as equation 4 of the paper has it."""
    canvas, style = maps(1), maps(2)
    expected = 0.0
    for layer, share in SHARES.items():
        channels, positions = canvas[layer].shape[-1], canvas[layer][..., 0].size
        squares = ((gram(canvas[layer]) - gram(style[layer])) ** 2).sum()
        expected += share * squares / (4 * channels**2 * positions**2)
    term = Gram(image="style", layers=SHARES, scale="gatys")
    assert score(term, features(canvas), features(style)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", ["mean", "sum", "gatys", "gatys_2017"])
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("normalize", [None, "rms"])
def test_gram(scale: str, even: bool, centered: bool, normalize: str | None) -> None:
    """A factor * Σ (G - A)²; G = Σ w f fᵀ, or that of f - mean; times the positions for `sum`."""
    canvas, style = maps(1), maps(2, {"deep": (2, 9, 6), "wide": (6, 4, 4)})
    canvas_weights, style_weights = (
        uniform(values) if even else uneven(values, 3) for values in (canvas, style)
    )
    expected = 0.0
    for layer, share in SHARES.items():
        c, n = canvas[layer].shape[-1], canvas[layer][..., 0].size
        m = style[layer][..., 0].size
        (mean, g), (style_mean, a) = (
            moments(values[layer], weights[layer])
            for weights, values in ((canvas_weights, canvas), (style_weights, style))
        )
        size = np.trace(a) / c * (m if scale == "sum" else 1) if normalize else 1
        if centered:
            g, a = g - np.outer(mean, mean), a - np.outer(style_mean, style_mean)
        factor = {"mean": c**-2, "sum": 1, "gatys": c**-2 / 4, "gatys_2017": c**-4}[scale]
        apart = n * g - m * a if scale == "sum" else g - a
        expected += share * factor * (apart**2).sum() / size**2
    got = score(
        Gram(image="style", layers=SHARES, scale=scale, centered=centered, normalize=normalize),
        features(canvas, canvas_weights),
        features(style, style_weights),
    )
    assert got == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("scale", "share"), [("mean", 1 / 2), ("sum", 1), ("gatys", 1), ("gatys_2017", 1)]
)
def test_the_shares_of_listed_layers(scale: str, share: float) -> None:
    term = Gram(image="style", layers=["deep", "wide"], scale=scale).with_shares({})
    assert term.shares == {"deep": share, "wide": share}


def test_positions_of_no_weight_do_not_count() -> None:
    """A style of which only the left half counts is that half."""
    style = maps(2, {"deep": (4, 6, 6)})
    left = {"deep": style["deep"][:, :3]}
    weights = {"deep": np.zeros((4, 6))}
    weights["deep"][:, :3] = 1 / 12
    term = Gram(image="style", layers={"deep": 1.0})
    masked, cut = term.target(features(style, weights)), term.target(features(left))
    np.testing.assert_allclose(masked["deep"], cut["deep"], rtol=1e-5)


def test_positions_may_change_places() -> None:
    """A style has no places: shuffled, it is the same."""
    style = maps(2, {"deep": (4, 6, 6)})["deep"].reshape(24, 6)
    shuffled = np.random.default_rng(0).permutation(style)
    term = Gram(image="style", layers={"deep": 1.0})
    first, second = (
        term.target(features({"deep": values.reshape(4, 6, 6)})) for values in (style, shuffled)
    )
    np.testing.assert_allclose(first["deep"], second["deep"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("scale", "factor"), [("mean", 0.5), ("gatys", 0.5), ("sum", 1)])
def test_a_summary_and_those_of_the_halves(scale: str, factor: float) -> None:
    """The mean of the halves' is that of all points, but their sum for `sum`; the term says so."""
    term = Gram(image="style", layers={"deep": 1.0}, scale=scale)
    assert term.additive == (scale != "sum")
    points = tf.constant(np.random.default_rng(0).normal(size=(20, 5)), tf.float32)
    summary = term.summarize(points, tf.fill((20, 1), 1 / 20))
    halves = [term.summarize(half, tf.fill((10, 1), 1 / 10)) for half in tf.split(points, 2)]
    np.testing.assert_allclose(summary, factor * (halves[0] + halves[1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "term",
    [
        Gram(image="style"),
        Gram(image="style", centered=True),
        MeanStd(image="style"),
        Wasserstein(image="style"),
    ],
)
def test_a_summary_is_the_weighted_mean_of_unequal_parts(term: StatisticTerm) -> None:
    generator = np.random.default_rng(0)
    points = tf.constant(generator.normal(size=(20, 5)), tf.float32)
    weights = generator.random((20, 1))
    weights /= weights.sum()
    share = weights[:6].sum()
    whole = term.summarize(points, tf.constant(weights, tf.float32))
    first = term.summarize(points[:6], tf.constant(weights[:6] / share, tf.float32))
    rest = term.summarize(points[6:], tf.constant(weights[6:] / (1 - share), tf.float32))
    for one, two, both in zip(*map(tf.nest.flatten, (first, rest, whole)), strict=True):
        np.testing.assert_allclose(both, share * one + (1 - share) * two, rtol=1e-5, atol=1e-6)


# total_variation


def variation(x: NDArray[np.float64], kind: str = "l2") -> float:
    term = TotalVariation(layers={"image": 1.0}, kind=kind)
    return float(term.score(features({"image": x}), None))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.indices((8, 6, 1))[:2].sum(0) % 2, 2),  # a checkerboard
        (np.full((5, 6, 3), 0.7), 0),
        (np.full((1, 1, 3), 0.5), 0),
        ((np.arange(6) % 2)[:, None, None] * np.ones((1, 4, 3)), 1),  # stripes: one direction alone
        ((np.arange(6) % 2).reshape(1, 6, 1), 1),
        ((np.arange(6) % 2).reshape(6, 1, 1), 1),
    ],
)
def test_total_variation_of_patterns(image: NDArray[np.float64], expected: float) -> None:
    assert variation(np.float64(image)) == expected
    # all differences are 0 or 1, so the absolute values are the squares, but for the soft corner
    assert variation(np.float64(image), "l1") == pytest.approx(expected, abs=3e-3)


def test_total_variation_l1() -> None:
    x = maps(5)["wide"]
    expected = sum((np.sqrt(np.diff(x, axis=axis) ** 2 + 1e-6) - 1e-3).mean() for axis in (0, 1))
    assert variation(x, "l1") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", ["l1", "nine_point"])
def test_a_flat_canvas_has_no_slope(kind: str) -> None:
    canvas = features({"image": np.full((4, 5, 3), 0.5)})
    with tf.GradientTape() as tape:
        tape.watch(canvas["image"])
        loss = TotalVariation(layers={"image": 1.0}, kind=kind).score(canvas, None)
    assert float(loss) == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(tape.gradient(loss, canvas["image"]), 0)


def test_total_variation_nine_point() -> None:
    """2 (d² + e²) / 3 + (f² + g²) / 6 of the four differences, the last row and column repeated."""
    x = maps(5)["wide"]
    height, width = x.shape[:2]
    p = np.pad(x, ((0, 1), (0, 1), (0, 0)), "edge")
    expected = 0.0
    for i, j in np.ndindex(height, width):
        straight = (p[i + 1, j] - p[i, j]) ** 2 + (p[i, j + 1] - p[i, j]) ** 2
        diagonal = (p[i + 1, j + 1] - p[i, j]) ** 2 + (p[i + 1, j] - p[i, j + 1]) ** 2
        expected += (2 * straight / 3 + diagonal / 6).mean() / (height * width)
    assert variation(x, "nine_point") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("angle", [0, 20, 45, 80])
def test_nine_points_see_a_ramp_the_same_in_any_direction(angle: int) -> None:
    rows, columns = np.indices((9, 9, 1))[:2]
    direction = np.deg2rad(angle)
    ramp = features({"image": 0.1 * (np.cos(direction) * rows + np.sin(direction) * columns)})
    maps = TotalVariation(kind="nine_point").differences(ramp, None)
    np.testing.assert_allclose(maps["image"][0, :-1, :-1], 0.01, rtol=1e-4)


def test_total_variation_applies_the_shares() -> None:
    x = maps(5)
    term = TotalVariation(layers=SHARES)
    expected = sum(
        share * sum((np.diff(x[layer], axis=axis) ** 2).mean() for axis in (0, 1))
        for layer, share in SHARES.items()
    )
    assert float(term.score(features(x), None)) == pytest.approx(expected, rel=1e-5)


# layers and shares


@pytest.mark.parametrize(
    "term", [Content(), Gram(image="style"), TotalVariation()], ids=lambda term: term.use
)
def test_layers_have_to_be_resolved_first(term: LossTerm) -> None:
    """A term as it was written does not know its shares: a plan's does."""
    values = features({"image": np.zeros((2, 2, 3))})
    with pytest.raises(TypeError, match="not resolved"):
        term.score(values, term.target(values))


@pytest.mark.parametrize("stage", [Content, Gram, TotalVariation])
@pytest.mark.parametrize("layers", [[], {}, ["image", "image"], "", "Not a group"])
def test_layers_that_say_nothing_are_refused(stage: type[LossTerm], layers: object) -> None:
    settings = {"image": "style"} if stage is Gram else {}
    with pytest.raises(ValidationError, match="layers"):
        stage(layers=layers, **settings)


def test_total_variation_takes_no_image() -> None:
    with pytest.raises(ValidationError, match="image"):
        TotalVariation(image="content")


# wasserstein


def root(a: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh((a + a.T) / 2)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@pytest.mark.parametrize("normalize", [None, "rms"])
@pytest.mark.parametrize("even", [True, False])
def test_wasserstein(even: bool, normalize: str | None) -> None:
    """The squared distance of two Gaussians, by eigendecompositions, with 1e-4 r² added."""
    canvas, style = maps(1), maps(2, {"deep": (4, 9, 6), "wide": (6, 4, 4)})
    weights = [uniform(x) if even else uneven(x, 3) for x in (canvas, style)]
    expected = 0.0
    for layer, share in SHARES.items():
        (mean, gram), (style_mean, style_gram) = (
            moments(x[layer], w[layer]) for x, w in zip((canvas, style), weights, strict=True)
        )
        square = np.trace(style_gram) / len(mean)
        extra = 1e-4 * square * np.eye(len(mean))
        one, two = (
            gram - np.outer(mean, mean) + extra,
            style_gram - np.outer(style_mean, style_mean) + extra,
        )
        cross = root(root(two) @ one @ root(two))
        distance = ((mean - style_mean) ** 2).sum() + np.trace(one + two - 2 * cross)
        expected += share * distance / len(mean) / (square if normalize else 1)
    term = Wasserstein(image="style", layers=SHARES, normalize=normalize)
    got = score(term, features(canvas, weights[0]), features(style, weights[1]))
    assert got == pytest.approx(expected, rel=1e-3)


def test_wasserstein_of_independent_features() -> None:
    """For diagonal covariances: mean((μ - μₛ)² + (σ - σₛ)²)."""
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(2, 4, 3)  # independent, deviation 1
    mean, spread = np.array([1, 2, -3]), np.array([0.5, 1, 3])
    style_mean, style_spread = np.array([0, 2, 1]), np.array([2, 1, 0.3])
    term = Wasserstein(image="style", layers={"deep": 1.0})
    got = score(
        term,
        features({"deep": mean + spread * signs}),
        features({"deep": style_mean + style_spread * signs}),
    )
    expected = ((mean - style_mean) ** 2 + (spread - style_spread) ** 2).mean()
    assert got == pytest.approx(expected, rel=2e-3)


def test_wasserstein_of_few_positions() -> None:
    """Four positions of 12 features have a covariance without an inverse: all stays finite."""
    few = maps(1, {"deep": (2, 2, 12)})
    term = Wasserstein(image="style", layers={"deep": 1.0}, normalize="rms")
    assert score(term, features(few), features(few)) == pytest.approx(0, abs=1e-3)
    canvas, reference = features(few), features(maps(2, {"deep": (1, 3, 12)}))
    with tf.GradientTape() as tape:
        tape.watch(canvas["deep"])
        loss = term.score(canvas, term.target(reference))
    assert float(loss) > 0.1
    assert np.isfinite(tape.gradient(loss, canvas["deep"])).all()


# mean_std


@pytest.mark.parametrize("of", [["mean", "std"], ["mean"], ["std"]])
@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("normalize", [None, "rms"])
def test_mean_std(of: list[str], even: bool, normalize: str | None) -> None:
    """mean((μ - μₛ)²) + mean((σ - σₛ)²), with 1e-6 r² added to each variance."""
    canvas, style = maps(1), maps(2, {"deep": (4, 9, 6), "wide": (6, 4, 4)})
    weights = [uniform(x) if even else uneven(x, 3) for x in (canvas, style)]
    expected = 0.0
    for layer, share in SHARES.items():
        (mean, gram), (style_mean, style_gram) = (
            moments(x[layer], w[layer]) for x, w in zip((canvas, style), weights, strict=True)
        )
        square = np.trace(style_gram) / len(mean)
        one, two = (
            np.sqrt(np.diag(g) - m**2 + 1e-6 * square)
            for m, g in ((mean, gram), (style_mean, style_gram))
        )
        loss = ("mean" in of) * ((mean - style_mean) ** 2).mean()
        loss += ("std" in of) * ((one - two) ** 2).mean()
        expected += share * loss / (square if normalize else 1)
    term = MeanStd(image="style", layers=SHARES, of=of, normalize=normalize)
    got = score(term, features(canvas, weights[0]), features(style, weights[1]))
    assert got == pytest.approx(expected, rel=1e-4)


# normalize


@pytest.mark.parametrize(
    "term",
    [
        Content(layers=SHARES, normalize="rms"),
        Gram(image="style", layers=SHARES, normalize="rms"),
        Gram(image="style", layers=SHARES, normalize="rms", centered=True, scale="sum"),
        MeanStd(image="style", layers=SHARES, normalize="rms"),
        Wasserstein(image="style", layers=SHARES, normalize="rms"),
    ],
    ids=lambda term: term.use,
)
def test_a_normalized_loss_does_not_depend_on_the_size_of_features(term: LossTerm) -> None:
    expected = score(term, features(maps(1)), features(maps(2)))
    for factor in (1e-3, 300):
        one, two = ({x: factor * y for x, y in maps(seed).items()} for seed in (1, 2))
        assert score(term, features(one), features(two)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("stage", [Content, Gram, MeanStd, Wasserstein])
def test_features_that_are_all_0(stage: type[LossTerm]) -> None:
    """A dead layer, or a black picture: the loss and its gradient stay finite."""
    for canvas_maps, other in ((maps(1), 0.0), (maps(1), 1.0), (maps(0), 0.0)):
        settings = {} if stage is Content else {"image": "style"}
        term = stage(layers=SHARES, normalize="rms", **settings)
        dead = {x: 0 * y for x, y in canvas_maps.items()}
        canvas = features(dead if other else canvas_maps)
        reference = features({x: other * y for x, y in canvas_maps.items()})
        with tf.GradientTape() as tape:
            tape.watch(canvas["deep"])
            loss = term.score(canvas, term.target(reference))
        assert np.isfinite(float(loss))
        assert np.isfinite(tape.gradient(loss, canvas["deep"])).all()


# the contract; test_check_stage.py has the default settings


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        (Content, {"normalize": "rms"}),
        (Gram, {"scale": "gatys_2017", "centered": True, "normalize": "rms"}),
        (MeanStd, {"of": ["std"], "normalize": "rms"}),
        (Wasserstein, {"normalize": "rms"}),
        (TotalVariation, {"kind": "l1"}),
        (TotalVariation, {"kind": "nine_point"}),
    ],
)
def test_other_settings_pass_the_check(stage: type[LossTerm], settings: dict[str, object]) -> None:
    check_stage(stage, **settings)


# several styles in one target


def test_mixed_styles_pull_as_their_sum_does() -> None:
    """Σ pₖ |G - Aₖ|² is |G - A|² and a constant, where A = Σ pₖ Aₖ: Σ pₖ |Aₖ - A|²."""
    shapes = {"deep": (3, 4, 6)}
    canvas, one, two = (features(maps(seed, shapes)) for seed in (1, 2, 3))
    other = features(maps(4, {"deep": (2, 5, 6)}))  # of another size
    term = Gram(image="one", blend={"two": 0.5, "other": 2.5}, layers={"deep": 1.0})
    assert term.references == {"one": 0.25, "two": 0.125, "other": 0.625}
    shares = [0.25, 0.125, 0.625]
    alone = [make_target(term, "a", 0, each) for each in (one, two, other)]
    parts = [(one, 0.25, None), (two, 0.125, None), (other, 0.625, None)]
    mixed = make_mixed_target(term, "a", 0, parts)
    mean = sum(share * each["deep"].numpy() for share, each in zip(shares, alone, strict=True))
    np.testing.assert_allclose(mixed["deep"], mean, rtol=1e-5, atol=1e-6)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(canvas["deep"])
        loss = term.score(canvas, mixed)
        total = tf.add_n([p * term.score(canvas, a) for p, a in zip(shares, alone, strict=True)])
    gradients = [tape.gradient(each, canvas["deep"]).numpy() for each in (loss, total)]
    apart = np.linalg.norm(gradients[0] - gradients[1])
    assert apart <= 1e-6 * np.linalg.norm(gradients[1])
    constant = [p * np.mean((a["deep"] - mean) ** 2) for p, a in zip(shares, alone, strict=True)]
    assert float(total - loss) == pytest.approx(sum(constant), rel=1e-4)


def test_mixed_gaussians_are_that_of_all_their_points() -> None:
    """Not the mean of two Gaussians: the difference of the styles' means is in the covariance."""
    one, two = maps(1, {"deep": (4, 4, 3)}), maps(2, {"deep": (4, 4, 3)})
    both = {"deep": np.concatenate([one["deep"], two["deep"]])}
    term = Wasserstein(image="one", blend={"two": 1}, layers={"deep": 1.0})
    parts = [(features(one), 0.5, None), (features(two), 0.5, None)]
    mixed = make_mixed_target(term, "a", 0, parts)
    for got, wanted in zip(
        *(tf.nest.flatten(x) for x in (mixed, term.target(features(both)))), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"blend": {"two": 1}, "scale": "sum"}, "`blend` needs a loss whose statistics are means"),
        ({"blend": {"one": 1}}, "`blend` names 'one', which is `image`"),
        ({"blend": {"two": 0}}, "greater than 0"),
    ],
)
def test_what_can_not_be_mixed(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Gram(image="one", **settings)
