"""Conversion of colours into sRGB from what a file states about them.

Scanners and image programs save numbers that mean other colours than sRGB, and state so in an embedded ICC profile, in
PNG's ``gAMA`` and ``cHRM`` chunks or in EXIF. Without conversion the same tissue has other pixels. The rules are our
choice:

- An ICC profile is applied by LittleCMS (Pillow's ImageCms) with the relative colorimetric intent, which keeps white
  white, so that glass stays glass; without black point compensation. One that changes no colour by more than
  NEGLIGIBLE grey levels is sRGB by another name and is left alone.
- A profile that cannot be read, or is for another kind of pixels, is flagged, and the numbers are taken as sRGB.
- PNG chunks count where there is neither a profile nor an ``sRGB`` chunk, EXIF where there is no profile: Adobe RGB
  (1998) by its interoperability index R03 (CIPA DC-008) or by ColorSpace 2.
- 16-bit colours are reduced to 8 bits before they are converted.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

#: The flags of ``to_srgb``, in the words shown to people.
FLAGS = {
    "colours_converted": "the colours were converted to sRGB from the colour space that the file states",
    "profile_unreadable": "the file's colour profile could not be applied: its colours were taken as sRGB",
}
#: Largest difference in grey levels from which a stated colour space is converted.
NEGLIGIBLE = 2
#: Largest profile read, in bytes; those of scanners have a few MB at most.
MAX_PROFILE = 16_000_000
_BAND_PIXELS = 4_000_000
_D65 = (0.3127, 0.3290)
#: xy of white, red, green and blue.
_SRGB = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_ADOBE_RGB = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)  # Adobe RGB (1998) Color Image Encoding, 2005
_ADOBE_GAMMA = 563 / 256
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Stated:
    """What a file states about its colours.

    Attributes
    ----------
    profile : bytes or None
        The ICC profile.
    gamma : float or None
        Exponent that linearises pixels in 0..1; None for that of sRGB.
    chromaticities : tuple of eight floats
        xy of white, red, green and blue.

    Examples
    --------
    >>> Stated().gamma is None
    True
    """

    profile: bytes | None = None
    gamma: float | None = None
    chromaticities: tuple[float, ...] = _SRGB


def stated_colours(image: Image.Image) -> Stated:
    """Read what a file states about its colours.

    Parameters
    ----------
    image : PIL.Image.Image
        An opened image, decoded or not.

    Returns
    -------
    Stated
        Metadata that cannot be read are taken as absent, except a profile.

    Examples
    --------
    >>> stated_colours(Image.new("RGB", (8, 8))) == Stated()
    True
    """
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return Stated(profile)
    if image.format == "PNG" and "srgb" not in image.info:
        gamma, corners = image.info.get("gamma"), image.info.get("chromaticity")
        own = tuple(corners) if corners is not None and _are_corners(corners) else None
        if (isinstance(gamma, float) and 0.1 < gamma < 2) or own:
            # Many programs write 1/2.2 for sRGB.
            unusual = 1 / gamma if isinstance(gamma, float) and abs(gamma - 1 / 2.2) >= 0.01 else None
            return Stated(None, unusual, own or _SRGB)
    if _is_adobe_rgb(image):
        return Stated(None, _ADOBE_GAMMA, _ADOBE_RGB)
    return Stated()


def cmyk_to_srgb(image: Image.Image, stated: Stated) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert a decoded CMYK image by its profile, while its four channels are still there.

    Parameters
    ----------
    image : PIL.Image.Image
        Any decoded image.
    stated : Stated
        What its file states.

    Returns
    -------
    image : PIL.Image.Image
        In RGB where it was CMYK with a usable profile, otherwise as it was.
    flags : tuple of str
        Keys of FLAGS; empty where nothing was converted.

    Examples
    --------
    >>> cmyk_to_srgb(Image.new("RGB", (8, 8)), Stated())[1]
    ()
    """
    if image.mode != "CMYK" or stated.profile is None:
        return image, ()
    transform = _transform(stated.profile, "CMYK")
    if transform is None:
        return image, ()
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # for the type checker: it is None in place only
    return converted, ("colours_converted",)


def to_srgb(pixels: _Pixels, stated: Stated) -> tuple[_Pixels, tuple[str, ...]]:
    """Convert pixels to sRGB in place.

    Parameters
    ----------
    pixels : uint8 array (H, W, 3)
        RGB, changed.
    stated : Stated
        What the file states about its colours.

    Returns
    -------
    pixels : uint8 array (H, W, 3)
        The same array.
    flags : tuple of str
        Keys of FLAGS; empty where the colours are sRGB already.

    Examples
    --------
    >>> grey = np.full((8, 8, 3), 100, np.uint8)
    >>> to_srgb(grey, Stated(gamma=1.0))[1], int(grey[0, 0, 0])
    (('colours_converted',), 168)
    >>> to_srgb(grey, Stated(profile=b"none"))[1]
    ('profile_unreadable',)
    """
    if stated.profile is not None:
        convert: Any = _by_profile(stated.profile)
        if convert is None:
            return pixels, ("profile_unreadable",)
    elif stated == Stated():
        return pixels, ()
    else:
        convert = _by_numbers(stated)
    probe = _probe()
    if np.abs(convert(probe).astype(int) - probe).max() <= NEGLIGIBLE:
        return pixels, ()
    rows = max(1, _BAND_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        pixels[top : top + rows] = convert(pixels[top : top + rows])
    return pixels, ("colours_converted",)


def _probe() -> _Pixels:
    """Colours (H, W, 3) spread over the whole cube, and all greys."""
    levels = np.linspace(0, 255, 16).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    return np.concatenate([cube, greys])[None]


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    if len(profile) > MAX_PROFILE:
        return None
    try:
        source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except Exception:  # LittleCMS and Pillow refuse damaged profiles in several ways
        return None


def _by_profile(profile: bytes) -> Any:
    """Function from RGB pixels to RGB pixels; None for a profile that is of no use."""
    if (colours := _transform(profile, "RGB")) is not None:

        def convert(band: _Pixels) -> _Pixels:
            return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(band)), colours))

        return convert
    if (greys := _transform(profile, "L")) is not None:
        ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        table = np.asarray(ImageCms.applyTransform(ramp, greys))[0, :, 0]

        def convert_grey(band: _Pixels) -> _Pixels:
            return table[band]

        return convert_grey
    return None


def _by_numbers(stated: Stated) -> Any:
    levels = np.arange(256) / 255
    if stated.gamma is None:
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    else:
        linear = levels**stated.gamma
    table = linear.astype(np.float32)
    matrix = (np.linalg.inv(_to_xyz(_SRGB)) @ _to_xyz(stated.chromaticities)).astype(np.float32)

    def convert(band: _Pixels) -> _Pixels:
        light = np.clip(table[band] @ matrix.T, 0, 1)
        low, high = 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - np.float32(0.055)
        return np.rint(255 * np.where(light <= 0.0031308, low, high)).astype(np.uint8)

    return convert


def _to_xyz(corners: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Matrix (3, 3) from linear RGB to XYZ, its white adapted to D65 (Bradford)."""
    points = np.array(corners, float).reshape(4, 2)
    xyz = np.column_stack([points[:, 0], points[:, 1], 1 - points.sum(axis=1)]) / points[:, 1:]
    white, primaries = xyz[0], xyz[1:].T
    matrix = primaries * np.linalg.solve(primaries, white)
    x, y = _D65
    ratio = (_BRADFORD @ (x / y, 1, (1 - x - y) / y)) / (_BRADFORD @ white)
    adapted: npt.NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD @ matrix
    return adapted


def _are_corners(value: object) -> bool:
    """Whether eight numbers are the chromaticities of colours that can be converted."""
    if not isinstance(value, tuple) or len(value) != 8 or not all(isinstance(v, float) and 0 < v < 1 for v in value):
        return False
    try:
        return bool(np.isfinite(_to_xyz(value)).all())
    except np.linalg.LinAlgError:
        return False


def _is_adobe_rgb(image: Image.Image) -> bool:
    if image.format != "TIFF" and "exif" not in image.info:
        return False
    try:
        exif = Image.Image.getexif(image)
        space = exif.get_ifd(0x8769).get(0xA001)
        index = str(exif.get_ifd(0xA005).get(1, "")).strip("\0 ")
    except Exception:  # EXIF from outside may be broken in any way; the pixels are not
        return False
    return space == 2 or (space == 65535 and index == "R03")
