"""Registry of stain normalisation methods.

A method is one entry here and a function from a patch and a reference stain to a ``StainResult``. Configurations are
validated against the registry, model cards name the method, and pages and documentation list it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from her2core.errors import ConfigError
from her2core.io.images import RGBImage
from her2core.stain.macenko import normalize_macenko
from her2core.stain.reference import StainReference, StainResult


@dataclass(frozen=True)
class StainMethod:
    """One method of stain normalisation.

    Attributes
    ----------
    name : str
        Name in configurations and model cards.
    label : str
        Name for people.
    description : str
        One plain sentence.
    reference : str
        Author, year and DOI; empty where nothing is computed.
    function : callable
        ``function(image, reference)`` for a uint8 (H, W, 3) RGB patch and a StainReference returns a StainResult.
    """

    name: str
    label: str
    description: str
    reference: str
    function: Callable[[RGBImage, StainReference], StainResult]


def _unchanged(image: RGBImage, reference: StainReference) -> StainResult:
    return StainResult(image, None, None)


STAIN_METHODS: dict[str, StainMethod] = {
    method.name: method
    for method in (
        StainMethod(
            "macenko",
            "Macenko",
            "Estimates the haematoxylin and eosin of each patch and replaces them by those of the reference.",
            "Macenko et al. 2009, doi 10.1109/ISBI.2009.5193250",
            normalize_macenko,
        ),
        StainMethod("none", "None", "Leaves the stain of each patch as it is.", "", _unchanged),
    )
}


def find_stain_method(name: str) -> StainMethod:
    """The stain normalisation method of a name.

    Parameters
    ----------
    name : str
        A key of ``STAIN_METHODS``.

    Returns
    -------
    StainMethod
        Its entry.

    Raises
    ------
    ConfigError
        There is no such method.

    Examples
    --------
    >>> find_stain_method("macenko").reference
    'Macenko et al. 2009, doi 10.1109/ISBI.2009.5193250'
    >>> find_stain_method("reinhard")
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected a stain method out of 'macenko', 'none', but got 'reinhard'. Choose one of \
these.
    """
    if name not in STAIN_METHODS:
        raise ConfigError(
            f"a stain method out of {', '.join(map(repr, STAIN_METHODS))}", got=repr(name), fix="Choose one of these."
        )
    return STAIN_METHODS[name]
