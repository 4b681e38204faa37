"""HER2 columns of TCGA's clinical table: IHC status, IHC score and FISH result apart, and their contradictions."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from her2core.errors import ManifestError
from her2core.io.tables import read_table
from her2core.labels import IHC_SCORES, LabelScheme

BARCODE = "bcr_patient_barcode"
STATUS, SCORE, FISH = "her2_status_by_ihc", "her2_ihc_score", "her2_fish_status"
#: Kept where the table has it.
ETHNICITY = "ethnicity"
NEEDED = (BARCODE, STATUS, SCORE, FISH, "age_at_diagnosis", "race", "er_status_by_ihc", "pr_status_by_ihc")
_STATUS = ("negative", "equivocal", "positive")
SCHEMES_TCGA = {
    "ihc_status": LabelScheme("ihc_status", _STATUS, "HER2 IHC status as recorded by the site (TCGA), FISH ignored"),
    "ihc_positive": LabelScheme(
        "ihc_positive",
        ("not positive", "positive"),
        "HER2 IHC status as recorded by the site (TCGA), positive against negative and equivocal, FISH ignored",
    ),
    "ihc_score": LabelScheme("ihc_score", IHC_SCORES, "HER2 IHC score as recorded by the site (TCGA)"),
    "final": LabelScheme(
        "final",
        ("negative", "positive"),
        "HER2 IHC status as recorded (TCGA), overridden by a positive or negative FISH",
    ),
}
#: IHC scores that go with each status (ASCO/CAP).
_SCORES = {"negative": ("0", "1+"), "equivocal": ("2+",), "positive": ("3+",)}


def find_clinical(root: Path) -> Path:
    """Find the clinical table below a folder by its header.

    Parameters
    ----------
    root : Path
        Its text files and those of its direct folders are tried.

    Returns
    -------
    Path

    Raises
    ------
    ManifestError
        For none or several.
    """
    tried = [p for pattern in ("*", "*/*") for p in sorted(root.glob(pattern)) if p.suffix in (".txt", ".tsv", ".csv")]
    found = [path for path in tried if _is_clinical(path)]
    if len(found) != 1:
        raise ManifestError(
            f"one clinical table with columns {BARCODE} and {STATUS}",
            got=", ".join(path.name for path in found) or "none",
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
        Indexed by patient_id: her2_status_by_ihc, her2_ihc, ish, her2_final, age_group, race, er, pr, and ethnicity
        where the table has it. Unknown is None for status and score, ``unknown`` elsewhere.

    Raises
    ------
    ManifestError
        For a missing column, or a patient with two rows.
    """
    table = read_table(path, text=(*NEEDED, ETHNICITY)).frame
    if missing := [name for name in NEEDED if name not in table]:
        raise ManifestError(
            f"columns {', '.join(NEEDED)}",
            got=f"none named {', '.join(missing)}",
            where=path,
            fix="Use TCGA's table unchanged.",
        )
    table = table[table[BARCODE].astype(str).str.fullmatch(r"TCGA-\w{2}-\w{4}")].set_index(BARCODE)
    if table.index.duplicated().any():
        raise ManifestError(
            "one row a patient",
            got=f"{table.index[table.index.duplicated()][0]} twice",
            where=path,
            fix="Keep the row that applies.",
        )
    named = [*NEEDED[1:], *([ETHNICITY] if ETHNICITY in table else [])]
    words = {name: table[name].astype(str).str.strip().str.lower() for name in named}
    clinical = pd.DataFrame(index=table.index)
    clinical[STATUS] = _known(words[STATUS], _STATUS)
    clinical["her2_ihc"] = _known(words[SCORE], IHC_SCORES)
    clinical["ish"] = _known(words[FISH], ("negative", "positive")).fillna("unknown")
    status = clinical[STATUS].where(clinical[STATUS] != "equivocal", None)
    clinical["her2_final"] = clinical["ish"].where(clinical["ish"] != "unknown", status)
    age = pd.to_numeric(words["age_at_diagnosis"], errors="coerce")
    bands = pd.cut(age, [0, 50, 65, 200], right=False, labels=["under 50", "50 to 64", "65 and over"])  # our choice
    clinical["age_group"] = bands.astype("object").fillna("unknown")
    for name in ("race", *named[len(NEEDED) - 1 :]):
        clinical[name] = words[name].where(~words[name].str.startswith("["), "unknown")
    for short in ("er", "pr"):
        clinical[short] = _known(words[f"{short}_status_by_ihc"], ("negative", "positive")).fillna("unknown")
    return clinical.rename_axis("patient_id")


def label_of(frame: pd.DataFrame, scheme: str) -> pd.Series:
    """The label of each row under a scheme of ``SCHEMES_TCGA``.

    Parameters
    ----------
    frame : DataFrame
        With the columns of ``read_clinical``.
    scheme : str
        Its name.

    Returns
    -------
    Series of object
        None where the scheme has no class.

    Examples
    --------
    >>> case = pd.DataFrame({STATUS: ["negative"], "her2_ihc": ["1+"], "her2_final": ["positive"]})
    >>> [label_of(case, scheme)[0] for scheme in SCHEMES_TCGA]
    ['negative', 'not positive', '1+', 'positive']
    """
    if scheme == "ihc_positive":
        return frame[STATUS].map({status: "not positive" for status in _STATUS} | {"positive": "positive"})
    return frame[{"ihc_status": STATUS, "ihc_score": "her2_ihc", "final": "her2_final"}[scheme]]


def conflict_of(frame: pd.DataFrame) -> pd.Series:
    """Contradictions between status, score and FISH of each row.

    Parameters
    ----------
    frame : DataFrame
        With the columns of ``read_clinical``.

    Returns
    -------
    Series of str
        Empty where there is none.

    Examples
    --------
    >>> case = pd.DataFrame({STATUS: ["positive"], "her2_ihc": ["2+"], "ish": ["negative"]})
    >>> conflict_of(case)[0]
    'IHC status positive with score 2+; IHC status positive with FISH negative'
    """
    said = []
    for status, score, fish in zip(frame[STATUS], frame["her2_ihc"], frame["ish"], strict=True):
        found = []
        if status in _SCORES and score in IHC_SCORES and score not in _SCORES[status]:
            found.append(f"IHC status {status} with score {score}")
        if (status, fish) in (("positive", "negative"), ("negative", "positive")):
            found.append(f"IHC status {status} with FISH {fish}")
        said.append("; ".join(found))
    return pd.Series(said, index=frame.index, dtype="object")


def _known(words: pd.Series, values: tuple[str, ...]) -> pd.Series:
    return words.astype("object").where(words.isin(values), None)


def _is_clinical(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as handle:
        header = handle.readline(65_536)
    return BARCODE in header and STATUS in header
