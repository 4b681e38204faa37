"""Properties of files and patches that say nothing of the tissue: format, size, compression, sharpness, marks.

A network can learn any of them where it goes with the class: differently saved, focused or marked patches are then told
apart, not tumours.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.quality import Quality, measure
from her2core.io.image_properties import ImageProperties
from her2core.io.images import RGBImage, resize_rgb
from her2core.stain.density import density_table

#: Properties of the file, and of the patch's pixels; all are numbers but format and JPEG tables.
OF_FILE = ("format", "width", "height", "bytes", "JPEG quality", "JPEG tables")
OF_PIXELS = ("brightness", "background share", "sharpness", "marks in corners", "border")
#: Mean optical density below which a pixel is background.
_BACKGROUND = 0.15
#: Side of a corner, as a share of the patch's, and width of a border.
_CORNER, _BORDER = 1 / 8, 1 / 40
_DENSITY = density_table(255.0)


def file_row(found: ImageProperties) -> tuple[str, int, int, int, float, str]:
    """Values of OF_FILE.

    Parameters
    ----------
    found : ImageProperties

    Returns
    -------
    tuple

    Examples
    --------
    >>> file_row(ImageProperties("PNG", 24, 16, 900, float("nan"), ""))[:4]
    ('PNG', 24, 16, 900)
    """
    return (found.format, found.width, found.height, found.size, found.jpeg_quality, found.jpeg_tables)


def patch_quality(image: RGBImage) -> Quality | None:
    """Measurements of quality of a patch's upper left square; None for patches smaller than 8 pixels or of one colour.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB patch.

    Returns
    -------
    Quality or None

    Examples
    --------
    >>> patch_quality(np.full((64, 64, 3), 240, np.uint8)) is None
    True
    """
    side = min(image.shape[:2])
    square = np.ascontiguousarray(image[:side, :side])
    return measure(square, square if side <= 112 else resize_rgb(square, 112)) if side >= 8 else None


def pixel_row(image: RGBImage, quality: Quality | None) -> tuple[float, float, float, float, float]:
    """Values of OF_PIXELS.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB patch.
    quality : Quality or None
        As `patch_quality` gives it.

    Returns
    -------
    tuple of float
        Mean grey level (0-255); share of the pixels without tissue (0-1); sharpness as ``quality.Quality`` has it (NaN
        where there is no structure); largest share of a corner in colours that haematoxylin and eosin cannot make, or
        in one flat colour; share of the four borders in one flat colour.

    Examples
    --------
    >>> glass = np.full((64, 64, 3), 240, np.uint8)
    >>> pixel_row(glass, None)[:2]
    (240.0, 1.0)
    >>> inked = np.random.default_rng(0).integers(150, 230, (64, 64, 3), np.uint8)
    >>> inked[:8, :8] = (20, 160, 60)
    >>> pixel_row(inked, patch_quality(inked))[3]
    1.0
    """
    side = min(image.shape[:2])
    step = max(1, side // 112)
    sample = image[::step, ::step]
    density = _DENSITY[sample].mean(axis=2)
    n = max(2, round(side * _CORNER))
    corners = [image[y, x] for y in (slice(n), slice(-n, None)) for x in (slice(n), slice(-n, None))]
    w = max(1, round(side * _BORDER))
    edges = (image[:w], image[-w:], image[:, :w], image[:, -w:])
    return (
        float(sample.mean()),
        float((density < _BACKGROUND).mean()),
        quality.sharpness if quality else float("nan"),
        max(max(_foreign(c), _flat(c)) for c in corners),
        float(np.mean([_flat(e) for e in edges])),
    )


def property_frame(rows: list[tuple[object, ...] | None]) -> pd.DataFrame:
    """Table of the properties of patches, in their order; empty cells for those that were not read.

    Parameters
    ----------
    rows : list of tuple or None
        Values of OF_FILE and OF_PIXELS.

    Returns
    -------
    DataFrame

    Examples
    --------
    >>> property_frame([None]).columns.tolist() == [*OF_FILE, *OF_PIXELS]
    True
    """
    columns = [*OF_FILE, *OF_PIXELS]
    frame = pd.DataFrame([row or (None,) * len(columns) for row in rows], columns=columns)
    numbers = [c for c in columns if c not in ("format", "JPEG tables")]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _foreign(pixels: np.ndarray) -> float:
    """Share of pixels in the hues of pens or in black."""
    density = np.maximum(_DENSITY[pixels.reshape(-1, 3)], 0)
    mean = density.mean(axis=1)
    red, green, blue = density.T
    pen = ((red - green > 0.5 * mean) | (blue > 1.75 * mean)) & (mean > 0.4)
    black = pixels.reshape(-1, 3).max(axis=1) < 40
    return float((pen | black).mean())


def _flat(pixels: np.ndarray) -> float:
    """Share of pixels in the most frequent colour, to 8 grey levels, where it is no background."""
    codes = (pixels.reshape(-1, 3) // 8).astype(np.int64) @ np.array([1024, 32, 1])
    values, counts = np.unique(codes, return_counts=True)
    most = int(counts.argmax())
    level = np.array([values[most] // 1024, values[most] // 32 % 32, values[most] % 32]) * 8
    share = float(counts[most] / counts.sum())
    return share if share > 0.6 and level.min() < 200 else 0.0
