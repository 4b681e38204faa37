"""Status, tags and note of a run, kept beside its folder and never in it.

    <folder of runs>/.annotations/<name of the run>.json

No hash, table or figure of a run depends on them: a released run stays as it was released. One small file a run, so
that two people who annotate two runs at once lose nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from her2core.errors import ConfigError, RunError
from her2core.io.files import write_json
from her2core.io.text import clean_text
from her2core.runs.files import json_object, read_run_json

#: Folder of the annotations in a folder of runs; runs whose name starts with a dot are not listed.
FOLDER = ".annotations"
#: What a run is to its readers: may become the reference; what others are compared with; no longer to be used.
STATUSES = ("candidate", "reference", "withdrawn")
MOST_TAGS, TAG_LENGTH, NOTE_LENGTH = 20, 40, 2000


@dataclass(frozen=True)
class Annotation:
    """What people say of a run.

    Parameters
    ----------
    status : str
        One of ``STATUSES``, or empty.
    tags : tuple of str
        At most ``MOST_TAGS`` different words of at most ``TAG_LENGTH`` characters without a comma; sorted.
    note : str
        At most ``NOTE_LENGTH`` characters.

    Raises
    ------
    ConfigError
        For an unknown status, and tags or a note beyond these limits.

    Examples
    --------
    >>> Annotation("candidate", ("site 2", "baseline", "site 2 "))
    Annotation(status='candidate', tags=('baseline', 'site 2'), note='')
    >>> Annotation("production")
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected a status out of 'candidate', 'reference', 'withdrawn', or none, but got \
'production' (status of a run). Choose one.
    """

    status: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.status not in ("", *STATUSES):
            raise ConfigError(
                f"a status out of {', '.join(map(repr, STATUSES))}, or none",
                got=repr(self.status)[:60],
                where="status of a run",
                fix="Choose one.",
            )
        tags = tuple(sorted({clean for tag in self.tags if (clean := clean_text(tag, 1000).strip())}))
        wrong = [tag for tag in tags if len(tag) > TAG_LENGTH or "," in tag]
        if wrong or len(tags) > MOST_TAGS:
            raise ConfigError(
                f"at most {MOST_TAGS} tags of at most {TAG_LENGTH} characters, without commas",
                got=repr(wrong[0])[:80] if wrong else f"{len(tags)} tags",
                where="tags of a run",
                fix="Shorten them; sentences belong into the note.",
            )
        if len(self.note) > NOTE_LENGTH:
            raise ConfigError(
                f"a note of at most {NOTE_LENGTH:,} characters",
                got=f"{len(self.note):,}",
                where="note of a run",
                fix="Shorten it.",
            )
        object.__setattr__(self, "tags", tags)
        object.__setattr__(self, "note", self.note.strip())


def split_tags(text: str) -> tuple[str, ...]:
    """Read tags that are separated by commas.

    Parameters
    ----------
    text : str

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> split_tags("site 2, baseline,")
    ('site 2', 'baseline')
    """
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def read_annotation(run: str | os.PathLike[str]) -> Annotation:
    """Read what is said of a run.

    Parameters
    ----------
    run : path
        The run's folder.

    Returns
    -------
    Annotation
        An empty one where there is none.

    Raises
    ------
    RunError
        For a file that cannot be read, or that is no annotation.

    Examples
    --------
    >>> read_annotation("models/no-such-run")
    Annotation(status='', tags=(), note='')
    """
    path = annotation_file(run)
    if not os.path.lexists(path):
        return Annotation()
    found = json_object(read_run_json(path.parents[1], f"{FOLDER}/{path.name}"), path)
    status, tags, note = found.get("status", ""), found.get("tags", []), found.get("note", "")
    try:
        if not (isinstance(status, str) and isinstance(note, str) and isinstance(tags, list)):
            raise ConfigError("texts, and a list of tags", got="another kind", fix="")
        if not all(isinstance(tag, str) for tag in tags):
            raise ConfigError("tags that are texts", got="another kind", fix="")
        return Annotation(status, tuple(tags), note)
    except ConfigError as broken:
        raise RunError(broken.expected, got=broken.got, where=path, fix="Mend or remove this file.") from None


def write_annotation(run: str | os.PathLike[str], annotation: Annotation) -> Path:
    """Replace what is said of a run; the run's own folder is not touched.

    Parameters
    ----------
    run : path
        The run's folder.
    annotation : Annotation

    Returns
    -------
    Path
        The file.

    Raises
    ------
    RunError
        Where the folder of runs is read-only.

    Examples
    --------
    >>> import tempfile
    >>> run = Path(tempfile.mkdtemp(), "a-run")
    >>> run.mkdir()
    >>> write_annotation(run, Annotation("candidate", ("baseline",))).relative_to(run.parent).as_posix()
    '.annotations/a-run.json'
    >>> read_annotation(run).tags, list(run.iterdir())
    (('baseline',), [])
    """
    path = annotation_file(run)
    if not os.path.isdir(run):
        raise RunError("a run folder", got="no such folder", where=run, fix="her2 runs list shows the finished runs.")
    try:
        return write_json(path, asdict(annotation))
    except OSError as refused:
        raise RunError(
            "a folder of runs that can be written to, for status, tags and notes",
            got=(refused.strerror or type(refused).__name__).lower(),
            where=path.parents[1],
            fix="Change its permissions, or copy the run to another folder (her2 runs export).",
        ) from None


def changed(
    before: Annotation,
    *,
    status: str | None = None,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    note: str | None = None,
) -> Annotation:
    """Change parts of an annotation.

    Parameters
    ----------
    before : Annotation
    status, note : str, optional
        In place of the present ones; empty removes them.
    add, remove : iterable of str
        Tags.

    Returns
    -------
    Annotation

    Raises
    ------
    ConfigError
        As for ``Annotation``.

    Examples
    --------
    >>> changed(Annotation("candidate", ("a",)), status="", add=["b"], remove=["a"])
    Annotation(status='', tags=('b',), note='')
    """
    kept = {*before.tags, *(tag.strip() for tag in add)} - {tag.strip() for tag in remove}
    return Annotation(before.status if status is None else status, tuple(kept), before.note if note is None else note)


def annotation_file(run: str | os.PathLike[str]) -> Path:
    """Name the file of a run's annotation.

    Parameters
    ----------
    run : path
        The run's folder.

    Returns
    -------
    Path

    Examples
    --------
    >>> annotation_file("models/demo").parts[-3:]
    ('models', '.annotations', 'demo.json')
    """
    folder = Path(os.path.abspath(run))
    return folder.parent / FOLDER / f"{folder.name}.json"


def can_annotate(run: str | os.PathLike[str]) -> bool:
    """Tell whether a run's annotation can be written here.

    Parameters
    ----------
    run : path
        The run's folder.

    Returns
    -------
    bool

    Examples
    --------
    >>> import tempfile
    >>> can_annotate(Path(tempfile.mkdtemp(), "a-run"))
    True
    """
    folder = annotation_file(run).parent
    effective = os.access in os.supports_effective_ids
    return os.access(folder if folder.is_dir() else folder.parent, os.W_OK | os.X_OK, effective_ids=effective)
