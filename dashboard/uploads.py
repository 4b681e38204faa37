"""Which uploaded bytes may be looked at? Uploads in; pixels with a safe name, or one sentence each, out.

Nothing is stored: bytes stay in memory, zips are unpacked there by her2core.io.archives, and pixels are decoded by
her2core.io.images alone, which looks at the content and not at the name. Nothing here touches Streamlit, so that all
of it may run in a thread of its own.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from her2core.errors import ImageError
from her2core.io.archives import ArchiveLimits, read_archive, unique_name
from her2core.io.images import SUFFIXES, read_image

MAX_FILES = 32
MAX_BYTES = 30 * 2**20  # as server.maxUploadSize in .streamlit/config.toml
MAX_PIXELS = 40_000_000
# Of one session's patches together: 360 MB in memory
MAX_HELD_PIXELS = 120_000_000
# Of a zip or folder many patches go through the network together, so each may be smaller: 4,000 x 4,000 px
BATCH_PIXELS = 16_000_000
BATCH_BYTES = 64 * 2**20  # BATCH_PIXELS stored as uncompressed RGBA is 61 MiB
MAX_FOLDER_FILES = 20_000

# What Markdown, HTML or a shell gives a meaning to. Round brackets, "!", "=" and ":" stay, as real names hold them and
# without the others they start nothing; inside quotes no shell acts on what is left.
_ACTIVE = dict.fromkeys(map(ord, "<>`$[]*|~#;\"'{}^%?\\@"))
# Letters and marks of no width or ink: a name made of them would look empty, or like another one.
_UNSEEN = dict.fromkeys(
    [
        0x034F,
        0x115F,
        0x1160,
        0x17B4,
        0x17B5,
        0x2800,
        0x3164,
        0xFFA0,
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    ]
)


@dataclass(frozen=True)
class Upload:
    """``image`` uint8 (H, W, 3) RGB, or None with the sentence in ``error``."""

    name: str
    image: np.ndarray | None
    error: str = ""


def safe_name(name: str, length: int = 60) -> str:
    """The last part of a name from outside, fit to stand in Markdown, HTML or a table; shortened in the middle.

    Only printable characters stay: no control, format or direction marks (Unicode categories Cc, Cf, Cs, Co, Cn). None
    stays that Markdown, HTML or a shell acts on, nor one in a place where it does: "_" beside a letter only, no list
    number or formula sign in front, no "www." or ":smile:". "&" becomes "+".
    """
    last = name[-8192:].replace("\\", "/").rsplit("/", 1)[-1].replace("&", "+")
    clean = unicodedata.normalize("NFC", "".join(c for c in last if c.isprintable()))
    clean = _few_marks(clean.translate(_ACTIVE).translate(_UNSEEN))
    clean = re.sub(r"(?<![^\W_])(?<!_)_+|_+(?![^\W_]|_)", "", clean)  # Markdown's emphasis, but not "case_01"
    clean = clean.lstrip(" .,:+=-").rstrip(" .:")
    clean = re.sub(r":(?=[\w+-]*(?::|$))", "", clean)  # an emoji's short name, with the colon that follows a name
    clean = " ".join(re.sub(r"(?i)www\.", "www-", clean).split())
    clean = re.sub(r"^(\d+)[.)]\s", r"\1 ", clean) or "unnamed"
    return clean if len(clean) <= length else f"{clean[: length // 2]}...{clean[-length // 2 + 3 :]}"


def accept(files) -> list[Upload]:
    """Decode each of the uploaded files (objects with ``name``, ``size`` and ``getvalue``); the rest go on."""
    taken, seen, held = [], {}, 0
    for file in files[:MAX_FILES]:
        # Two files of one name, from two folders: each keeps its own row and its own answer.
        name = unique_name(safe_name(file.name), seen)
        upload = _upload(file.getvalue(), name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        size = 0 if upload.image is None else upload.image.shape[0] * upload.image.shape[1]
        if held + size > MAX_HELD_PIXELS:
            said = f"{name}: left out, as at most {MAX_HELD_PIXELS:,} px are looked at together. Upload it next."
            upload = Upload(name, None, said)
        else:
            held += size
        taken.append(upload)
    if len(files) > MAX_FILES:
        said = f"{len(files) - MAX_FILES} files left out: {MAX_FILES} are looked at together. Upload the rest next."
        taken.append(Upload("the rest", None, said))
    return taken


def accept_archive(
    file, *, on_progress: Callable[[int, int], None] | None = None, cancelled: Callable[[], bool] | None = None
) -> Iterator[Upload]:
    """Decode the images of an uploaded zip (an object with ``name`` and ``getvalue``), one at a time, in its order.

    A bad entry gives its sentence and the rest go on. ``on_progress`` is called with (done, of) after each entry;
    ``cancelled`` is asked before each. Names keep their folders. Raises ImageError, with the first ``next``, when the
    archive as a whole is refused (her2core.io.archives).
    """
    limits, seen = ArchiveLimits(entry=BATCH_BYTES), {}
    entries = read_archive(file.getvalue(), name=safe_name(file.name), limits=limits)
    while not (cancelled and cancelled()):
        entry = next(entries, None)
        if entry is None:
            return
        name, number, of = unique_name(_safe_path(entry.name), seen), entry.number, entry.of
        if entry.data is None:
            upload = Upload(name, None, _plain(name + entry.error.removeprefix(entry.name)))
        else:
            upload = _upload(entry.data, name, max_bytes=BATCH_BYTES, max_pixels=BATCH_PIXELS)
        del entry  # its bytes, before the next entry's
        yield upload
        del upload
        if on_progress:
            on_progress(number, of)


def accept_folder(
    folder: Path,
    *,
    roots: Sequence[Path],
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Upload]:
    """Decode the images below a folder of the server, folder by folder in the order of names.

    Files are found by their suffix (her2core.io.images.SUFFIXES); hidden files and folders and links to folders are
    passed over. A file that cannot be read, or is a link that leads out of ``roots``, gives its sentence and the rest
    go on; after MAX_FOLDER_FILES a last sentence says that there are more. Raises ImageError, with the first ``next``,
    when ``folder`` is none or lies outside of ``roots`` once links are followed.
    """
    allowed = [Path(root).resolve() for root in roots]
    start, seen = _resolved(folder), {}
    if start is None or not start.is_dir() or not _below(start, allowed):
        # One sentence for all three: what lies elsewhere on this server is none of the visitor's business.
        got = "one outside of them, or none"
        raise ImageError(
            "a folder below the allowed ones",
            got=got,
            where=safe_name(str(folder)),
            fix="Choose one from the list; HER2_FOLDERS says which are allowed.",
        )
    paths = list(islice(_images_below(start), MAX_FOLDER_FILES + 1))
    for number, path in enumerate(paths):
        if cancelled and cancelled():
            return
        if number == MAX_FOLDER_FILES:
            said = f"the rest: left out, as at most {MAX_FOLDER_FILES:,} files are looked at. Choose a smaller folder."
            yield Upload("the rest", None, said)
            return
        name, real = unique_name(_safe_path(path.relative_to(start).as_posix()), seen), _resolved(path)
        if real is None or not _below(real, allowed):
            said = f"{name}: expected a file below the allowed folders, got a link that leads elsewhere or nowhere."
            yield Upload(name, None, f"{said} Put the image itself there.")
        else:
            yield _upload(real, name, max_bytes=BATCH_BYTES, max_pixels=BATCH_PIXELS)
        if on_progress:
            on_progress(number + 1, min(len(paths), MAX_FOLDER_FILES))


def _upload(source: bytes | Path, name: str, *, max_bytes: int, max_pixels: int) -> Upload:
    try:
        return Upload(name, read_image(source, name=name, max_bytes=max_bytes, max_pixels=max_pixels))
    except ImageError as refused:
        return Upload(name, None, _plain(str(refused)))


def _plain(sentence: str) -> str:
    """A sentence may quote a few characters of the file itself: none that the page would act on."""
    return sentence.translate(dict.fromkeys(map(ord, "<>`$[]*|~#\\")))


def _safe_path(path: str, length: int = 90) -> str:
    """``safe_name`` of each part: "P1/01.png" and "P2/01.png" stay two names."""
    parts = [safe_name(part) for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    clean = "/".join(parts) or "unnamed"
    return clean if len(clean) <= length else f"{clean[: length // 2]}...{clean[-length // 2 + 3 :]}"


def _few_marks(text: str) -> str:
    """At most two combining marks on a letter: a pile of them covers the lines above and below."""
    kept, marks = [], 0
    for c in text:
        marks = marks + 1 if unicodedata.category(c) in ("Mn", "Me") else 0
        if marks <= 2:
            kept.append(c)
    return "".join(kept)


def _images_below(start: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(start):  # links to folders are not followed
        below[:] = sorted(d for d in below if not d.startswith("."))
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                yield Path(folder, file)


def _resolved(path: Path) -> Path | None:
    try:
        return Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a link that leads to itself, before Python 3.13
        return None


def _below(path: Path, roots: list[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
