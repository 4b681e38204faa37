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
from pathlib import Path

import pytest
from hostile import CASES, between
from hostile_outcomes import ROOT, Sent, few, is_good, is_one_sentence, outcome
from hostile_parts import GOOD, Member, jpeg_with_gps, zip_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from her2core.io import uploads
from her2core.io.images import encode_png
from her2core.io.text import safe_file_name
from her2core.io.uploads import read_uploaded_archive, read_uploads


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
