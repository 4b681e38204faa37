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
from her2core.io.image_header import SIDEWAYS, check_decoding, open_header, orientation
from her2core.io.images import MAX_PIXELS, MIN_SIDE
from her2core.io.sources import Source, file_bytes, shown_name
from her2core.io.text import clean_text

#: Usual microns per pixel of an objective (our choice: typical values of brightfield scanners).
PRESETS = {"40x": 0.25, "20x": 0.5, "10x": 1.0, "5x": 2.0}
#: Microns per pixel that a stated scale must lie in.
PLAUSIBLE = (0.05, 20.0)
_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "": 1.0}
_OME_X = re.compile(r'PhysicalSizeX="([\d.eE+-]+)"')
_OME_UNIT = re.compile(r'PhysicalSizeXUnit="([^"]*)"')
_MPP = re.compile(r"\bmpp(?:[_-]?x)?\b\s*[=:]\s*([\d.]+)", re.IGNORECASE)
_IMAGEJ = re.compile(r"\bunit=(?:micron|microns|um|µm|\\u00B5m)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class ImageScale:
    """Size and scale of an image file.

    Parameters
    ----------
    width, height : int
        In pixels, upright.
    mpp : float or None
        Microns per pixel; None where the file states none that is plausible.
    source : str
        Where the scale was found: a noun phrase; empty without one.

    Examples
    --------
    >>> ImageScale(100, 80, 0.5, "its TIFF resolution tags").mpp
    0.5
    """

    width: int
    height: int
    mpp: float | None = None
    source: str = ""


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
    ImageScale(width=24, height=16, mpp=None, source='')
    """
    where = shown_name(source, name)
    with check_decoding(where):
        image = open_header(file_bytes(source, where), where, MAX_PIXELS, MIN_SIDE)
        width, height = image.size
        if orientation(image) in SIDEWAYS:
            width, height = height, width
        try:
            found, origin = _stated(image)
        except Exception:  # metadata from outside may be broken in any way; the pixels are not
            found, origin = None, ""
    return ImageScale(width, height, found, origin if found else "")


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


def _stated(image: Image.Image) -> tuple[float | None, str]:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _of_tiff(image)
    if image.format == "PNG" and "dpi" in image.info:
        return _plausible(25_400 / float(image.info["dpi"][0])), "its PNG resolution"
    if image.format == "JPEG" and image.info.get("jfif_unit") in (1, 2):
        per_micron = float(image.info["jfif_density"][0]) / (25_400 if image.info["jfif_unit"] == 1 else 10_000)
        return _plausible(1 / per_micron), "its JPEG resolution"
    return None, ""


def _of_tiff(image: TiffImagePlugin.TiffImageFile) -> tuple[float | None, str]:
    tags = image.tag_v2
    text = str(tags.get(270, ""))[:100_000].replace("\u00c2\u00b5", "\u00b5")  # Pillow reads UTF-8 as Latin-1
    if size := _OME_X.search(text):
        unit = _OME_UNIT.search(text)
        factor = _UNITS.get(unit.group(1) if unit else "", 0.0)
        if found := _plausible(float(size.group(1)) * factor):
            return found, "its OME metadata"
    if (stated := _MPP.search(text)) and (found := _plausible(float(stated.group(1)))):
        return found, "its description"
    density = float(tags[282]) if 282 in tags else 0.0
    if density <= 0:
        return None, ""
    unit_um = {2: 25_400.0, 3: 10_000.0}.get(tags.get(296, 2))
    if _IMAGEJ.search(text):
        return _plausible(1 / density), "its ImageJ metadata"
    return (_plausible(unit_um / density), "its TIFF resolution") if unit_um else (None, "")


def _plausible(mpp: float) -> float | None:
    return mpp if PLAUSIBLE[0] <= mpp <= PLAUSIBLE[1] else None
