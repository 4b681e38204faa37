"""How do I bring my own table? Any CSV or Parquet and a mapping of its columns in, a manifest out."""

from __future__ import annotations

import os
from pathlib import Path

from her2core.data.manifest import COLUMNS, WINDOW, Manifest, build_manifest
from her2core.errors import ManifestError
from her2core.io.files import read_table
from her2core.labels import SCHEMES, declared_scheme


def to_manifest(
    root: Path,
    *,
    columns: dict[str, str] | None = None,
    scheme: str | None = None,
    classes: tuple[str, ...] | None = None,
    images: str | os.PathLike | None = None,
) -> Manifest:
    """A manifest from the table at ``root``.

    Parameters
    ----------
    columns : manifest column -> the table's column, for those named differently, e.g. ``{"label": "HER2 Expression"}``.
    scheme : name of a label scheme (labels.SCHEMES); ``classes`` declares one of your own instead.
    images : folder that relative paths start from; the table's own folder when left out.

    Raises ManifestError for a mapping that names a column the table does not have, or a table that breaks the schema.
    """
    table = Path(root)
    columns = dict(columns or {})
    frame, _ = read_table(table, text=[own for target, own in columns.items() if target not in ("mpp", *WINDOW)])
    known = (*COLUMNS, *WINDOW, "split")
    for target, own in columns.items():
        if own not in frame.columns:
            raise ManifestError(
                f"a column {own!r} to use as {target}",
                got=f"columns {', '.join(map(str, frame.columns[:20]))}",
                where=str(table),
                fix="Correct the name in the mapping.",
            )
        if target not in known:
            raise ManifestError(
                f"a manifest column out of {', '.join(known)}",
                got=repr(target),
                where="column mapping",
                fix="Other columns are kept under their own name and need no mapping.",
            )
    # A column of the table that already bears a mapped name gives way to the mapping; one column may serve twice.
    taken = {target: frame[own] for target, own in columns.items()}
    frame = frame.drop(columns=[own for own in set(columns.values()) if own not in known]).assign(**taken)
    chosen = None
    if classes:
        chosen = declared_scheme("declared", tuple(classes), f"classes declared for {table.name}")
    elif scheme:
        from her2core.labels import get_scheme

        chosen = get_scheme(scheme)
    elif "label" in frame:
        found = {str(v) for v in frame["label"].dropna()}
        chosen = next((s for s in SCHEMES.values() if set(s.classes) == found), None)
    return build_manifest(frame, root=Path(images) if images else table.parent, scheme=chosen, where=str(table))
