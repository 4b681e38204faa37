"""HER2 results of a case as columns: IHC score, ISH result and final result apart, and the label under a named scheme.

Public data sets record these separately, and they contradict each other in some cases. Importers keep them in the
columns ``her2_ihc``, ``ish`` and ``her2_final`` beside ``her2_status_by_ihc``; a scheme names the one that the label
is, and contradictions are reported, never resolved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from her2core.errors import ManifestError
from her2core.io.cells import is_missing, label_text
from her2core.labels import IHC_SCORES, SCHEMES, LabelScheme, spelled_class

#: Column of the IHC status: as recorded where a data set records it, otherwise derived from the score.
STATUS = "her2_status_by_ihc"
_STATUS = SCHEMES["paper3"].classes
#: IHC scores that go with each status (ASCO/CAP).
_SCORES = {"negative": ("0", "1+"), "equivocal": ("2+",), "positive": ("3+",)}
#: Name of a scheme -> its classes and what they mean; {} is where the result comes from.
_NAMED: dict[str, tuple[tuple[str, ...], str]] = {
    "ihc_status": (_STATUS, "HER2 IHC status {}, FISH ignored"),
    "ihc_positive": (
        ("not positive", "positive"),
        "HER2 IHC status {}, positive against negative and equivocal, FISH ignored",
    ),
    "ihc_score": (IHC_SCORES, "HER2 IHC score {}"),
    "final": (("negative", "positive"), "final HER2 result {}"),
}
_WORDS = {
    **dict.fromkeys(("negative", "her2negative", "0", "no", "notamplified", "nonamplified", "unamplified"), "negative"),
    **dict.fromkeys(("positive", "her2positive", "1", "yes", "amplified"), "positive"),
}


def her2_schemes(names: Sequence[str], recorded: str) -> dict[str, LabelScheme]:
    """Schemes under which a data set can be labelled.

    Parameters
    ----------
    names : sequence of str
        Out of ``ihc_status`` (negative, equivocal, positive), ``ihc_positive`` (positive against the other two),
        ``ihc_score`` (0 to 3+) and ``final`` (negative or positive after ISH).
    recorded : str
        Where the result comes from, for the model card: ``as recorded by the site (TCGA)``.

    Returns
    -------
    dict of str to LabelScheme

    Examples
    --------
    >>> her2_schemes(["ihc_positive"], "of the slide (BCI)")["ihc_positive"].meaning
    'HER2 IHC status of the slide (BCI), positive against negative and equivocal, FISH ignored'
    """
    return {name: LabelScheme(name, _NAMED[name][0], _NAMED[name][1].format(recorded)) for name in names}


def chosen_scheme(schemes: dict[str, LabelScheme], name: str) -> LabelScheme:
    """Look up one of a data set's schemes.

    Parameters
    ----------
    schemes : dict of str to LabelScheme
        Those of the data set.
    name : str
        The one asked for.

    Returns
    -------
    LabelScheme

    Raises
    ------
    ManifestError
        For any other name.

    Examples
    --------
    >>> chosen_scheme(her2_schemes(["final"], "as published"), "final").classes
    ('negative', 'positive')
    """
    if name not in schemes:
        raise ManifestError(
            f"a scheme out of {', '.join(schemes)}", got=repr(name), where="scheme", fix="Use one of these."
        )
    return schemes[name]


def label_of(frame: pd.DataFrame, scheme: str) -> pd.Series:
    """The label of each row under a named scheme.

    Parameters
    ----------
    frame : DataFrame
        Columns ``her2_status_by_ihc``, ``her2_ihc`` and ``her2_final``, as far as the scheme needs them.
    scheme : str
        A name that ``her2_schemes`` knows; another is a column itself.

    Returns
    -------
    Series of object
        None where the scheme has no class.

    Examples
    --------
    >>> case = pd.DataFrame({STATUS: ["negative"], "her2_ihc": ["1+"], "her2_final": ["positive"]})
    >>> [label_of(case, scheme)[0] for scheme in ("ihc_status", "ihc_positive", "ihc_score", "final")]
    ['negative', 'not positive', '1+', 'positive']
    """
    if scheme == "ihc_positive":
        return frame[STATUS].map({status: "not positive" for status in _STATUS} | {"positive": "positive"})
    return frame[{"ihc_status": STATUS, "ihc_score": "her2_ihc", "final": "her2_final"}.get(scheme, scheme)]


def conflict_of(frame: pd.DataFrame, *, final_recorded: bool = False) -> pd.Series:
    """Contradictions between IHC status, IHC score, ISH result and recorded final result of each row.

    Parameters
    ----------
    frame : DataFrame
        Columns ``her2_status_by_ihc``, ``her2_ihc``, ``ish`` and, where it is recorded, ``her2_final``.
    final_recorded : bool, optional
        The final result is a column of the data set, not derived from the others: compare it with them as well.

    Returns
    -------
    Series of str
        Empty where there is none.

    Examples
    --------
    >>> case = pd.DataFrame({STATUS: ["positive"], "her2_ihc": ["2+"], "ish": ["negative"]})
    >>> conflict_of(case)[0]
    'IHC status positive with score 2+; IHC status positive with FISH negative'
    >>> case = pd.DataFrame({STATUS: ["positive"], "her2_ihc": ["3+"], "ish": "unknown", "her2_final": ["negative"]})
    >>> conflict_of(case, final_recorded=True)[0]
    'score 3+ with final result negative'
    """
    said = []
    finals = frame["her2_final"] if final_recorded else [None] * len(frame)
    for status, score, ish, final in zip(frame[STATUS], frame["her2_ihc"], frame["ish"], finals, strict=True):
        found = []
        if status in _SCORES and score in IHC_SCORES and score not in _SCORES[status]:
            found.append(f"IHC status {status} with score {score}")
        if (status, ish) in (("positive", "negative"), ("negative", "positive")):
            found.append(f"IHC status {status} with FISH {ish}")
        if isinstance(final, str) and isinstance(score, str):
            expected = SCHEMES["binary"].derive(score, ish)
            if expected is not None and expected != final:
                seen = f"score {score}" + (f" and ISH {ish}" if score == "2+" else "")
                found.append(f"{seen} with final result {final}")
        said.append("; ".join(found))
    return pd.Series(said, index=frame.index, dtype="object")


def ihc_scores(cells: pd.Series) -> pd.Series:
    """IHC scores in any spelling as 0, 1+, 2+ or 3+.

    Parameters
    ----------
    cells : Series
        Such as 2, "2", "2.0", "2+", "IHC 2+".

    Returns
    -------
    Series of object
        None where the cell states no single score.

    Examples
    --------
    >>> ihc_scores(pd.Series(["0", "1+", 2.0, "IHC 3+", "n/a"])).tolist()
    ['0', '1+', '2+', '3+', None]
    """
    by_digit = {score[0]: score for score in IHC_SCORES}

    def score(cell: object) -> str | None:
        word = spelled_class(label_text(cell))
        found = re.fullmatch(r"([0-3])\s*\+?", word)
        return by_digit[found[1]] if found else None

    return pd.Series([score(cell) for cell in cells], index=cells.index, dtype="object")


def results(cells: pd.Series) -> pd.Series:
    """Results in any spelling as negative or positive.

    Parameters
    ----------
    cells : Series
        Such as "Positive", "neg", "HER2-", "amplified", 1, 0.

    Returns
    -------
    Series of object
        None where the cell states neither.

    Examples
    --------
    >>> results(pd.Series(["Positive", "neg", "HER2-", 1.0, "not amplified", "?"])).tolist()
    ['positive', 'negative', 'negative', 'positive', 'negative', None]
    """

    def result(cell: object) -> str | None:
        text = label_text(cell)
        if is_missing(text) and text != "-":
            return None
        signed = re.fullmatch(r"(?:her-?2)?\s*(\+|-)", text.casefold())
        if signed:
            return "positive" if signed[1] == "+" else "negative"
        word = spelled_class(text)
        return _WORDS.get(re.sub(r"[\W_]+", "", word.casefold()))

    return pd.Series([result(cell) for cell in cells], index=cells.index, dtype="object")


def status_of_scores(scores: pd.Series) -> pd.Series:
    """The IHC status that goes with each score.

    Parameters
    ----------
    scores : Series of object
        0, 1+, 2+, 3+ or None.

    Returns
    -------
    Series of object
        negative, equivocal, positive or None.

    Examples
    --------
    >>> status_of_scores(pd.Series(["1+", "2+", None])).tolist()
    ['negative', 'equivocal', None]
    """
    derived = [SCHEMES["paper3"].derive(score if isinstance(score, str) else None) for score in scores]
    return pd.Series(derived, index=scores.index, dtype="object")


def age_groups(ages: pd.Series) -> pd.Series:
    """Age at diagnosis in three bands (our choice).

    Parameters
    ----------
    ages : Series
        Years.

    Returns
    -------
    Series of object
        ``under 50``, ``50 to 64``, ``65 and over`` or ``unknown``.

    Examples
    --------
    >>> age_groups(pd.Series(["49", "50", "65", "[Not Available]"])).tolist()
    ['under 50', '50 to 64', '65 and over', 'unknown']
    """
    years = pd.to_numeric(ages, errors="coerce").replace([np.inf, -np.inf], np.nan)
    bands = pd.cut(years, [0, 50, 65, 200], right=False, labels=["under 50", "50 to 64", "65 and over"])
    return bands.astype("object").fillna("unknown")
