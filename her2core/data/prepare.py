"""Preparation of patches for the network: centre square, size, stain, flags.

Training, evaluation and serving share this one function from decoded pixels to the network's input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from her2core.data.quality import FLAGS as QUALITY_FLAGS
from her2core.data.quality import quality_flags
from her2core.io.colours import FLAGS as COLOUR_FLAGS
from her2core.io.images import RGBImage, check_rgb, resize_rgb
from her2core.stain.methods import find_stain_method
from her2core.stain.reference import FLAGS as STAIN_FLAGS
from her2core.stain.reference import StainReference

#: The flags of a patch, in the words shown to people.
FLAGS: dict[str, str] = {
    **{str(flag): text for flag, text in STAIN_FLAGS.items()},
    **QUALITY_FLAGS,
    **COLOUR_FLAGS,
    "cropped": "the patch is not square: only its centre square was used",
    "field_of_view": "the patch shows a much larger or smaller piece of tissue than the training patches did",
    "out_of_distribution": "the patch is unlike the patches this run was trained on, so the prediction may be invalid",
}
#: Microns per pixel of the finest scans in use (about 50x); a patch of unknown scale shows at least this much tissue.
FINEST_MPP = 0.2
#: Flags of patches without tissue, for which a prediction is meaningless.
UNUSABLE: tuple[str, ...] = ("blank", "black", "one_colour", "nearly_empty")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A patch ready for the network.

    Attributes
    ----------
    image : uint8 array (px, px, 3)
        RGB; its stain normalised unless a flag of ``her2core.stain.reference.FLAGS`` tells otherwise.
    raw : uint8 array (px, px, 3)
        The same before stain normalisation.
    flags : tuple of str
        Keys of ``FLAGS``.
    """

    image: RGBImage
    raw: RGBImage
    flags: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether the patch shows tissue: it has none of the flags ``UNUSABLE``."""
        return not set(self.flags) & set(UNUSABLE)


@dataclass(frozen=True)
class Prepare:
    """Preparation of patches with fixed settings.

    Parameters
    ----------
    px : int
        Side of the network's input in pixels.
    stain : StainReference, optional
        Stain to normalise to; None leaves the stain as it is.
    field_um : float, optional
        Side of the training patches in microns. Patches whose side differs from it by more than a factor of 1.5 are
        flagged: by their stated microns per pixel or, without one, where they would be too large even at FINEST_MPP.
    method : str, default "macenko"
        Stain normalisation method, a key of ``her2core.stain.methods.STAIN_METHODS``.

    Raises
    ------
    ConfigError
        There is no such method.

    Examples
    --------
    >>> import numpy as np
    >>> prepared = Prepare(64)(np.full((100, 150, 3), 245, np.uint8))
    >>> prepared.image.shape, prepared.flags, prepared.usable
    ((64, 64, 3), ('cropped', 'blank'), False)
    """

    px: int
    stain: StainReference | None = field(default_factory=StainReference)
    field_um: float | None = None
    method: str = "macenko"

    def __post_init__(self) -> None:
        find_stain_method(self.method)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Prepare:
        """The preparation that a run's patches had.

        Parameters
        ----------
        card : mapping
            A run's model card: ``input.px``, ``input.field_um`` where known, ``stain.method``, ``stain.reference``.

        Returns
        -------
        Prepare
            With the card's settings.

        Examples
        --------
        >>> stain = {"method": "macenko", "reference": StainReference().as_dict()}
        >>> Prepare.from_card({"input": {"px": 112}, "stain": stain}) == Prepare(112)
        True
        """
        reference = card["stain"]["reference"]
        return cls(
            int(card["input"]["px"]),
            None if reference is None else StainReference.from_dict(reference),
            card["input"].get("field_um"),
            card["stain"].get("method", "macenko"),
        )

    def __call__(self, image: RGBImage, *, mpp: float | None = None, flags: Sequence[str] = ()) -> Prepared:
        """Prepare one patch.

        Parameters
        ----------
        image : uint8 array (H, W, 3)
            RGB patch of any size.
        mpp : float, optional
            Its microns per pixel, where known.
        flags : sequence of str, optional
            Keys of ``FLAGS`` that the reader of the image raised; they come first.

        Returns
        -------
        Prepared
            The network's input and the flags.

        Raises
        ------
        ImageError
            It is no such array.

        Examples
        --------
        >>> import numpy as np
        >>> Prepare(32, field_um=50.0)(np.full((100, 100, 3), 130, np.uint8), mpp=1.0).flags
        ('field_of_view', 'one_colour')
        """
        check_rgb(image, where="patch")
        flags = list(flags)
        longest = max(image.shape[:2])
        image = centre_square(image)
        side = image.shape[0]
        if side < 0.98 * longest:
            flags.append("cropped")
        if self.field_um and not self._fits(side, self.field_um, mpp):
            flags.append("field_of_view")
        raw = resize_rgb(image, self.px)
        flags += quality_flags(image, raw)
        if self.stain is None:
            return Prepared(raw, raw, tuple(flags))
        result = find_stain_method(self.method).function(raw, self.stain)
        if result.estimate is not None and result.estimate.is_brown and "not_he" not in flags:
            flags.append("not_he")  # little brown among much haematoxylin shows in the stains, not in the mean colour
        if result.flag:
            flags.append(result.flag)
        return Prepared(result.image, raw, tuple(flags))

    @staticmethod
    def _fits(side: int, field_um: float, mpp: float | None) -> bool:
        if mpp:
            return 1 / 1.5 <= side * mpp / field_um <= 1.5
        return side * FINEST_MPP <= 1.5 * field_um


def centre_square(image: RGBImage) -> RGBImage:
    """The largest square in the middle of an image.

    Parameters
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels.

    Returns
    -------
    uint8 array (S, S, 3)
        A view, with S the smaller of H and W.

    Examples
    --------
    >>> import numpy as np
    >>> centre_square(np.arange(30, dtype=np.uint8).reshape(2, 5, 3))[0, :, 0].tolist()
    [3, 6]
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]
