"""Uploads of the patch page: one sentence for each file that cannot be used, names made harmless, nothing written."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from app_steps import errors, patch_box, upload, visit

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png
from her2core.io.text import safe_file_name
from her2core.io.uploads import MAX_FILES, MAX_PIXELS, read_uploads

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture(scope="module")
def patches() -> list[np.ndarray]:
    return [render_patch(SPEC, i).image for i in range(2)]


def huge_png(side: int = 50_000) -> bytes:
    """A few bytes that claim 2,500 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


BAD = {
    "empty.png": (b"", "an empty file"),
    "text.png": (b"these are notes", "text"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "an SVG drawing"),
    "page.png": (b"<!doctype html><html><script>alert(1)</script></html>", "a web page"),
    "pickle.png": (b"\x80\x04\x95\x00", "a Python pickle"),
    "archive.png": (b"PK\x03\x04" + b"\0" * 40, "a ZIP archive"),
    "huge.png": (huge_png(), f"at most {MAX_PIXELS:,} px"),
    "noise.png": (bytes(range(128, 256)), "an unknown kind of file"),
}


@dataclass
class Sent:
    name: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def getvalue(self) -> bytes:
        return self.data


def test_bad_uploads_get_a_sentence_each_and_the_rest_go_on(demo, patches):
    good = encode_png(patches[0])
    bad = {**{name: data for name, (data, _) in BAD.items()}, "cut.png": good[:600]}
    at = upload(visit(), ("first.png", good), *bad.items(), ("last.png", encode_png(patches[1])))
    found = errors(at)
    assert len(found) == len(bad)
    for sentence, name in zip(found, bad, strict=True):
        assert sentence.startswith(f"{name}: ")
        assert BAD.get(name, (b"", "found"))[1] in sentence
        assert "Traceback" not in sentence
        assert "<" not in sentence
    assert patch_box(at).options == ["first.png", "last.png"]
    assert list(at.dataframe[0].value["patch"]) == ["first.png", "last.png"]


def test_only_bad_uploads_leave_the_page_standing(demo):
    at = upload(visit(), ("text.png", BAD["text.png"][0]))
    assert len(errors(at)) == 1
    assert not at.image
    assert at.file_uploader


def test_nothing_uploaded_is_written_anywhere(demo, patches, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    secret = b"patient-name-in-a-text-chunk"
    from PIL import Image, PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode())
    Image.fromarray(patches[0]).save(tmp_path / "x.png", pnginfo=text)
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").unlink()
    assert secret in data
    upload(visit(), ("x.png", data))
    assert sorted(tmp_path.rglob("*")) == before
    (taken,) = read_uploads([Sent("x.png", data)])
    assert secret not in encode_png(taken.image)


def test_more_files_than_are_looked_at(patches):
    good = encode_png(patches[0])
    files = [Sent(f"{i}.png", good if i % 2 else b"") for i in range(MAX_FILES + 7)]
    taken = read_uploads(files)
    assert len(taken) == MAX_FILES + 1
    assert [t.image is not None for t in taken[:-1]] == [bool(i % 2) for i in range(MAX_FILES)]
    assert taken[-1].error == f"7 files left out: {MAX_FILES} are read together. Upload the rest separately."
    assert len(read_uploads(files[:MAX_FILES])) == MAX_FILES


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("case_01-A (2).png", "case_01-A (2).png"),
        ("Gewebe Ä 5µm.png", "Gewebe Ä 5µm.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x00b\x1b[31m\n.png", "ab31m .png"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("\u200b\ufeff", "unnamed"),
        ("", "unnamed"),
        ("<img src=x onerror=alert(1)>.png", "img src=x onerror=alert(1).png"),
        ("[click](http:x)**now**`code`$x$|.png", "click(http:x)nowcodex.png"),
        ("![p](x)#h~~s~~.png", "!p(x)hs.png"),
    ],
)
def test_names_from_outside_are_made_harmless_and_stay_recognisable(given, shown):
    assert safe_file_name(given) == shown
    (refused,) = read_uploads([Sent(given, b"")])
    assert refused.name == shown
    assert refused.error.startswith(f"{shown}: ")


def test_long_names_are_shortened_in_the_middle():
    short = safe_file_name("a" * 300 + "z.png")
    assert len(short) == 60
    assert short.startswith("aaa")
    assert short.endswith("az.png")
    assert "..." in short
