"""Slides as folders hold them: DICOM series beside each other, equal names, results below the slides, doubtful scales.

Oracles: the series written, the names given, the pixels' scale as written by Pillow and tifffile.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from slide_files import glass, slide_pixels, write_pyramid

from her2core.errors import ConfigError, ImageError, TableError
from her2core.io import dicom_header
from her2core.io.dicom_header import dicom_file, one_file_a_series
from her2core.io.listing import images_below
from her2core.io.number_formats import to_numbers
from her2core.io.scale import image_scale
from her2core.io.uploads import slide_files
from her2core.slide.grid import POLICIES
from her2core.slide.jobs import slide_jobs
from her2core.slide.plan import TileGrid
from her2core.slide.reader import open_slide
from her2core.slide.tiling import TileSettings, tile_slide
from her2core.slide.work import work_through

pytest.importorskip("openslide", reason="the extra slide is not installed")


@pytest.fixture
def series(tmp_path) -> Path:
    """Three DICOM slides, each with two levels and a label, and a TIFF slide in one folder."""
    dicom_files = pytest.importorskip("dicom_files", reason="the extra dicom is not installed")
    folder = tmp_path / "series"
    folder.mkdir()
    for name in "abc":
        dicom_files.write_dicom_slide(tmp_path / name, glass(256, 256), seed=name, factors=(1, 2))
        for file in (tmp_path / name).iterdir():
            shutil.copy(file, folder / f"{name}-{file.name}")
    write_pyramid(folder / "a.tif", glass(256, 256), factors=(1,))
    return folder


def test_every_series_of_a_folder_is_one_slide_named_after_a_level(series):
    names = sorted(job.slide_id for job in slide_jobs([series])[0])
    assert names == ["a", "a-level-0", "b-level-0", "c-level-0"]
    named = slide_jobs(sorted(series.glob("b*.dcm")))[0]
    assert [job.slide_id for job in named] == ["b-level-0"]
    offered = [path.name for path in slide_files([series]) if path.suffix == ".dcm"]
    assert offered == ["a-level-0.dcm", "b-level-0.dcm", "c-level-0.dcm"]


def test_headers_of_a_folder_are_read_once_however_many_series_it_holds(series, monkeypatch):
    from her2core.slide import dicom_series

    dicom_header._of_state.cache_clear()
    opened: list[str] = []
    real = dicom_header._elements
    monkeypatch.setattr(dicom_header, "_elements", lambda file: opened.append(file.name) or real(file))
    headers: list[str] = []
    whole = dicom_series._header
    monkeypatch.setattr(dicom_series, "_header", lambda path: headers.append(path.name) or whole(path))
    for file in one_file_a_series(sorted(series.iterdir())):
        if file.suffix == ".dcm":
            levels = [path.name for path, _ in dicom_series.series_levels(file)]
            assert levels == [f"{file.name[0]}-level-{number}.dcm" for number in (0, 1)]
    assert sorted(opened) == sorted(map(str, series.glob("*.dcm")))
    assert sorted(headers) == sorted(path.name for path in series.glob("*.dcm"))


def test_the_series_is_that_of_the_slide_and_not_of_a_reference_in_its_header(series, tmp_path):
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    held = pydicom.dcmread(series / "a-level-0.dcm", stop_before_pixels=True)
    other, instance = pydicom.Dataset(), pydicom.Dataset()
    other.SeriesInstanceUID, instance.ReferencedSOPInstanceUID = "9.9.9", "9.9.8"
    other.ReferencedInstanceSequence = [instance]
    held.ReferencedSeriesSequence = [other]
    held["ReferencedSeriesSequence"].is_undefined_length = True
    held.ReferencedSeriesSequence[0].is_undefined_length_sequence_item = True
    for number, syntax in enumerate(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")):
        held.file_meta.TransferSyntaxUID = syntax
        file = tmp_path / f"{number}.dcm"
        pydicom.dcmwrite(file, held, enforce_file_format=True)
        found = dicom_file(file)
        assert found is not None
        assert (found.series, found.level) == (held.SeriesInstanceUID, True)
        file.write_bytes(file.read_bytes()[:200])  # a header that ends early
        assert dicom_file(file) is not None


def test_slides_of_one_name_get_another_from_a_table_that_names_their_folders(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_pyramid(tmp_path / folder / "S1.tif", glass(256, 256), factors=(1,))
    table = tmp_path / "slides.csv"
    table.write_bytes("\ufeffslide;slide_id;mpp\r\na\\S1.tif;one;0,25\r\nb/S1;two;20x\r\nc/S1.tif;;\r\n".encode())
    jobs, left_out = slide_jobs([tmp_path], table=table)
    assert [(job.slide_id, job.mpp) for job in jobs] == [("one", 0.25), ("two", 0.5)]
    assert "c/S1.tif" in left_out[0]
    for wrong in ("0", "-1", "40y"):
        table.write_text(f"slide,mpp\na/S1.tif,{wrong}\n")
        with pytest.raises(TableError, match="above 0, one of 40x"):
            slide_jobs([tmp_path], table=table)
    assert to_numbers(pd.Series(["0,25", None])).tolist()[0] == 0.25


def test_annotations_are_found_by_name_in_any_case(tmp_path):
    (tmp_path / "S1.XML").write_text("<Annotations/>")
    assert slide_jobs([Path("s1.svs")], regions=tmp_path)[0][0].regions == tmp_path / "S1.XML"


def test_results_below_the_slides_are_no_slides(tmp_path):
    for name in ("S1", "S2"):
        write_pyramid(tmp_path / f"{name}.tif", slide_pixels())
    settings = TileSettings(64, 1.0, TileGrid(64.0, edge=next(iter(POLICIES))))

    def tiled() -> list[bool]:
        out = tmp_path / "results"
        jobs = slide_jobs([tmp_path])[0]
        return [found.reused for found in work_through(out, jobs, lambda job: tile_slide(job, settings, out))]

    assert tiled() == [False, False]
    assert tiled() == [True, True]
    assert "results" in images_below(tmp_path, slides=True).left_out[0]
    folder = tmp_path / "results" / "slides" / "S1"
    (folder / "tiles.parquet").write_bytes(b"damaged")
    assert tiled() == [False, True]  # never taken for finished
    next((folder / "tiles").iterdir()).unlink()
    assert tiled() == [False, True]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "strips.tif", "ome.tif"])
def test_pixels_that_are_not_square_are_refused_in_plain_images_and_ome_tiffs(tmp_path, name):
    square, oblong = ((50_800, 50_800), 0.5), ((50_800, 25_400), 0.25)
    for dpi, size_y in (square, oblong):
        file = tmp_path / name
        if name == "ome.tif":
            about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
            with tifffile.TiffWriter(file, ome=True) as writer:
                options = {"tile": (128, 128), "photometric": "rgb", "metadata": {**about, "PhysicalSizeY": size_y}}
                writer.write(glass(256, 256), **options)
        else:
            Image.fromarray(glass(256, 256)).save(file, dpi=dpi)
        if dpi == square[0]:
            with open_slide(file) as slide:
                assert slide.scale.mpp == pytest.approx(0.5)
            continue
        with pytest.raises(ImageError, match="not square"):
            open_slide(file)
        assert image_scale(file).mpp is None
        assert open_slide(file, mpp=0.5).scale.mpp == 0.5


def test_the_objective_of_a_description_contradicts_its_scale(tmp_path):
    for tiled in ({"tile": (128, 128)}, {"rowsperstrip": 64}):
        options = {"photometric": "rgb", "metadata": None, "description": "Scan |AppMag = 20|MPP = 0.25", **tiled}
        tifffile.imwrite(tmp_path / "S.tif", np.zeros((256, 256, 3), np.uint8), **options)
        with pytest.raises(ImageError, match="0.25 microns per pixel under a 20x objective"):
            open_slide(tmp_path / "S.tif")


def test_a_slide_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch):
    file = write_pyramid(tmp_path / "S1.svs", glass(256, 256), factors=(1,))

    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match=r"permission denied"):
        open_slide(file)


def test_a_stated_scale_against_that_of_the_file_is_said_with_the_result(tmp_path):
    file = write_pyramid(tmp_path / "S1.tif", slide_pixels())
    settings = TileSettings(64, 1.0, TileGrid(64.0))
    (job,), _ = slide_jobs([file], mpp=0.25)
    about, _ = tile_slide(job, settings, tmp_path / "out")
    assert "the file states 0.5" in " ".join(about["notes"])
    with open_slide(file, mpp=0.501) as slide:
        assert slide.notes == ()


def test_a_compression_that_openslide_lacks_is_not_called_damage(tmp_path):
    file = write_pyramid(tmp_path / "S1.tif", glass(256, 256), factors=(1,))
    with tifffile.TiffFile(file) as held:
        place = held.pages.first.tags["Compression"].valueoffset
    content = bytearray(file.read_bytes())
    content[place : place + 2] = (34712).to_bytes(2, "little")  # JPEG 2000
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"does not .*34712.*Convert it"):
        open_slide(file)


def test_what_openslide_says_of_a_damaged_slide_is_shown_without_the_file_s_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = write_pyramid(tmp_path / "whole.tif", slide_pixels()).read_bytes()
    Path("Jane Doe.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"but got a TIFF .* truncated, or stored in strips .*Copy it again"):
        open_slide("Jane Doe.tif")  # and never sent back to her2 slide
    content = write_pyramid(tmp_path / "whole.tif", slide_pixels(), factors=(1,)).read_bytes()
    Path("Jane Doe.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="truncated or damaged") as refused:
        open_slide("Jane Doe.tif")
    assert "(name left out)" in refused.value.got
    assert "Doe" not in refused.value.got


def test_a_folder_of_slides_is_never_replaced_by_results(tmp_path):
    folder = tmp_path / "slides" / "S1"  # as MIRAX's data, or a download with a folder a slide
    folder.mkdir(parents=True)
    file = write_pyramid(folder / "S1.tif", glass(256, 256), factors=(1,))
    settings = TileSettings(64, 1.0, TileGrid(64.0))
    with pytest.raises(ConfigError, match="other files in 'S1'"):
        list(work_through(tmp_path, slide_jobs([file])[0], lambda job: tile_slide(job, settings, tmp_path)))
    assert [path.name for path in folder.iterdir()] == ["S1.tif"]
    assert not (tmp_path / "report.csv").exists()
