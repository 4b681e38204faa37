"""Files of a DICOM whole slide: the levels of one series in one folder, and where they are on the glass.

Only numbers and unique identifiers are taken from the headers: the pixels of labels and overviews are never read, and
names are neither kept nor written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from her2core.errors import ImageError
from her2core.io.dicom_header import dicom_file
from her2core.io.text import printable_path
from her2core.slide.scale import StatedScale

if TYPE_CHECKING:
    from her2core.slide.reader import Slide

#: VL Whole Slide Microscopy Image Storage.
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: Attributes that are read.
_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType"),
    *("TotalPixelMatrixColumns", "TotalPixelMatrixRows", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide"),
    *("OpticalPathSequence", "SharedFunctionalGroupsSequence", "SamplesPerPixel", "BitsAllocated"),
)
#: x to the right and y downwards over the image.
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
#: Blocks, spread evenly over a file, and bytes of each: with the file's size they identify a slide that is no DICOM.
_BLOCKS, _BLOCK = 64, 65_536


@dataclass(frozen=True)
class SlideFrame:
    """Where the pixels of a slide's level 0 are in a DICOM frame of reference.

    Parameters
    ----------
    study, frame_of_reference : str
        Unique identifiers.
    series, instance : str
        Of level 0 of a DICOM slide; empty otherwise.
    origin : (float, float, float)
        Centre of the first pixel in millimetres.
    orientation : tuple of six floats
        Direction cosines of a row and of a column.
    spacing : (float, float)
        Millimetres from one pixel to the next along a row and along a column.
    mpp : float
        Microns per pixel with which the slide is read: those of ``spacing`` unless a person stated others.

    Examples
    --------
    >>> frame = SlideFrame("1.2", "1.3", "", "", (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (5e-4, 5e-4), 0.5)
    >>> frame.synthetic, frame.cell(28.0)
    (True, ((0.01375, 0.01375, 0.0), (0.028, 0.028)))
    """

    study: str
    frame_of_reference: str
    series: str
    instance: str
    origin: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    mpp: float

    @property
    def synthetic(self) -> bool:
        """Whether the frame of reference is made up here, as the slide is no DICOM."""
        return not self.instance

    def cell(self, microns: float) -> tuple[tuple[float, float, float], tuple[float, float]]:
        """Centre of the square at the upper left corner whose side is so many microns, and its sides, in millimetres.

        The centre of a pixel is its position, as in DICOM's image planes, so that larger pixels have another one.
        """
        side = microns / self.mpp
        along = [(side - 1) / 2 * spacing for spacing in self.spacing]
        row, column = self.orientation[:3], self.orientation[3:]
        x, y, z = (round(o + r * along[0] + c * along[1], 9) for o, r, c in zip(self.origin, row, column, strict=True))
        return (x, y, z), (round(side * self.spacing[0], 9), round(side * self.spacing[1], 9))


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bool

    Examples
    --------
    >>> is_dicom(Path("README.md"))
    False
    """
    return dicom_file(path) is not None


def series_levels(path: Path) -> list[tuple[Path, Any]]:
    """Files of the levels of the slide that a file belongs to.

    Parameters
    ----------
    path : Path
        Any file of the series. Needs the extra ``dicom``.

    Returns
    -------
    list of (Path, pydicom.Dataset)
        With its header, from fine to coarse; parts of one level beside each other.

    Raises
    ------
    ImageError
        It is no whole slide, or damaged.
    """
    where = printable_path(path)
    own = _header(path)
    if own is None or own.get("SOPClassUID") != WHOLE_SLIDE:
        raise ImageError(
            "a DICOM whole slide (VL Whole Slide Microscopy Image)",
            got="no DICOM file, or a damaged one" if own is None else "another DICOM object",
            where=where,
            fix="Name a file of the slide's series.",
        )
    series = str(own.get("SeriesInstanceUID", ""))
    found = []
    for file in sorted(path.parent.iterdir()):
        about = dicom_file(file) if file.is_file() else None
        if about is None or about.series not in ("", series):  # headers of other slides in the folder stay closed
            continue
        header = own if file == path else _header(file)
        if header is None or header.get("SOPClassUID") != WHOLE_SLIDE or not _is_level(header):
            continue
        if header.get("SeriesInstanceUID") == own.get("SeriesInstanceUID"):
            found.append((file, header))
    if not found:
        raise ImageError("a DICOM slide with a level", got="none", where=where, fix="Name a file of the slide itself.")
    return sorted(found, key=_columns, reverse=True)


def stated_scale(header: Any) -> StatedScale:
    """What the header of level 0 states about the scale.

    Parameters
    ----------
    header : pydicom.Dataset

    Returns
    -------
    StatedScale
    """
    spacing = _spacing(header)
    optics = header.get("OpticalPathSequence") or [{}]
    power = optics[0].get("ObjectiveLensPower")
    across, down = (None, None) if spacing is None else (round(s * 1000, 9) for s in spacing)
    return StatedScale(across, down, None if power is None else float(power), "the DICOM header")


def slide_frame(slide: Slide) -> SlideFrame:
    """The frame of reference of a slide: its own where it is DICOM, a synthetic one otherwise.

    Parameters
    ----------
    slide : Slide
        Opened.

    Returns
    -------
    SlideFrame
        A synthetic one has its origin at the upper left pixel of the scanned area, x to the right, y downwards, and
        identifiers made of the file's content and scale. It has nothing to do with the place of the tissue on the
        glass.

    Raises
    ------
    ImageError
        A DICOM slide is damaged.
    """
    own = slide.scale.mpp / 1000
    if not is_dicom(slide.path):
        facts = _identifying(slide.path)
        study, frame = content_uid("study", *facts), content_uid("frame of reference", *facts, repr(own).encode())
        return SlideFrame(study, frame, "", "", (0.0, 0.0, 0.0), _UPRIGHT, (own, own), slide.scale.mpp)
    header = series_levels(slide.path)[0][1]
    try:
        corner = header.TotalPixelMatrixOriginSequence[0]
        names = [f"{axis}OffsetInSlideCoordinateSystem" for axis in "XYZ"]
        x, y, z = (float(corner.get(name) or 0.0) for name in names)
        found = SlideFrame(
            str(header.StudyInstanceUID),
            str(header.FrameOfReferenceUID),
            str(header.SeriesInstanceUID),
            str(header.SOPInstanceUID),
            (x, y, z),
            tuple(float(v) for v in header.ImageOrientationSlide),
            _spacing(header) or (own, own),
            slide.scale.mpp,
        )
        if not all((found.study, found.frame_of_reference, found.series, found.instance)):
            raise ValueError("an empty unique identifier")
        if len(found.orientation) != 6:
            raise ValueError(f"an orientation of {len(found.orientation)} numbers")
        return found
    except (AttributeError, IndexError, TypeError, ValueError) as absent:
        raise ImageError(
            "a DICOM slide with frame of reference, origin and orientation",
            got=f"one without ({absent})",
            where=printable_path(slide.path),
            fix="Correct its header, or leave --dicom out.",
        ) from None


def _identifying(path: Path) -> list[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        blocks = []
        for number in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK) * number // (_BLOCKS - 1))
            blocks.append(file.read(_BLOCK))
    return [str(size).encode(), *blocks]


def content_uid(kind: str, *content: bytes) -> str:
    """A unique identifier that follows from content (2.25, a UUID as an integer; DICOM PS3.5, B.2).

    Parameters
    ----------
    kind : str
        What it identifies: the same content has another identifier for each kind.
    *content : bytes

    Returns
    -------
    str
        At most 44 characters.

    Examples
    --------
    >>> content_uid("study", b"slide") == content_uid("study", b"slide") != content_uid("series", b"slide")
    True
    """
    digest = hashlib.sha256(kind.encode())
    for part in content:
        digest.update(hashlib.sha256(part).digest())
    return f"2.25.{UUID(bytes=digest.digest()[:16], version=4).int}"


def _header(path: Path) -> Any | None:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (InvalidDicomError, AttributeError, EOFError, OSError, ValueError):
        return None


def _is_level(header: Any) -> bool:
    kind: Sequence[str] = header.get("ImageType") or ()
    return len(kind) > 2 and kind[2] == "VOLUME"


def _columns(level: tuple[Path, Any]) -> int:
    return int(level[1].get("TotalPixelMatrixColumns") or 0)


def _spacing(header: Any) -> tuple[float, float] | None:
    """Millimetres along a row and along a column; None where the header states none."""
    try:
        down, across = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        return (float(across), float(down)) if min(float(across), float(down)) > 0 else None
    except (AttributeError, IndexError, TypeError, ValueError):
        return None
