"""The sum of the terms, its gradient, and the seeds that terms draw from."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

from nstflow import Features, Image, Layers, LocalTerm, LossTerm, StatisticTerm, Tensor, tf
from nstflow.engine.features import Describer
from nstflow.engine.objective import Objective, make_target
from nstflow.stages.loss import Region

PIXELS = np.random.default_rng(0).random((1, 4, 6, 3), np.float32)


class Distance(LossTerm):
    """Sum squared differences of means."""

    use: Literal["distance"] = "distance"
    layers: Layers = Field({"image": 1.0}, description="The pixels.")

    def score(self, features: Features, target: Any) -> Tensor:
        """Return Σ share · Σ (x - target)²; without a target, Σ share · Σ x²."""
        target = dict.fromkeys(features, 0.0) if target is None else target
        return tf.add_n(
            [
                share * tf.reduce_sum(tf.square(features[layer] - target[layer]))
                for layer, share in self.shares.items()
            ]
        )


class Draw(LossTerm):
    """Say what is drawn from the seed: its two numbers as one, or a random number."""

    use: Literal["draw"] = "draw"
    layers: Layers = Field({"image": 1.0}, description="The pixels.")

    def target(self, features: Features) -> Any:
        """Keep the seed."""
        return features.seed

    def score(self, features: Features, target: Any) -> Tensor:  # noqa: ARG002 - the contract
        """Return a number in [0, 1)."""
        return tf.random.stateless_uniform((), features.seed)


class Broken(Distance):
    """Fail when it is computed."""

    def score(self, features: Features, target: Any) -> Tensor:  # noqa: ARG002 - the contract
        """Fail."""
        raise AssertionError


class Strict(LossTerm):
    """Fail unless the layers that are handed over are exactly its own."""

    use: Literal["strict"] = "strict"

    def score(self, features: Features, target: Any) -> Tensor:  # noqa: ARG002 - the contract
        """Return nothing."""
        assert list(features) == list(features.weights) == list(self.shares)
        return tf.constant(0.0)


def anyone(_: str) -> nullcontext[None]:
    return nullcontext()


def doubled(canvas: Tensor) -> Mapping[str, Tensor]:
    return {"double": 2 * canvas, "negative": -canvas}


def test_losses_are_weighted_and_the_gradient_is_of_their_sum() -> None:
    """3 Σ x² + 0.5 (Σ (2x - g)² + 2 Σ x²): 6 x + 2 (2x - g) + 2 x."""
    goal = np.random.default_rng(1).random((1, 4, 6, 3), np.float32)
    terms = {
        "first": Distance(weight=3),
        "second": Distance(weight=0.5, layers={"double": 1.0, "negative": 2.0}, image="content"),
    }
    targets = {"first": None, "second": {"double": tf.constant(goal), "negative": 0.0}}
    evaluate = Objective(doubled, terms, targets, 0, anyone)
    losses, gradient = evaluate(tf.constant(PIXELS), tf.constant(1))
    x, g = np.float64(PIXELS), np.float64(goal)
    expected = [3 * (x**2).sum(), 0.5 * (((2 * x - g) ** 2).sum() + 2 * (x**2).sum())]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(gradient, 6 * x + 2 * (2 * x - g) + 2 * x, rtol=1e-5, atol=1e-6)


def test_a_negative_weight_pushes_away() -> None:
    evaluate = Objective(None, {"it": Distance(weight=-1)}, {"it": None}, 0, anyone)
    losses, gradient = evaluate(tf.constant(PIXELS), tf.constant(1))
    np.testing.assert_allclose(losses, [-(np.float64(PIXELS) ** 2).sum()], rtol=1e-5)
    np.testing.assert_allclose(gradient, -2 * PIXELS, rtol=1e-6)


def test_a_term_that_does_not_see_the_canvas_has_no_gradient() -> None:
    evaluate = Objective(None, {"it": Draw()}, {"it": None}, 0, anyone)
    _, gradient = evaluate(tf.constant(PIXELS), tf.constant(1))
    np.testing.assert_array_equal(gradient, np.zeros_like(PIXELS))


def test_a_term_sees_its_layers_alone() -> None:
    terms = {
        "pixels": Strict(layers={"image": 1.0}),
        "both": Strict(layers={"negative": 0.5, "double": 0.5}),
    }
    evaluate = Objective(doubled, terms, dict.fromkeys(terms), 0, anyone)
    evaluate(tf.constant(PIXELS), tf.constant(1))


def test_one_pass_through_the_network_serves_all_terms() -> None:
    passes = []

    def network(canvas: Tensor) -> Mapping[str, Tensor]:
        passes.append(1)
        return doubled(canvas)

    terms = {name: Distance(layers={"double": 1.0}) for name in ("a", "b", "c")}
    evaluate = Objective(network, terms, dict.fromkeys(terms), 0, anyone)
    evaluate(tf.constant(PIXELS), tf.constant(1))
    assert len(passes) == 1


def test_each_term_is_called_under_its_name() -> None:
    """So that an error finds its owner."""
    entered = []

    @contextmanager
    def attributed(name: str) -> Iterator[None]:
        entered.append(name)
        yield

    terms = {"a": Distance(), "b": Distance()}
    evaluate = Objective(None, terms, dict.fromkeys(terms), 0, attributed)
    evaluate(tf.constant(PIXELS), tf.constant(1))
    assert entered == ["a", "b"]


def draws(names: tuple[str, ...], seed: int, step: int) -> list[float]:
    terms = {name: Draw() for name in names}
    evaluate = Objective(None, terms, dict.fromkeys(names), seed, anyone)
    losses, _ = evaluate(tf.constant(PIXELS), tf.constant(step))
    return losses.numpy().tolist()


def test_the_same_step_draws_the_same() -> None:
    assert draws(("a", "b"), 4, 3) == draws(("a", "b"), 4, 3)


def test_terms_steps_and_recipes_draw_differently() -> None:
    drawn = [
        number for seed in (0, 1) for step in (1, 2, 3) for number in draws(("a", "b"), seed, step)
    ]
    assert len(set(drawn)) == len(drawn) == 12


def test_a_draw_does_not_depend_on_the_other_terms() -> None:
    """Adding a term, or changing their order, leaves the others' directions alone."""
    (alone,) = draws(("a",), 4, 3)
    assert draws(("b", "a"), 4, 3)[1] == alone


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_a_target_draws_at_step_0(seed: int) -> None:
    features = Describer(None)(Image(PIXELS[0]))
    first, again, other = (
        make_target(Draw(image="content"), name, seed, features).numpy().tolist()
        for name in ("a", "a", "b")
    )
    assert first == again
    assert first[1] == other[1] == 0
    assert first[0] != other[0]
    assert first[0] >= 0


def test_a_target_sees_its_layers_alone() -> None:
    features = Describer(doubled)(Image(PIXELS[0]))
    target = make_target(Distance(image="content", layers={"double": 1.0}), "it", 0, features)
    assert list(target) == ["double"]


class Whole(Distance):
    """Keep all features of the reference as they are."""

    def target(self, features: Features) -> Any:
        """Return the features."""
        return features


@pytest.mark.parametrize("term", [Distance(image="content"), Whole(image="content")])
def test_a_target_may_be_any_mapping(term: LossTerm) -> None:
    """A program is shared only if the target can be taken apart."""
    features = Describer(None)(Image(PIXELS[0]))
    target = make_target(term, "it", 0, features)
    objective = Objective(None, {"it": term}, {"it": target}, 0, anyone)
    losses, _ = objective(tf.constant(PIXELS + 0.5), tf.constant(1))
    np.testing.assert_allclose(losses, [0.25 * PIXELS.size], rtol=1e-5)
    assert (objective.kind is None) == isinstance(term, Whole)


class Mean(StatisticTerm):
    """Match the mean of the points' powers; counts how often it summarises."""

    use: Literal["mean"] = "mean"
    power: int = Field(1, description="The power.")
    calls: ClassVar[list[int]] = []

    def summarize(self, points: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted mean of the powers, `(c,)`."""
        self.calls.append(self.power)
        return tf.reduce_sum(weights * points**self.power, axis=0)

    def distance(self, summary: Tensor, target: Tensor) -> Tensor:
        """Return the squared difference."""
        return tf.reduce_sum(tf.square(summary - target))


def test_terms_that_summarise_alike_share_a_summary() -> None:
    """Whatever their image, weight and shares; the sum and its gradient are each one's own."""
    terms = {
        "one": Mean(image="a", layers={"image": 1.0}),
        "two": Mean(image="b", layers={"image": 0.5}, weight=3),
        "cube": Mean(image="a", layers={"image": 1.0}, power=3),
    }
    targets = {name: {"image": tf.constant([0.1 * n, 0.2, 0.3])} for n, name in enumerate(terms, 1)}
    canvas, step = tf.constant(PIXELS), tf.constant(1)
    Mean.calls.clear()
    losses, gradient = Objective(None, terms, targets, 0, lambda _: nullcontext())(canvas, step)
    assert Mean.calls == [1, 3]
    for index, (name, term) in enumerate(terms.items()):
        alone = Objective(None, {name: term}, targets, 0, lambda _: nullcontext())
        loss, own = alone(canvas, step)
        assert float(losses[index]) == pytest.approx(float(loss[0]), rel=1e-6)
        gradient -= own
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


# factors and regions


def test_a_term_with_the_factor_0_is_not_computed() -> None:
    terms = {"a": Distance(), "b": Broken(), "c": Distance(weight=3)}
    factors = {"b": 0.0, "c": 0.5}
    evaluate = Objective(None, terms, dict.fromkeys(terms), 0, anyone, factors)
    losses, gradient = evaluate(tf.constant(PIXELS), tf.constant(1))
    squares = (np.float64(PIXELS) ** 2).sum()
    np.testing.assert_allclose(losses, [squares, 0, 1.5 * squares], rtol=1e-6)
    np.testing.assert_allclose(gradient, 2.5 * 2 * PIXELS, rtol=1e-6)


def test_runs_share_a_program_if_the_same_terms_are_left_out() -> None:
    terms = {"a": Distance(), "b": Distance()}
    kinds = [
        Objective(None, terms, dict.fromkeys(terms), 0, anyone, factors).kind
        for factors in ({}, {"a": 0.5}, {"a": 0.0})
    ]
    assert kinds[0] == kinds[1] != kinds[2]


class Local(LocalTerm):
    """The mean of the pixels."""

    use: Literal["local"] = "local"
    layers: Layers = Field({"image": 1.0}, description="The pixels.")

    def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the mean of each pixel's channels."""
        return {layer: tf.reduce_mean(x, -1, keepdims=True) for layer, x in features.items()}


class Shared(StatisticTerm):
    """A summary that is kept under a key which leaves the region out."""

    use: Literal["shared"] = "shared"
    layers: Layers = Field({"image": 1.0}, description="The pixels.")
    image: str = "style"

    def summarize(self, points: Tensor, weights: Tensor) -> Any:
        """Return the mean."""
        return tf.reduce_sum(points * weights, 0)

    def distance(self, summary: Any, target: Any) -> Tensor:
        """Return the sum of the difference."""
        return tf.reduce_sum(summary - target)

    def score(self, features: Features, target: Any) -> Tensor:
        """Return the distance of the summary that is kept."""
        mine = features.once("mine", lambda: self.summarize(*features.points("image")))
        return self.distance(mine, target["image"])


@pytest.mark.parametrize("kind", [Local, Shared])
def test_terms_of_regions_see_their_own(kind: type[LocalTerm | StatisticTerm]) -> None:
    """And share what they keep with the terms of the same region alone."""
    top, left = np.zeros((2, 1, 4, 6, 1), np.float32)
    top[:, :2], left[:, :, :3] = 1 / 12, 1 / 12
    masks = {"top": {"image": tf.constant(top)}, "left": {"image": tf.constant(left)}}
    regions = {None: {}, **{Region(name): each for name, each in masks.items()}}
    terms = {str(region): kind(region=region) for region in (None, "top", "left")}
    zero = {"image": tf.zeros(3)}
    evaluate = Objective(None, terms, dict.fromkeys(terms, zero), 0, anyone, regions=regions)
    losses, gradient = evaluate(tf.constant(PIXELS), tf.constant(1))
    factor = 1 / 3 if kind is Local else 1
    parts = [PIXELS, PIXELS[:, :2], PIXELS[:, :, :3]]
    np.testing.assert_allclose(losses, [3 * factor * x.mean() for x in parts], rtol=1e-5)
    expected = np.broadcast_to(1 / 24 + top + left, PIXELS.shape) * factor
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_another_mask_of_the_same_size_shares_the_program() -> None:
    def objective(*weights: float) -> Objective:
        region = {"image": tf.constant(np.float32(weights).reshape(1, 1, 2, 1))}
        terms = {"a": Local(region="it")}
        return Objective(None, terms, {"a": None}, 0, anyone, regions={Region("it"): region})

    one, other = objective(0.25, 0.75), objective(1, 0)
    assert one.kind == other.kind
    canvas = tf.constant(np.float32([[[[1], [5]]]]))
    losses, _ = one(canvas, tf.constant(1), *other.given)
    assert losses.numpy().tolist() == [1]


def test_a_map_has_one_value_for_each_position() -> None:
    class Wrong(Local):
        def differences(self, features: Features, target: Any) -> Mapping[str, Tensor]:  # noqa: ARG002
            """Return a value for each channel."""
            return dict(features)

    evaluate = Objective(None, {"a": Wrong()}, {"a": None}, 0, anyone)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        evaluate(tf.constant(PIXELS), tf.constant(1))
