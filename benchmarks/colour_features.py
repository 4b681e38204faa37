"""What do the colours of a patch say, without any form? uint8 RGB in, 78 numbers out."""

from __future__ import annotations

import numpy as np


def colour_features(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> float64 (78,): mean, deviation and deciles of each channel, as RGB and optical density."""
    pixels = image.reshape(-1, 3).astype(np.float64)
    density = -np.log((pixels + 1) / 240)
    levels = np.linspace(0, 100, 11)
    return np.concatenate([[x.mean(0), x.std(0), *np.percentile(x, levels, axis=0)] for x in (pixels, density)]).ravel()
