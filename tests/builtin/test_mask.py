"""The loader `mask`: opacity, greys, and one colour of a labelled picture."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from nstflow.builtin.loaders.mask import Mask
from nstflow.errors import NstflowError
from nstflow.testing import check_stage


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """Return the alpha of the mask in a picture of values `(h, w)` or `(h, w, c)`."""

    def load(values: Any, **settings: Any) -> Any:
        PIL.Image.fromarray(np.uint8(values)).save(tmp_path / "m.png")
        mask = Mask(path=Path("m.png"), **settings)
        image = mask.load(tmp_path)
        assert image.size == mask.size(tmp_path)
        assert image.pixels.min() == 1
        return image.alpha

    return load


def test_white_is_the_region_and_grey_is_between(load: Any) -> None:
    np.testing.assert_allclose(load([[0, 51, 255]]), [[0, 0.2, 1]], atol=1e-6)
    np.testing.assert_allclose(load([[0, 51, 255]], invert=True), [[1, 0.8, 0]], atol=1e-6)


def test_opacity_comes_before_the_colours(load: Any) -> None:
    np.testing.assert_allclose(load([[[0, 0, 0, 255], [255, 255, 255, 0]]]), [[1, 0]])
    np.testing.assert_allclose(load([[[9, 9, 9, 0], [9, 9, 9, 0]]]), [[0, 0]])  # of nothing
    np.testing.assert_allclose(load([[[255, 255, 255, 255]] * 2]), [[1, 1]])  # no opacity is used


def test_one_colour_of_a_labelled_picture(load: Any) -> None:
    picture = [[[255, 0, 0], [0, 128, 0], [254, 1, 0], [250, 0, 0]]]
    assert load(picture, color="#ff0000").tolist() == [[1, 0, 1, 0]]
    assert load(picture, color="#ff0000", invert=True).tolist() == [[0, 1, 0, 1]]
    with pytest.raises(NstflowError) as caught:
        load([[[255, 0, 0]] * 2 + [[0, 128, 0]]], color="#0000FF")
    (problem,) = caught.value.problems
    assert (problem.what, problem.got, problem.hint) == (
        "color",
        "no pixel of 'm.png' has the colour #0000FF.",
        "Its most frequent colours are #ff0000, #008000.",
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_a_soft_edge_is_that_of_a_gaussian(load: Any, axis: int) -> None:
    """A step becomes the integral of the Gaussian; far from it, nothing changes."""
    step = np.zeros((60, 60))
    step[:, 30:] = 255
    soft = load(step if axis else step.T, feather=4)
    row = soft[7] if axis else soft[:, 7]
    expected = [0.5 * (1 + math.erf((x - 29.5) / (4 * math.sqrt(2)))) for x in range(60)]
    np.testing.assert_allclose(row, expected, atol=0.01)
    assert (row[0], row[-1]) == (0, 1)


def test_the_contract(tmp_path: Path) -> None:
    PIL.Image.new("L", (5, 4), 90).save(tmp_path / "m.png")
    check_stage(Mask, path=str(tmp_path / "m.png"))
