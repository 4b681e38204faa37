"""Decoding of uploaded images: files, zip archives and folders of the server.

Nothing is stored: bytes stay in memory, zips are unpacked there by ``her2core.io.archives``, and pixels are decoded by
``her2core.io.images`` alone, which looks at the content and not at the name. Every file gives either pixels or one
sentence, and the others go on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from her2core.errors import ImageError
from her2core.io.archives import ArchiveLimits, read_archive, unique_name
from her2core.io.dicom_header import one_file_a_series
from her2core.io.image_header import SLIDE_SUFFIXES
from her2core.io.images import SUFFIXES, DecodedImage, decode_image, image_size
from her2core.io.listing import images_below, is_system_name
from her2core.io.scale import image_scale
from her2core.io.text import printable_path, safe_file_name, safe_path, without_markup

MAX_FILES = 32
MAX_BYTES = 30 * 2**20  # as server.maxUploadSize in .streamlit/config.toml
MAX_PIXELS = 40_000_000
#: Of one session's patches together: 360 MB in memory.
MAX_PIXELS_TOTAL = 120_000_000
#: Of a zip or folder many patches go through the network together, so each may be smaller: 4,000 x 4,000 px.
BATCH_PIXELS = 16_000_000
BATCH_BYTES = 64 * 2**20  # BATCH_PIXELS stored as uncompressed RGBA is 61 MiB
MAX_FOLDER_FILES = 20_000
#: At most so many folders are offered for a batch.
MAX_FOLDERS = 200
#: Most slides that are offered, and the smallest plain image taken for one, in bytes (our choice).
MAX_SLIDES, MIN_SLIDE = 500, 4_000_000


class UploadedFile(Protocol):
    """A file in memory, as Streamlit's uploader hands it over."""

    name: str

    def getvalue(self) -> bytes:
        """Return the file's content."""
        ...


@dataclass(frozen=True)
class Upload:
    """One uploaded file: its pixels, or the reason why there are none.

    Attributes
    ----------
    name : str
        Cleaned for display, unique among the files read together.
    image : numpy.ndarray or None
        uint8 (H, W, 3) RGB; None where the file was refused.
    error : str
        One sentence that starts with the file's name; empty where there is an image.
    flags : tuple of str
        Keys of ``her2core.io.colours.FLAGS``.
    mpp : float or None
        Microns per pixel as the file states them; None where it states none.
    scale_source : str
        Where the file states them; empty where it does not.
    file : str
        The name as the browser, archive or folder stated it, printable: ``+1.png`` and ``-1.png`` are both shown as
        ``1.png``, and exports have this one beside it. Empty where there was no file.
    """

    name: str
    image: np.ndarray | None
    error: str = ""
    flags: tuple[str, ...] = ()
    mpp: float | None = None
    scale_source: str = ""
    file: str = ""

    @property
    def decoded(self) -> DecodedImage:
        """The image with flags and scale, as a predictor takes it; raises ValueError where there is none."""
        if self.image is None:
            raise ValueError(f"{self.name} has no image")
        return DecodedImage(self.image, self.flags, self.mpp)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the pixels and their shape, and of the flags: one image under two names is one content."""
        pixels = np.zeros((0, 0, 3), np.uint8) if self.image is None else np.ascontiguousarray(self.image)
        return hashlib.sha256(repr((*pixels.shape, *self.flags)).encode() + pixels.tobytes()).hexdigest()


def read_uploads(files: Sequence[UploadedFile]) -> list[Upload]:
    """Decode uploaded images, at most MAX_FILES of MAX_PIXELS_TOTAL pixels together.

    Parameters
    ----------
    files : sequence of UploadedFile
        Objects with ``name`` and ``getvalue()``.

    Returns
    -------
    list of Upload
        One a file, in order. Files of one name get a number, so that each keeps its own row and answer; a last entry
        counts those above MAX_FILES.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> notes = SimpleNamespace(name="notes.png", getvalue=lambda: b"these are notes")
    >>> read_uploads([notes])[0].error.split(". ")[0]
    'notes.png: her2core needs a PNG, JPEG, TIFF, BMP or WebP image, but found text'
    """
    taken: list[Upload] = []
    names: dict[str, int] = {}
    pixels = 0
    for file in files[:MAX_FILES]:
        name = unique_name(safe_file_name(file.name), names)
        if pixels + _stated_pixels(file.getvalue()) > MAX_PIXELS_TOTAL:
            reason = f"left out, as at most {MAX_PIXELS_TOTAL:,} px are read together. Upload it separately."
            taken.append(Upload(name, None, f"{name}: {reason}", file=printable_path(file.name)))
            continue
        upload = _decode(file.getvalue(), name, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
        if upload.image is not None:
            pixels += upload.image.shape[0] * upload.image.shape[1]
            upload = replace(upload, scale_source=image_scale(file.getvalue(), name=name).source)
        taken.append(replace(upload, file=printable_path(file.name)))
    if len(files) > MAX_FILES:
        reason = f"{len(files) - MAX_FILES} files left out: {MAX_FILES} are read together. Upload the rest separately."
        taken.append(Upload("the rest", None, reason))
    return taken


def _stated_pixels(data: bytes) -> int:
    """Pixels that an image's header states; 0 for what is refused when it is decoded."""
    try:
        width, height = image_size(data, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)
    except ImageError:
        return 0
    return width * height


def read_uploaded_archive(
    file: UploadedFile,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Upload]:
    """Decode the images of an uploaded zip, one at a time, in the archive's order.

    Parameters
    ----------
    file : UploadedFile
        The zip.
    on_progress : callable, optional
        Called with (done, total) after each entry.
    cancelled : callable, optional
        Asked before each entry; True ends the reading.

    Yields
    ------
    Upload
        One an entry; names keep their folders. A refused entry gives its sentence and the rest go on.

    Raises
    ------
    ImageError
        With the first ``next``, when the archive as a whole is refused.
    """
    names: dict[str, int] = {}
    entries = read_archive(file.getvalue(), name=safe_file_name(file.name), limits=ArchiveLimits(entry=BATCH_BYTES))
    while not (cancelled and cancelled()):
        entry = next(entries, None)
        if entry is None:
            return
        name, number, total = unique_name(safe_path(entry.name), names), entry.number, entry.of
        if entry.data is None:
            upload = Upload(name, None, without_markup(f"{name}: {entry.error.removeprefix(f'{entry.name}: ')}"))
        else:
            upload = _decode(entry.data, name, max_bytes=BATCH_BYTES, max_pixels=BATCH_PIXELS)
        upload = replace(upload, file=entry.stated)
        del entry  # its bytes, before the next entry's
        yield upload
        del upload
        if on_progress:
            on_progress(number, total)


def read_folder(
    folder: Path,
    *,
    roots: Sequence[Path],
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Upload]:
    """Decode the images below a folder of the server, folder by folder in the order of names.

    Files are found by the one rule for folders (``her2core.io.listing``): links are followed where they stay below the
    allowed folders, and what is left out is said at the end.

    Parameters
    ----------
    folder : Path
        Where to look.
    roots : sequence of Path
        The allowed folders: ``folder`` and every file must lie below one of them once links are followed.
    on_progress, cancelled : callable, optional
        As in ``read_uploaded_archive``.

    Yields
    ------
    Upload
        One a file. A file that cannot be read, or is a link that leads out of ``roots``, gives its sentence and the
        rest go on; after MAX_FOLDER_FILES a last sentence says that there are more.

    Raises
    ------
    ImageError
        With the first ``next``, when ``folder`` does not exist or lies outside of ``roots``.
    """
    allowed = [Path(root).resolve() for root in roots]
    start = _resolved(folder)
    names: dict[str, int] = {}
    if start is None or not start.is_dir() or not _below(start, allowed):
        # One sentence for all three: what lies elsewhere on this server is not for the visitor to learn.
        raise ImageError(
            "a folder below the allowed ones",
            got="a folder outside of them, or none",
            where=safe_file_name(str(folder)),
            fix="Choose one from the list; HER2_FOLDERS says which are allowed.",
        )
    listing = images_below(start, roots=allowed)
    paths = listing.files[: MAX_FOLDER_FILES + 1]
    for number, path in enumerate(paths):
        if cancelled and cancelled():
            return
        if number == MAX_FOLDER_FILES:
            reason = f"at most {MAX_FOLDER_FILES:,} files are read. Choose a smaller folder."
            yield Upload("the rest", None, f"the rest: left out, as {reason}")
            return
        below = path.relative_to(start).as_posix()
        name, real = unique_name(safe_path(below), names), _resolved(path)
        if real is None or not _below(real, allowed):
            reason = (
                "her2core needs a file below the allowed folders, but found a link that leads elsewhere or nowhere."
            )
            upload = Upload(name, None, f"{name}: {reason} Put the image itself there.")
        else:
            upload = _decode(real, name, max_bytes=BATCH_BYTES, max_pixels=BATCH_PIXELS)
        yield replace(upload, file=printable_path(below))
        del upload
        if on_progress:
            on_progress(number + 1, min(len(paths), MAX_FOLDER_FILES))
    for sentence in (*listing.left_out, *listing.unreadable):
        name = unique_name(safe_path(sentence.partition(": left out")[0]), names)
        yield Upload(name, None, without_markup(f"{name}: left out{sentence.partition(': left out')[2]}"))


def allowed_roots(default: Path) -> tuple[Path, ...]:
    """Folders of the server that may be read: those of HER2_FOLDERS (separated as in PATH), or ``default``."""
    named = os.environ.get("HER2_FOLDERS")
    return tuple(Path(p).resolve() for p in named.split(os.pathsep) if p) if named else (default.resolve(),)


def image_folders(roots: Sequence[Path]) -> list[Path]:
    """Folders below ``roots`` that hold images, at most MAX_FOLDERS; hidden ones and links are passed over."""
    found: list[Path] = []
    for root in roots:
        for folder, below, files in os.walk(root):  # links to folders are not followed
            below[:] = sorted(d for d in below if not is_system_name(d))
            if any(f.lower().endswith(SUFFIXES) for f in files):
                found.append(Path(folder))
            if len(found) >= MAX_FOLDERS:
                return found
    return found


def slide_files(roots: Sequence[Path]) -> list[Path]:
    """Slides of the server that a page may offer.

    Parameters
    ----------
    roots : sequence of Path
        Allowed folders, resolved; links that lead out of them are not followed.

    Returns
    -------
    list of Path
        Whole slides, and plain images of at least MIN_SLIDE bytes (smaller ones are patches); at most MAX_SLIDES.

    Examples
    --------
    >>> slide_files([Path("no-such-folder")])
    []
    """
    found: list[Path] = []
    for root in roots:
        if root.is_dir():
            for path in one_file_a_series(images_below(root, roots=roots, slides=True).files):
                large = path.suffix.lower() in SLIDE_SUFFIXES or os.path.getsize(path) >= MIN_SLIDE
                if large and _below(Path(os.path.realpath(path)), roots):
                    found.append(path)
                if len(found) == MAX_SLIDES:
                    return found
    return found


def folder_titles(folders: Sequence[Path], roots: Sequence[Path]) -> list[str]:
    """Names of folders for a list: below the name of their root, without where the root is on this machine.

    Parameters
    ----------
    folders : sequence of Path
        From ``image_folders``.
    roots : sequence of Path
        The allowed folders; of two with one name the second gets a number.

    Returns
    -------
    list of str
        One a folder, each unique.

    Examples
    --------
    >>> roots = [Path("/srv/data"), Path("/mnt/data")]
    >>> folder_titles([Path("/srv/data"), Path("/srv/data/a"), Path("/mnt/data/a")], roots)
    ['data', 'data/a', 'data (2)/a']
    """
    taken: dict[str, int] = {}
    named = {root: unique_name(safe_file_name(root.name), taken) for root in roots}
    titles: list[str] = []
    used: dict[str, int] = {}
    for folder in folders:
        root = next(root for root in sorted(roots, key=lambda r: -len(r.parts)) if folder.is_relative_to(root))
        below = folder.relative_to(root).as_posix()
        titles.append(unique_name(named[root] if below == "." else f"{named[root]}/{safe_path(below)}", used))
    return titles


def _decode(source: bytes | Path, name: str, *, max_bytes: int, max_pixels: int) -> Upload:
    try:
        found = decode_image(source, name=name, max_bytes=max_bytes, max_pixels=max_pixels)
        return Upload(name, found.pixels, flags=found.flags, mpp=found.mpp)
    except ImageError as refused:
        return Upload(name, None, without_markup(refused.sentence))


def _resolved(path: Path) -> Path | None:
    try:
        return Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a link that leads to itself, before Python 3.13
        return None


def _below(path: Path, roots: Sequence[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)
