"""Colour features of a patch for baselines that ignore structure."""

from __future__ import annotations

import numpy as np


def colour_features(image: np.ndarray) -> np.ndarray:
    """Mean, standard deviation and deciles of each channel, as RGB and as optical density.

    Parameters
    ----------
    image : ndarray, uint8 (H, W, 3)
        RGB.

    Returns
    -------
    ndarray, float64 (78,)
    """
    pixels = image.reshape(-1, 3).astype(np.float64)
    density = -np.log((pixels + 1) / 240)
    levels = np.linspace(0, 100, 11)
    return np.concatenate([[x.mean(0), x.std(0), *np.percentile(x, levels, axis=0)] for x in (pixels, density)]).ravel()
