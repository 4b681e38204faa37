"""What else could this training patch have looked like? uint8 RGB and a random generator in, uint8 RGB out.

Geometry: the eight flips and quarter turns, and a square crop scaled back. Stain: haematoxylin and eosin
concentrations scaled and shifted apart (Tellez et al. 2018, doi 10.1109/TMI.2018.2820199), on top of normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from her2core.io.images import resize_rgb
from her2core.stain.macenko import StainReference, density_table


@dataclass(frozen=True)
class Augment:
    """``flips``: use the eight orientations. ``min_crop``: smallest side of the crop as a share of the patch (1 = off).
    ``stain``: standard deviation of the relative scaling of each stain's concentration (0 = off)."""

    flips: bool = True
    min_crop: float = 0.75
    stain: float = 0.15

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 (px, px, 3) -> uint8 (px, px, 3), contiguous; the input is left alone."""
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


def _jitter_stain(image: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    # Only the change is added, so what the two stain vectors do not span (ink, red cells) keeps its colour.
    density = _DENSITY[image]
    change = (density @ _UNMIX) * rng.normal(0, sigma, 2).astype(np.float32)
    change += rng.normal(0, sigma * 0.15, 2).astype(np.float32)
    light = np.float32(_REFERENCE.white) * np.exp(-(density + change @ _VECTORS))
    return np.clip(light, 0, 255).astype(np.uint8)
