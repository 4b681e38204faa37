"""DICOM: slides that OpenSlide refuses, and the heatmap as a Parametric Map in the slide's frame of reference.

Oracles: the pixels written, OpenSlide on the same slide in another transfer syntax, pydicom's and highdicom's readers.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from slide_files import slide_pixels, write_pyramid

from her2core import load_predictor
from her2core.errors import ImageError
from her2core.inference.background import Job
from her2core.slide.dicom_map import write_parametric_map
from her2core.slide.dicom_series import slide_frame
from her2core.slide.heatmap import STATES, make_heatmap
from her2core.slide.in_memory import slide_steps
from her2core.slide.jobs import SlideJob
from her2core.slide.predict import SlideSettings, predict_slide, slide_grid
from her2core.slide.reader import open_slide
from her2core.slide.units import Microns

pytest.importorskip("openslide", reason="the extra slide is not installed")
pytest.importorskip("wsidicom", reason="the extra dicom is not installed")
pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
highdicom = pytest.importorskip("highdicom", reason="the extra dicom is not installed")

import openslide  # noqa: E402
from dicom_files import BARCODE, NAME, write_dicom_slide  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless  # noqa: E402

PRIVATE = (NAME.split("^")[0], BARCODE, "19500101", "Roe", "20260102", "101500")


@pytest.fixture(scope="module", params=[JPEGLSLossless, RLELossless], ids=lambda syntax: syntax.name)
def refused(tmp_path_factory, request) -> Path:
    return write_dicom_slide(tmp_path_factory.mktemp("refused"), slide_pixels(), syntax=request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    return write_dicom_slide(tmp_path_factory.mktemp("plain"), slide_pixels(), syntax=ExplicitVRLittleEndian)


@pytest.fixture(scope="module")
def heatmap():
    tiles = pd.DataFrame(
        {
            "x_um": [0.0, 64.0, 128.0],
            "y_um": [0.0, 0.0, 64.0],
            "state": ["counted", "out_of_distribution", "not_assessable"],
            "probability_low": [0.0, 0.5, 0.5],
            "probability_high": [1.0, 0.5, 0.5],
        }
    )
    size = {"width": Microns(512.0), "height": Microns(384.0), "tile": Microns(64.0)}
    return make_heatmap(tiles, ("low", "high"), **size)


def test_a_slide_that_openslide_refuses_has_the_same_pixels_scale_and_levels(refused, plain):
    with pytest.raises(openslide.OpenSlideError, match="transfer syntax"):
        openslide.OpenSlide(refused)
    with open_slide(refused) as ours, open_slide(plain) as theirs:
        assert (ours.kind, theirs.kind) == ("DICOM, wsidicom", "OpenSlide, dicom")
        assert ours.levels == theirs.levels
        assert ours.scale.mpp == theirs.scale.mpp == 0.5
        box = (201.5, 130.25, 300.0)
        for px in (300, 75):
            assert np.array_equal(ours.read_tiles([box], px)[0][0], theirs.read_tiles([box], px)[0][0])
        assert np.array_equal(ours.read_tiles([(256.0, 128.0, 512.0)], 512)[0][0], slide_pixels()[128:640, 256:768])
        assert np.array_equal(ours.overview(8.0), theirs.overview(8.0))


def test_threads_may_read_a_dicom_slide_at_once(refused):
    boxes = [(float(x), float(y), 200.0) for x in range(0, 800, 160) for y in range(0, 500, 160)]
    with open_slide(refused) as slide:
        alone = [slide.read_tiles([box], 200)[0][0] for box in boxes]
        found: dict[int, np.ndarray] = {}
        threads = [
            threading.Thread(target=lambda i=i: found.update({i: slide.read_tiles([boxes[i]], 200)[0][0]}))
            for i in range(len(boxes))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(np.array_equal(found[i], alone[i]) for i in range(len(boxes)))


def test_a_dicom_slide_without_decoder_scale_or_level_is_refused_by_name(tmp_path):
    unread = write_dicom_slide(tmp_path / "unread", slide_pixels(), syntax=JPEGLSLossless)
    for file in unread.parent.iterdir():  # no such transfer syntax
        file.write_bytes(file.read_bytes().replace(JPEGLSLossless.encode(), b"1.2.840.10008.1.2.4.99"))
    with pytest.raises(ImageError, match="transfer syntax can be decoded"):
        open_slide(unread)
    unscaled = write_dicom_slide(tmp_path / "unscaled", slide_pixels(), syntax=JPEGLSLossless, mpp=None)
    with pytest.raises(ImageError, match="scale"):
        open_slide(unscaled)
    unread.write_bytes(unread.read_bytes()[:2000])
    with pytest.raises(ImageError):
        open_slide(unread)


def test_the_map_has_the_values_states_and_geometry_of_the_slide(plain, heatmap, tmp_path):
    with open_slide(plain) as slide:
        path = write_parametric_map(tmp_path / "heatmap.dcm", heatmap, slide_frame(slide), model="demo")
    read = pydicom.dcmread(path)
    planes = np.frombuffer(read.FloatPixelData, np.float32).reshape(3, *heatmap.state.shape)
    assert np.array_equal(planes[:2], heatmap.values, equal_nan=True)
    assert [int(v) for v in planes[2, 0, ::4][:4]] == [STATES["counted"][0], STATES["out_of_distribution"][0], 0, 0]
    assert np.isnan(planes[0, 0, 4:]).all(), "only what counts has a probability"
    assert planes[0, 0, 0] == 0.0
    source = pydicom.dcmread(plain, stop_before_pixels=True)
    assert read.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert read.StudyInstanceUID == source.StudyInstanceUID
    assert read.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert read.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [0.016, 0.016]
    # A cell's centre in millimetres is that of its 32 by 32 pixels.
    places = [
        highdicom.spatial.PixelToReferenceTransformer.for_image(image, for_total_pixel_matrix=True)
        for image in (source, read)
    ]
    cell, pixels = (np.array([[3, 2]]), np.array([[3 * 32 + 15, 2 * 32 + 15], [3 * 32 + 16, 2 * 32 + 16]]))
    assert np.allclose(places[1](cell)[0], places[0](pixels).mean(axis=0), atol=1e-6)
    frames = highdicom.pm.ParametricMap.from_dataset(read).get_frames(apply_real_world_transform=False)
    assert np.array_equal(frames, planes, equal_nan=True)
    assert "Research use only" in read.SeriesDescription
    assert "Research use only" in read.ContentDescription


def test_the_map_names_nobody_and_has_the_same_bytes_again(plain, heatmap, tmp_path):
    with open_slide(plain) as slide:
        frame = slide_frame(slide)
    hashes = set()
    for name in ("a.dcm", "b.dcm"):
        content = write_parametric_map(tmp_path / name, heatmap, frame, model="demo").read_bytes()
        hashes.add(hashlib.sha256(content).hexdigest())
        assert not [word for word in PRIVATE if word.encode() in content]
    assert len(hashes) == 1
    read = pydicom.dcmread(tmp_path / "a.dcm")
    empty = ("PatientName", "PatientID", "StudyID", "StudyDate", "StudyTime", "Laterality")
    assert all(name in read and not read.get(name) for name in empty)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.dcm", "b.dcm"]


def test_another_scale_is_another_map(plain, heatmap, tmp_path):
    with open_slide(plain) as slide:
        frame = slide_frame(slide)
    maps = (heatmap, replace(heatmap, mpp=heatmap.mpp * 1.01))
    files = [write_parametric_map(tmp_path / f"{i}.dcm", one, frame, model="demo") for i, one in enumerate(maps)]
    assert len({pydicom.dcmread(file).SOPInstanceUID for file in files}) == 2


def test_a_synthetic_frame_follows_from_the_whole_file_and_the_scale(tmp_path):
    pixels = slide_pixels()
    frames = []
    for name, last, mpp in (("a", 0, 0.5), ("b", 1, 0.5), ("a", 0, 0.25)):
        changed = pixels.copy()
        changed[-1, -1] += last
        path = write_pyramid(tmp_path / f"{name}.tif", changed, mpp=None)
        with open_slide(path, mpp=mpp) as slide:
            frames.append(slide_frame(slide))
    assert frames[0].study == frames[2].study != frames[1].study
    assert len({frame.frame_of_reference for frame in frames}) == 3


@pytest.mark.parametrize("name", ["ImageOrientationSlide", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_an_empty_value_of_the_frame_of_reference_is_one_sentence(plain, tmp_path, name):
    path = tmp_path / plain.name
    made = pydicom.dcmread(plain)
    setattr(made, name, None)
    made.save_as(path)
    with open_slide(path) as slide, pytest.raises(ImageError, match="frame of reference, origin and orientation"):
        slide_frame(slide)


def test_a_slide_that_is_no_dicom_has_a_frame_of_reference_that_says_so(heatmap, tmp_path):
    path = write_pyramid(tmp_path / "Jane Doe.tif", slide_pixels())
    with open_slide(path) as slide:
        frame = slide_frame(slide)
        read = pydicom.dcmread(write_parametric_map(tmp_path / "h.dcm", heatmap, frame, model="demo"))
    assert "synthetic" in read.ImageComments
    assert "SourceImageSequence" not in read
    corner = read.TotalPixelMatrixOriginSequence[0]
    assert float(corner.XOffsetInSlideCoordinateSystem) == pytest.approx(0.016 / 2 - 0.0005 / 2)
    assert b"Doe" not in (tmp_path / "h.dcm").read_bytes()


def test_the_command_writes_the_map_beside_the_other_exports(run_of_64_microns, plain, tmp_path, her2):
    code, _, err = her2("slide", run_of_64_microns, plain, "--out", "o")
    assert code == 0, err
    folder = Path("o/slides/level-0")
    assert not (folder / "heatmap.dcm").exists()
    before = (folder / "tiles.parquet").stat().st_mtime_ns
    code, _, err = her2("slide", run_of_64_microns, plain, "--out", "o", "--dicom")
    assert code == 0, err
    assert (folder / "tiles.parquet").stat().st_mtime_ns == before, "nothing is predicted again"
    read = pydicom.dcmread(folder / "heatmap.dcm")
    assert "Answer for this slide" in read.ImageComments
    predictor = load_predictor(run_of_64_microns)
    settings = SlideSettings(slide_grid(predictor), dicom=True)
    predict_slide(predictor, SlideJob(plain, "level-0"), tmp_path / "again", settings)
    assert (tmp_path / "again/slides/level-0/heatmap.dcm").read_bytes() == (folder / "heatmap.dcm").read_bytes()


def test_the_page_offers_the_map_where_the_slide_is(run_of_64_microns, plain):
    predictor = load_predictor(run_of_64_microns)
    job = Job(slide_steps(predictor, plain, slide_grid(predictor), name="Slide 1"))
    assert job.wait(120)
    (answer,) = job.results
    with open_slide(plain) as slide:
        assert answer.frame == slide_frame(slide)
    assert not answer.frame.synthetic
    assert "Can this number be believed?" in answer.comments or "not evaluated" in answer.comments
