"""Ids and classes that paths and slide ids name: what they say against the columns of their row.

A join that is off by a row, or a table sorted apart from its files, leaves every column plausible by itself; the names
of files and slides still say whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.io.spellings import spelling_key
from her2core.labels import spelled_class

#: Share of the rows whose text names their own patient, from which one that names another is a fault; where ids hold
#: letters and digits, so that a number of a tile cannot be one by chance, the share that names any patient.
MIN_NAMED = 0.5
#: Share of the rows whose folder is called like a class for which that is the layout of the files, and largest share
#: of those with another label: with more, the folders name something else (a receptor).
MIN_FOLDERS, MAX_WRONG = 0.9, 0.3
#: Runs of letters and digits that an id has at most.
_MOST_WORDS = 6
_WORD = re.compile(r"[^\W_]+")


def of_another_patient(texts: pd.Series, patients: pd.Series) -> pd.Series:
    """Patient whom a text names where that is not the patient of the row.

    Parameters
    ----------
    texts : Series of str
        Paths or slide ids.
    patients : Series of str
        Patient ids; ``UNKNOWN`` where there are none.

    Returns
    -------
    Series of str
        Empty where the text names its own patient or none, and everywhere where texts do not follow patients.

    Examples
    --------
    >>> patients = pd.Series(["P-01", "P-02", "P-03", "P-04"])
    >>> of_another_patient(pd.Series(["a/P-01_7.png", "a/P-02_7.png", "a/P-03.png", "a/P-03_8.png"]), patients).tolist()
    ['', '', '', 'P-03']
    """
    ids = {str(p) for p in patients.unique()} - {UNKNOWN}
    named = {text: [n for n in _runs(text) if n in ids] for text in texts.unique()}
    found = texts.map(named)
    key = {i: spelling_key(i) for i in {*ids, *patients.unique()}}  # another spelling is no other patient
    matches = [any(key[n] == key[p] for n in names) for p, names in zip(patients, found, strict=True)]
    own = pd.Series(matches, index=texts.index)
    any_named = found.map(len) > 0
    distinct = bool(ids) and all(re.search(r"\d", i) and re.search(r"[^\W\d_]", i) for i in ids)
    follow = any_named.mean() >= MIN_NAMED if distinct else own.mean() >= MIN_NAMED
    wrong = any_named & ~own & (patients != UNKNOWN) & follow
    return found.map(lambda names: names[0] if names else "").where(wrong, "")


def of_another_class(paths: pd.Series, labels: pd.Series, classes: Iterable[str]) -> pd.Series:
    """Class after which a folder of the path is called where that is not the label.

    Parameters
    ----------
    paths, labels : Series of str
    classes : iterable of str

    Returns
    -------
    Series of str
        Empty where the folder agrees or is called otherwise, and everywhere unless at least two classes have folders,
        those hold nearly all files, and they agree with most labels or are exchanged throughout.

    Examples
    --------
    >>> paths = pd.Series(["negative/1.png", "negative/2.png", "positive/3.png", "positive/4.png"])
    >>> labels = pd.Series(["negative", "negative", "positive", "negative"])
    >>> of_another_class(paths, labels, ("negative", "positive")).tolist()
    ['', '', '', 'positive']
    """
    known = {c.casefold(): c for c in classes}
    folders = {path: str(PurePosixPath(path).parent) for path in paths.unique()}
    of_folder = {}
    for folder in set(folders.values()):
        names = [known.get(part.casefold()) or known.get(spelled_class(part)) for part in PurePosixPath(folder).parts]
        named = list(dict.fromkeys(name for name in names if name))
        of_folder[folder] = named[0] if len(named) == 1 else ""
    found = paths.map(folders).map(of_folder)
    stated = found != ""
    wrong = stated & (found != labels)
    pairs = pd.DataFrame({"folder": found, "label": labels})[stated].drop_duplicates()
    exchanged = not pairs["folder"].duplicated().any() and not pairs["label"].duplicated().any()
    follow = found[stated].nunique() > 1 and stated.mean() >= MIN_FOLDERS
    follow &= exchanged or wrong.sum() <= MAX_WRONG * stated.sum()
    return found.where(wrong & follow, "")


def _runs(text: str) -> list[str]:
    """Every run of up to _MOST_WORDS words of a text with what stands between them, the longest first."""
    words = [(m.start(), m.end()) for m in _WORD.finditer(text)]
    found = []
    for length in range(min(_MOST_WORDS, len(words)), 0, -1):
        found += [text[words[i][0] : words[i + length - 1][1]] for i in range(len(words) - length + 1)]
    return found
