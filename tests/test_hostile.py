"""Bad uploads of hostile.py: one sentence each, no harm to those beside it, no trace left."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hostile import CASES, between
from hostile_parts import GOOD, PIXELS, Member, encode, jpeg_with_gps, many, zip_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from her2core.errors import ImageError
from her2core.io import uploads
from her2core.io.images import encode_png
from her2core.io.text import safe_file_name
from her2core.io.uploads import Upload, read_folder, read_uploaded_archive, read_uploads

ROOT = Path(__file__).resolve().parents[1]
few = settings(deadline=None, max_examples=150)
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass
class Sent:
    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


def is_good(upload: Upload, number: int) -> bool:
    return upload.error == "" and np.array_equal(upload.image, PIXELS[:, :: (1, -1)[number]])


def is_one_sentence(said: str) -> bool:
    """Fit to stand on a page: one line, not long, no program's words, nothing that Markdown or HTML acts on."""
    assert said
    assert "\n" not in said
    assert "Traceback" not in said
    assert "Error(" not in said
    assert len(said) < 400
    assert said.isprintable()
    assert not BIDI & set(said)
    assert not set("<>`$[]*|~#\\") & set(said)
    return said.endswith(".")


def outcome(case) -> list[Upload]:
    """The upload between two good ones, in whichever way it goes; a whole refusal counts as one Upload."""
    if case.goes == "patch":
        return read_uploads([Sent("first.png", GOOD[0]), Sent(case.file, case.build()), Sent("last.png", GOOD[1])])
    try:
        return list(read_uploaded_archive(Sent(case.file, case.build())))
    except ImageError as refused:
        assert case.whole
        return [Upload(refused.where, None, refused.sentence)]


def test_the_corpus_is_large():
    bad = [name for name, case in CASES.items() if case.says]
    assert len(bad) >= 100
    assert {CASES[name].goes for name in bad} == {"patch", "zip"}
    assert all(os.sep not in case.file or case.goes == "patch" for case in CASES.values())


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_each_and_the_rest_go_on(name, tmp_path, monkeypatch):
    case = CASES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    taken = outcome(case)
    assert list(tmp_path.iterdir()) == []
    refused = [upload for upload in taken if upload.image is None]
    for upload in taken:
        assert upload.name.isprintable()
        assert 0 < len(upload.name) <= 100
    if case.says:
        (one,) = refused
        assert is_one_sentence(one.error)
        assert re.search(case.says, one.error), one.error
        assert one.error.startswith(f"{one.name}: ")
    else:
        assert refused == []
    if case.whole:
        assert len(taken) == 1
    else:
        assert is_good(taken[0], 0)
        assert is_good([u for u in taken if u.image is not None][-1], 1)
        assert len({upload.name for upload in taken}) == len(taken)


def test_all_at_once_come_one_by_one():
    cases = [case for case in CASES.values() if case.goes == "patch"]
    files = [Sent(case.file, case.build()) for case in cases]
    for start in range(0, len(files), 20):
        batch = [Sent("first.png", GOOD[0]), *files[start : start + 20], Sent("last.png", GOOD[1])]
        taken = read_uploads(batch)
        assert [bool(u.error) for u in taken[1:-1]] == [bool(c.says) for c in cases[start : start + 20]]
        assert is_good(taken[0], 0)
        assert is_good(taken[-1], 1)


WATCH = """
import json, os, sys
sys.path[:0] = {paths!r}
import hostile, test_hostile
def peak():  # MiB; getrusage would count in what the parent held when it started this
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 2**10
for name in ("cut tiff", "entry: cut png"):  # so that what is loaded once is loaded
    test_hostile.outcome(hostile.CASES[name])
idle = peak()
built = {{name: case.build() for name, case in hostile.CASES.items()}}
touched, WRITES = [], os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
def watch(event, args):
    if event == "open" and (set("wax+") & set(str(args[1])) or (isinstance(args[2], int) and args[2] & WRITES)):
        touched.append(str(args[0]))
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.truncate", "os.system", "os.exec",
                   "tempfile.mkstemp", "tempfile.mkdtemp", "subprocess.Popen", "socket.connect", "pickle.find_class"):
        touched.append(event)
sys.addaudithook(watch)
for name, case in hostile.CASES.items():
    test_hostile.outcome(hostile.Case(case.file, lambda: built[name], case.goes, case.says, case.whole))
grown = peak() - idle - sum(map(len, built.values())) / 2**20
open(os.devnull, "w").close()
print(json.dumps([touched, grown, [m for m in ("streamlit", "torch") if m in sys.modules]]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc, which is Linux's")
def test_nothing_is_written_run_or_sent_and_no_bomb_takes_memory(tmp_path):
    """All cases in an interpreter of their own, under an audit hook, with nowhere to write but an empty folder."""
    code = WATCH.format(paths=[str(ROOT / "tests"), str(ROOT)])
    env = {**os.environ, "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    touched, grown, heavy = json.loads(done.stdout)
    assert touched == [os.devnull]  # the last line's own, which shows that the hook sees
    assert list(tmp_path.iterdir()) == []
    assert grown < 300  # MiB above the uploads themselves, at the worst of all cases
    assert heavy == []


def test_exif_never_reaches_an_export():
    data = jpeg_with_gps()
    with Image.open(io.BytesIO(data)) as opened:  # it is there, and Pillow reads it
        assert opened.getexif().get_ifd(0x8825)[2] == (47.0, 23.0, 59.5)
        assert "PATIENT-JANE-DOE" in opened.info["comment"].decode()
    for taken in (
        read_uploads([Sent("a.jpg", data)]),
        list(read_uploaded_archive(Sent("a.zip", zip_of(Member("a.jpg", data))))),
    ):
        png = encode_png(taken[0].image)
        for secret in (b"JANE", b"CAMERA", b"SECRET", b"Exif", b"eXIf", b"xmp", b"tEXt", b"iTXt", b"zTXt"):
            assert secret not in png
        with Image.open(io.BytesIO(png)) as opened:
            assert dict(opened.getexif()) == {}
            assert opened.info == {}


# Names


@given(st.text(max_size=120) | st.text("a1_.:-+=<>()[]*`!@&\\/ \u202e\u0301\u3164w", max_size=30))
@settings(few, max_examples=600)
def test_no_name_holds_what_a_page_or_a_shell_acts_on(name):
    clean = safe_file_name(name)
    assert 0 < len(clean) <= 60
    assert clean.isprintable()
    assert not set("<>`$[]*|~#;\"'{}^%?\\@&/") & set(clean)
    assert not any(unicodedata.category(c)[0] == "C" for c in clean)
    assert clean[0] not in " .-+=:,_"
    assert clean[-1] not in " ._:"
    assert not re.search(r"(?i)www\.|:[\w+-]*:|^\d+[.)]\s", f"{clean}: expected")
    assert not re.search(r"(?<!\w)_", clean.split("...")[0])  # no emphasis can open
    assert read_uploads([Sent(name, b"")])[0].error.startswith(f"{clean}: ")


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("H&E_01.png", "H+E_01.png"),
        ("P1__02.png", "P1__02.png"),
        ("_a_.png", "a.png"),
        ("1. a.png", "1 a.png"),
        ("(1).png", "(1).png"),
        (":smile:", "smile"),
        ("www.evil.com", "www-evil.com"),
        ("me@evil.com", "meevil.com"),
        ("-rf", "rf"),
        ("=1+1.csv", "1+1.csv"),
        ("HER2 3+.png", "HER2 3+.png"),
        ("A\u0308.png", "\u00c4.png"),
        ("a" + "\u0323" * 90 + "b.png", "\u1ea1\u0323\u0323b.png"),
        ("\u3164", "unnamed"),
        ("عينة.png", "عينة.png"),
    ],
)
def test_names_stay_recognisable(given_name, shown):
    assert safe_file_name(given_name) == shown


def test_folders_of_a_zip_stay_in_its_names_and_names_stay_unique():
    names = [
        "P1/01.png",
        "P2/01.png",
        "P1/<01>.png",
        "x" * 300 + "/" + "y" * 300 + ".png",
        "a.png",
        "a.png (2)",
        "a.png",
    ]
    taken = list(read_uploaded_archive(Sent("a.zip", zip_of(*[Member(name, GOOD[0]) for name in names]))))
    shown = [upload.name for upload in taken]
    assert shown[:3] == ["P1/01.png", "P2/01.png", "P1/01.png (2)"]
    assert len(shown[3]) <= 94
    assert shown[4:] == ["a.png", "a.png (2)", "a.png (3)"]
    assert [u.name for u in read_uploads([Sent(n, GOOD[0]) for n in ("a", "a", "a (2)")])] == [
        "a",
        "a (2)",
        "a (2) (2)",
    ]


# Zips, as the page's thread reads them


def test_progress_and_cancel():
    seen, stop = [], threading.Event()

    def report(done, of):
        seen.append((done, of))

    file = Sent("a.zip", between(Member("a.png", b"nothing"), Member("a.csv", b"1")))
    told = list(
        read_uploaded_archive(file, on_progress=lambda done, of: seen.append((done, of)), cancelled=stop.is_set)
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [upload.name for upload in told] == ["first.png", "a.png", "last.png", "other files"]
    reading = read_uploaded_archive(file, cancelled=stop.is_set)
    assert is_good(next(reading), 0)
    stop.set()
    assert list(reading) == []


def test_larger_images_than_a_batch_may_hold_are_refused(monkeypatch):
    monkeypatch.setattr(uploads, "BATCH_PIXELS", 900)
    said = [upload.error for upload in read_uploaded_archive(Sent("a.zip", between()))]
    assert all("at most 900 px, but found 40 x 24 px" in error for error in said)


def test_it_reads_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.extend(read_uploaded_archive(Sent("a.zip", between()))))
    thread.start()
    thread.join(20)
    assert [upload.name for upload in found] == ["first.png", "last.png"]


# Folders of the server


def test_a_folder_gives_its_images_in_order_and_bad_ones_a_sentence(tmp_path):
    for name, data in {
        "b/2.png": GOOD[1],
        "a.png": GOOD[0],
        "b/1.jpg": b"nothing",
        "notes.txt": b"1",
        ".hidden.png": GOOD[0],
        ".cache/x.png": GOOD[0],
        "c.PNG": GOOD[0],
    }.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    os.mkfifo(tmp_path / "root" / "d.png")
    taken = list(read_folder(tmp_path / "root", roots=[tmp_path / "root"]))
    assert [upload.name for upload in taken] == ["a.png", "c.PNG", "b/1.jpg", "b/2.png", "d.png"]
    assert [bool(upload.error) for upload in taken] == [False, False, True, False, True]
    assert is_good(taken[0], 0)
    assert is_good(taken[3], 1)
    assert all(is_one_sentence(upload.error) for upload in taken if upload.error)
    stop = threading.Event()
    reading = read_folder(tmp_path / "root", roots=[tmp_path], cancelled=stop.is_set)
    assert is_good(next(reading), 0)
    stop.set()
    assert list(reading) == []


def test_no_link_leads_out_of_the_allowed_folders(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "in").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.png").write_bytes(GOOD[0])
    (root / "in" / "mine.png").write_bytes(GOOD[1])
    for name, target in {
        "a.png": outside / "secret.png",
        "b.png": root / "in" / "mine.png",
        "c.png": root / "none.png",
        "d.png": root / "d.png",
        "way out": outside,
        "e.png": outside,
    }.items():
        (root / name).symlink_to(target)
    taken = {upload.name: upload for upload in read_folder(root, roots=[root])}
    assert sorted(taken) == ["a.png", "b.png", "c.png", "d.png", "e.png", "in/mine.png", "way out"]
    assert is_good(taken["b.png"], 1)
    for name in ("a.png", "c.png", "d.png", "e.png", "way out"):
        assert "a link that leads" in taken[name].error
        assert is_one_sentence(taken[name].error)
    assert len(list(read_folder(root / "in", roots=[outside, root]))) == 1


@pytest.mark.parametrize(
    "given_path", ["outside", "root/../outside", "root/way out", "none", "root/a.png", ".", "roots"]
)
def test_a_folder_outside_the_roots_is_refused(tmp_path, given_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root, outside, tmp_path / "roots"):
        folder.mkdir()
    (outside / "secret.png").write_bytes(GOOD[0])
    (root / "a.png").write_bytes(GOOD[0])
    (root / "way out").symlink_to(outside)
    with pytest.raises(ImageError, match="a folder below the allowed ones") as caught:
        list(read_folder(tmp_path / given_path, roots=[root]))
    assert is_one_sentence(caught.value.sentence)
    assert str(tmp_path) not in str(caught.value)


def test_a_folder_has_an_end(tmp_path, monkeypatch):
    for i in range(6):
        (tmp_path / f"{i}.png").write_bytes(GOOD[0])
    monkeypatch.setattr(uploads, "MAX_FOLDER_FILES", 4)
    taken = list(read_folder(tmp_path, roots=[tmp_path]))
    assert [upload.name for upload in taken] == ["0.png", "1.png", "2.png", "3.png", "the rest"]
    assert "at most 4 files" in taken[-1].error


# Chance


@given(data=st.binary(max_size=300), name=st.text(max_size=20))
@few
def test_random_bytes_get_a_sentence(data, name):
    (taken,) = read_uploads([Sent(name, data)])
    assert is_one_sentence(taken.error)
    with pytest.raises(ImageError) as caught:
        list(read_uploaded_archive(Sent(name, data)))
    assert is_one_sentence(caught.value.sentence)


SEEDS = [
    *GOOD,
    encode("JPEG"),
    encode("TIFF"),
    encode("TIFF", compression="tiff_lzw"),
    encode("WEBP"),
    encode("BMP"),
    encode("JPEG", mode="CMYK"),
    jpeg_with_gps(),
    between(Member("a.jpg", encode("JPEG"))),
    many(2),
]


@given(
    seed=st.sampled_from(SEEDS),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 255)), max_size=8),
    cut=st.floats(0.2, 3),
)
@settings(few, max_examples=500)
def test_mutated_files_get_a_sentence_or_are_images(seed, flips, cut):
    damaged = bytearray(seed)
    for place, in_header, byte in flips:
        damaged[int(place * (min(200, len(seed)) if in_header else len(seed)))] = byte
    data = bytes(damaged[: int(cut * len(damaged)) or 1])
    taken = read_uploads([Sent("a.png", data)])
    try:
        taken += read_uploaded_archive(Sent("a.zip", data))
    except ImageError as refused:
        assert is_one_sentence(refused.sentence)
    for upload in taken:
        if upload.image is None:
            assert is_one_sentence(upload.error)
        else:
            assert upload.error == ""
            assert upload.image.dtype == np.uint8
            assert upload.image.shape[2] == 3
