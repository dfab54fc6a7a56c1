from typing import Any

import numpy as np
import pytest
from nstflow_sliced_wasserstein import SlicedWasserstein
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import Features, Tensor, tf
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


@pytest.mark.parametrize("settings", [{}, {"directions": 2}, {"positions": 50}])
def test_it_keeps_to_the_contract(settings: dict[str, int]) -> None:
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


def test_a_shift_is_seen_from_every_side() -> None:
    # moved by d, every point moves by v · d along v; its square is |d|² / c on the average
    shift = np.array([3.0, -4.0, 0.0], np.float32)
    found = score(features(cloud(0)), features(cloud(0) + shift), directions=4000)
    assert found == pytest.approx(25 / 3, rel=0.05)


def test_an_image_of_twice_the_positions_is_the_same() -> None:
    points = cloud(0)
    assert score(features(points), features(np.repeat(points, 2, axis=0))) == 0
    assert score(features(np.repeat(points, 2, axis=0)), features(points)) == 0


def test_unequal_numbers_meet_at_their_quantiles() -> None:
    image = np.array([[30.0], [10.0], [20.0]], np.float32)
    canvas = np.array([[0.0], [0.0]], np.float32)
    # quantiles 1/4 and 3/4 of three numbers are the first and the last
    assert score(features(canvas), features(image)) == pytest.approx((100 + 900) / 2, rel=1e-5)


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


@pytest.mark.parametrize(
    "wrong", [{"directions": 0}, {"positions": 0}, {"positions": 1.5}, {"image": None}]
)
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SlicedWasserstein(**{"image": "style", **wrong})
