"""Writers of malformed images and zip archives, which no library would write.

The cases of hostile.py are made of these. Libraries write what they can, so that each file is malformed in one place.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, PngImagePlugin

from her2core.io.images import encode_png

MIB = 2**20
PIXELS = np.random.default_rng(5).integers(0, 256, (24, 40, 3), dtype=np.uint8)
GOOD = [encode_png(PIXELS[:, ::step]) for step in (1, -1)]
SCRIPT = b"<script>alert('her2')</script>"
SVG = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>" + SCRIPT + b"</svg>"
HTML = b"<!doctype html><html><body>" + SCRIPT + b"</body></html>"
PDF = b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def encode(kind: str, pixels: np.ndarray = PIXELS, mode: str = "RGB", **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def frames(kind: str, **options) -> bytes:
    return encode(kind, save_all=True, append_images=[Image.fromarray(PIXELS[::-1])], **options)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, packed: bytes, *extra: bytes) -> bytes:
    """An 8-bit RGB PNG whose zlib stream is ``packed``, whatever that is."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff(width: int, height: int, pixels: bytes, **changes: tuple) -> bytes:
    """A little-endian grey TIFF of one strip; ``changes`` are tag=(type, value), like t258=(3, 16)."""
    tags = {
        256: (4, width),
        257: (4, height),
        258: (3, 8),
        259: (3, 1),
        262: (3, 1),
        273: (4, 8),
        277: (3, 1),
        278: (4, height),
        279: (4, len(pixels)),
    }
    tags |= {int(key[1:]): value for key, value in changes.items()}
    lines = [struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in sorted(tags.items())]
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(pixels))
        + pixels
        + struct.pack("<H", len(lines))
        + b"".join(lines)
        + (bytes(4))
    )


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def jpeg_that_claims(side: int) -> bytes:
    data = encode("JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def bmp_that_claims(side: int) -> bytes:
    data = encode("BMP")
    return data[:18] + struct.pack("<ii", side, side) + data[26:]


def jpeg_with_gps() -> bytes:
    """A photograph with its photographer and place in EXIF, XMP and a comment, all of which Pillow reads."""
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x9286] = "HER2-CAMERA", "PATIENT-JANE-DOE", "SECRET-COMMENT"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (47.0, 23.0, 59.5), "E", (8.0, 33.0, 11.25)
    xmp = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>PATIENT-JANE-DOE</x:xmpmeta>"
    return encode("JPEG", exif=exif, comment="PATIENT-JANE-DOE", xmp=xmp, quality=95)


def png_with_script() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", SCRIPT.decode())
    text.add_text("Comment", SCRIPT.decode(), zip=True)
    return encode("PNG", pnginfo=text)


@cache
def zeros(mib: int) -> bytes:
    """A raw Deflate stream of so many MiB of zeros, a thousandth of them long, made without unpacking them once."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = engine.compress(bytes(MIB)) + engine.flush(zlib.Z_FULL_FLUSH)  # a full flush resets the compressor
    return block * mib + b"\x03\x00"


def zlib_zeros(mib: int) -> bytes:
    return b"\x78\xda" + zeros(mib) + struct.pack(">I", 1)  # the checksum is never reached


@dataclass(frozen=True)
class Member:
    """An entry as stored in the file; fields that are None follow from ``data``."""

    name: str | bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0x800
    mode: int = 0o100644
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None

    @property
    def raw(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode("utf-8", "surrogatepass")


def zip_of(
    *members: Member,
    front: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    offsets: dict[int, int] | None = None,
) -> bytes:
    """A zip of exactly these members. Its end record states ``count`` and ``disk``; ``offsets`` move the place that a
    line of the table of contents refers to."""
    out, table = bytearray(front), bytearray()
    for i, m in enumerate(members):
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        packed = m.packed
        if packed is None:
            packed = deflate.compress(m.data) + deflate.flush() if m.method == 8 else m.data
        size = len(m.data) if m.size is None else m.size
        crc = zlib.crc32(m.data) if m.crc is None else m.crc
        wide = struct.pack("<HHQ", 1, 8, size) if size > 0xFFFFFFFE else b""
        stated = struct.pack("<HHHHIII", m.flags, m.method, 0, 0x21, crc, len(packed), 0xFFFFFFFF if wide else size)
        local = m.raw if m.local_name is None else m.local_name
        place = (offsets or {}).get(i, len(out))
        out += b"PK\3\4" + struct.pack("<H", 45) + stated + struct.pack("<HH", len(local), 0) + local + packed
        table += b"PK\1\2" + struct.pack("<HH", 3 << 8 | 45, 45) + stated + struct.pack("<H", len(m.raw))
        table += struct.pack("<HHHHII", len(wide), 0, 0, 0, m.mode << 16, place) + m.raw + wide
    number = len(members) if count is None else count
    end = struct.pack("<HHHHIIH", disk, disk, number, number, len(table), len(out), len(comment))
    return bytes(out + table + b"PK\5\6" + end + comment)


def zipcrypto(data: bytes, password: bytes) -> bytes:
    """``data`` deflated and encrypted as PKZIP does (APPNOTE 6.1); zipfile opens it with the password."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
        table.append(crc)
    keys = [0x12345678, 0x23456789, 0x34567890]

    def feed(byte: int) -> None:
        keys[0] = keys[0] >> 8 ^ table[(keys[0] ^ byte) & 0xFF]
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = keys[2] >> 8 ^ table[(keys[2] ^ keys[1] >> 24) & 0xFF]

    for byte in password:
        feed(byte)
    out, engine = bytearray(), zlib.compressobj(6, zlib.DEFLATED, -15)
    for byte in bytes(11) + bytes([zlib.crc32(data) >> 24]) + engine.compress(data) + engine.flush():
        key = keys[2] & 0xFFFF | 2
        out.append(byte ^ (key * (key ^ 1) >> 8 & 0xFF))
        feed(byte)
    return bytes(out)


def zipped(method: int, *names: str, data: bytes = GOOD[0]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in names:
            archive.writestr(name, data)
    return stream.getvalue()


def docx() -> bytes:
    return zipped(zipfile.ZIP_DEFLATED, "[Content_Types].xml", "word/document.xml", data=b"<w:document/>")


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(GOOD[0])
        archive.addfile(member, io.BytesIO(GOOD[0]))
    return stream.getvalue()


def overlapping() -> bytes:
    """Two headers, one kernel: the first entry's data are the second's header, quoted, and its data (Fifield 2019)."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = kernel.compress(bytes(MIB)) + kernel.flush()
    second = (
        struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0x21, zlib.crc32(bytes(MIB)), len(packed), MIB, 1, 0) + b"b"
    )
    quoted = b"\0" + struct.pack("<HH", len(second), len(second) ^ 0xFFFF) + second
    first = Member("a", packed=quoted + packed, size=len(second) + MIB, crc=zlib.crc32(second + bytes(MIB)), flags=0)
    return zip_of(
        first, Member("b", packed=packed, size=MIB, crc=zlib.crc32(bytes(MIB)), flags=0), offsets={1: 30 + 1 + 5}
    )


def many(entries: int, **changes) -> bytes:
    return zip_of(*[Member(f"{i}.png", packed=b"\3\0") for i in range(entries)], **changes)
