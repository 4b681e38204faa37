"""Which uploaded bytes may be looked at? Uploads in; pixels with a safe name, or one sentence each, out.

Nothing is stored: bytes stay in memory, zips are unpacked there by her2core.io.archives, and pixels are decoded by
her2core.io.images alone, which looks at the content and not at the name. Nothing here touches Streamlit, so that all
of it may run in a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from her2core.errors import ImageError
from her2core.io.archives import ArchiveLimits, read_archive, unique_name
from her2core.io.images import SUFFIXES, read_image
from her2core.io.text import safe_file_name, safe_path, without_markup

MAX_FILES = 32
MAX_BYTES = 30 * 2**20  # as server.maxUploadSize in .streamlit/config.toml
MAX_PIXELS = 40_000_000
# Of one session's patches together: 360 MB in memory
MAX_HELD_PIXELS = 120_000_000
# Of a zip or folder many patches go through the network together, so each may be smaller: 4,000 x 4,000 px
BATCH_PIXELS = 16_000_000
BATCH_BYTES = 64 * 2**20  # BATCH_PIXELS stored as uncompressed RGBA is 61 MiB
MAX_FOLDER_FILES = 20_000


@dataclass(frozen=True)
class Upload:
    """``image`` uint8 (H, W, 3) RGB, or None with the sentence in ``error``."""

    name: str
    image: np.ndarray | None
    error: str = ""


def accept(files) -> list[Upload]:
    """Decode each of the uploaded files (objects with ``name``, ``size`` and ``getvalue``); the rest go on."""
    taken, seen, held = [], {}, 0
    for file in files[:MAX_FILES]:
        # Two files of one name, from two folders: each keeps its own row and its own answer.
        name = unique_name(safe_file_name(file.name), seen)
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
    entries = read_archive(file.getvalue(), name=safe_file_name(file.name), limits=limits)
    while not (cancelled and cancelled()):
        entry = next(entries, None)
        if entry is None:
            return
        name, number, of = unique_name(safe_path(entry.name), seen), entry.number, entry.of
        if entry.data is None:
            upload = Upload(name, None, without_markup(name + entry.error.removeprefix(entry.name)))
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
            where=safe_file_name(str(folder)),
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
        name, real = unique_name(safe_path(path.relative_to(start).as_posix()), seen), _resolved(path)
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
        return Upload(name, None, without_markup(str(refused)))


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
