"""Augmentation of training patches: orientation, crops and stain.

Geometry: the eight flips and quarter turns, and a square crop scaled back. Stain: haematoxylin and eosin
concentrations scaled and shifted independently, after normalisation (Tellez et al. 2018, doi
10.1109/TMI.2018.2820199).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.io.images import RGBImage, resize_rgb
from her2core.stain.density import density_table
from her2core.stain.reference import StainReference


@dataclass(frozen=True)
class Augment:
    """Random change of a training patch.

    Parameters
    ----------
    flips : bool, default True
        Use the eight orientations.
    min_crop : float, default 0.75
        Smallest side of the crop as a share of the patch, 0 to 1; 1 switches crops off.
    stain : float, default 0.15
        Standard deviation of the relative scaling of each stain's concentration; 0 switches it off.

    References
    ----------
    Tellez et al. 2018, Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train
    distilled stain-invariant convolutional networks, IEEE TMI 37(9), 2126-2136, doi 10.1109/TMI.2018.2820199.

    Examples
    --------
    >>> patch = np.full((32, 32, 3), (200, 120, 170), np.uint8)
    >>> changed = Augment()(patch, np.random.default_rng(0))
    >>> changed.shape, bool((changed == patch).all())
    ((32, 32, 3), False)
    """

    flips: bool = True
    min_crop: float = 0.75
    stain: float = 0.15

    def __call__(self, image: RGBImage, rng: np.random.Generator) -> RGBImage:
        """Change one patch.

        Parameters
        ----------
        image : uint8 array (px, px, 3)
            RGB patch; it is not changed itself.
        rng : numpy.random.Generator
            Source of randomness; the same state gives the same result.

        Returns
        -------
        uint8 array (px, px, 3)
            RGB, C-contiguous.
        """
        px = image.shape[0]
        if self.min_crop < 1:
            side = max(8, round(px * rng.uniform(self.min_crop, 1.0)))
            top, left = rng.integers(0, px - side + 1, size=2)
            image = resize_rgb(image[top : top + side, left : left + side], px)
        if self.flips:
            image = np.rot90(image, int(rng.integers(4)))
            if rng.integers(2):
                image = image[:, ::-1]
        if self.stain > 0:
            image = _jitter_stain(image, rng, self.stain)
        return np.ascontiguousarray(image)


_REFERENCE = StainReference()
_VECTORS = np.asarray(_REFERENCE.vectors, np.float32)
_UNMIX = np.linalg.pinv(_VECTORS).astype(np.float32)
_DENSITY = density_table(_REFERENCE.white)


def _jitter_stain(image: RGBImage, rng: np.random.Generator, sigma: float) -> RGBImage:
    # Only the change is added, so what the two stain vectors do not span (ink, red cells) keeps its colour.
    density = _DENSITY[image]
    change = (density @ _UNMIX) * rng.normal(0, sigma, 2).astype(np.float32)
    change += rng.normal(0, sigma * 0.15, 2).astype(np.float32)
    light = np.float32(_REFERENCE.white) * np.exp(-(density + change @ _VECTORS))
    return np.clip(light, 0, 255).astype(np.uint8)
