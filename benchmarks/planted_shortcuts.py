"""Planted shortcuts of images, for benchmarks/planted_faults.py: how the files of one class are saved or marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SHORTCUTS_OF_IMAGES = (
    "stain of half a class",
    "compression of a class",
    "size of a class",
    "ink in corners of a class",
    "border of a class",
    "red stamp of a class",
)
_GREEN, _GREY, _RED = (20, 150, 70), (120, 120, 120), (220, 30, 30)


def save_with_shortcut(fault: str, image: np.ndarray, path: Path, number: int) -> None:
    """Write one patch of the class that has the fault; ``number`` counts patients."""
    image = image.copy()
    if fault == "stain of half a class" and number % 2:
        density = -np.log((image.astype(float) + 1) / 256) * (1.5, 0.9, 0.6)
        image = np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8)
    elif fault == "size of a class":
        image = np.asarray(Image.fromarray(image).resize((72, 72), Image.Resampling.BICUBIC))
    elif fault == "ink in corners of a class":
        image[-9:, :9] = _GREEN
    elif fault == "red stamp of a class":
        image[2:6, -8:-4] = _RED
    elif fault == "border of a class":
        image[:2], image[-2:], image[:, :2], image[:, -2:] = _GREY, _GREY, _GREY, _GREY
    if fault == "compression of a class":
        Image.fromarray(image).save(path, "JPEG", quality=92)
    else:
        Image.fromarray(image).save(path, compress_level=1)
