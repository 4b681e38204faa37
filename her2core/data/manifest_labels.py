"""Classes of a manifest: the scheme that its labels follow, and how their spellings map to it.

IHC scores (0, 1+, 2+, 3+, also 0/1+) and HER2 status words (negative, equivocal, positive) in any case and with the
usual abbreviations belong to a named scheme of ``her2core.labels``; other labels are classes of the data set's own.
Every label that was read as another text is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from her2core.errors import ManifestError
from her2core.io.cells import cell_text, distinct_labels, is_missing, label_text
from her2core.labels import (
    IHC_SCORES,
    SCHEMES,
    LabelScheme,
    declared_scheme,
    find_scheme,
    near_spellings,
    order_classes,
    spelled_class,
)

#: IHC scores that a label may state, with a score that stands for it in the rules of a scheme.
_SCORES = {score: score for score in IHC_SCORES} | {"0/1+": "1+"}


def scheme_of_labels(labels: pd.Series, *, name: str = "declared", where: str = "manifest") -> LabelScheme:
    """The scheme that a column of labels follows.

    Parameters
    ----------
    labels : Series
        Cells that name a class.
    name : str
        What to call a scheme of the data set's own.
    where : str
        The file, for messages.

    Returns
    -------
    LabelScheme
        A named one for IHC scores and HER2 status words; otherwise one of the labels' own, in clinical order where they
        have one and by the alphabet where not.

    Raises
    ------
    ManifestError
        For fewer than two classes.

    Examples
    --------
    >>> scheme_of_labels(pd.Series(["Pos", "Neg", "Neg"])).name
    'binary'
    >>> scheme_of_labels(pd.Series(["3+", "0/1+", "2+"])).name
    'ihc3'
    >>> scheme_of_labels(pd.Series(["None", "Low", "High"])).classes
    ('High', 'Low', 'None')
    """
    found = sorted(distinct_labels(labels))
    # A class may be called None; beside a scheme's own classes such a word is a missing label, and is refused by row.
    for names in (found, [label for label in found if not is_missing(label)]):
        if (scheme := _named_scheme(names)) is not None:
            return scheme
    if len(found) < 2:
        raise ManifestError(
            "at least two classes",
            got=f"only {found}",
            where=where,
            fix="A classifier needs two: add the other class, or declare the classes in the manifest.",
        )
    classes = order_classes(found)
    her2 = {c for s in SCHEMES.values() if s.is_her2 for c in s.classes}
    return declared_scheme(
        name, classes, f"classes as found in {where}", is_her2={spelled_class(c) for c in classes} <= her2
    )


def _named_scheme(names: Sequence[str]) -> LabelScheme | None:
    words = {spelled_class(name) for name in names}
    scheme = find_scheme(words)
    if scheme is not None and (scheme.is_her2 or set(scheme.classes) == set(names)):
        return scheme
    paper3 = SCHEMES["paper3"]
    return paper3 if len(words) > 1 and "equivocal" in words and words <= set(paper3.classes) else None


def map_labels(labels: pd.Series, scheme: LabelScheme) -> tuple[pd.Series, dict[str, str]]:
    """Labels as classes of a scheme.

    Parameters
    ----------
    labels : Series
        Cells that name a class, or an IHC score from which the scheme derives one.
    scheme : LabelScheme
        The classes.

    Returns
    -------
    Series of object
        The class of each row; None for an empty cell; the label itself where the scheme has no class for it.
    dict
        Each label that was read as another text, with its class.

    Examples
    --------
    >>> classes, spelled = map_labels(pd.Series(["0/1+", "3+", "2+"]), SCHEMES["paper3"])
    >>> classes.tolist(), spelled["0/1+"]
    (['negative', 'positive', 'equivocal'], 'negative')
    """
    codes, values = pd.factorize(labels)
    exact, texts = [cell_text(v) for v in values], [label_text(v) for v in values]
    near = near_spellings([t for t in texts if t], scheme.classes)
    meant: list[str | None] = []
    for cell, text in zip(exact, texts, strict=True):
        if cell in scheme.classes:
            meant.append(cell)
        elif text in scheme.classes or not text:
            meant.append(text or None)
        else:
            meant.append(near.get(text) or scheme.derive(_SCORES.get(spelled_class(text))) or text)
    spelled = {t: m for t, m in zip(texts, meant, strict=True) if m is not None and m != t and m in scheme.classes}
    column = pd.Series([*meant, None], dtype="object").take(codes)
    return column.set_axis(labels.index), {t: m for t, m in spelled.items() if label_text(m) != t}
