"""Hostile folders of the server, and files damaged by chance."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hostile import between
from hostile_outcomes import Sent, few, is_good, is_one_sentence
from hostile_parts import GOOD, Member, encode, jpeg_with_gps, many
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ImageError
from her2core.io import uploads
from her2core.io.uploads import read_folder, read_uploaded_archive, read_uploads

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
