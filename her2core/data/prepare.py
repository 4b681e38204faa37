"""How does a decoded image become the network's input? The one way that training, evaluation and serving share.

uint8 RGB of any size in -> centre square -> ``px`` x ``px`` -> stain normalised -> uint8 (px, px, 3) RGB and flags out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from her2core.data.quality import FLAGS as QUALITY_FLAGS
from her2core.data.quality import quality_flags
from her2core.io.images import resize_rgb
from her2core.stain.macenko import FLAGS as STAIN_FLAGS
from her2core.stain.macenko import StainNormalizer, StainReference

#: What may be noted about a patch, in the words shown to people.
FLAGS = {
    **STAIN_FLAGS,
    **QUALITY_FLAGS,
    "cropped": "the patch is not square: only its centre square was used",
    "field_of_view": "the patch shows a much larger or smaller piece of tissue than the training patches did",
    "out_of_distribution": "the patch is unlike the patches this run was trained on, so its answer may mean nothing",
}
#: Microns per pixel of the finest scans in use (about 50x); a patch of unknown scale shows at least this much tissue.
FINEST_MPP = 0.2
#: With one of these there is nothing to look at, so a prediction means nothing.
UNUSABLE = ("blank", "black", "one_colour", "nearly_empty")


@dataclass(frozen=True)
class Prepared:
    """``image`` uint8 (px, px, 3) RGB, normalised unless flagged; ``raw`` the same before stain normalisation."""

    image: np.ndarray
    raw: np.ndarray
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Prepare:
    """The settings of that way. ``field_um`` is the side of the training patches in microns, where known.

    Parameters
    ----------
    px : side of the network's input in pixels.
    stain : reference to normalise to, or None to leave the stain as it is.
    field_um : microns; only used to flag patches whose side lies beyond a factor of 1.5 of it: by their stated mpp, or
        without one, when they would be too large even at FINEST_MPP.
    """

    px: int
    stain: StainReference | None = field(default_factory=StainReference)
    field_um: float | None = None

    def __call__(self, image: np.ndarray, *, mpp: float | None = None) -> Prepared:
        """uint8 (H, W, 3) RGB, optionally with its microns per pixel."""
        flags = []
        longest = max(image.shape[:2])
        image = centre_square(image)
        side = image.shape[0]
        if side < 0.98 * longest:
            flags.append("cropped")
        if self.field_um and not self._fits(side, mpp):
            flags.append("field_of_view")
        raw = resize_rgb(image, self.px)
        flags += quality_flags(image, raw)
        if self.stain is None:
            return Prepared(raw, raw, tuple(flags))
        result = StainNormalizer(self.stain).apply(raw)
        if result.flag:
            flags.append(result.flag)
        return Prepared(result.image, raw, tuple(flags))

    def _fits(self, side: int, mpp: float | None) -> bool:
        if mpp:
            return 1 / 1.5 <= side * mpp / self.field_um <= 1.5
        return side * FINEST_MPP <= 1.5 * self.field_um


def centre_square(image: np.ndarray) -> np.ndarray:
    """The largest square in the middle of uint8 (H, W, 3): a view."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
