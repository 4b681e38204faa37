"""DICOM whole slides that OpenSlide refuses, read by wsidicom: JPEG-LS and implicit VR, for instance.

Which transfer syntaxes it reads depends on the decoders that are installed. Labels and overviews are never opened.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from her2core.errors import ImageError
from her2core.io.colours import Stated, to_srgb
from her2core.io.images import RGBImage
from her2core.io.text import clean_text
from her2core.slide.dicom_series import series_levels, stated_scale
from her2core.slide.sources import vanished_slide, without_names
from her2core.slide.units import Level

#: Encoded and decoded tiles that wsidicom keeps of an open slide, in bytes each (our choice).
_CACHE = 32 * 2**20


class DicomSource:
    """Levels of a DICOM slide, as ``sources.SlideSource`` describes them.

    Parameters
    ----------
    path : Path
        Any file of the slide's series.
    where : str
        The slide, for messages.

    Raises
    ------
    ImageError
        It is no whole slide, damaged, or of a transfer syntax or kind of pixels that wsidicom does not read.

    Examples
    --------
    >>> DicomSource(Path("README.md"), "README.md")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    her2core.errors.ImageError: Expected a DICOM whole slide (...), but got no DICOM file, or a damaged ...
    """

    kind = "DICOM, wsidicom"
    held_bytes = 2 * _CACHE

    def __init__(self, path: Path, where: str) -> None:
        from wsidicom import WsiDicom
        from wsidicom.config import Settings

        self._path, self._where = path, where
        files = series_levels(path)
        self._files = [path, *(file for file, _ in files)]
        header = files[0][1]
        if (header.get("SamplesPerPixel"), header.get("BitsAllocated")) != (3, 8):
            raise ImageError(
                "a brightfield slide with three colours of 8 bits",
                got=f"{header.get('SamplesPerPixel')} of {header.get('BitsAllocated')} bits",
                where=where,
                fix="Convert it, for instance with wsidicomizer.",
            )
        settings = Settings(decoded_frame_cache_size=_CACHE, encoded_frame_cache_size=_CACHE)
        try:
            self._slide = WsiDicom.open([file for file, _ in files], settings=settings)
        except Exception as refused:  # the library's own errors, and whatever damaged metadata raise in it
            raise self._refused(refused) from None
        pyramid = self._slide.pyramids[0]
        width = pyramid.size.width
        self._numbers = [level.level for level in pyramid.levels]
        self.levels = tuple(
            Level(i, level.size.width, level.size.height, width / level.size.width)
            for i, level in enumerate(pyramid.levels)
        )
        self.stated = stated_scale(header)
        optics = header.get("OpticalPathSequence") or [{}]
        self._colours = Stated(optics[0].get("ICCProfile"))

    def read(self, level: Level, x: int, y: int, width: int, height: int) -> tuple[RGBImage, tuple[str, ...]]:
        """Pixels of a region inside a level, and keys of ``io.colours.FLAGS``."""
        try:
            pixels = self._slide.read_region(
                (x, y), self._numbers[level.number], (width, height), threads=1, as_array=True
            )
        except Exception as failed:  # as above: decoders raise errors of their own
            raise self._refused(failed, f" at level {level.number}, {x:,}, {y:,}") from None
        return to_srgb(np.array(pixels, np.uint8), self._colours)

    def close(self) -> None:
        """Give the files back."""
        self._slide.close()

    def _refused(self, error: Exception, place: str = "") -> ImageError:
        if (vanished := vanished_slide(self._path, self._where)) is not None:
            return vanished
        said = clean_text(without_names(str(error), *self._files), 120)
        return ImageError(
            "a complete DICOM slide whose transfer syntax can be decoded",
            got=f"one that cannot be read{place} ({type(error).__name__}: {said})",
            where=self._where,
            fix="Copy it again from its source, or convert it to JPEG.",
        )
