"""Zip archives: the same bytes as zipfile for good ones, limits kept, and nothing that a bad one claims believed."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hostile import GOOD
from hostile_parts import Member, many, overlapping, zeros, zip_of, zipcrypto, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from her2core.errors import ImageError
from her2core.io.archives import ArchiveLimits, Entry, read_archive, unique_name

few = settings(deadline=None, max_examples=150)


def entries(source, **limits) -> list[Entry]:
    return list(read_archive(source, name="a.zip", limits=ArchiveLimits(**limits)))


def refusal(source, **limits) -> str:
    with pytest.raises(ImageError) as caught:
        entries(source, **limits)
    said = str(caught.value)
    assert said.startswith("Expected ")
    assert said.isprintable()
    return said


class Pipe(io.RawIOBase):
    """A stream that can only be read on, as from a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self.data.readinto(buffer)


class Counting(io.BytesIO):
    """Counts the bytes that are read of it."""

    taken = 0

    def read(self, size=-1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


# zipfile is the oracle


@given(
    files=st.dictionaries(
        st.text("abcäß组 -", min_size=1, max_size=9), st.binary(max_size=300), min_size=1, max_size=6
    ),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    wide=st.booleans(),
    comment=st.binary(max_size=40).filter(lambda c: b"PK" not in c),  # zipfile itself takes that for the end record
    on=st.booleans(),
)
@few
def test_what_zipfile_writes_is_read_as_zipfile_reads_it(files, method, wide, comment, on):
    class Forward(io.BytesIO):  # zipfile cannot seek in it and writes data descriptors
        def seekable(self) -> bool:
            return not on

        def seek(self, *args):
            if on:
                raise io.UnsupportedOperation
            return super().seek(*args)

        def tell(self):
            if on:
                raise io.UnsupportedOperation
            return super().tell()

    stream = Forward()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = comment
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=wide) as file:
                file.write(b"x" + data)  # so that none is an archive
    with zipfile.ZipFile(io.BytesIO(stream.getvalue())) as archive:
        oracle = [(info.filename, archive.read(info)) for info in archive.infolist()]
    found = entries(stream.getvalue())
    assert [(e.data, e.error) for e in found] == [(data, "") for _, data in oracle]
    for entry, (name, _) in zip(found, oracle, strict=True):
        assert entry.name.startswith(" ".join(name.split()) or "unnamed")
    assert [(e.number, e.of) for e in found] == [(i, len(files)) for i in range(1, len(files) + 1)]


def test_bytes_path_and_streams_are_read_alike(tmp_path):
    data = zipped(zipfile.ZIP_DEFLATED, "a.png", "b/c.png")
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    wanted = entries(data)
    assert [(e.name, e.data) for e in wanted] == [("a.png", GOOD[0]), ("b/c.png", GOOD[0])]
    stream = io.BytesIO(data)
    for source in (bytearray(data), memoryview(data), path, str(path), stream, io.BufferedReader(Pipe(data))):
        assert entries(source) == wanted
    assert not stream.closed


def test_what_is_no_source_is_refused(tmp_path):
    closed = io.BytesIO(b"")
    closed.close()
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path, tmp_path / "none.zip", tmp_path / "pipe", "a\0b", closed, io.StringIO("text"), object()):
        refusal(source)
    assert "at most 9 bytes" in refusal(io.BufferedReader(Pipe(bytes(99))), total=9)


@pytest.mark.parametrize(
    ("raw", "flags", "shown"),
    [
        ("Gewebe ä.png".encode(), 0x800, "Gewebe ä.png"),
        ("Gewebe ä.png".encode(), 0, "Gewebe ä.png"),
        ("Gewebe ä.png".encode("cp437"), 0, "Gewebe ä.png"),
        (b"a\xff.png", 0x800, "a\ufffd.png"),
        (b"./a/b.png", 0, "./a/b.png"),
    ],
)
def test_names_are_utf8_or_code_page_437(raw, flags, shown):
    assert [e.name for e in entries(zip_of(Member(raw, GOOD[0], flags=flags)))] == [shown]


# Names


def test_names_are_unique():
    names = ["a.png", "a.png", "a.png (2)", "a.png", "x/a.png"]
    found = entries(zip_of(*[Member(name, GOOD[i % 2]) for i, name in enumerate(names)]))
    assert [e.name for e in found] == ["a.png", "a.png (2)", "a.png (2) (2)", "a.png (3)", "x/a.png"]
    assert [e.data for e in found] == [GOOD[i % 2] for i in range(5)]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"]), max_size=30))
@few
def test_unique_names_are_unique_and_the_first_keeps_its_own(names):
    taken: dict[str, int] = {}
    made = [unique_name(name, taken) for name in names]
    assert len(set(made)) == len(made)
    assert all(unique.startswith(name) for unique, name in zip(made, names, strict=True))
    assert not names or made[0] == names[0]


def test_twenty_thousand_of_one_name_are_numbered_in_passing():
    taken: dict[str, int] = {}
    assert [unique_name("a", taken) for _ in range(20_000)][-1] == "a (20000)"


# What is passed over, and counted


def test_what_systems_leave_behind_is_passed_over_in_silence():
    odd = ["__MACOSX/._a.png", "x/.DS_Store", "Thumbs.db", "x/desktop.ini", ".hidden/a.png", "folder/", "x/y/"]
    found = entries(zip_of(*[Member(name, b"") for name in odd], Member("a.png", GOOD[0])))
    assert found == [Entry("a.png", GOOD[0], "", 1, 1, stated="a.png")]


def test_side_files_are_one_line_and_never_unpacked():
    side = [Member("a.csv", packed=b"\xff", size=9), Member("b.CSV", flags=1), Member("c.json", mode=0o120777)]
    found = entries(zip_of(*side, Member("a.png", GOOD[0]), Member("other files", GOOD[1]), Member(".x", b"")))
    assert [e.name for e in found] == ["a.png", "other files", "other files (2)"]
    assert found[-1].error.startswith("other files (2): ")
    assert "3 not images (2 csv, 1 json) and 1 of the" in found[-1].error
    assert (found[-1].number, found[-1].of) == (3, 3)


# Limits


def test_limits_are_the_callers():
    data = zip_of(*[Member(f"{i}.png", GOOD[0]) for i in range(3)])
    assert "at most 2 entries, but got 3" in refusal(data, files=2)
    assert "at most 99 bytes when unpacked" in refusal(data, total=99)
    assert "table of contents of at most 99 bytes" in refusal(data, contents=99)
    for limits, said in (
        ({"entry": 99}, "at most 99 bytes"),
        ({"name": 4}, "one of 5 characters"),
        ({"ratio": 0, "ratio_from": 9}, "at most 0 to 1"),
    ):
        assert [said in e.error and e.data is None for e in entries(data, **limits)] == [True] * 3
    assert len(entries(data, files=3, entry=len(GOOD[0]), name=5, total=3 * len(GOOD[0]))) == 3


def test_a_zip_of_ten_thousand_entries_is_refused_before_its_table_is_read():
    stream = Counting(many(10_000))
    assert len(stream.getvalue()) > 500_000
    assert "at most 2,000 entries, but got 10,000" in refusal(stream)
    assert stream.taken < 70_000  # the end of the file, where the comment may be


def test_a_hundred_thousand_entries_are_counted_in_the_zip64_record():
    data = many(3)
    end, table = len(data) - 22, data.index(b"PK\1\2")
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 100_000, 100_000, end - table, table)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    told = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert "got 100,000" in refusal(data[:end] + wide + locator + told)
    right = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, end - table, table)
    assert len(entries(data[:end] + right + locator + told)) == 3


def test_one_entry_at_a_time_is_unpacked(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(12):
            archive.writestr(f"{i}.bmp", os.urandom(2**22))
    tracemalloc.start()
    try:
        sizes = [len(entry.data) for entry in read_archive(path, name="a.zip")]
        assert sizes == [2**22] * 12
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**22  # the last, this one, and its pieces
    finally:
        tracemalloc.stop()


def test_later_entries_are_not_touched_before_they_are_asked_for():
    big = os.urandom(2**20)
    stream = Counting(zip_of(*[Member(f"{i}.png", big, method=0) for i in range(8)]))
    reading = read_archive(stream, name="a.zip")
    assert next(reading).data == big
    assert stream.taken < 2**20 + 200_000
    reading.close()
    assert not stream.closed


def test_a_stream_longer_than_it_says_is_left_after_one_byte_more():
    liar = Member("liar.png", packed=zeros(400), size=1_000, crc=zlib.crc32(bytes(1_000)))
    stream = Counting(zip_of(liar))
    with zipfile.ZipFile(stream) as archive:
        assert archive.read("liar.png") == bytes(1_000)  # why zipfile does not read here: it cuts without a word
    stream.taken = 0
    tracemalloc.start()
    try:
        (entry,) = entries(stream)
        assert "more than the 1,000 bytes that it claims" in entry.error
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert stream.taken < 2 * 2**17


# The corpus is genuine


def test_the_encrypted_entry_opens_with_its_password():
    data = zip_of(Member("a.png", GOOD[0], flags=0x801, packed=zipcrypto(GOOD[0], b"her2")))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("a.png", pwd=b"her2") == GOOD[0]
        with pytest.raises(RuntimeError):
            archive.read("a.png", pwd=b"wrong")


def test_the_bombs_are_bombs():
    assert zlib.decompress(zeros(20), -15) == bytes(20 * 2**20)
    assert len(zeros(10_240)) < 12 * 2**20
    at, data = 31, overlapping()
    unpacked = zlib.decompressobj(-15).decompress(data[at:])
    assert unpacked.startswith(b"PK\3\4")
    assert unpacked.endswith(bytes(2**20))
    assert "overlap" in refusal(data)


# Damage


@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"PK\3\4", b"PK\5\6"]), end=st.booleans())
@few
def test_random_bytes_raise_nothing_but_image_error(data, head, end):
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(data), len(head), 0) if end else b""
    refusal(head + data + tail)


SEED = zip_of(Member("a.png", GOOD[0]), Member("b.csv", b"1"), Member("c.png", GOOD[1], method=0), Member("d/"))


@given(
    flips=st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    late=st.booleans(),
)
@settings(few, max_examples=400)
def test_flipped_bytes_give_the_true_bytes_or_a_sentence(flips, late):
    damaged = bytearray(SEED)
    table = SEED.index(b"PK\1\2")
    for at, byte in flips:
        damaged[table + at % (len(SEED) - table) if late else at] = byte
    try:
        for entry in entries(bytes(damaged)):
            assert entry.data in (*GOOD, b"1", None)
            assert (entry.data is None) == bool(entry.error)
            assert entry.error.isprintable()
            assert entry.error.startswith(entry.name if entry.error else "")
    except ImageError as error:
        assert str(error).isprintable()


@pytest.mark.parametrize("length", range(0, len(SEED), 61))
def test_a_zip_cut_anywhere_is_refused(length):
    refusal(SEED[:length])
