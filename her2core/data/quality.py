"""Is this patch a clean picture of H&E? uint8 RGB in, flags for blur, ink and foreign pictures out.

Colours are told in optical density (Beer-Lambert), each channel as a share of the pixel's mean density, which does not
change with how much dye lies there (van der Laak et al. 2000, doi 10.1002/(SICI)1097-0320(20000401)39:4<275::AID-
CYTO3>3.0.CO;2-8). Haematoxylin and eosin both absorb green most; brown DAB and blood absorb blue, a blue or green pen
red, and grey pictures all alike. Sharpness is fine over coarser detail at the strongest edges, so it depends neither on
how strong the stain is nor on how much of the patch is empty.

Thresholds were chosen on one half of real tissue and measured on the other: benchmarks/quality.py and its results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from her2core.errors import ImageError
from her2core.io.images import resize_rgb
from her2core.stain.macenko import density_table

#: What quality_flags may find, in the words shown to people.
FLAGS = {
    "blurred": "the patch looks out of focus: its edges lack fine detail",
    "ink": "pen, ink or pigment: colours that haematoxylin and eosin cannot make",
    "not_he": "the patch does not look like H&E: its colours are those of another stain or of another kind of picture",
}
#: Side at which patches are judged: the size of the shipped networks' input, and the one the thresholds belong to.
VIEW_PX = 112
#: Under this side there are too few edges to speak of focus.
MIN_SHARPNESS_PX = 32

# Every threshold is our choice, made on the choosing half of benchmarks/quality.py.
#: Fine over coarser detail under which a patch is blurred.
MIN_SHARPNESS = 0.575
#: Grey levels of coarser detail at the strongest edges under which there is no structure to be sharp (blank, mucus).
MIN_EDGES = 2.0
#: Share of the patch in a pen's hue, and in black, above which it is inked; dark nuclei alone come close to both.
MAX_PEN, MAX_BLACK = 0.01, 0.02
#: Green's part of the density (1 = a third) under which, blue's over which, a patch is not H&E. Grey has 1 and 1.
MIN_GREEN, MAX_BLUE = 1.04, 1.14
#: Share of pixels with light in all three channels under which a patch is not H&E: fluorescence has next to none.
MIN_LIGHT = 0.3
#: Share of the patch that must be tissue beside any pen for its colour to be judged.
MIN_TISSUE = 0.02

_DENSITY = density_table(240.0)


@dataclass(frozen=True)
class Quality:
    """What the flags are decided on; shares are 0-1 of the patch.

    ``sharpness``: rms of fine over rms of coarser detail in the tenth of the pixels with most of the latter, NaN under
    MIN_SHARPNESS_PX. ``edges``: that coarser detail in grey levels. ``pen``, ``black``, ``light``, ``tissue``: shares;
    ``tissue`` is what the colour is judged on. ``green``, ``blue``: part of its optical density, times 3; NaN without.
    """

    sharpness: float
    edges: float
    pen: float
    black: float
    light: float
    tissue: float
    green: float
    blue: float

    def flags(self) -> tuple[str, ...]:
        """Keys of FLAGS, in its order. Ink is told by hues that H&E lacks, so it is not looked for in other pictures.

        Comparisons with NaN are false: what could not be measured is not flagged.
        """
        foreign = self.light < MIN_LIGHT
        if self.tissue >= MIN_TISSUE:
            foreign = foreign or self.green < MIN_GREEN or self.blue > MAX_BLUE
        found = {
            "blurred": self.edges >= MIN_EDGES and self.sharpness < MIN_SHARPNESS,
            "ink": not foreign and (self.pen > MAX_PEN or self.black > MAX_BLACK),
            "not_he": foreign,
        }
        return tuple(flag for flag, is_so in found.items() if is_so)


def quality_flags(native: np.ndarray, raw: np.ndarray) -> tuple[str, ...]:
    """Which of "blurred", "ink" and "not_he" hold for a patch, in this order.

    Parameters
    ----------
    native : uint8 (H, H, 3) RGB, the patch at its own resolution.
    raw : uint8 (px, px, 3) RGB, the same resized for the network, before stain normalisation.

    A patch without any structure gets none: the stain flags say that it is blank, black or of one colour.

    Raises ImageError when either is not such an array.
    """
    measured = measure(native, raw)
    return measured.flags() if measured else ()


def measure(native: np.ndarray, raw: np.ndarray) -> Quality | None:
    """The numbers behind ``quality_flags``, or None where the patch has no structure. Arguments and errors as there."""
    view = _view(native, raw)
    coarse = np.asarray(Image.fromarray(view).reduce(4))
    # As in stain.macenko: noise averages out in 4 x 4 px blocks and structure does not.
    if coarse.reshape(-1, 3).std(axis=0, dtype=np.float32).max() < 2.0:
        return None
    return Quality(*_sharpness(view), *_colours(view))


def _view(native: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """The patch at VIEW_PX at most, reduced by at least a third from its own size."""
    _check(native, "native")
    _check(raw, "raw")
    # Scanners are soft over a pixel or so of their own, and a small picture made larger is not out of focus.
    side = max(1, min(VIEW_PX, raw.shape[0], native.shape[0] * 3 // 4))
    if raw.shape[0] == side:
        return np.ascontiguousarray(raw)
    return resize_rgb(native if native.shape[0] < raw.shape[0] else raw, side)


def _sharpness(view: np.ndarray) -> tuple[float, float]:
    """(sharpness, edges) of Quality. Two bands of a difference of Gaussians, in green, where both stains show."""
    if view.shape[0] < MIN_SHARPNESS_PX:
        return float("nan"), float("nan")
    grey = view[..., 1].astype(np.float32)
    once = gaussian_filter(grey, 1.0, truncate=3.0)
    coarser = (once - gaussian_filter(grey, 2.0, truncate=3.0)).ravel() ** 2
    fine = (grey - once).ravel() ** 2
    # Only at the strongest edges does detail outweigh camera noise and JPEG, which hide blur everywhere else.
    strongest = np.argpartition(coarser, -(coarser.size // 10))[-(coarser.size // 10) :]
    edges = float(np.sqrt(coarser[strongest].mean()))
    return float(np.sqrt(fine[strongest].mean())) / max(edges, 1e-6), edges


def _colours(view: np.ndarray) -> tuple[float, float, float, float, float, float]:
    """(pen, black, light, tissue, green, blue) of Quality."""
    pixels = np.ascontiguousarray(view.reshape(-1, 3).T)
    density = np.maximum(_DENSITY, 0)[pixels]
    red, green, blue = density
    mean = (red + green + blue) / 3
    # Green, turquoise and light blue pens absorb more red than green. Darker blue absorbs both, and hardly any blue.
    pen = (red - green > 0.5 * mean) & (mean > 0.4)
    pen |= (red - blue > 0.95 * mean) & (red > 0.8 * green) & (mean > 0.8)
    # Yellow margin ink absorbs blue alone; brown DAB stays under 1.7 means.
    pen |= (blue > 1.75 * mean) & (mean > 0.4)
    black = (pixels.max(axis=0) < 60) & (np.abs(density - mean).max(axis=0) < 0.25 * mean)
    covered = pen | black
    judged = mean > 0.25  # not 0.15, as for stains: glass in a shadow is grey
    if (
        covered.mean() < 0.5
    ):  # what a pen covers says nothing of the stain; a picture that is half "pen" is no inked H&E
        judged &= ~covered
    parts = (float("nan"),) * 3
    if judged.any():
        total = density[:, judged].sum(axis=1, dtype=np.float64)
        parts = tuple(float(v) for v in 3 * total / total.sum())
    light = pixels.min(axis=0) > 20
    return float(pen.mean()), float(black.mean()), float(light.mean()), float(judged.mean()), parts[1], parts[2]


def _check(image: np.ndarray, where: str) -> None:
    array = isinstance(image, np.ndarray)
    if not array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        got = f"{image.dtype} {image.shape}" if array else type(image).__name__
        raise ImageError(
            "a uint8 (H, H, 3) RGB array with pixels",
            got=got,
            where=where,
            fix="Pass the centre square of what read_image returns, and the same resized.",
        )
