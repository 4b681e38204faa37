"""Estimation of haematoxylin and eosin in a patch, with the tests that decide whether it describes the patch.

The description of the method, and of what differs from the published code, is in ``her2core.stain.macenko``. Nothing is
sampled or binned: percentiles are exact, and each pass over the pixels is one call of a vectorised function on long
rows, into memory that the thread keeps.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from her2core.io.images import RGBImage
from her2core.stain.density import density_table, nested_block_means, tissue_share
from her2core.stain.percentiles import upper_order, upper_percentile
from her2core.stain.reference import Flag, StainEstimate
from her2core.stain.scratch import scratch

# Every threshold is our choice. "Ordinary": 5,700 windows of TCGA, her2st, BreCaHAD and BreastHistoNet and synthetic
# patches at 112 px; tests/test_stain_hues.py draws what lies beyond.
#: Standard deviation of block means in grey levels under which a patch has no structure; real tiles have 5 and more.
MIN_STRUCTURE = 2.0
#: Tissue pixels with less than NEGATIVE times the maximum concentration of a stain, and the share of them above which
#: the estimate does not describe the tissue: under 0.07 in ordinary tissue, above 0.4 where eosin turns white.
NEGATIVE, MAX_NEGATIVE_SHARE = -0.25, 0.1
#: Degrees between the 1st and 99th percentile of the angles of block means; one dye with noise has up to 2, ordinary
#: tissue 3.4 and more. Not asked of fewer than MIN_BLOCKS tissue blocks.
MIN_ANGLE, MIN_BLOCKS = 3.0, 20
#: Smallest variance along the second direction, cosine between the stains, and density of a stain in a channel.
MIN_VARIANCE, MAX_COSINE, MIN_COMPONENT = 1e-5, 0.9995, -0.25
#: Smallest 99th percentile of a stain's concentrations.
MIN_CONCENTRATION = 0.01
#: Tissue for the first test: mean optical density of the three channels.
TISSUE = 0.1
#: Side of a block for structure, and blocks along a side for the second test: 4 px each at 112 px.
SIDE, BLOCKS = 4, 28

Floats = npt.NDArray[np.floating[Any]]


class StainEstimator:
    """Macenko's estimate of two stains, with fixed settings.

    Parameters
    ----------
    white : float
        Grey level of no absorption, 1 to 256.
    beta : float
        Optical density that a pixel must have in all three channels to enter the estimate.
    alpha : float
        Percentile of the angles taken as the extreme directions, 0 to 50.
    min_tissue : float
        Share of such pixels, 0 to 1, under which the stain is not estimated.

    Examples
    --------
    >>> planes = np.full((3, 32, 32), 250, np.uint8)
    >>> estimator = StainEstimator(white=240.0, beta=0.15, alpha=1.0, min_tissue=0.05)
    >>> estimator(estimator.densities(planes), planes, np.full((32, 32, 3), 250, np.uint8))
    'blank'
    """

    def __init__(self, *, white: float, beta: float, alpha: float, min_tissue: float) -> None:
        self.beta, self.alpha, self.min_tissue = beta, alpha, min_tissue
        self._density = density_table(white)
        # Density falls as the grey level rises: whether a pixel is dense is known from its level.
        self._dense_below = int(np.count_nonzero(self._density > beta))

    def densities(self, planes: npt.NDArray[np.uint8]) -> Floats:
        """Optical densities, float32 (3, N), of planes (3, H, W): long rows are several times faster than short."""
        density = scratch("density", 3, planes[0].size)
        cv2.LUT(planes.reshape(3, -1), self._density, dst=density)
        return density

    def __call__(self, density: Floats, planes: npt.NDArray[np.uint8], image: RGBImage) -> StainEstimate | Flag:
        """The stain of an image, uint8 (H, W, 3), of which ``planes`` are the channels; or why there is none."""
        side = max(SIDE, min(image.shape[:2]) // BLOCKS)
        blocks, larger = nested_block_means(image, SIDE, side)
        if cv2.meanStdDev(blocks)[1].max() < MIN_STRUCTURE:
            grey = [plane.mean() for plane in planes]
            return "black" if max(grey) < 20 else "blank" if min(grey) > 215 else "one_colour"
        brightest = np.maximum(planes[0], planes[1])
        brightest = np.maximum(brightest, planes[2], out=brightest).ravel()
        dense = brightest < self._dense_below
        number = int(np.count_nonzero(dense))
        share = number / dense.size
        if share > 0.9 and np.count_nonzero(brightest < 20) > 0.9 * dense.size:
            return "black"
        if share < self.min_tissue or number < 3:
            tissue = tissue_share(image)  # pale tissue is tissue
            return "blank" if tissue < 0.005 else "nearly_empty" if tissue < self.min_tissue else "weak_stain"
        stains = self._directions(density, dense, number)
        if stains is None:
            return "unstable_stain"
        concentration = _combined(unmixing(stains), density)
        maxima = np.array([upper_percentile(row, 99) for row in concentration[:2]])
        # Dense pixels are a part of the tissue: where negative ones are few beside them, that settles the question.
        few = MAX_NEGATIVE_SHARE * number if self.beta >= TISSUE else -1.0
        if maxima.min() < MIN_CONCENTRATION or _leaves_out_tissue(concentration, maxima, few):
            return "unstable_stain"
        if self._is_noise(stains, larger):
            return "unstable_stain"
        return StainEstimate(stains, maxima, share)

    def _directions(self, density: Floats, dense: npt.NDArray[np.bool_], number: int) -> npt.NDArray[np.float64] | None:
        """Stain vectors (2, 3), haematoxylin first, of the dense pixels; None where they are implausible."""
        red, green, blue = chosen = np.multiply(density, dense, out=scratch("chosen", *density.shape))
        means = np.array([cv2.sumElems(row)[0] for row in chosen]) / number
        # Products of long rows, one by one: for so few rows quicker than a matrix product.
        rg, rb, gb = red @ green, red @ blue, green @ blue
        products = np.array([[red @ red, rg, rb], [rg, green @ green, gb], [rb, gb, blue @ blue]], np.float64)
        _, values, vectors = cv2.eigen((products - number * np.outer(means, means)) / (number - 1))
        if values[1] < MIN_VARIANCE:  # all pixels lie on one line of optical density: a single dye
            return None
        plane = np.array(vectors[:2], np.float64)
        plane *= np.copysign(1, plane.sum(axis=1))[:, None]
        along, across, _ = _combined(plane, chosen)
        low, high = self._extreme_angles(along, across, dense, number, forward=plane[0].min() >= 0 <= self.beta)
        stains = np.array([[math.cos(low), math.sin(low)], [math.cos(high), math.sin(high)]]) @ plane
        if stains[0, 0] < stains[1, 0]:  # haematoxylin absorbs more red than eosin
            stains = stains[::-1]
        return None if stains.min() < MIN_COMPONENT or stains[0] @ stains[1] > MAX_COSINE else stains

    def _extreme_angles(
        self, along: Floats, across: Floats, dense: npt.NDArray[np.bool_], number: int, *, forward: bool
    ) -> tuple[float, float]:
        """Percentiles alpha and 100 - alpha of the angles of the dense pixels in the plane; both are 0 in the others.

        ``forward``: all dense pixels lie within 90 degrees of the first direction, as no density is negative in them.
        """
        if not forward and along.min(where=dense, initial=np.inf) <= 0:
            low, high = np.percentile(np.arctan2(across, along)[dense], [self.alpha, 100 - self.alpha])
            return float(low), float(high)
        # The tangent orders as the angle does, so the angles of four pixels are enough.
        with np.errstate(invalid="ignore"):  # NaN in pixels that are not dense
            slopes = np.divide(across, along, out=across)
        lower, upper, weight = upper_order(slopes, 100 - self.alpha, number)
        high = math.atan(lower) + weight * (math.atan(upper) - math.atan(lower))
        lower, upper, weight = upper_order(np.negative(slopes, out=slopes), 100 - self.alpha, number)
        low = math.atan(lower) + weight * (math.atan(upper) - math.atan(lower))
        return -low, high

    def _is_noise(self, stains: npt.NDArray[np.float64], blocks: RGBImage) -> bool:
        """Whether the two stains differ between neighbouring pixels only: angles of block means hardly spread."""
        planes = cv2.split(blocks)
        density = np.stack([self._density[plane.ravel()] for plane in planes])
        density = density.compress((np.maximum(np.maximum(*planes[:2]), planes[2]) < self._dense_below).ravel(), axis=1)
        if density.shape[1] < MIN_BLOCKS:
            return False
        across = stains[1] - (stains[1] @ stains[0]) * stains[0]
        axes = np.stack([stains[0], across / math.sqrt(across @ across)]).astype(np.float32)
        along, across = axes @ density
        angles = np.arctan2(across, along)
        return upper_percentile(angles, 99) + upper_percentile(-angles, 99) < math.radians(MIN_ANGLE)


def unmixing(stains: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From optical densities to concentrations.

    Parameters
    ----------
    stains : float array (2, 3)
        Two stain vectors.

    Returns
    -------
    float64 array (2, 3)
        The pseudo-inverse of the vectors as columns.

    Examples
    --------
    >>> unmixing(np.array([[1.0, 0, 0], [0, 2.0, 0]])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]
    """
    (a, b), (_, d) = (stains @ stains.T).tolist()
    return np.array([[d, -b], [-b, a]]) @ stains / (a * d - b * b)


def _combined(two: npt.NDArray[np.float64], density: Floats) -> Floats:
    """Two weighted sums of the densities (3, N), by weights (2, 3), and their mean: float32 (3, N)."""
    weights = np.full((3, 3), 1 / 3, np.float32)  # a square product is the quickest
    weights[:2] = two
    return np.matmul(weights, density, out=scratch("combined", *density.shape))


def _leaves_out_tissue(concentration: Floats, maxima: Floats, few: float) -> bool:
    """Whether many tissue pixels have negative concentrations, relative to the maxima.

    ``concentration`` is (3, N) with the mean density last; ``few`` is a number of pixels known not to be many.
    """
    # Plain floats: with NumPy's own the comparison would be in float64.
    below = [row < NEGATIVE * maximum for row, maximum in zip(concentration, maxima.tolist(), strict=False)]
    if sum(map(np.count_nonzero, below)) <= few:
        return False
    tissue = concentration[2] > TISSUE
    return bool(np.count_nonzero((below[0] | below[1]) & tissue) > MAX_NEGATIVE_SHARE * np.count_nonzero(tissue))
