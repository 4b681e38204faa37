"""Microns per pixel of a slide: what its file states, when that is doubtful, and the way out.

The scale decides how large a nucleus appears to the network, so it is never guessed. A scale that is absent, outside
``io.scale.PLAUSIBLE``, different in x and y, or contradicted by the objective is refused, and the message names the
options by which a person states it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from her2core.errors import ImageError
from her2core.io.scale import MAX_ANISOTROPY, PLAUSIBLE

#: Microns per pixel times magnification of the objective, typically (40x: 0.25, 20x: 0.5); factor by which a stated
#: scale may differ from it (our choice: real scanners stay within 1.3, another magnification is off by 2).
MICRONS_TIMES_OBJECTIVE, MAX_CONTRADICTION = 10.0, 1.5
WAY_OUT = (
    "State it with --mpp (microns per pixel, or an objective: 40x, 20x, 10x, 5x); for several slides in a table with "
    "the columns slide and mpp (--table)."
)


@dataclass(frozen=True)
class StatedScale:
    """What a file states about its scale.

    Parameters
    ----------
    mpp_x, mpp_y : float or None
        Microns per pixel of level 0.
    objective : float or None
        Magnification.
    source : str
        Where it was found: a noun phrase.

    Examples
    --------
    >>> StatedScale(0.25, 0.25, 40.0, "its properties").doubt
    ''
    >>> StatedScale(0.25, 0.25, 20.0, "its properties").doubt
    '0.25 microns per pixel under a 20x objective, which usually has 0.5'
    """

    mpp_x: float | None = None
    mpp_y: float | None = None
    objective: float | None = None
    source: str = ""

    @property
    def doubt(self) -> str:
        """Why the scale cannot be used, as a noun phrase; empty where it can."""
        if self.mpp_x is None or self.mpp_y is None:
            return "no scale in the file" + (f" but a {self.objective:g}x objective" if self.objective else "")
        if not all(math.isfinite(v) and PLAUSIBLE[0] <= v <= PLAUSIBLE[1] for v in (self.mpp_x, self.mpp_y)):
            return f"{self.mpp_x:g} x {self.mpp_y:g} microns per pixel, which no scanner has"
        if max(self.mpp_x, self.mpp_y) > MAX_ANISOTROPY * min(self.mpp_x, self.mpp_y):
            return f"pixels that are not square ({self.mpp_x:g} x {self.mpp_y:g} microns)"
        if self.objective:
            usual = MICRONS_TIMES_OBJECTIVE / self.objective
            if not 1 / MAX_CONTRADICTION <= self.mpp_x / usual <= MAX_CONTRADICTION:
                return (
                    f"{self.mpp_x:g} microns per pixel under a {self.objective:g}x objective, which usually has "
                    f"{usual:g}"
                )
        return ""


def slide_mpp(stated: StatedScale, given: float | None, *, where: str) -> tuple[float, str]:
    """The scale to use for a slide.

    Parameters
    ----------
    stated : StatedScale
        What the file states.
    given : float or None
        Microns per pixel that a person stated; they have precedence.
    where : str
        The slide, for messages.

    Returns
    -------
    mpp : float
        Microns per pixel of level 0.
    source : str
        Where it comes from: a noun phrase.

    Raises
    ------
    ImageError
        The scale is missing or doubtful and none was given, or the given one is implausible.

    Examples
    --------
    >>> slide_mpp(StatedScale(0.25, 0.252, 40.0, "its properties"), None, where="a.svs")
    (0.251, 'its properties')
    >>> slide_mpp(StatedScale(), 0.5, where="a.svs")
    (0.5, 'the user')
    >>> slide_mpp(StatedScale(), None, where="a.svs")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a slide with a reliable scale, but got no scale in the file (a.svs). State ...
    """
    if given is not None:
        if not PLAUSIBLE[0] <= given <= PLAUSIBLE[1]:
            raise ImageError(
                f"{PLAUSIBLE[0]:g} to {PLAUSIBLE[1]:g} microns per pixel", got=f"{given:g}", where=where, fix=WAY_OUT
            )
        return float(given), "the user"
    if stated.doubt:
        raise ImageError("a slide with a reliable scale", got=stated.doubt, where=where, fix=WAY_OUT)
    assert stated.mpp_x is not None  # for the type checker: without a scale there is a doubt
    assert stated.mpp_y is not None
    return round((stated.mpp_x + stated.mpp_y) / 2, 6), stated.source


def scale_note(stated: StatedScale, used: float) -> str:
    """What must be said where a person's scale is used against the one that the file states without doubt.

    Parameters
    ----------
    stated : StatedScale
        What the file states.
    used : float
        Microns per pixel with which the slide is read.

    Returns
    -------
    str
        Empty where both agree within MAX_ANISOTROPY, or the file's is missing or doubtful.

    Examples
    --------
    >>> scale_note(StatedScale(0.5, 0.5), 0.25)
    'read with 0.25 microns per pixel, as the user states; the file states 0.5'
    >>> scale_note(StatedScale(), 0.25)
    ''
    """
    if stated.doubt:
        return ""
    own, _ = slide_mpp(stated, None, where="")
    if max(own, used) <= MAX_ANISOTROPY * min(own, used):
        return ""
    return f"read with {used:g} microns per pixel, as the user states; the file states {own:g}"
