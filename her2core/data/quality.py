"""Quality flags of patches: blur, pen ink, and pictures that are not H&E.

Colours are described in optical density (Beer-Lambert), each channel as a share of the pixel's mean density, which does
not change with the amount of dye (van der Laak et al. 2000, doi 10.1002/(SICI)1097-0320(20000401)39:4<275::AID-
CYTO3>3.0.CO;2-8). Haematoxylin and eosin both absorb green most; brown DAB and blood absorb blue, a blue or green pen
red, and grey pictures all alike. Sharpness is the ratio of fine to coarser detail at the strongest edges, so that it
depends neither on the strength of the stain nor on how much of the patch is empty.

Thresholds were chosen on one half of real tissue and measured on the other: benchmarks/quality.py and its results.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from her2core.io.images import RGBImage, check_rgb, resize_rgb
from her2core.stain.density import block_means, density_table

#: The flags of ``quality_flags``, in the words shown to people.
FLAGS = {
    "blurred": "the patch looks out of focus: its edges lack fine detail",
    "ink": "pen, ink, pigment or a black border: colours that haematoxylin and eosin cannot make",
    "not_he": "the patch does not look like H&E: its colours are those of another stain or of another kind of picture",
}
#: Side in pixels at which patches are assessed: the input size of the released networks, for which the thresholds hold.
VIEW_PX = 112
#: Side in pixels below which there are too few edges to assess focus.
MIN_SHARPNESS_PX = 32

# Every threshold is our choice, made on the choosing half of benchmarks/quality.py.
#: Ratio of fine to coarser detail below which a patch is blurred.
MIN_SHARPNESS = 0.575
#: Coarser detail at the strongest edges, in grey levels, below which nothing is there to be sharp (glass, mucus).
MIN_EDGES = 2.0
#: Shares of the patch in the hues of pens, and in black, above which it is inked; dark nuclei alone come close to both.
MAX_PEN, MAX_BLACK = 0.01, 0.02
#: Relative optical density (1 = a third of the sum) of green below which, and of blue above which, a patch is not H&E.
#: Grey has 1 and 1.
MIN_GREEN, MAX_BLUE = 1.04, 1.14
#: Share of pixels with light in all three channels below which a patch is not H&E: fluorescence has almost none.
MIN_LIGHT = 0.3
#: Share of the patch that must be tissue without ink for its colour to be assessed.
MIN_TISSUE = 0.02

_DENSITY = density_table(240.0)


@dataclass(frozen=True)
class Quality:
    """Measurements that the quality flags are decided on.

    Attributes
    ----------
    sharpness : float
        RMS of fine over RMS of coarser detail, in the tenth of the pixels with most of the latter; NaN where the patch
        is smaller than MIN_SHARPNESS_PX.
    edges : float
        That coarser detail, in grey levels; NaN likewise.
    pen, black : float
        Shares of the patch, 0-1, in the hues of pens and in black.
    light : float
        Share of the patch, 0-1, with light in all three channels.
    tissue : float
        Share of the patch, 0-1, whose colour is assessed.
    green, blue : float
        Optical density of the channel over the mean of the three, in that share; NaN where it is empty.

    Examples
    --------
    >>> Quality(0.4, 9.0, 0.0, 0.0, 1.0, 0.8, 1.3, 0.9).flags()
    ('blurred',)
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
        """The flags that follow from the measurements.

        Returns
        -------
        tuple of str
            Keys of ``FLAGS``, in its order. What could not be measured (NaN) is not flagged. Ink is recognised by hues
            that H&E lacks, so it is not looked for in pictures that are not H&E.

        Examples
        --------
        >>> nan = float("nan")
        >>> Quality(nan, nan, 0.3, 0.0, 1.0, 0.5, 1.0, 1.0).flags()
        ('not_he',)
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


def quality_flags(native: RGBImage, raw: RGBImage) -> tuple[str, ...]:
    """Quality flags of one patch.

    Parameters
    ----------
    native : uint8 array (H, H, 3)
        RGB patch at its own resolution.
    raw : uint8 array (px, px, 3)
        The same resized for the network, before stain normalisation.

    Returns
    -------
    tuple of str
        Keys of ``FLAGS``, in its order. A patch without any structure has none: the stain flags cover patches that are
        blank, black or of one colour.

    Raises
    ------
    ImageError
        Either is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> grey = np.random.default_rng(0).integers(40, 220, (56, 56, 1), np.uint8)
    >>> picture = resize_rgb(np.repeat(grey, 3, axis=2), 112)
    >>> quality_flags(picture, picture)
    ('not_he',)
    """
    measured = measure(native, raw)
    return measured.flags() if measured else ()


def measure(native: RGBImage, raw: RGBImage) -> Quality | None:
    """Measurements behind ``quality_flags``.

    Parameters
    ----------
    native, raw : uint8 arrays (H, H, 3) and (px, px, 3)
        As in ``quality_flags``.

    Returns
    -------
    Quality or None
        None where the patch has no structure.

    Raises
    ------
    ImageError
        Either is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> glass = np.full((112, 112, 3), 245, np.uint8)
    >>> measure(glass, glass) is None
    True
    """
    view = _view(native, raw)
    # As in stain.macenko: noise averages out in 4 x 4 px blocks and structure does not.
    if block_means(view, 4).reshape(-1, 3).std(axis=0, dtype=np.float32).max() < 2.0:
        return None
    return Quality(*_sharpness(view), *_colours(view))


def _view(native: RGBImage, raw: RGBImage) -> RGBImage:
    """The patch at VIEW_PX at most, reduced by at least a quarter from its own size."""
    check_rgb(native, where="native")
    check_rgb(raw, where="raw")
    # Scanners are soft over a pixel or so of their own, and a small picture made larger is not out of focus.
    side = max(1, min(VIEW_PX, raw.shape[0], native.shape[0] * 3 // 4))
    if raw.shape[0] == side:
        return np.ascontiguousarray(raw)
    return resize_rgb(native if native.shape[0] < raw.shape[0] else raw, side)


def _sharpness(view: RGBImage) -> tuple[float, float]:
    """(sharpness, edges) of Quality. Two bands of a difference of Gaussians, in green, where both stains show."""
    if view.shape[0] < MIN_SHARPNESS_PX:
        return float("nan"), float("nan")
    grey = view[..., 1].astype(np.float32)
    once = _blurred(grey, 1)
    coarser = (once - _blurred(grey, 2)).ravel() ** 2
    fine = (grey - once).ravel() ** 2
    # Only at the strongest edges does detail outweigh camera noise and JPEG, which hide blur everywhere else.
    strongest = np.argpartition(coarser, -(coarser.size // 10))[-(coarser.size // 10) :]
    edges = float(np.sqrt(coarser[strongest].mean()))
    return float(np.sqrt(fine[strongest].mean())) / max(edges, 1e-6), edges


def _blurred(grey: npt.NDArray[np.float32], sigma: int) -> npt.NDArray[np.float32]:
    """Gaussian of ``sigma`` pixels, cut at three of them; as scipy.ndimage.gaussian_filter with ``truncate=3``."""
    kernel = np.exp(-0.5 * (np.arange(-3 * sigma, 3 * sigma + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    return np.asarray(cv2.sepFilter2D(grey, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT))


def _colours(view: RGBImage) -> tuple[float, float, float, float, float, float]:
    """(pen, black, light, tissue, green, blue) of Quality."""
    pixels = np.ascontiguousarray(view.reshape(-1, 3).T)
    density = np.maximum(_DENSITY, 0)[pixels]
    mean = density.mean(axis=0)
    pen, black = _ink(pixels, density, mean)
    covered = pen | black
    tissue = mean > 0.25  # not 0.15, as for stains: glass in a shadow is grey
    # What a pen covers tells nothing about the stain; a picture half of which is "pen" is no inked H&E.
    if covered.mean() < 0.5:
        tissue &= ~covered
    relative_green = relative_blue = float("nan")
    if tissue.any():
        total = density[:, tissue].sum(axis=1, dtype=np.float64)
        _, relative_green, relative_blue = (float(v) for v in 3 * total / total.sum())
    light = pixels.min(axis=0) > 20
    shares = (float(pen.mean()), float(black.mean()), float(light.mean()), float(tissue.mean()))
    return *shares, relative_green, relative_blue


def ink_pixels(image: RGBImage) -> npt.NDArray[np.bool_]:
    """Which pixels have the hues of pens, or the black of ink.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels.

    Returns
    -------
    bool array (H, W)

    Examples
    --------
    >>> picture = np.full((8, 8, 3), (225, 160, 205), np.uint8)
    >>> picture[:2] = (20, 150, 60)
    >>> ink_pixels(picture).sum(axis=1).tolist()
    [8, 8, 0, 0, 0, 0, 0, 0]
    """
    pixels = np.ascontiguousarray(image.reshape(-1, 3).T)
    density = np.maximum(_DENSITY, 0)[pixels]
    pen, black = _ink(pixels, density, density.mean(axis=0))
    return (pen | black).reshape(image.shape[:2])


def _ink(
    pixels: npt.NDArray[np.uint8], density: npt.NDArray[np.float32], mean: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pixels, (3, N), in the hues of pens and in black."""
    red, green, blue = density
    # Green, turquoise and light blue pens absorb more red than green. Darker blue absorbs both, and hardly any blue.
    pen = (red - green > 0.5 * mean) & (mean > 0.4)
    pen |= (red - blue > 0.95 * mean) & (red > 0.8 * green) & (mean > 0.8)
    # Yellow margin ink absorbs blue alone; brown DAB stays under 1.7 means.
    pen |= (blue > 1.75 * mean) & (mean > 0.4)
    black = (pixels.max(axis=0) < 60) & (np.abs(density - mean).max(axis=0) < 0.25 * mean)
    return pen, black
