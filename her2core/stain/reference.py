"""Stains as data: the reference that patches are normalised to, the stain found in a patch, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from her2core.io.images import RGBImage

Flag = Literal["blank", "black", "one_colour", "nearly_empty", "weak_stain", "unstable_stain"]

#: Why a patch was not normalised, in the words shown to people. The first four mean that it shows no tissue
#: (``her2core.data.prepare.UNUSABLE``), the others are notes on the stain of a patch with tissue.
FLAGS: dict[Flag, str] = {
    "blank": "almost no tissue: the patch is white or nearly so",
    "black": "the patch is black or nearly so: no light came through",
    "one_colour": "the patch has one colour and no structure",
    "nearly_empty": "almost no tissue: too few tissue pixels",
    "weak_stain": "the tissue is stained too weakly to normalise its stain, which was left as it is",
    "unstable_stain": "haematoxylin and eosin cannot be told apart reliably, so the stain was left as it is",
}

#: Optical density in blue less that in green, of unit vectors, above which the second stain is brown (our choice): 4 of
#: 5,134 windows of real H&E exceed it, eosin as orange as saffron does not, and DAB does, also where there is little.
BROWN = 0.18

_Vector = tuple[float, float, float]


@dataclass(frozen=True)
class StainReference:
    """The stain that patches are normalised to.

    Parameters
    ----------
    vectors : tuple of two tuples of three floats
        Haematoxylin, then eosin: optical density in R, G and B, of unit length.
    max_concentration : tuple of two floats
        99th percentiles of the two stains' concentrations.
    white : float
        Grey level of no absorption, 0-255.

    Notes
    -----
    The defaults are the numbers in common use with Macenko's published code, and in torchstain.

    Examples
    --------
    >>> StainReference().white
    240.0
    >>> StainReference.from_dict(StainReference().as_dict()) == StainReference()
    True
    """

    vectors: tuple[_Vector, _Vector] = ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))
    max_concentration: tuple[float, float] = (1.9705, 1.0308)
    white: float = 240.0

    def as_dict(self) -> dict[str, Any]:
        """The reference as plain values for a model card.

        Returns
        -------
        dict
            Keys ``vectors``, ``max_concentration`` and ``white``; ready for JSON.

        Examples
        --------
        >>> sorted(StainReference().as_dict())
        ['max_concentration', 'vectors', 'white']
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> StainReference:
        """The reference that ``as_dict`` gave, perhaps through JSON.

        Parameters
        ----------
        plain : mapping
            Keys ``vectors``, ``max_concentration`` and ``white``.

        Returns
        -------
        StainReference
            With tuples of floats.

        Examples
        --------
        >>> StainReference.from_dict({"vectors": [[1, 0, 0], [0, 1, 0]], "max_concentration": [2, 1], "white": 250})
        StainReference(vectors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)), max_concentration=(2.0, 1.0), white=250.0)
        """
        first, second = (_vector(row) for row in plain["vectors"])
        haematoxylin, eosin = plain["max_concentration"]
        return cls((first, second), (float(haematoxylin), float(eosin)), float(plain["white"]))


@dataclass(frozen=True, eq=False)
class StainEstimate:
    """The stain found in one patch.

    Attributes
    ----------
    vectors : float array (2, 3)
        Haematoxylin, then eosin: optical density in R, G and B, of unit length.
    max_concentration : float array (2,)
        99th percentiles of the two stains' concentrations.
    tissue_fraction : float
        Share of the pixels that the estimate is based on, 0-1.
    """

    vectors: npt.NDArray[np.float64]
    max_concentration: npt.NDArray[np.floating[Any]]
    tissue_fraction: float

    @property
    def is_brown(self) -> bool:
        """Whether the second stain absorbs blue more than green, as the DAB of immunohistochemistry does."""
        return bool(self.vectors[1, 2] - self.vectors[1, 1] > BROWN)


@dataclass(frozen=True, eq=False)
class StainResult:
    """A normalised patch, or one that was left as it is.

    Attributes
    ----------
    image : uint8 array (H, W, 3)
        RGB pixels; the very array that was given where ``flag`` is set.
    flag : str or None
        A key of ``FLAGS`` where the patch was not normalised.
    estimate : StainEstimate or None
        The stain found; None where ``flag`` is set.
    """

    image: RGBImage
    flag: Flag | None
    estimate: StainEstimate | None


def _vector(row: Sequence[float]) -> _Vector:
    red, green, blue = row
    return float(red), float(green), float(blue)
