"""Colours that a PNG describes by numbers in place of a profile: gAMA, cHRM and cICP.

Light is V^(1/g) with the exponent g of gAMA, or the light of sRGB's curve without it. The
primaries of cHRM give the matrix to XYZ; it is adapted to sRGB's white by Bradford's method.

Source: Portable Network Graphics (third edition), 11.3.2 and 12.2; H.273 for the numbers of cICP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nstflow.toolkit import linear_to_srgb, srgb_to_linear

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_BT2020 = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
_P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_CICP_PRIMARIES = {1: _SRGB, 9: _BT2020, 12: _P3}
_CICP_EXPONENTS = {8: 1.0, 13: None}  # the transfer functions that are linear or sRGB's
_RGB_FULL_RANGE = b"\0\1"  # the last two numbers of cICP
_NEAR_EXPONENT, _NEAR_PRIMARIES = 0.05, 0.01  # what libpng calls the same as sRGB's
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


class UnknownColoursError(Exception):
    """The numbers can't be those of colours, or are of a kind that is not converted."""


class Colours(NamedTuple):
    """How values are colours.

    Attributes:
        exponent: From light to value, below 1 as a rule; None for sRGB's curve.
        primaries: x and y of white, red, green and blue.
    """

    exponent: float | None
    primaries: Sequence[float]


def colours_of(info: dict[Any, Any], cicp: bytes | None) -> Colours | None:
    """Return how the values of a PNG without a profile are colours; None if they are sRGB.

    Args:
        info: What Pillow read of it.
        cicp: Its chunk cICP, which counts more than the others.

    Raises:
        UnknownColoursError: There is no conversion for them.
    """
    if cicp is not None:
        numbers = tuple(cicp[:2])
        known = numbers[:1] and numbers[0] in _CICP_PRIMARIES and numbers[-1] in _CICP_EXPONENTS
        if not known or cicp[2:] != _RGB_FULL_RANGE:
            raise UnknownColoursError(f"cICP {' '.join(map(str, cicp[:4]))}")
        if numbers == (1, 13):
            return None
        return Colours(_CICP_EXPONENTS[numbers[1]], _CICP_PRIMARIES[numbers[0]])
    if "srgb" in info:
        return None
    exponent, primaries = info.get("gamma"), info.get("chromaticity", _SRGB)
    if exponent == 0:
        raise UnknownColoursError("gAMA 0")
    if exponent and abs(exponent * 2.2 - 1) <= _NEAR_EXPONENT:
        exponent = None  # what writers of sRGB say in short
    near = max(abs(a - b) for a, b in zip(primaries, _SRGB, strict=True)) <= _NEAR_PRIMARIES
    return None if exponent is None and near else Colours(exponent, _SRGB if near else primaries)


def to_srgb(pixels: NDArray[np.float32], colours: Colours) -> NDArray[np.float32]:
    """Return the pixels as sRGB; what sRGB can't show is clipped.

    Raises:
        UnknownColoursError: The primaries can't be.
    """
    import numpy as np

    if colours.exponent is None:
        light = srgb_to_linear(pixels)
    else:
        light = pixels ** np.float32(1 / colours.exponent)
    if colours.primaries is not _SRGB:
        light = (light @ _matrix(colours.primaries).T).clip(0, 1)
    return np.asarray(linear_to_srgb(light), np.float32).clip(0, 1)


def _matrix(primaries: Sequence[float]) -> NDArray[np.float32]:
    """Return the matrix from linear RGB with these primaries to that of sRGB."""
    import numpy as np

    (there, white), (here, srgb_white) = _xyz(primaries), _xyz(_SRGB)
    cones = np.array(_BRADFORD)
    adapted = np.linalg.inv(cones) @ np.diag(cones @ srgb_white / (cones @ white)) @ cones
    return np.asarray(np.linalg.inv(here) @ adapted @ there, np.float32)


def _xyz(primaries: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix from linear RGB to XYZ, and the XYZ of white."""
    import numpy as np

    x, y = np.array(primaries, np.float64).reshape(4, 2).T
    if not (y > 0).all():
        raise UnknownColoursError("cHRM")
    white, *colours = np.stack([x / y, np.ones(4), (1 - x - y) / y], -1)
    columns = np.stack(colours, -1)
    if np.linalg.cond(columns) > 1e6:  # noqa: PLR2004 - three on one line
        raise UnknownColoursError("cHRM")
    return columns * np.linalg.solve(columns, white), white
