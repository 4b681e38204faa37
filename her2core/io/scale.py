"""Scale of an image in microns per pixel, from its metadata or from the magnification of the objective.

Read are OME-XML (``PhysicalSizeX``), descriptions of Aperio and other scanners (``MPP = 0.25``), ImageJ's
``unit=micron``, TIFF resolution tags, PNG ``pHYs`` and JFIF density. Resolutions of screens and printers (72, 96,
300 dots per inch) are no scale of tissue: what lies outside PLAUSIBLE is taken as absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image, TiffImagePlugin

from her2core.errors import ConfigError
from her2core.io.image_header import MAX_PIXELS, MIN_SIDE, SIDEWAYS, check_decoding, open_header, orientation
from her2core.io.sources import Source, file_bytes, shown_name
from her2core.io.text import clean_text

#: Usual microns per pixel of an objective (our choice: typical values of brightfield scanners).
PRESETS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
#: Microns per pixel that a stated scale must lie in, and the ratio of x to y up to which pixels are square (our choice:
#: scanners state up to 1.01).
PLAUSIBLE, MAX_ANISOTROPY = (0.05, 20.0), 1.02
_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "": 1.0}
_OME = [re.compile(rf'PhysicalSize{axis}="([\d.eE+-]+)"') for axis in "XY"]
_OME_UNIT = [re.compile(rf'PhysicalSize{axis}Unit="([^"]*)"') for axis in "XY"]
_MPP = re.compile(r"\bmpp(?:[_-]?x)?\b\s*[=:]\s*([\d.]+)", re.IGNORECASE)
_MPP_Y = re.compile(r"\bmpp[_-]?y\b\s*[=:]\s*([\d.]+)", re.IGNORECASE)
_IMAGEJ = re.compile(r"\bunit=(?:micron|microns|um|µm|\\u00B5m)\s*$", re.MULTILINE)
_OBJECTIVE = re.compile(r'(?:\bAppMag\s*=\s*|NominalMagnification=")([\d.]+)', re.IGNORECASE)

_Sides = tuple[float, float]
#: Scale along x and y, where it was found, and the objective.
_Stated = tuple[_Sides | None, str, float | None]


@dataclass(frozen=True)
class ImageScale:
    """Size and scale of an image file.

    Parameters
    ----------
    width, height : int
        In pixels, upright.
    mpp : float or None
        Microns per pixel; None where the file states none that is plausible, or pixels that are not square.
    source : str
        Where the scale was found: a noun phrase; empty without ``mpp``.
    sides : tuple of float or None
        Microns per pixel along x and y as stated, square or not.
    objective : float or None
        Magnification.

    Examples
    --------
    >>> ImageScale(100, 80, 0.5, "its TIFF resolution tags").mpp
    0.5
    """

    width: int
    height: int
    mpp: float | None = None
    source: str = ""
    sides: tuple[float, float] | None = None
    objective: float | None = None


def image_scale(source: Source, *, name: str | None = None) -> ImageScale:
    """Size and scale of an image file, from its header: no pixel is decoded.

    Parameters
    ----------
    source : bytes, path or binary stream
        As in ``read_image``.
    name : str, optional
        Name of the file in messages.

    Returns
    -------
    ImageScale

    Raises
    ------
    ImageError
        As ``read_image``.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.io.images import encode_png
    >>> image_scale(encode_png(np.zeros((16, 24, 3), np.uint8)))
    ImageScale(width=24, height=16, mpp=None, source='', sides=None, objective=None)
    """
    where = shown_name(source, name)
    with check_decoding(where):
        return opened_scale(open_header(file_bytes(source, where), where, MAX_PIXELS, MIN_SIDE))


def opened_scale(image: Image.Image) -> ImageScale:
    """Size and scale of an opened image, decoded or not.

    Parameters
    ----------
    image : PIL.Image.Image
        One that came from no file states no scale.

    Returns
    -------
    ImageScale

    Examples
    --------
    >>> opened_scale(Image.new("RGB", (24, 16))).mpp is None
    True
    """
    width, height = image.size
    sideways = orientation(image) in SIDEWAYS
    if sideways:
        width, height = height, width
    try:
        sides, origin, objective = _stated(image)
    except Exception:  # metadata from outside may be broken in any way; the pixels are not
        sides, origin, objective = None, "", None
    if sides is None:
        return ImageScale(width, height, objective=objective)
    x, y = sides[::-1] if sideways else sides
    square = max(x, y) <= MAX_ANISOTROPY * min(x, y)
    return ImageScale(width, height, x if square else None, origin if square else "", (x, y), objective)


def parse_mpp(text: str) -> float:
    """Microns per pixel from a number or the magnification of an objective.

    Parameters
    ----------
    text : str
        Such as ``0.25`` or a key of PRESETS.

    Returns
    -------
    float
        Microns per pixel above 0.

    Raises
    ------
    ConfigError
        For anything else.

    Examples
    --------
    >>> parse_mpp("0.25"), parse_mpp("20x")
    (0.25, 0.5)
    """
    preset = PRESETS.get(text.strip().lower().replace("×", "x"))
    try:
        value = float(text) if preset is None else preset
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise ConfigError(
            f"microns per pixel above 0, or one of {', '.join(PRESETS)}",
            got=repr(clean_text(text)),
            where="mpp",
            fix="The viewer or the scanner's metadata state it.",
        )
    return value


def _stated(image: Image.Image) -> _Stated:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image)
    if image.format == "PNG" and "dpi" in image.info:
        return _plausible(*(25_400 / float(v) for v in image.info["dpi"])), "its PNG resolution", None
    if image.format == "JPEG" and image.info.get("jfif_unit") in (1, 2):
        unit_um = 25_400 if image.info["jfif_unit"] == 1 else 10_000
        return _plausible(*(unit_um / float(v) for v in image.info["jfif_density"])), "its JPEG resolution", None
    return None, "", None


def stated_in_description(text: str) -> tuple[_Sides | None, str, float | None]:
    """Scale and objective that the description of a TIFF states: OME-XML, or ``MPP = 0.25|AppMag = 40`` of scanners.

    Parameters
    ----------
    text : str
        Of the tag ImageDescription.

    Returns
    -------
    sides : tuple of float or None
        Microns per pixel along x and y, where those along x are plausible.
    source : str
        Where they were found: a noun phrase; empty without them.
    objective : float or None
        Magnification.

    Examples
    --------
    >>> stated_in_description('<Pixels PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeY="0.25"/>')
    ((0.5, 0.25), 'its OME metadata', None)
    >>> stated_in_description("Aperio |AppMag = 20|MPP = 0.5")
    ((0.5, 0.5), 'its description', 20.0)
    """
    text = text[:100_000].replace("\u00c2\u00b5", "\u00b5")  # Pillow reads UTF-8 as Latin-1
    power = _OBJECTIVE.search(text)
    objective = float(power.group(1)) if power else None
    if size := _OME[0].search(text):
        sizes = (size, _OME[1].search(text) or size)
        units = [unit.search(text) for unit in _OME_UNIT]
        factors = [_UNITS.get(unit.group(1) if unit else "", 0.0) for unit in (units[0], units[1] or units[0])]
        if found := _plausible(*(float(v.group(1)) * f for v, f in zip(sizes, factors, strict=True))):
            return found, "its OME metadata", objective
    if stated := _MPP.search(text):
        down = _MPP_Y.search(text) or stated
        if found := _plausible(float(stated.group(1)), float(down.group(1))):
            return found, "its description", objective
    return None, "", objective


def _of_tiff(image: TiffImagePlugin.TiffImageFile) -> _Stated:
    tags = image.tag_v2
    text = str(tags.get(270, ""))
    sides, origin, objective = stated_in_description(text)
    density = [float(tags.get(tag, 0.0)) for tag in (282, 283)]
    if sides or density[0] <= 0:
        return sides, origin, objective
    x, y = density[0], density[1] if density[1] > 0 else density[0]
    if _IMAGEJ.search(text.replace("\u00c2\u00b5", "\u00b5")):
        return _plausible(1 / x, 1 / y), "its ImageJ metadata", objective
    unit_um = {2: 25_400.0, 3: 10_000.0}.get(tags.get(296, 2))
    return (_plausible(unit_um / x, unit_um / y) if unit_um else None), "its TIFF resolution", objective


def _plausible(x: float, y: float) -> _Sides | None:
    """Both where the first is plausible: a doubtful second one is for the reader of ``sides`` to judge."""
    return (x, y) if PLAUSIBLE[0] <= x <= PLAUSIBLE[1] else None
