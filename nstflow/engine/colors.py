"""Colours: other colour spaces, and one image's colours for another. NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from nstflow.stages.types import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

ColorSpace = Literal["yiq", "lab", "oklab", "linear"]
"""Where brightness and colour are told apart; see `with_colors_of`."""

ColorMatch = Literal["optimal", "pca", "cholesky", "histogram"]
"""How colours are matched; see `match_colors`."""

_VARIANCE = 1e-5  # added to that of each channel, so that a grey or even image has an inverse

# sRGB primaries with the white D65 (IEC 61966-2-1), rows X, Y, Z
_TO_XYZ = (
    (0.4123907993, 0.3575843394, 0.1804807884),
    (0.2126390059, 0.7151686788, 0.0721923154),
    (0.0193308187, 0.1191947798, 0.9505321522),
)
_LUMA = (0.299, 0.587, 0.114)
# Ottosson, "A perceptual color space for image processing", 2020: linear sRGB to LMS to OKLab
_TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
_TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def to_grey(image: Image) -> Image:
    """Return the image with its BT.601 luma in all channels."""
    import numpy as np

    luma = image.pixels @ np.array(_LUMA, np.float32)
    return Image(np.clip(luma, 0, 1)[..., None].repeat(3, -1), image.alpha)


def with_colors_of(pixels: NDArray[Any], reference: NDArray[Any], space: ColorSpace) -> Any:
    """Return the brightness of `pixels` with the colours of `reference`, both `(h, w, 3)` sRGB.

    - `yiq`: BT.601 luma and the difference of a colour from it, as in YIQ, YUV and YCbCr.
    - `linear`: the same with the luminance Y of linear light.
    - `lab`: L* and a*, b* of CIE Lab with the white D65.
    - `oklab`: L and a, b of OKLab.

    Except with `yiq`, values out of [0, 1] are clipped. All but `yiq` take the pixels for sRGB.
    """
    import numpy as np

    if space == "yiq":
        # a colour without its luma is the same in both, so only the lumas are exchanged
        luma = np.array(_LUMA, np.float32)
        return reference + ((pixels - reference) @ luma)[..., None]
    one, other = (srgb_to_linear(each.astype(np.float64)) for each in (pixels, reference))
    if space == "linear":
        luminance = np.array(_TO_XYZ[1])
        light = other + ((one - other) @ luminance)[..., None]
    else:
        to, back = (_to_lab, _from_lab) if space == "lab" else (_to_oklab, _from_oklab)
        light = back(np.concatenate([to(one)[..., :1], to(other)[..., 1:]], -1))
    return linear_to_srgb(np.clip(light, 0, 1)).astype(np.float32)


def match_colors(image: Image, reference: Image, method: ColorMatch = "optimal") -> Any:
    """Return the pixels of an image with the colours of another, clipped to [0, 1], float32.

    x → B (x - m) + r, with the means m and r of the two and a matrix B that gives the image's
    covariance S the value R of the reference. 10⁻⁵ is added to both diagonals.

    - `optimal`: B = S^-½ (S^½ R S^½)^½ S^-½, which changes the colours least.
    - `pca`: B = R^½ S^-½, with symmetric roots.
    - `cholesky`: B = L_R L_S⁻¹, with the lower triangular factors.
    - `histogram`: no matrix; each channel's values are replaced, rank by rank, by the reference's.

    Positions count by their opacity, in both images, and have the colours that they have without
    the white behind them.

    Source: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural Artistic Style
    Transfer", 2016, section 3, for `pca` and `cholesky`; Pitié and Kokaram, "The linear
    Monge-Kantorovitch linear colour mapping for example-based colour transfer", 2007, for
    `optimal`.
    """
    import numpy as np

    source, target = (_colors(each) for each in (image, reference))
    counts, others = (_counts(each) for each in (image, reference))
    if method == "histogram":
        channels = (_by_rank(source[:, k], counts, target[:, k], others) for k in range(3))
        result = np.stack([*channels], -1)
    else:
        mean, spread = _moments(source, counts)
        wanted, other = _moments(target, others)
        result = (source - mean) @ _matrix(spread, other, method).T + wanted
    pixels = np.clip(result, 0, 1).astype(np.float32).reshape(image.pixels.shape)
    if image.alpha is None:
        return pixels
    alpha = image.alpha[..., None]
    return pixels * alpha + (1 - alpha)


def _colors(image: Image) -> Any:
    """Return the colours `(n, 3)` without the white behind what is transparent."""
    import numpy as np

    colors = image.pixels.reshape(-1, 3).astype(np.float64)
    if image.alpha is None:
        return colors
    alpha = image.alpha.reshape(-1, 1).astype(np.float64)
    behind = np.maximum(alpha, 1e-3)  # where it is less, nothing is seen
    return np.clip((colors - (1 - alpha)) / behind, 0, 1)


def _counts(image: Image) -> Any:
    """Return how much each pixel counts, `(n,)`, with the sum 1."""
    import numpy as np

    if image.alpha is None or not image.alpha.any():
        return np.full(image.pixels.size // 3, 3 / image.pixels.size)
    counts = image.alpha.reshape(-1).astype(np.float64)
    return counts / counts.sum()


def _moments(values: Any, counts: Any) -> tuple[Any, Any]:
    """Return the mean `(3,)` and the covariance `(3, 3)` of colours `(n, 3)`."""
    import numpy as np

    mean = counts @ values
    centered = values - mean
    return mean, (centered * counts[:, None]).T @ centered + _VARIANCE * np.eye(3)


def _matrix(spread: Any, other: Any, method: ColorMatch) -> Any:
    """Return B, with B S Bᵀ = R for S = `spread` and R = `other`."""
    import numpy as np

    if method == "cholesky":
        return np.linalg.cholesky(other) @ np.linalg.inv(np.linalg.cholesky(spread))
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    if method == "pca":
        return _power(other, 0.5) @ inverse
    return inverse @ _power(root @ other @ root, 0.5) @ inverse


def _power(matrix: Any, exponent: float) -> Any:
    """Return a power of a symmetric matrix with positive eigenvalues."""
    import numpy as np

    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def _by_rank(values: Any, counts: Any, target: Any, others: Any) -> Any:
    """Return for each value the one of `target` at the same quantile; equal values stay equal."""
    import numpy as np

    _, where = np.unique(values, return_inverse=True)
    weight = np.bincount(where, counts)
    middles = np.cumsum(weight) - weight / 2
    wanted, there = np.unique(target[others > 0], return_inverse=True)
    weight = np.bincount(there, others[others > 0])
    return np.interp(middles, np.cumsum(weight) - weight / 2, wanted)[where]


def srgb_to_linear(pixels: Any) -> Any:
    """Return sRGB values in [0, 1] as linear light, of the same type (IEC 61966-2-1)."""
    import numpy as np

    return np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004 - of sRGB


def linear_to_srgb(light: Any) -> Any:
    """Return linear light in [0, 1] as sRGB values, of the same type (IEC 61966-2-1)."""
    import numpy as np

    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)  # noqa: PLR2004 - of sRGB


def _to_oklab(light: Any) -> Any:
    import numpy as np

    return np.cbrt(light @ np.array(_TO_LMS).T) @ np.array(_TO_OKLAB).T


def _from_oklab(lab: Any) -> Any:
    import numpy as np

    roots = lab @ np.linalg.inv(np.array(_TO_OKLAB)).T
    return roots**3 @ np.linalg.inv(np.array(_TO_LMS)).T


def _white() -> Any:
    import numpy as np

    return np.array(_TO_XYZ).sum(1)


def _to_lab(light: Any) -> Any:
    import numpy as np

    ratio = light @ np.array(_TO_XYZ).T / _white()
    x, y, z = np.moveaxis(
        np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def _from_lab(lab: Any) -> Any:
    import numpy as np

    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    ratio = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29))
    return ratio * _white() @ np.linalg.inv(np.array(_TO_XYZ)).T
