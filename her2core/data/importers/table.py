"""Importer of one's own table: CSV, Parquet or Excel, with a mapping of its columns where they are not recognised."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from her2core.data.manifest import COLUMNS, WINDOW, Manifest, build_manifest
from her2core.data.manifest_rows import names_manifest, recognise_columns
from her2core.errors import ManifestError
from her2core.io.tables import read_table
from her2core.io.text import clean_text
from her2core.labels import declared_scheme, get_scheme


def to_manifest(
    root: Path,
    *,
    columns: Mapping[str, str] | None = None,
    scheme: str | None = None,
    classes: Sequence[str] | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Manifest:
    """Read a table as a manifest.

    Parameters
    ----------
    root : Path
        The table.
    columns : mapping of str to str, optional
        Manifest column -> the table's column, such as ``{"label": "HER2 Expression"}``. Others are recognised by name
        (``io.columns.SPELLINGS``). One column may serve twice.
    scheme : str, optional
        Name of a label scheme (``labels.SCHEMES``), into which IHC scores and HER2 status words are mapped. When left
        out, the one that the labels follow.
    classes : sequence of str, optional
        All classes in their order, instead of a named scheme.
    images : path, optional
        Folder from which relative paths start; the table's own when left out.

    Returns
    -------
    Manifest
        Its facts say which columns and labels were read as what.

    Raises
    ------
    TableError
        For what is no readable table.
    ManifestError
        For a mapping that names a column which the table does not have, and for rows that break the schema.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table = Path(folder, "cases.csv")
    ...     _ = table.write_text("file,outcome\\n1.png,2+\\n2.png,0/1+\\n3.png,3+\\n")
    ...     manifest = to_manifest(table, columns={"label": "outcome"}, scheme="paper3")
    >>> manifest.frame["label"].tolist()
    ['equivocal', 'negative', 'positive']
    """
    path = Path(root)
    columns = dict(columns or {})
    text = [own for target, own in columns.items() if target not in ("mpp", *WINDOW)]
    table = read_table(path, text=text, wanted=lambda names: names_manifest(names, columns.values()))
    frame = table.frame
    known = (*COLUMNS, *WINDOW, "split")
    for target, own in columns.items():
        if own not in frame.columns:
            raise ManifestError(
                f"a column {own!r} to use as {target}",
                got=f"columns {', '.join(clean_text(c, 40) for c in frame.columns[:20])}",
                where=str(path),
                fix="Correct the name in the mapping.",
            )
        if target not in known:
            raise ManifestError(
                f"a manifest column out of {', '.join(known)}",
                got=repr(target),
                where="column mapping",
                fix="Other columns are kept under their own name and need no mapping.",
            )
    # A column of the table that has a mapped name gives way to the mapping; one column may serve twice.
    taken = {target: frame[own] for target, own in columns.items()}
    frame = frame.drop(columns=[own for own in set(columns.values()) if own not in known]).assign(**taken)
    frame, recognised = recognise_columns(frame)
    facts: dict[str, object] = {}
    if columns or recognised:
        facts["columns_read_as"] = {**columns, **recognised}
    if table.notes:
        facts["table_notes"] = list(table.notes)
    chosen = None
    if classes:
        chosen = declared_scheme("declared", tuple(classes), f"classes declared for {path.name}")
    elif scheme:
        chosen = get_scheme(scheme)
    return build_manifest(
        frame, root=Path(images) if images else path.parent, scheme=chosen, facts=facts, where=str(path)
    )
