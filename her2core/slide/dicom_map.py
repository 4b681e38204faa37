"""Heatmap of a slide as a DICOM Parametric Map, in the slide's frame of reference (by highdicom).

As in the OME-TIFF, each class has a frame with NaN where no tile counts, and one more frame has the states: a low
probability, tissue unlike the training patches and tissue that nobody looked at stay apart. Patient, specimen, dates
and descriptions of a DICOM slide are left out; its identifiers of study, series and instance are kept, as the map
cannot be laid over the slide without them. The bytes follow from the content alone.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from her2core import __version__
from her2core.evidence.reservation import reservation
from her2core.extras import require_extra
from her2core.io.files import write_via_temporary
from her2core.io.text import clean_text
from her2core.notice import NOTICE
from her2core.slide.dicom_series import WHOLE_SLIDE, SlideFrame, content_uid
from her2core.slide.heatmap import STATES, Heatmap

if TYPE_CHECKING:
    from pydicom import Dataset

    from her2core.runs.folder import Run
    from her2core.slide.result import UnitPrediction

SERIES = "Research use only: class probabilities by tile"
DESCRIPTION = "Research use only. Class probabilities by tile, and states"
SYNTHETIC = (
    "The frame of reference is synthetic, as the slide is no DICOM: origin at the upper left pixel of the scanned "
    "area, x to the right, y downwards, in millimetres. It does not say where the tissue is on the glass."
)
#: DICOM wants a date and time of the content; those of the day would change the bytes.
_DATE, _TIME = "19700101", "000000"
#: Longest values of DICOM's short and long strings.
_SHORT, _LONG = 16, 64
#: Thickness of a slice in millimetres, which the format requires: that of a usual section.
_THICKNESS = 0.004
#: Designator of codes of one's own (DICOM PS3.16, 8.2).
_SCHEME = "99HER2CORE"


def write_parametric_map(path: Path, heatmap: Heatmap, frame: SlideFrame, *, model: str, comments: str = "") -> Path:
    """Write a heatmap as a DICOM Parametric Map.

    Parameters
    ----------
    path : Path
        Ending in .dcm.
    heatmap : Heatmap
    frame : SlideFrame
        Of the slide (``dicom_series.slide_frame``).
    model : str
        The model's name.
    comments : str, optional
        What a person should read beside it, such as the answer.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        The extra ``dicom`` is not installed.
    """
    require_extra("dicom", "highdicom", "pydicom")
    made = _parametric_map(heatmap, frame, model, comments)
    stream = io.BytesIO()
    made.save_as(stream)
    return write_via_temporary(path, lambda temporary: temporary.write_bytes(stream.getvalue()))


def map_comments(run: Run, found: UnitPrediction) -> str:
    """What a person should read beside a map: whether the model's accuracy can be believed, and the slide's answer.

    Parameters
    ----------
    run : Run
    found : UnitPrediction

    Returns
    -------
    str
    """
    reasons = f" ({'; '.join(found.reasons)})" if found.reasons else ""
    return f"{reservation(run)} Answer for this slide: {found.answer}{reasons}."


def _parametric_map(heatmap: Heatmap, frame: SlideFrame, model: str, comments: str) -> Any:
    import highdicom as hd

    planes = np.concatenate([heatmap.values, heatmap.state[None].astype(np.float32)])
    comments = " ".join([NOTICE, f"Model: {clean_text(model, 120)}.", comments, SYNTHETIC if frame.synthetic else ""])
    facts = [*heatmap.classes, comments, repr(frame), repr(heatmap.mpp), repr(planes.shape)]
    facts += [__version__, SERIES, DESCRIPTION]
    content = (planes.tobytes(), "\n".join(facts).encode())
    origin, (across, down) = frame.cell(heatmap.mpp)
    plane = hd.CoordinateSystemNames.SLIDE
    made = hd.pm.ParametricMap(
        source_images=[_source(frame)],
        pixel_array=np.ascontiguousarray(planes.transpose(1, 2, 0))[None],
        tile_pixel_array=True,
        tile_size=heatmap.state.shape,
        pixel_measures=hd.PixelMeasuresSequence(pixel_spacing=(down, across), slice_thickness=_THICKNESS),
        plane_orientation=hd.PlaneOrientationSequence(plane, frame.orientation),
        plane_positions=[hd.PlanePositionSequence(plane, origin, pixel_matrix_position=(1, 1))],
        series_instance_uid=content_uid("series", *content),
        sop_instance_uid=content_uid("instance", *content),
        series_number=1,
        instance_number=1,
        manufacturer="her2core",
        manufacturer_model_name="her2core",
        software_versions=__version__,
        device_serial_number="none",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[[mapping] for mapping in _mappings(heatmap.classes)],
        voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="HEATMAP",
        content_description=DESCRIPTION,
        specific_character_set="ISO_IR 192",
        content_date=_DATE,
        content_time=_TIME,
        series_description=SERIES,
    )
    made.ImageComments = clean_text(comments, 10_000)
    made.Laterality = ""  # of the breast, which is not known here; dciodvfy asks for it
    return _reproducible(made, frame, content)


def _mappings(classes: tuple[str, ...]) -> list[Any]:
    """What each frame's values mean; outside their range, as NaN, they mean nothing."""
    from highdicom.pm import RealWorldValueMapping
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    named = [
        (f"{number} {name}", f"probability of {name}", (0.0, 1.0), Code("probability", _SCHEME, "Probability"))
        for number, name in enumerate(classes, 1)
    ]
    states = ",".join(f"{number} {key.replace('_', ' ')}" for key, (number, _) in STATES.items())
    named.append(("state", states, (0.0, float(max(n for n, _ in STATES.values()))), Code("state", _SCHEME, "State")))
    return [
        RealWorldValueMapping(
            lut_label=_text(label, _SHORT),
            lut_explanation=_text(explanation, _LONG),
            unit=codes.UCUM.NoUnits,
            value_range=bounds,
            quantity_definition=quantity,
        )
        for label, explanation, bounds, quantity in named
    ]


def _text(text: str, longest: int) -> str:
    """Text as a DICOM value: a backslash would separate two."""
    return clean_text(text, longest).replace("\\", "/")[:longest].strip()


def _source(frame: SlideFrame) -> Dataset:
    """Header of level 0 with what the map takes from it, and nothing else."""
    from pydicom import Dataset

    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = WHOLE_SLIDE, frame.instance or content_uid("no image", frame.study.encode())
    made.StudyInstanceUID, made.SeriesInstanceUID = frame.study, frame.series or made.SOPInstanceUID
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = frame.frame_of_reference, "SLIDE_CORNER"
    for blank in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber"):
        setattr(made, blank, "")
    made.StudyDate = made.StudyTime = None
    made.Modality, made.ImageType = "SM", ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    made.Rows = made.Columns = made.TotalPixelMatrixRows = made.TotalPixelMatrixColumns = made.NumberOfFrames = 1
    made.ImageOrientationSlide = list(frame.orientation)
    corner = Dataset()
    corner.XOffsetInSlideCoordinateSystem, corner.YOffsetInSlideCoordinateSystem = frame.origin[:2]
    made.TotalPixelMatrixOriginSequence = [corner]
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(frame.spacing[::-1]), _THICKNESS
    shared.PixelMeasuresSequence = [measures]
    made.SharedFunctionalGroupsSequence = [shared]
    return made


def _reproducible(made: Any, frame: SlideFrame, content: tuple[bytes, ...]) -> Any:
    """The map without what changes from day to day, and without references to an image that is no DICOM."""
    for item in (made, *made.get("ContributingEquipmentSequence", ())):
        for moment in ("InstanceCreationDate", "InstanceCreationTime", "ContributionDateTime"):
            item.pop(moment, None)
    dimensions = content_uid("dimensions", *content)
    for item in (*made.DimensionOrganizationSequence, *made.get("DimensionIndexSequence", ())):
        item.DimensionOrganizationUID = dimensions
    if frame.synthetic:
        for item in (made, *made.SharedFunctionalGroupsSequence, *made.PerFrameFunctionalGroupsSequence):
            for reference in ("SourceImageSequence", "ReferencedSeriesSequence", "DerivationImageSequence"):
                item.pop(reference, None)
    return made
