"""Names of files in exports: shown names are cleaned and may fall together, stated ones join answers to their files."""

from __future__ import annotations

import io
import os
import zipfile
from types import SimpleNamespace

import pandas as pd
import pytest
from app_steps import errors, visit
from PIL import Image

from her2core.inference.answers import with_files
from her2core.inference.batch import batch_steps
from her2core.io.tables import read_table
from her2core.io.uploads import Upload, read_folder, read_uploaded_archive, read_uploads

#: Shown as 1.png, 1.png (2), 1.png (3) and bad.png.
NAMES = ["+1.png", "-1.png", "=1.png", "@bad.png"]


@pytest.fixture(scope="module")
def pixels() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 120, 160)).save(stream, "PNG")
    return stream.getvalue()


def content(name: str, pixels: bytes) -> bytes:
    return b"no image" if "bad" in name else pixels


def sent(name: str, data: bytes) -> SimpleNamespace:
    return SimpleNamespace(name=name, getvalue=lambda: data)


def by_upload(tmp_path, pixels) -> list[Upload]:
    return read_uploads([sent(name, content(name, pixels)) for name in NAMES])


def by_zip(tmp_path, pixels) -> list[Upload]:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in NAMES:
            archive.writestr(f"-P/{name}", content(name, pixels))
    return list(read_uploaded_archive(sent("a.zip", stream.getvalue())))


def by_folder(tmp_path, pixels) -> list[Upload]:
    (tmp_path / "-P").mkdir()
    for name in NAMES:
        (tmp_path / "-P" / name).write_bytes(content(name, pixels))
    return list(read_folder(tmp_path, roots=[tmp_path]))


@pytest.mark.parametrize(("way", "below"), [(by_upload, ""), (by_zip, "-P/"), (by_folder, "-P/")])
def test_every_upload_keeps_the_name_that_was_stated_beside_the_shown_one(way, below, tmp_path, pixels):
    found = way(tmp_path, pixels)
    assert sorted(upload.file for upload in found) == sorted(below + name for name in NAMES)
    shown = below.lstrip("-")
    assert sorted(u.name for u in found) == [f"{shown}{n}" for n in ("1.png", "1.png (2)", "1.png (3)", "bad.png")]
    assert {u.file: bool(u.error) for u in found} == {below + name: "bad" in name for name in NAMES}


def test_names_that_cannot_be_printed_are_stated_printably_and_stay_two(tmp_path, pixels):
    found = read_uploads([sent(name, pixels) for name in ("a\x1b[2J.png", "a\u202egnp.png")])
    assert all(upload.file.isprintable() for upload in found)
    assert len({upload.file for upload in found}) == 2
    try:
        for last in (b"\xe8", b"\xe9"):
            (tmp_path / os.fsdecode(b"caf" + last + b".png")).write_bytes(pixels)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only names in UTF-8")
    assert [u.file for u in read_folder(tmp_path, roots=[tmp_path])] == ["caf\\xe8.png", "caf\\xe9.png"]


def test_rows_of_a_batch_have_the_stated_names_of_refused_files_too(tiny_predictor, tmp_path, pixels):
    uploads = by_upload(tmp_path, pixels)
    (rows, _, _) = next(batch_steps(tiny_predictor, lambda **_: iter(uploads))(lambda: False))
    assert [row["file"] for row in rows] == NAMES


def test_the_stated_name_stands_after_the_shown_one_and_the_shown_one_where_there_was_no_file():
    table = pd.DataFrame({"thumbnail": [0, 0], "patch": ["1.png", "SYN-1"], "answer": ["low", "high"]})
    export = with_files(table, {"1.png": "+1.png", "SYN-1": ""})
    assert list(export) == ["thumbnail", "patch", "file", "answer"]
    assert list(export["file"]) == ["+1.png", "SYN-1"]
    assert list(table) == ["thumbnail", "patch", "answer"]


def exports(monkeypatch) -> list[tuple[bytes, str]]:
    """What the page's download buttons are given."""
    given: list[tuple[bytes, str]] = []
    monkeypatch.setattr("dashboard.widgets.download", lambda label, data, *, name, **_: given.append((data, name)))
    return given


def test_the_table_of_the_patch_page_is_exported_with_the_stated_names(demo, pixels, monkeypatch):
    given = exports(monkeypatch)
    at = visit("patch")
    at.file_uploader[0].set_value([(name, pixels, "image/png") for name in NAMES[:2]]).run()
    assert errors(at) == []
    table = next(read_table(data, name=name).frame for data, name in reversed(given) if name == "predictions.csv")
    assert dict(zip(table["file"], table["patch"], strict=True)) == {"+1.png": "1.png", "-1.png": "1.png (2)"}
