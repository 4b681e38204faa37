"""Bad uploads that the dashboard must survive: name -> file name, bytes, where they are brought, expected sentence.

``goes`` is "patch" for ``accept`` and "zip" for ``accept_archive``. ``says`` is a regular expression that the one
sentence must match; where it is "" the upload is odd but an image, and its pixels must come through and nothing else.
``whole`` marks zips that are refused as a whole; in all others the good patches before and behind come through.
Bytes are made when ``build`` is called: some are large.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from hostile_parts import (
    GOOD,
    HEIC,
    HTML,
    MIB,
    PDF,
    PIXELS,
    SCRIPT,
    SVG,
    Member,
    bmp_that_claims,
    chunk,
    docx,
    encode,
    flipped,
    frames,
    jpeg_that_claims,
    jpeg_with_gps,
    many,
    overlapping,
    png,
    png_with_script,
    tarred,
    tiff,
    zeros,
    zip_of,
    zipcrypto,
    zlib_zeros,
)

from her2core.io.images import encode_png


@dataclass(frozen=True)
class Case:
    file: str
    build: Callable[[], bytes]
    goes: str
    says: str
    whole: bool = False


def bad_images() -> dict[str, tuple[str, Callable[[], bytes], str]]:
    """name -> (file name, bytes when called, what the sentence says)."""
    rows = zlib.compress(b"".join(b"\0" + bytes(24) for _ in range(8)))
    damaged, kind = "completely.*damaged", "her2core needs a PNG, JPEG, TIFF, BMP or WebP image, but found "
    return {
        "empty": ("empty.png", lambda: b"", "an empty file"),
        "one byte": ("byte.png", lambda: b"\x89", kind),
        "text": ("notes.png", lambda: b"these are notes", f"{kind}text"),
        "html with script": ("page.jpg", lambda: HTML, f"{kind}a web page"),
        "svg with script": ("vector.png", lambda: SVG, f"{kind}an SVG drawing"),
        "svg as svg": ("vector.svg", lambda: SVG, f"{kind}an SVG drawing"),
        "pdf": ("report.png", lambda: PDF, f"{kind}a PDF"),
        "pickle": ("model.png", lambda: pickle.dumps({"a": 1}), f"{kind}a Python pickle"),
        "elf": ("run.png", lambda: b"\x7fELF\2\1\1" + bytes(64), f"{kind}a program"),
        "exe": ("setup.png", lambda: b"MZ\x90\0" + bytes(64), f"{kind}a program"),
        "gzip": ("a.png", lambda: b"\x1f\x8b\x08" + bytes(64), f"{kind}a gzip archive"),
        "zip as png": ("b.png", lambda: zip_of(Member("a.png", GOOD[0])), f"{kind}a ZIP archive"),
        "docx": ("letter.docx", docx, f"{kind}a ZIP archive or an Office document"),
        "gif": ("c.png", lambda: encode("GIF"), f"{kind}a GIF"),
        "gif and javascript": ("d.gif", lambda: b"GIF89a/*" + bytes(32) + b"*/=1;alert(1)", f"{kind}a GIF"),
        "heic": ("phone.heic", lambda: HEIC, f"{kind}a HEIC, AVIF or video file"),
        "mp4": ("film.png", lambda: HEIC.replace(b"heic", b"isom"), f"{kind}a HEIC, AVIF or video file"),
        "jpeg 2000": ("slide.jp2", lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(64), f"{kind}a JPEG 2000"),
        "numpy": ("array.png", lambda: b"\x93NUMPY\1\0" + bytes(64), f"{kind}a NumPy array"),
        "hdf5": ("array.tif", lambda: b"\x89HDF\r\n\x1a\n" + bytes(64), f"{kind}an HDF5 file"),
        "dicom": ("scan.png", lambda: bytes(128) + b"DICM" + bytes(64), "found a whole slide"),
        "noise": ("noise.png", lambda: bytes(range(128, 256)), f"{kind}an unknown kind of file"),
        "cut png": ("cut.png", lambda: GOOD[0][:600], damaged),
        "cut in the header": ("cut2.png", lambda: GOOD[0][:20], damaged),
        "cut jpeg": ("cut.jpg", lambda: encode("JPEG")[:-200], damaged),
        "cut tiff": ("cut.tif", lambda: encode("TIFF", compression="tiff_lzw")[:200], damaged),
        "cut bmp": ("cut.bmp", lambda: encode("BMP")[:-500], damaged),
        "cut webp": ("cut.webp", lambda: encode("WEBP", lossless=True)[:-500], damaged),
        "corrupt zlib": ("zlib.png", lambda: png(8, 8, flipped(rows, 2)), damaged),
        "wrong checksum": ("sum.png", lambda: flipped(GOOD[0], 29), "checksum"),
        "huge png": ("huge.png", lambda: png(65_000, 65_000, rows), "found 65,000 x 65,000 px"),
        "pixel bomb": ("bomb.png", lambda: png(18_000, 18_000, zlib_zeros(927)), "found 18,000 x 18,000 px"),
        "huge jpeg": ("huge.jpg", lambda: jpeg_that_claims(65_000), "found 65,000 x 65,000 px"),
        "huge bmp": ("huge.bmp", lambda: bmp_that_claims(2**31 - 1), "at most|damaged"),
        "huge tiff": ("huge.tif", lambda: tiff(2**31, 2**31, bytes(64)), "at most"),
        "giant tiles": ("tiles.tif", lambda: tiff(8, 8, bytes(64), t322=(4, 60_000), t323=(4, 60_000)), "60,000 px"),
        "missing strips": ("strips.tif", lambda: tiff(8, 8, bytes(64), t278=(4, 4)), "missing strips"),
        "too many bytes": ("heavy.bmp", lambda: encode("BMP") + bytes(70 * MIB), r"at most [\d,]+ bytes"),
        "one pixel": ("dot.png", lambda: encode_png(PIXELS[:1, :1]), "at least 8 px.*found 1 x 1 px"),
        "a spacer": ("line.png", lambda: encode_png(PIXELS[:7]), "at least 8 px"),
        "profile bomb": ("icc.png", lambda: png(8, 8, rows, chunk(b"iCCP", b"k\0\0" + zlib_zeros(80))), "too large"),
        "text bomb": ("text.png", lambda: png(8, 8, rows, chunk(b"zTXt", b"k\0\0" + zlib_zeros(80))), "too large"),
        "animated png": ("moving.png", lambda: frames("PNG"), "PNG with 2 frames"),
        "animated webp": ("moving.webp", lambda: frames("WEBP"), "WebP with 2 frames"),
        "multi-page tiff": ("pages.tif", lambda: frames("TIFF"), "TIFF with several pages"),
        "float tiff": ("float.tif", lambda: encode("TIFF", mode="F"), "floating-point"),
        "signed tiff": ("signed.tif", lambda: tiff(8, 8, bytes(64), t339=(3, 2)), "signed integers"),
        # Odd, but images: only their pixels come through.
        "bomb behind a small size": ("bomb2.png", lambda: png(64, 64, zlib_zeros(2_000)), ""),
        "tiff in a circle": ("circle.tif", lambda: tiff(8, 8, bytes(64))[:-4] + struct.pack("<I", 72), ""),
        "cmyk jpeg": ("cmyk.jpg", lambda: encode("JPEG", mode="CMYK"), ""),
        "wrong extension": ("jpeg.png", lambda: encode("JPEG"), ""),
        "program by name": ("setup.exe", lambda: GOOD[0], ""),
        "jpeg with gps": ("phone.jpg", jpeg_with_gps, ""),
        "jpeg and zip": ("jar.jpg", lambda: encode("JPEG") + zip_of(Member("a.txt", SCRIPT)), ""),
        "png with script": ("xss.png", png_with_script, ""),
        "jpeg with html": ("page2.jpg", lambda: encode("JPEG", comment=HTML), ""),
    }


NAMES = {
    "control characters": "a\x00b\x1b[31m\r\nc.png",
    "right-to-left mark": "case\u202egnp.exe",
    "isolates and zero widths": "\u2066a\u2069\u200b\u2060.png",
    "markup": "<img src=x onerror=alert(1)>.png",
    "markdown": "![x](http://evil/x.png)**b**`c`.png",
    "shell": "$(rm -rf ~);`id`|cat&.png",
    "formula": "=HYPERLINK(1).png",
    "address": "www.evil.com me@evil.com.png",
    "path": "../../../etc/passwd.png",
    "ten thousand letters": "x" * 10_000 + ".png",
    "a pile of marks": "a" + "\u0301" * 500 + ".png",
    "half a surrogate": "a\ud800.png",
    "nothing": "",
    "nothing to see": "\u3164\u2800.png",
}


def bad_zips() -> dict[str, tuple[str, Callable[[], bytes], str]]:
    """Refused as a whole: name -> (file name, bytes when called, what the sentence says)."""
    two = [Member("a.png", GOOD[0]), Member("b.png", GOOD[1])]
    whole, damaged = zip_of(*two), "her2core needs a zip that is whole, but found a damaged one"
    end = len(whole) - 22
    return {
        "empty file": ("a.zip", lambda: b"", "an empty file"),
        "text as zip": ("notes.zip", lambda: b"these are notes", "her2core needs a zip archive"),
        "picture as zip": ("a.zip", lambda: GOOD[0], "her2core needs a zip archive"),
        "rar": ("a.rar", lambda: b"Rar!\x1a\7\1\0" + bytes(64), "a RAR archive"),
        "7z": ("a.7z", lambda: b"7z\xbc\xaf\x27\x1c" + bytes(64), "a 7z archive"),
        "gzip as zip": ("a.gz", lambda: b"\x1f\x8b\x08" + bytes(64), "a gzip archive"),
        "tar": ("a.tar", tarred, "a tar archive"),
        "cut zip": ("cut.zip", lambda: whole[: len(whole) // 2], damaged),
        "only a beginning": ("pk.zip", lambda: b"PK\3\4", damaged),
        "something behind": ("behind.zip", lambda: whole + b"\0" * 9, damaged),
        "program in front": ("setup.zip", lambda: zip_of(*two, front=b"MZ\x90\0" + bytes(60)), "in front of it"),
        "jpeg in front": ("jar.zip", lambda: encode("JPEG") + whole, "in front of it"),
        "empty zip": ("none.zip", lambda: zip_of(), "found an empty zip"),
        "only folders": ("folders.zip", lambda: zip_of(Member("a/"), Member("a/b/")), "all of them folders"),
        "only tables": ("t.zip", lambda: zip_of(Member("a.csv", b"1"), Member(".DS_Store", b"1")), "2 entries, among"),
        "a part of several": ("a.z01", lambda: b"PK\7\x08" + whole[: len(whole) // 2], "a part of one"),
        "the last of several": ("a.zip", lambda: zip_of(*two, disk=3), "a part of one"),
        "2,001 entries": ("many.zip", lambda: many(2_001), "at most 2,000 entries, but found 2,001"),
        "10,000 entries": ("many.zip", lambda: many(10_000), "at most 2,000 entries, but found 10,000"),
        "10,000 said to be 1": ("many.zip", lambda: many(10_000, count=1), "its own count disagree"),
        "1 said to be 2": ("few.zip", lambda: zip_of(two[0], count=2), "breaks off"),
        "10 GB bomb": (
            "bomb.zip",
            lambda: zip_of(Member("a.png", packed=zeros(10_240), size=10_240 * MIB, crc=1)),
            "at most 1,073,741,824 bytes when unpacked, but found 10,737,418,240",
        ),
        "2,000 of 1 MiB": (
            "bomb.zip",
            lambda: zip_of(*[Member(f"{i}.png", packed=b"\3\0", size=MIB, crc=1) for i in range(2_000)]),
            "when unpacked",
        ),
        "the same entry twice": ("same.zip", lambda: zip_of(*two, offsets={1: 0}), "overlap"),
        "a better zip bomb": ("zbsm.zip", overlapping, "overlap"),
        "table shifted": ("shift.zip", lambda: whole[: end + 16] + b"\1" + whole[end + 17 :], damaged),
        "table of noise": ("noise.zip", lambda: whole.replace(b"PK\1\2", b"PK\7\7"), damaged),
        "zip64 without its record": (
            "z64.zip",
            lambda: whole[:end] + b"PK\6\7" + bytes(12) + b"\1\0\0\0" + whole[end:],
            damaged,
        ),
        "a second end in the comment": ("two.zip", lambda: zip_of(*two, comment=whole[end:] + b"."), ""),
    }


def bad_entries() -> dict[str, tuple[tuple[Member, ...], str]]:
    """Refused alone, between two good patches: name -> (entries, what the one sentence says)."""
    good, plain = GOOD[0], "her2core needs a plain file name, but found one "
    damaged, inside = "her2core needs a file that is whole, but found a damaged one", "inside the zip"
    secret = Member("secret.png", good, flags=0x801, packed=zipcrypto(good, b"her2"))
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflate.compress(good) + deflate.flush()
    liar = Member("liar.png", packed=zeros(500), size=1_000, crc=zlib.crc32(bytes(1_000)))
    return {
        "encrypted": ((secret,), "an encrypted one"),
        "encrypted with AES": ((Member("aes.png", good, method=99, flags=1),), "an encrypted one"),
        "said to be encrypted": ((Member("flag.png", good, flags=1),), "an encrypted one"),
        "strongly encrypted": ((Member("strong.png", good, flags=0x40),), "an encrypted one"),
        "nested zip": ((Member("a.zip", zip_of(Member("a.png", good))),), inside),
        "nested zip as png": ((Member("b.png", zip_of(Member("a.png", good))),), f"a ZIP archive.*{inside}"),
        "nested tar": ((Member("a.tar", tarred()),), inside),
        "nested tar as png": ((Member("c.png", tarred()),), f"a tar archive {inside}"),
        "nested gz": ((Member("a.png.gz", b"\x1f\x8b\x08"),), inside),
        "nested gz as png": ((Member("d.png", b"\x1f\x8b\x08" + bytes(64)),), f"a gzip archive {inside}"),
        "nested 7z": ((Member("a.7z", b"7z"),), inside),
        "nested rar as png": ((Member("e.png", b"Rar!\x1a\7\1\0" + bytes(64)),), f"a RAR archive {inside}"),
        "docx in a zip": ((Member("letter.docx", docx()),), f"Office document {inside}"),
        "up and out": ((Member("../../etc/passwd.png", good),), f"{plain}that leads out"),
        "out from within": ((Member("a/../../b.png", good),), f"{plain}that leads out"),
        "from the root": ((Member("/etc/passwd.png", good),), f"{plain}that starts at the root"),
        "drive letter": ((Member("C:/Windows/a.png", good),), f"{plain}that starts at the root"),
        "backslashes": ((Member("..\\..\\a.png", good),), f"{plain}that leads out of"),
        "network share": ((Member("\\\\host\\share\\a.png", good),), f"{plain}that starts at the root"),
        "symbolic link": ((Member("link.png", b"/etc/passwd", mode=0o120777),), "a symbolic link"),
        "device": ((Member("null.png", good, mode=0o020666),), "a device, pipe or socket"),
        "pipe": ((Member("pipe.png", good, mode=0o010666),), "a device, pipe or socket"),
        "packs 1000 to 1": ((Member("bomb.png", packed=zeros(60), size=60 * MIB, crc=1),), "at most 200 to 1"),
        "too large": ((Member("big.png", packed=zeros(300), size=300 * MIB, crc=1),), "at most .* bytes unpacked"),
        "500 MiB said to be 1,000 bytes": ((liar,), f"{damaged} .it unpacks to more than the 1,000 bytes"),
        "stored and longer than said": ((Member("s.png", good, method=0, size=9),), f"{damaged} .it unpacks to more"),
        "shorter than said": ((Member("short.png", good, size=len(good) + 1),), f"{damaged} .it is cut short"),
        "cut stream": ((Member("cut.png", good, packed=packed[:-40]),), f"{damaged} .it is cut short"),
        "no stream": ((Member("not.png", good, packed=b"\xff" * 90),), f"{damaged} .it cannot be unpacked"),
        "padded stream": ((Member("pad.png", good, packed=packed + bytes(9)),), f"{damaged} .something follows"),
        "wrong crc": ((Member("crc.png", good, crc=7),), f"{damaged} .its checksum"),
        "two headers, two names": ((Member("a.png", good, local_name=b"b.png"),), f"{damaged} .its own header"),
        "bzip2": ((Member("b2.png", good, method=12),), "packed with bzip2"),
        "lzma": ((Member("lz.png", good, method=14),), "packed with LZMA"),
        "zstandard": ((Member("zs.png", good, method=93),), "packed with Zstandard"),
        "deflate64": ((Member("d64.png", good, method=9),), "packed with Deflate64"),
        "unheard of": ((Member("new.png", good, method=4711),), "packed with method 4711"),
        "line break in the name": ((Member("a\r\nb.png", good),), f"{plain}with control characters"),
        "zero byte in the name": ((Member("a.png\0.exe", good),), f"{plain}with control characters"),
        "escape in the name": ((Member("\x1b[2Ja.png", good),), f"{plain}with control characters"),
        "right-to-left name": ((Member("gnp.\u202eexe", good),), f"{plain}with control characters"),
        "10,000 letters": ((Member("x" * 10_000 + ".png", good),), f"{plain}of 10,004 characters"),
        "empty entry": ((Member("empty.png"),), "an empty file"),
        "empty but said to be full": ((Member("e2.png", packed=b"\3\0", size=90),), f"{damaged} .it is cut short"),
        "tables beside": (
            (
                Member("a.csv", b"1,2"),
                Member("b.csv", b"1"),
                Member("n/notes.txt", SCRIPT),
                Member("__MACOSX/._a.png", b"1"),
                Member("Thumbs.db", b"1"),
                Member(".DS_Store", b"1"),
            ),
            r"3 not images .2 csv, 1 txt. and 3 of the operating system\.$",
        ),
    }


def between(*members: Member) -> bytes:
    """A zip of these members between two good patches."""
    return zip_of(Member("first.png", GOOD[0]), *members, Member("last.png", GOOD[1]))


def _cases() -> dict[str, Case]:
    images = bad_images()
    cases = {name: Case(file, build, "patch", says) for name, (file, build, says) in images.items()}
    for name, file in NAMES.items():
        cases[f"name: {name}"] = Case(file, lambda: GOOD[0], "patch", "")
    for name, (file, build, says) in bad_zips().items():
        cases[f"zip: {name}"] = Case(file, build, "zip", says, whole=bool(says))
    for name, (members, says) in bad_entries().items():
        cases[f"entry: {name}"] = Case("patches.zip", lambda m=members: between(*m), "zip", says)
    for name in (
        "svg with script",
        "html with script",
        "pdf",
        "gif and javascript",
        "pickle",
        "text",
        "heic",
        "cut png",
        "corrupt zlib",
        "huge png",
        "pixel bomb",
        "animated png",
        "multi-page tiff",
    ):
        file, build, says = images[name]
        cases[f"entry: {name}"] = Case(
            "patches.zip", lambda f=file, b=build: between(Member(f"in/{f}", b(), method=0)), "zip", says
        )
    return cases


CASES = _cases()
