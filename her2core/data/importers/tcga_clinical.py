"""HER2 columns of TCGA's clinical table: IHC status, IHC score and FISH result apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from her2core.data.importers.her2_results import STATUS, age_groups, her2_schemes
from her2core.data.importers.published import require_published
from her2core.data.importers.result_tables import WORKBOOKS, table_files
from her2core.errors import ManifestError, TableError
from her2core.io.number_formats import to_numbers
from her2core.io.tables import read_table
from her2core.io.text import printable_path
from her2core.labels import IHC_SCORES, LabelScheme

BARCODE = "bcr_patient_barcode"
SCORE, FISH = "her2_ihc_score", "her2_fish_status"
NEEDED = (BARCODE, STATUS, SCORE, FISH)
#: Kept where the table has them: releases differ in their columns.
FURTHER = ("age_at_diagnosis", "race", "ethnicity", "er_status_by_ihc", "pr_status_by_ihc")
NUMBERS = ("her2_copy_number", "cent17_copy_number", "her2_cent17_ratio")
_STATUS = ("negative", "equivocal", "positive")
SCHEMES_TCGA: dict[str, LabelScheme] = {
    **her2_schemes(["ihc_status", "ihc_positive", "ihc_score"], "as recorded by the site (TCGA)"),
    "final": LabelScheme(
        "final",
        ("negative", "positive"),
        "HER2 IHC status as recorded (TCGA), overridden by a positive or negative FISH",
    ),
}
#: Patients of the release with 1,099 patients by what their record says.
PUBLISHED_CLINICAL = {
    "patients": 1099,
    **{
        f"{STATUS} {word}": n
        for word, n in (
            *(("Negative", 566), ("Equivocal", 179), ("Positive", 164), ("[Not Evaluated]", 170)),
            *(("Indeterminate", 12), ("[Not Available]", 8)),
        )
    },
    **{f"{SCORE} {word}": n for word, n in (("0", 61), ("1+", 273), ("2+", 199), ("3+", 90), ("[Not Available]", 476))},
}


def find_clinical(root: Path) -> Path:
    """Find the clinical table below a folder by its header.

    Parameters
    ----------
    root : Path
        Its tables and those of its folders are tried: text, Excel, OpenDocument, Parquet.

    Returns
    -------
    Path

    Raises
    ------
    ManifestError
        For none or several.
    """
    found = [path for path in table_files(root) if path.is_file() and _is_clinical(path)]
    if len(found) != 1:
        raise ManifestError(
            f"one clinical table with columns {BARCODE} and {STATUS}",
            got=", ".join(printable_path(path.relative_to(root)) for path in found) or "none",
            where=root,
            fix="Put TCGA's nationwidechildrens.org_clinical_patient_brca.txt into this folder, and no other.",
        )
    return found[0]


def read_clinical(path: Path) -> pd.DataFrame:
    """Read the HER2 columns of the clinical table.

    Parameters
    ----------
    path : Path
        TCGA's table; rows without a barcode are its further header rows.

    Returns
    -------
    DataFrame
        Indexed by patient_id: her2_status_by_ihc, her2_ihc, ish, her2_final, age_group, race, er, pr, and ethnicity and
        the numbers of FISH where the table has them. Unknown is None for status and score, ``unknown`` elsewhere.
        ``attrs["counts"]`` counts the patients by the words of the record. Columns on metastatic tissue (``nte_``) are
        not read.

    Raises
    ------
    ManifestError
        For a missing column, or a patient with two rows that differ.
    """
    table = read_table(path, text=(*NEEDED, *FURTHER, *NUMBERS), wanted=_has_needed).frame
    if missing := [name for name in NEEDED if name not in table]:
        raise ManifestError(
            f"columns {', '.join(NEEDED)}",
            got=f"none named {', '.join(missing)}",
            where=path,
            fix="Use TCGA's table unchanged.",
        )
    table = table[table[BARCODE].astype(str).str.fullmatch(r"TCGA-\w{2}-\w{4}")].drop_duplicates().set_index(BARCODE)
    if table.index.duplicated().any():
        raise ManifestError(
            "one row a patient",
            got=f"{table.index[table.index.duplicated()][0]} with rows that differ",
            where=path,
            fix="Keep the row that applies.",
        )
    held = [name for name in (*NEEDED[1:], *FURTHER) if name in table]
    recorded = {name: table[name].astype(str).str.strip() for name in held}
    words = {name: column.str.lower() for name, column in recorded.items()}
    absent = pd.Series("unknown", index=table.index)
    clinical = pd.DataFrame(index=table.index)
    clinical[STATUS] = _known(words[STATUS], _STATUS)
    clinical["her2_ihc"] = _known(words[SCORE], IHC_SCORES)
    clinical["ish"] = _known(words[FISH], ("negative", "positive")).fillna("unknown")
    status = clinical[STATUS].where(clinical[STATUS] != "equivocal", None)
    clinical["her2_final"] = clinical["ish"].where(clinical["ish"] != "unknown", status)
    clinical["age_group"] = age_groups(words.get("age_at_diagnosis", absent))
    for name in ("race", "ethnicity"):
        if name in words or name == "race":
            column = words.get(name, absent)
            clinical[name] = column.where(~column.str.startswith("["), "unknown")
    for short in ("er", "pr"):
        column = words.get(f"{short}_status_by_ihc", absent)
        clinical[short] = _known(column, ("negative", "positive")).fillna("unknown")
    for name in NUMBERS:
        if name in table:
            clinical[name] = to_numbers(table[name])
    counts = {f"{name} {word}": int(n) for name in (STATUS, SCORE) for word, n in recorded[name].value_counts().items()}
    clinical.attrs["counts"] = {"patients": len(clinical), **counts}
    return clinical.rename_axis("patient_id")


def validate_clinical(
    counts: Mapping[str, int], *, published: Mapping[str, int] = PUBLISHED_CLINICAL, partial: bool = False
) -> list[str]:
    """Check the clinical table against the release with 1,099 patients.

    Parameters
    ----------
    counts : mapping of str to int
        ``attrs["counts"]`` of ``read_clinical``.
    published : mapping of str to int, optional
        Patients by what their record says.
    partial : bool, optional
        Accept a table with fewer patients.

    Returns
    -------
    list of str
        What is missing.

    Raises
    ------
    ManifestError
        Naming each count that differs. Other releases have 1,097 or 1,098 patients.

    Examples
    --------
    >>> validate_clinical({"patients": 3}, published={"patients": 3})
    []
    """
    return require_published(counts, published, name="TCGA's clinical table", partial=partial)


def _known(words: pd.Series, values: tuple[str, ...]) -> pd.Series:
    return words.astype("object").where(words.isin(values), None)


def _is_clinical(path: Path) -> bool:
    if path.suffix.lower() in WORKBOOKS:
        try:
            return set(NEEDED) <= set(read_table(path, wanted=_has_needed).frame)
        except TableError:
            return False
    with path.open("rb") as handle:
        head = handle.read(65_536).replace(b"\0", b"")  # of UTF-16
    return BARCODE.encode() in head and STATUS.encode() in head


def _has_needed(names: list[str]) -> bool:
    return set(NEEDED) <= set(names)
