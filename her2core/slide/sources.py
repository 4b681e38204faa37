"""Files behind a slide: OpenSlide's formats, DICOM that it refuses, and plain images with one level."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from her2core.errors import ImageError
from her2core.extras import has_modules, require_extra
from her2core.io.colours import stated_colours, to_srgb
from her2core.io.image_header import whole_slide
from her2core.io.images import SUFFIXES, RGBImage, decode_image
from her2core.io.scale import image_scale, stated_in_description
from her2core.io.text import clean_text, printable_path
from her2core.slide.dicom_series import is_dicom
from her2core.slide.scale import StatedScale
from her2core.slide.units import Level

if TYPE_CHECKING:
    from openslide import OpenSlide

#: Largest plain image read as a slide, in pixels: it is decoded whole, at 3 bytes a pixel.
MAX_PIXELS = 178_000_000
#: Largest file of a plain image, in bytes.
MAX_BYTES = 1_200_000_000
#: Decoded tiles that OpenSlide 4 keeps of an open slide, in bytes (its default).
OPENSLIDE_CACHE = 32 * 2**20


_PERMIT = "Check who may read it, and that its drive is connected."


class SlideSource(Protocol):
    """What a slide is read from. Coordinates start at the scanned area's upper left corner."""

    levels: tuple[Level, ...]
    stated: StatedScale
    kind: str
    #: Memory that the opened file holds, in bytes.
    held_bytes: int

    def read(self, level: Level, x: int, y: int, width: int, height: int) -> tuple[RGBImage, tuple[str, ...]]:
        """Pixels of a region inside a level, and keys of ``io.colours.FLAGS``."""

    def close(self) -> None:
        """Give the file back."""


def open_source(path: Path) -> SlideSource:
    """Open a slide's file.

    Parameters
    ----------
    path : Path
        A file of one of OpenSlide's formats, a DICOM whole slide, or a PNG, JPEG, TIFF, BMP or WebP image.

    Returns
    -------
    SlideSource

    Raises
    ------
    ImageError
        The file is missing, of no such format, truncated or damaged.
    ConfigError
        It needs OpenSlide, which is not installed.
    """
    where = printable_path(path)
    if not path.is_file():
        raise ImageError(
            "a slide", got="a folder" if path.is_dir() else "no such file", where=where, fix="Check the name."
        )
    if not os.path.getsize(path):
        raise ImageError("a slide", got="an empty file", where=where, fix="Copy it again from its source.")
    try:
        path.open("rb").close()
    except OSError as refused:
        said = (refused.strerror or "an error").lower()
        raise ImageError("a slide", got=f"a file that cannot be read ({said})", where=where, fix=_PERMIT) from None
    plain = path.suffix.lower() in SUFFIXES
    if not plain and is_dicom(path):
        return _open_dicom(path, where)
    if not plain:
        require_extra("slide", "openslide")
    if not plain or (path.suffix.lower() in (".tif", ".tiff") and has_modules("openslide")):
        import openslide

        vendor = openslide.OpenSlide.detect_format(path)
        if vendor is not None:
            return _OpenSlideSource(path, where, vendor)
    if not plain:
        raise ImageError(
            "a whole slide of a format that OpenSlide reads, or a PNG, JPEG, TIFF, BMP or WebP image",
            got=f"a file of {os.path.getsize(path):,} bytes that is none",
            where=where,
            fix="The file may be incomplete: copy it again from its source.",
        )
    try:
        return _ImageSource(path, where)
    except ImageError as refused:
        if refused.got != whole_slide(where).got:
            raise
        raise ImageError(
            "a complete slide, stored in tiles",
            got="a TIFF in which OpenSlide finds none: truncated, or stored in strips",
            where=where,
            fix="Copy it again from its source, or convert it to a tiled TIFF, for instance with libvips.",
        ) from None


def vanished_slide(path: Path, where: str) -> ImageError | None:
    """Why a slide that was opened can no longer be read, where its file is gone.

    Parameters
    ----------
    path : Path
    where : str
        The slide, for the message.

    Returns
    -------
    ImageError or None
        None where the file is there.

    Examples
    --------
    >>> vanished_slide(Path("README.md"), "README.md") is None
    True
    """
    if path.exists():
        return None
    return ImageError(
        "a slide that can be read",
        got="a file that vanished",
        where=where,
        fix="Connect its drive again, then give the same command again: it goes on where it stopped.",
    )


def without_names(reason: str, *files: Path) -> str:
    """What a library says of files, without their names and folders: pages show it, and names may be a patient's.

    Parameters
    ----------
    reason : str
    *files : Path
        That it may name.

    Returns
    -------
    str

    Examples
    --------
    >>> without_names("Short read of file in/Jane Doe.svs: 3 < 4", Path("in/Jane Doe.svs"))
    'Short read of file (name left out): 3 < 4'
    """
    places = [whole for file in files for whole in (file, file.with_suffix(""))]  # a folder of the name too: MIRAX
    names = [name for p in places for name in (os.path.realpath(p), os.path.abspath(p), os.fspath(p))]
    for name in sorted({*names, *(file.name for file in files)}, key=len, reverse=True):
        reason = reason.replace(name, "(name left out)")
    return reason


def _open_dicom(path: Path, where: str) -> SlideSource:
    """A DICOM slide by OpenSlide, or by wsidicom where OpenSlide refuses it or is not installed."""
    refused: ImageError | None = None
    if has_modules("openslide"):
        import openslide

        if (vendor := openslide.OpenSlide.detect_format(path)) is not None:
            try:
                return _OpenSlideSource(path, where, vendor)
            except ImageError as error:
                refused = error
    elif not has_modules("wsidicom"):
        require_extra("slide", "openslide")
    if not has_modules("wsidicom"):
        raise ImageError(
            "a DICOM slide that OpenSlide reads",
            got="one that it refuses" if refused is None else refused.got,
            where=where,
            fix="If it is complete, another reader may know its transfer syntax: pip install 'her2core[dicom]'.",
        )
    from her2core.slide.dicom_source import DicomSource

    return DicomSource(path, where)


class _OpenSlideSource:
    held_bytes = OPENSLIDE_CACHE

    def __init__(self, path: Path, where: str, vendor: str) -> None:
        import openslide

        self._path, self._where, self.kind = path, where, f"OpenSlide, {vendor}"
        try:
            self._slide: OpenSlide = openslide.OpenSlide(path)
            properties = dict(self._slide.properties)
        except openslide.OpenSlideError as refused:
            raise self._damaged(str(refused)) from None
        # Only numbers of named properties are kept: the others may hold the names of patients and users.
        numbers = {name: _number(properties.get(f"openslide.{name}")) for name in _NUMBERS}
        self._left, self._top = (int(numbers[f"bounds-{axis}"] or 0) for axis in "xy")
        full = self._slide.dimensions
        downsamples = [float(d) for d in self._slide.level_downsamples]
        bounds = [int(numbers[f"bounds-{name}"] or whole) for name, whole in zip(_SIZE, full, strict=True)]
        width, height = (min(b, whole - o) for b, whole, o in zip(bounds, full, (self._left, self._top), strict=True))
        # Sizes of levels are those of the file; of a scanned area that is a part of them, they follow from its own.
        entire = (width, height) == full
        sizes = self._slide.level_dimensions if entire else [(int(width / d), int(height / d)) for d in downsamples]
        self.levels = tuple(
            Level(i, max(1, w), max(1, h), d) for i, ((w, h), d) in enumerate(zip(sizes, downsamples, strict=True))
        )
        self.stated = StatedScale(
            numbers["mpp-x"], numbers["mpp-y"], numbers["objective-power"], "the slide's properties"
        )
        if vendor == "generic-tiff":  # OpenSlide takes the scale of its resolution tags alone
            sides, origin, objective = stated_in_description(properties.get("tiff.ImageDescription", ""))
            across, down = sides or (numbers["mpp-x"], numbers["mpp-y"])
            self.stated = StatedScale(across, down, objective, origin or self.stated.source)
        self._white = _colour(properties.get("openslide.background-color"))

    def read(self, level: Level, x: int, y: int, width: int, height: int) -> tuple[RGBImage, tuple[str, ...]]:
        import openslide

        place = (self._left + round(x * level.downsample), self._top + round(y * level.downsample))
        try:
            region = self._slide.read_region(place, level.number, (width, height))
        except (openslide.OpenSlideError, OSError) as failed:
            raise self._damaged(str(failed), f" at level {level.number}, {x:,}, {y:,}") from None
        stated = stated_colours(region)
        # What was not scanned is transparent.
        canvas = Image.new("RGB", region.size, self._white)
        canvas.paste(region, mask=region.getchannel("A"))
        return to_srgb(np.array(canvas), stated)

    def close(self) -> None:
        self._slide.close()

    def _damaged(self, reason: str, place: str = "") -> ImageError:
        if (vanished := vanished_slide(self._path, self._where)) is not None:
            return vanished
        reason = without_names(reason, self._path)
        if "unsupported" in reason.lower():  # OpenSlide's word, for compressions for instance
            return ImageError(
                "a slide that OpenSlide reads",
                got=f"one that it does not{place} ({clean_text(reason, 120)})",
                where=self._where,
                fix="Convert it to a tiled TIFF with JPEG compression, for instance with libvips.",
            )
        return ImageError(
            "a complete slide",
            got=f"one that is truncated or damaged{place} ({clean_text(reason, 120)})",
            where=self._where,
            fix="Copy it again from its source.",
        )


#: Properties of OpenSlide that are read; all are numbers.
_NUMBERS = ("mpp-x", "mpp-y", "objective-power", "bounds-x", "bounds-y", "bounds-width", "bounds-height")
_SIZE = ("width", "height")


class _ImageSource:
    kind = "plain image"

    def __init__(self, path: Path, where: str) -> None:
        decoded = decode_image(path, name=where, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
        scale = image_scale(path, name=where)
        across, down = scale.sides or (None, None)
        self._pixels, self._flags = decoded.pixels, decoded.flags
        height, width = self._pixels.shape[:2]
        self.held_bytes = self._pixels.nbytes
        self.levels: tuple[Level, ...] = (Level(0, width, height, 1.0),)
        self.stated = StatedScale(across, down, scale.objective, scale.source)

    def read(self, level: Level, x: int, y: int, width: int, height: int) -> tuple[RGBImage, tuple[str, ...]]:
        return self._pixels[y : y + height, x : x + width], self._flags

    def close(self) -> None:
        self._pixels = np.zeros((0, 0, 3), np.uint8)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _colour(text: str | None) -> tuple[int, int, int]:
    """Six hexadecimal digits as a colour; white where there are none."""
    try:
        red, green, blue = bytes.fromhex(text or "ffffff")
    except ValueError:
        return 255, 255, 255
    return red, green, blue
