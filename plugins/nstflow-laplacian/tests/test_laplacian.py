from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nstflow_laplacian import Laplacian
from numpy.typing import NDArray
from pydantic import ValidationError

from nstflow import NstflowError, Problem, Tensor, tf
from nstflow.testing import check_stage

Pixels = NDArray[np.float32]  # (h, w, 3)


def gray(plane: Any) -> Pixels:
    return np.repeat(np.asarray(plane, np.float32)[..., None], 3, axis=-1)


def black(side: int) -> Pixels:
    return np.zeros((side, side, 3), np.float32)


def noise(seed: int, height: int = 26, width: int = 31) -> Pixels:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def tensor(pixels: Any) -> Tensor:
    return tf.constant(pixels, tf.float32)[None]


def score(canvas: Any, reference: Any, **settings: Any) -> float:
    term = Laplacian(layers={"image": 1.0}, **settings)
    target = term.target({"image": tensor(reference)})
    return float(term.score({"image": tensor(canvas)}, target))


def test_it_keeps_to_the_contract() -> None:
    check_stage(Laplacian, pool=2)


@pytest.mark.parametrize("pool", [1, 2, 3, 4])
def test_flat_images_have_no_outlines(pool: int) -> None:
    assert score(np.full((13, 14, 3), 0.75), np.full((13, 14, 3), 0.25), pool=pool) == 0


def test_an_image_differs_from_itself_by_nothing() -> None:
    assert score(noise(0), noise(0)) == 0


def test_a_slope_has_no_outlines() -> None:
    slope = np.add.outer(np.arange(16), 2 * np.arange(16)) / 64
    assert score(gray(slope), black(16)) == 0


def test_a_parabola_has_one_laplacian_everywhere() -> None:
    parabola = gray(np.broadcast_to(np.arange(8) ** 2 / 64, (8, 8)))  # second difference: 2 / 64
    assert score(parabola, black(8), pool=1) == (2 / 64) ** 2
    assert score(parabola, black(8), pool=1, scale="sum") == 6 * 6 * 3 * (2 / 64) ** 2


def test_a_bright_block_counts_where_it_is_and_beside_it() -> None:
    canvas = black(20)
    canvas[8:12, 8:12, 0] = 1  # the middle one of 5 by 5 blocks: 4 there, -1 at four neighbours
    assert score(canvas, black(20), scale="sum") == 4**2 + 4 * 1
    assert score(canvas, black(20)) == pytest.approx(20 / (3 * 3 * 3), rel=1e-6)


def test_a_bright_pixel_counts_as_its_share_of_a_block() -> None:
    canvas = black(20)
    canvas[9, 10, 0] = 1
    assert score(canvas, black(20), scale="sum") == 20 / 16**2


@pytest.mark.parametrize(
    ("side", "pool", "expected"), [(1, 1, 16), (4, 4, 16), (1, 2, 0), (2, 4, 0)]
)
def test_a_checkerboard_is_all_outline_unless_finer_than_the_blocks(
    side: int, pool: int, expected: float
) -> None:
    rows, columns = np.indices((24, 24)) // side
    assert score(gray((rows + columns) % 2), black(24), pool=pool) == expected


def test_colours_of_equal_sum_have_an_edge() -> None:
    canvas = black(12)
    canvas[:, :6, 0] = canvas[:, 6:, 1] = 1  # 6 by 6 blocks, red and green
    assert score(canvas, black(12), pool=2, scale="sum") == 4 * 2 * 2  # rows, columns, channels


def test_rows_and_columns_that_fill_no_block_do_not_count() -> None:
    canvas, reference = noise(0, 14, 15), noise(1, 14, 15)
    assert score(canvas, reference) == score(canvas[:12, :12], reference[:12, :12])


def test_layers_count_by_share() -> None:
    canvas = {"image": noise(0), "deep": noise(1, 12, 12)}
    reference = {"image": noise(2), "deep": noise(3, 12, 12)}
    term = Laplacian(layers={"image": 0.25, "deep": 2.0})
    target = term.target({layer: tensor(x) for layer, x in reference.items()})
    both = float(term.score({layer: tensor(x) for layer, x in canvas.items()}, target))
    one, two = (score(canvas[layer], reference[layer]) for layer in canvas)
    assert both == pytest.approx(0.25 * one + 2 * two, rel=1e-6)


def test_listed_layers_share_a_mean_but_not_a_sum() -> None:
    assert Laplacian().share_of_each(2) == 0.5
    assert Laplacian(scale="sum").share_of_each(2) == 1


def loss_and_gradient(
    reference: Pixels, scale: str = "mean"
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    term = Laplacian(layers={"image": 1.0}, scale=scale)
    target = term.target({"image": tensor(reference)})

    def evaluate(canvas: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(canvas)
            loss = term.score({"image": canvas}, target)
        return loss, tape.gradient(loss, canvas)

    return evaluate


def compiled(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    return tf.function(evaluate, jit_compile=True, autograph=False)


@pytest.mark.parametrize("scale", ["mean", "sum"])
def test_the_gradient_is_that_of_a_square(scale: str) -> None:
    canvas, reference = noise(0), noise(1)
    loss, gradient = loss_and_gradient(reference, scale)(tensor(canvas))
    gradient = gradient.numpy()[0]
    assert np.isfinite(gradient).all()
    # 6 by 7 blocks, less the corners: no cross of five reaches them
    assert np.count_nonzero(gradient) == (6 * 7 - 4) * 4 * 4 * 3
    assert not gradient[24:].any()
    assert not gradient[:, 28:].any()
    # the loss of r + t d is t² times that of r + d, so its slope along d at t = 1 is twice itself
    assert (gradient * (canvas - reference)).sum() == pytest.approx(2 * float(loss), rel=1e-4)


@pytest.mark.parametrize("scale", ["mean", "sum"])
def test_compiled_equals_eager(scale: str) -> None:
    evaluate, canvas = loss_and_gradient(noise(1), scale), tensor(noise(0))
    for one, other in zip(evaluate(canvas), compiled(evaluate)(canvas), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def problem_of(canvas: tuple[int, int], reference: tuple[int, int]) -> Problem:
    with pytest.raises(NstflowError) as caught:
        Laplacian().check(canvas, reference)
    (problem,) = caught.value.problems
    return problem


def test_another_size_is_refused_even_where_the_blocks_agree() -> None:
    problem = problem_of((16, 18), (16, 17))
    assert (problem.where, problem.what) == ("", "image")
    assert problem.got == "the canvas is 18×16, but this image 17×16."
    assert "start.like" in problem.hint


def test_fewer_than_three_blocks_a_side_are_refused() -> None:
    problem = problem_of((12, 11), (12, 11))
    assert (problem.where, problem.what) == ("", "pool")
    assert problem.got == "11×12 is too small for blocks of 4: a side needs 12."
    Laplacian().check((12, 12), (12, 12))
    assert score(noise(0, 12, 12), noise(1, 12, 12)) > 0


@pytest.mark.parametrize("wrong", [{"pool": 0}, {"pool": 1.5}, {"scale": "gatys"}, {"image": None}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Laplacian(**wrong)
