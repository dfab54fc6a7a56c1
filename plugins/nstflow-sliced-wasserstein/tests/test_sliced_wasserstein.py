import resource
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from nstflow_sliced_wasserstein import SlicedWasserstein, _drawn
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Features, Stop, Tensor, hookimpl, load_recipe, make_plan, run, tf
from nstflow.testing import check_stage, run_tiny

Points = NDArray[np.float32]  # (n, c)


def features(points: Points, weights: Any = None, seed: int = 0, step: int = 1) -> Features:
    """Return the features of one layer, a row of n positions."""
    n = len(points)
    equal = tf.fill((1, 1, n, 1), 1 / n)
    given = equal if weights is None else tf.constant(weights, tf.float32, (1, 1, n, 1))
    maps = {"one": tf.constant(points, tf.float32)[None, None]}
    return Features(maps, {"one": given}, tf.constant([seed, step]))


def term(**settings: Any) -> SlicedWasserstein:
    return SlicedWasserstein(image="style", layers={"one": 1.0}, **settings)


def score(canvas: Features, image: Features, **settings: Any) -> float:
    loss = term(**settings)
    return float(loss.score(canvas, loss.target(image)))


def cloud(seed: int, n: int = 40, c: int = 3) -> Points:
    return np.random.default_rng(seed).standard_normal((n, c)).astype(np.float32)


@pytest.mark.parametrize(
    "settings", [{}, {"directions": 2}, {"directions": "axes"}, {"positions": 50}]
)
def test_it_keeps_to_the_contract(settings: dict[str, Any]) -> None:
    check_stage(SlicedWasserstein, **settings)


@pytest.mark.parametrize("settings", [{}, {"positions": 7}, {"directions": 1}])
def test_an_image_differs_from_itself_by_nothing(settings: dict[str, int]) -> None:
    assert score(features(cloud(0)), features(cloud(0)), **settings) == 0


def test_where_a_feature_occurs_does_not_matter() -> None:
    points = cloud(0)
    shuffled = np.random.default_rng(1).permutation(points)
    assert score(features(points), features(shuffled)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_one_feature_is_the_distance_of_sorted_numbers(n: int) -> None:
    # a unit vector of one number is 1 or -1
    one, two = cloud(0, n, 1), cloud(1, n, 1)
    expected = np.mean((np.sort(one, axis=0) - np.sort(two, axis=0)) ** 2)
    assert score(features(one), features(two)) == pytest.approx(expected, rel=1e-5)


def test_axes_draw_each_feature_to_the_histogram_of_the_image() -> None:
    """The loss is mean((F - R)²), with R = F remapped by rank, a constant for the gradient."""
    points, image = cloud(0), 1 + cloud(1)
    ranks = np.argsort(np.argsort(points, axis=0), axis=0)
    remapped = np.take_along_axis(np.sort(image, axis=0), ranks, axis=0)
    canvas, loss = features(points), term(directions="axes")
    with tf.GradientTape() as tape:
        tape.watch(canvas["one"])
        found = loss.score(canvas, loss.target(features(image)))
    assert float(found) == pytest.approx(((points - remapped) ** 2).mean(), rel=1e-5)
    slope = tape.gradient(found, canvas["one"])[0, 0]
    np.testing.assert_allclose(slope, 2 * (points - remapped) / points.size, rtol=1e-4, atol=1e-7)


def test_a_shift_is_seen_from_every_side() -> None:
    # moved by d, every point moves by v · d along v; its square is |d|² / c on the average
    shift = np.array([3.0, -4.0, 0.0], np.float32)
    found = score(features(cloud(0)), features(cloud(0) + shift), directions=4000)
    assert found == pytest.approx(25 / 3, rel=0.05)


def test_an_image_of_twice_the_positions_is_the_same() -> None:
    points = cloud(0)
    assert score(features(points), features(np.repeat(points, 2, axis=0))) == 0
    assert score(features(np.repeat(points, 2, axis=0)), features(points)) == 0


@pytest.mark.parametrize(("n", "m"), [(2, 3), (7, 19), (100, 64), (40, 80), (1, 5)])
def test_unequal_numbers_are_compared_by_their_whole_quantile_functions(n: int, m: int) -> None:
    one, two = cloud(0, n, 1), 1 + cloud(1, m, 1)
    # each number as often as it takes to have the same number of both
    repeated = [
        np.repeat(np.sort(x[:, 0]).astype(float), times) for x, times in ((one, m), (two, n))
    ]
    expected = np.mean((repeated[0] - repeated[1]) ** 2)
    assert score(features(one), features(two)) == pytest.approx(expected, rel=1e-5)
    assert score(features(two), features(one)) == pytest.approx(expected, rel=1e-5)


def test_what_weighs_nothing_does_not_count() -> None:
    points = np.concatenate([cloud(0, 20), 100 + cloud(1, 20)])
    seen = np.repeat([1 / 20, 0], 20)
    assert score(features(cloud(0, 20)), features(points, seen)) < 1
    assert score(features(points, seen), features(cloud(0, 20))) < 1
    assert score(features(cloud(0, 20)), features(points)) > 1000


def test_points_are_drawn_in_proportion_to_their_weights() -> None:
    points = np.repeat([[0.0], [1.0]], 500, axis=0).astype(np.float32)
    weights = np.repeat([0.2, 1.8], 500) / 1000  # nine in ten are 1
    ones = features(np.ones((100, 1), np.float32))
    found = score(ones, features(points, weights), positions=100)
    assert found == pytest.approx(0.1, abs=0.011)


@pytest.mark.parametrize("jit", [False, True])
def test_each_point_is_drawn_as_often_as_it_weighs(jit: bool) -> None:
    n, count = 500, 200
    weights = np.random.default_rng(0).random(n).astype(np.float32) ** 4
    weights[:50] = weights[200:300] = weights[-70:] = 0
    weights /= weights.sum()
    points = tf.range(n, dtype=tf.float32)[:, None]

    @tf.function(jit_compile=jit, autograph=False)
    def drawn(step: Tensor) -> Tensor:
        return _drawn(points, tf.constant(weights), most=count, seed=tf.stack([0, step]))

    found = np.zeros(n)
    for step in range(300):
        index = drawn(tf.constant(step)).numpy()[:, 0].astype(int)
        assert (np.diff(index) >= 0).all()  # spread over the image
        np.add.at(found, index, 1)
    assert found.sum() == 300 * count
    assert not found[weights == 0].any()
    # one draw in each of the equal parts: a point's count differs by less than 1 from its share
    assert np.abs(found / 300 - count * weights).max() < 0.15


def test_drawing_by_weight_takes_little_memory() -> None:
    n = 200_000
    weights = np.random.default_rng(0).random(n).astype(np.float32)
    points, weights = tf.zeros((n, 1)), tf.constant(weights / weights.sum())

    @tf.function(jit_compile=True, autograph=False)
    def drawn() -> Tensor:
        return _drawn(points, weights, most=4096, seed=tf.constant([0, 1]))

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert drawn().shape == (4096, 1)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000  # kB; a comparison of all with all takes 3 GB


def test_few_positions_stand_for_all() -> None:
    one, two = cloud(0, 4000), 2 + 0.5 * cloud(1, 4000)
    whole = score(features(one), features(two))
    assert score(features(one), features(two), positions=400) == pytest.approx(whole, rel=0.1)


def test_directions_and_points_change_with_the_step_and_the_seed() -> None:
    one, two = cloud(0), cloud(1)
    found = {
        score(features(one, seed=seed, step=step), features(two), **settings)
        for seed, step in ((0, 1), (0, 2), (1, 1))
        for settings in ({"directions": 1}, {"positions": 5})
    }
    assert len(found) == 6
    again = [score(features(one), features(two), directions=1) for _ in range(2)]
    assert again[0] == again[1]


def test_layers_have_directions_of_their_own_and_count_by_share() -> None:
    def both(points: Points) -> Features:
        x, weights = tf.constant(points)[None, None], tf.fill((1, 1, len(points), 1), 1 / 40)
        layers = ("one", "two")
        return Features(dict.fromkeys(layers, x), dict.fromkeys(layers, weights), seed)

    seed = tf.constant([0, 1])

    def with_shares(one: float, two: float) -> float:
        loss = SlicedWasserstein(image="style", layers={"one": one, "two": two}, directions=1)
        return float(loss.score(both(cloud(0)), loss.target(both(cloud(1)))))

    first, second = with_shares(1, 0), with_shares(0, 1)
    assert first != second
    assert with_shares(0.5, 2) == pytest.approx(0.5 * first + 2 * second, rel=1e-5)


@pytest.mark.parametrize("positions", [4096, 16])
def test_following_the_gradient_makes_the_clouds_alike(positions: int) -> None:
    loss, image = term(positions=positions), features(2 + 0.5 * cloud(1))
    target = loss.target(image)
    canvas = tf.Variable(cloud(0))

    @tf.function(jit_compile=True, autograph=False)
    def move(points: Tensor, step: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(points)
            maps = {"one": points[None, None]}
            here = Features(maps, {"one": tf.fill((1, 1, 40, 1), 1 / 40)}, tf.stack([0, step]))
            score = loss.score(here, target)
        return points - 10 * tape.gradient(score, points)

    for step in range(300):
        canvas.assign(move(canvas, tf.constant(step)))
    before = score(features(cloud(0)), image)
    assert score(features(canvas.numpy()), image) < 0.05 * before


def test_a_run_is_the_same_each_time(tmp_path: Any) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        losses = {"new": {"use": "sliced_wasserstein", "image": "style", "positions": 64}}
        made.append(run_tiny(tmp_path / name, losses=losses))
    assert made[0].history["new"] == made[1].history["new"]
    assert made[0].image.pixels.tobytes() == made[1].image.pixels.tobytes()


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    losses = {"new": {"use": "sliced_wasserstein", "image": "style", "positions": 64}}
    whole = run_tiny(tmp_path, losses=losses, steps=6)
    plan, stops = make_plan(load_recipe(tmp_path / "recipe.yaml")), Stops()
    assert run(plan, tmp_path / "two", observers=[stops], stop=stops.stop).interrupted
    resumed = run(plan, tmp_path / "two", resume=True)
    assert resumed.resumed_from > 0
    assert resumed.image.pixels.tobytes() == whole.image.pixels.tobytes()


class Stops:
    """Asks a run to stop once a step is done."""

    def __init__(self) -> None:
        self.stop = Stop()

    @hookimpl
    def nstflow_progress(self) -> None:
        self.stop.request()


def test_a_style_that_is_transparent(tmp_path: Path) -> None:
    pixels = np.full((32, 32, 4), 255, np.uint8)
    pixels[:, 16:] = (255, 0, 0, 0)
    PIL.Image.fromarray(pixels).save(tmp_path / "style.png")
    style = {"use": "file", "path": "style.png", "transparency": "weight"}
    content = {"use": "noise", "height": 32, "width": 48}
    use = {"use": "sliced_wasserstein", "image": "style", "layers": ["image"], "weight": 1e4}
    result = run_tiny(
        tmp_path,
        images={"content": content, "style": style},
        losses={"new": use},
        optimizer={"use": "adam", "learning_rate": 0.1},
        steps=60,
    )
    assert result.image.pixels.mean() > 0.97  # white, and nothing of the red


@pytest.mark.parametrize(
    "wrong",
    [
        {"directions": 0},
        {"directions": "axis"},
        {"positions": 0},
        {"positions": 1.5},
        {"image": None},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SlicedWasserstein(**{"image": "style", **wrong})
