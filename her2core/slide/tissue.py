"""Tissue mask of a slide at low power, with screens for pen ink and folds.

The mask is made once on an overview of OVERVIEW_MPP microns per pixel, so that glass is never read at full size:

- tissue: denser than the slide's own background and coloured (``stain.density.tissue_pixels``, the rule by which
  patches are judged), without specks below MIN_ISLAND;
- ink: hues that haematoxylin and eosin cannot make, and black (``data.quality.ink_pixels``), of MIN_STROKE and wider;
- fold: tissue denser than FOLD times the slide's median tissue. Two layers of tissue have twice the optical density
  (Beer-Lambert); the comparison with the slide's own tissue follows Bautista and Yagi 2009 (doi
  10.1117/12.812968), the threshold is our choice.

Blur cannot be seen at low power; it is judged on each tile (``data.quality``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from her2core.data.quality import ink_pixels
from her2core.io.images import RGBImage
from her2core.slide.units import Microns
from her2core.stain.density import block_means, density_table, tissue_pixels

#: Microns per pixel of the overview; masks have half its resolution.
OVERVIEW_MPP = 4.0
#: Side of the smallest square whose area a piece of tissue must have.
MIN_ISLAND = Microns(100.0)
#: Width that ink must have (dark nuclei of a bluish slide come close to its hues, a stroke of a pen is far wider), and
#: the distance by which it is widened, as it fades at its edge.
MIN_STROKE, INK_MARGIN = Microns(48.0), Microns(24.0)
#: Optical density over the median of the slide's tissue above which tissue is folded, the least such density, and the
#: width that a fold must have, over which density is smoothed: a cluster of nuclei is as dense, and smaller.
FOLD, MIN_FOLD_DENSITY, MIN_FOLD = 1.8, 0.7, Microns(32.0)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Where a slide has tissue, ink and folds.

    Attributes
    ----------
    tissue, ink, fold : bool arrays (H, W)
        Ink and folds may lie on tissue or beside it.
    mpp : float
        Microns per pixel of the arrays.

    Examples
    --------
    >>> glass = np.full((100, 100, 3), 245, np.uint8)
    >>> glass[20:60, 20:60] = (215, 150, 200)
    >>> mask = tissue_mask(glass, 4.0)
    >>> mask.mpp, int(mask.tissue.sum()), bool(mask.ink.any())
    (8.0, 400, False)
    >>> mask.shares(mask.tissue, np.array([80.0, 320.0]), np.array([80.0, 0.0]), 160.0).tolist()
    [1.0, 0.0]
    """

    tissue: Mask
    ink: Mask
    fold: Mask
    mpp: float

    def shares(self, mask: Mask, x: npt.NDArray[Any], y: npt.NDArray[Any], side: float) -> npt.NDArray[np.float64]:
        """Share of each square that a mask covers.

        Parameters
        ----------
        mask : bool array (H, W)
            One of this mask's arrays.
        x, y : float arrays (N,)
            Upper left corners in microns.
        side : float
            In microns.

        Returns
        -------
        float64 array (N,)
            0-1; what lies beyond the slide is not covered.
        """
        height, width = mask.shape
        total = np.zeros((height + 1, width + 1))
        total[1:, 1:] = mask.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
        left, right = (np.clip(np.rint(v / self.mpp), 0, width).astype(int) for v in (x, x + side))
        top, bottom = (np.clip(np.rint(v / self.mpp), 0, height).astype(int) for v in (y, y + side))
        covered = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
        return np.clip(covered / (side / self.mpp) ** 2, 0, 1)


def tissue_mask(overview: RGBImage, mpp: float) -> TissueMask:
    """The tissue mask of a slide.

    Parameters
    ----------
    overview : uint8 array (H, W, 3)
        The whole slide at low power.
    mpp : float
        Its microns per pixel.

    Returns
    -------
    TissueMask
        At twice ``mpp``.
    """
    tissue = tissue_pixels(overview)
    halved = block_means(overview, 2)
    pixel = 2 * mpp
    ink = ink_pixels(halved)
    if ink.any():
        ink = ndimage.binary_opening(ink, _disc(MIN_STROKE.value / 2 / pixel))
        ink = ndimage.binary_dilation(ink, _disc(INK_MARGIN.value / pixel))
    tissue = _without_specks(tissue, MIN_ISLAND.value**2 / pixel**2)
    density = np.maximum(density_table(255.0), 0)[halved].mean(axis=-1)
    fold = np.zeros_like(tissue)
    clean = tissue & ~ink
    if clean.any():
        sigma = MIN_FOLD.value / 2 / pixel
        weight = ndimage.gaussian_filter(clean.astype(np.float32), sigma)
        smooth = ndimage.gaussian_filter(density * clean, sigma) / np.maximum(weight, 1e-6)
        dense = smooth > max(MIN_FOLD_DENSITY, FOLD * float(np.median(smooth[clean])))
        fold = ndimage.binary_opening(dense & clean, _disc(MIN_FOLD.value / 2 / pixel))
    return TissueMask(tissue, ink, fold, pixel)


def _without_specks(mask: Mask, smallest: float) -> Mask:
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    large = np.bincount(labels.ravel()) >= smallest
    large[0] = False
    kept: Mask = large[labels]
    return kept


def _disc(radius: float) -> Mask:
    reach = max(1, round(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disc: Mask = x * x + y * y <= max(1.0, radius) ** 2
    return disc
