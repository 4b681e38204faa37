"""Small slides with known content: tiled TIFF pyramids, and the positions of what is drawn on them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from her2core.data.synthetic import CohortSpec, render_patch

GLASS = (243, 240, 244)


@lru_cache
def tissue(side: int = 128, patch: int = 0) -> np.ndarray:
    """A synthetic H&E patch, uint8 (side, side, 3)."""
    return render_patch(CohortSpec(patients=6, patches_per_patient=1, px=side), patch).image


def glass(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GLASS, np.uint8)


def write_pyramid(
    path: Path, pixels: np.ndarray, *, mpp: float | None = 0.5, factors: tuple[int, ...] = (1, 4)
) -> Path:
    """A tiled TIFF that OpenSlide reads, with a level for each factor; without a scale where ``mpp`` is None."""
    with tifffile.TiffWriter(path) as writer:
        for factor in factors:
            level = Image.fromarray(pixels).reduce(factor) if factor > 1 else pixels
            scale = {} if mpp is None else {"resolution": (1e4 / mpp / factor,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(
                np.asarray(level),
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                metadata=None,
                subfiletype=0 if factor == 1 else 1,
                **scale,
            )
    return path


def slide_pixels() -> np.ndarray:
    """uint8 (768, 1024, 3): tissue in the square from 256, 128 px with sides of 512 px, glass around it."""
    canvas = glass(768, 1024)
    for i in range(16):
        y, x = 128 + 128 * (i // 4), 256 + 128 * (i % 4)
        canvas[y : y + 128, x : x + 128] = tissue(128, i % 6)
    return canvas
