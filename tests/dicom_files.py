"""Small DICOM whole slides with known content: one file a level, in tiles, with a label beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

WHOLE_SLIDE = UID("1.2.840.10008.5.1.4.1.1.77.1.6")
NAME, BARCODE = "Doe^Jane", "H26-004711"
_TILE = 128


def write_dicom_slide(
    folder: Path,
    pixels: np.ndarray,
    *,
    mpp: float | None = 0.5,
    factors: tuple[int, ...] = (1, 4),
    syntax: UID = ExplicitVRLittleEndian,
    origin: tuple[float, float] = (12.0, 7.0),
    orientation: tuple[float, ...] = (0, -1, 0, -1, 0, 0),
    seed: str = "1",
) -> Path:
    """Write a slide and its label; the path is that of the finest level.

    OpenSlide refuses transfer syntaxes such as JPEG-LS. Origin in millimetres, orientation as direction cosines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uids = {name: generate_uid(entropy_srcs=[seed, name]) for name in ("study", "series", "frame")}
    for number, factor in enumerate(factors):
        level = np.asarray(Image.fromarray(pixels).reduce(factor)) if factor > 1 else pixels
        spacing = None if mpp is None else mpp * pixels.shape[1] / level.shape[1] / 1000
        kind = ["ORIGINAL" if factor == 1 else "DERIVED", "PRIMARY", "VOLUME", "NONE" if factor == 1 else "RESAMPLED"]
        made = _instance(level, kind, uids, spacing, origin=origin, orientation=orientation)
        _save(made, folder / f"level-{number}.dcm", syntax, seed=f"{seed}/{number}")
    label = _instance(np.full((64, 64, 3), 9, np.uint8), ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], uids, 0.1)
    _save(label, folder / "label.dcm", syntax, seed=f"{seed}/label")
    return folder / "level-0.dcm"


def _save(made: Dataset, path: Path, syntax: UID, *, seed: str) -> None:
    made.SOPInstanceUID = generate_uid(entropy_srcs=[seed, "instance"])
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = WHOLE_SLIDE, made.SOPInstanceUID
    if syntax.is_encapsulated:
        made.compress(syntax, generate_instance_uid=False)
    dcmwrite(path, made, enforce_file_format=True)


def _instance(
    pixels: np.ndarray,
    kind: list[str],
    uids: dict[str, UID],
    spacing: float | None,
    *,
    origin: tuple[float, float] = (0.0, 0.0),
    orientation: tuple[float, ...] = (0, -1, 0, -1, 0, 0),
) -> Dataset:
    height, width = pixels.shape[:2]
    made = Dataset()
    made.SOPClassUID = WHOLE_SLIDE
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = uids.values()
    made.PositionReferenceIndicator = "SLIDE_CORNER"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = NAME, "4711", "19500101", "F"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20260102", "101500", "S1", BARCODE
    made.ReferringPhysicianName = "Roe^Richard"
    made.ContainerIdentifier, made.BarcodeValue = BARCODE, BARCODE
    made.ContainerTypeCodeSequence, made.IssuerOfTheContainerIdentifierSequence = [], []
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = BARCODE, uids["frame"]
    specimen.IssuerOfTheSpecimenIdentifierSequence, specimen.SpecimenPreparationSequence = [], []
    made.SpecimenDescriptionSequence = [specimen]
    made.Modality, made.SeriesNumber, made.InstanceNumber = "SM", 1, 1
    made.Manufacturer, made.ManufacturerModelName, made.DeviceSerialNumber = "Tests", "none", "0"
    made.SoftwareVersions, made.ImageType = "0", kind
    made.ContentDate, made.ContentTime, made.AcquisitionDateTime = "20260102", "101500", "20260102101500"
    made.BurnedInAnnotation, made.LossyImageCompression = "NO", "00"
    made.VolumetricProperties, made.FocusMethod, made.ExtendedDepthOfField = "VOLUME", "AUTO", "NO"
    made.SpecimenLabelInImage = "YES" if "LABEL" in kind else "NO"
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 8, 8, 7, 0
    made.Rows = made.Columns = _TILE
    made.TotalPixelMatrixRows, made.TotalPixelMatrixColumns = height, width
    made.TotalPixelMatrixFocalPlanes, made.NumberOfOpticalPaths = 1, 1
    made.ImagedVolumeWidth, made.ImagedVolumeHeight = (width * (spacing or 1e-3), height * (spacing or 1e-3))
    made.ImagedVolumeDepth = 0.001
    made.ImageOrientationSlide = list(orientation)
    corner = Dataset()
    corner.XOffsetInSlideCoordinateSystem, corner.YOffsetInSlideCoordinateSystem = origin
    made.TotalPixelMatrixOriginSequence = [corner]
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence, path.ObjectiveLensPower = [], 20.0
    made.OpticalPathSequence = [path]
    shared = Dataset()
    if spacing is not None:
        measures = Dataset()
        measures.PixelSpacing, measures.SliceThickness = [round(spacing, 12)] * 2, 0.001
        shared.PixelMeasuresSequence = [measures]
    optical = Dataset()
    optical.OpticalPathIdentifier = "1"
    shared.OpticalPathIdentificationSequence = [optical]
    made.SharedFunctionalGroupsSequence = [shared]
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    padded = np.full((rows * _TILE, columns * _TILE, 3), 255, np.uint8)
    padded[:height, :width] = pixels
    made.DimensionOrganizationType = "TILED_FULL"
    places = [(row, column) for row in range(rows) for column in range(columns)]
    tiles = [padded[y * _TILE : (y + 1) * _TILE, x * _TILE : (x + 1) * _TILE] for y, x in places]
    made.NumberOfFrames = len(tiles)
    made.PixelData = np.stack(tiles).tobytes()
    return made
