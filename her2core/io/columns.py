"""Recognition of table columns by the names that other tools give them.

One table of spellings for manifests, predictions of any tool and clinical tables. The part of a split is recognised by
its values (train, val, test), since its column is called split, fold, set or anything else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from her2core.io.cells import label_text

#: Role of a column -> its spellings, letters and digits only, the most specific first.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "path": (
        *("path", "filepath", "imagepath", "patchpath", "tilepath", "imgpath", "file", "filename", "imagefile"),
        *("imagename", "imgname", "image", "img", "tilename", "patchname", "relativepath"),
    ),
    "patch_id": ("patchid", "patch", "tileid", "tile", "imageid", "imgid", "sampleid", "roiid", "id"),
    "patient_id": (
        *("patientid", "patient", "caseid", "case", "casename", "subjectid", "subject", "pid", "patientcode"),
        *("patientno", "patientnumber", "caseno", "casenumber", "participantid", "submitterid", "casesubmitterid"),
    ),
    "slide_id": ("slideid", "slide", "slidename", "wsiid", "wsi", "wsiname", "slidefile", "slidebarcode"),
    "site": (
        *("site", "siteid", "centre", "center", "centreid", "centerid", "hospital", "institution", "institute"),
        *("cohort", "laboratory", "tissuesourcesite", "tss"),
    ),
    "scanner": ("scanner", "scannerid", "scannermodel", "scannername"),
    "mpp": ("mpp", "micronsperpixel", "umperpixel", "umpx"),
    "her2_ihc": ("her2ihc", "ihc", "ihcscore", "her2score", "ihcher2", "her2ihcscore", "scoreihc"),
    "ish": ("ish", "fish", "ishresult", "fishresult", "her2fish", "her2ish", "ishstatus", "fishstatus"),
    "age_group": ("agegroup", "ageband", "agecategory", "agerange"),
    "race": ("race",),
    "ethnicity": ("ethnicity", "ethnicgroup"),
    "sex": ("sex", "gender"),
    "label": (
        *("label", "truelabel", "labeltrue", "ytrue", "true", "trueclass", "target", "targets", "groundtruth", "gt"),
        *("truth", "class", "her2status", "her2", "her2class", "her2result", "y", "labels", "labelids", "targs"),
        *("ytest", "actual", "actualclass", "actuallabel", "observed", "obs", "goldlabel", "gold", "tilelabel"),
        *("slidelabel", "patientlabel"),
    ),
    "predicted": (
        *("yhat", "ypred", "pred", "predicted", "prediction", "predictions", "preds", "predlabel", "labelpred"),
        *("predictedlabel", "predictedclass", "predclass", "classpred", "predy", "modelprediction", "argmax"),
    ),
    "split": ("split", "subset", "partition", "splitpart", "datasplit", "traintest"),
}
#: Part of a split -> its spellings, letters and digits only.
PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "trainset", "trainingset"),
    "val": ("val", "valid", "validation", "dev", "tune", "tuning", "valset", "validationset"),
    "test": (
        *("test", "testing", "tst", "testset", "holdout", "heldout", "evaluation", "externaltest", "internaltest"),
        *("external", "testexternal", "testinternal"),
    ),
}
#: Column of yes and no -> part of the rows with yes, and of those with no; letters and digits only.
_FLAGS = {
    **dict.fromkeys(("istest", "intest", "testset", "isholdout", "holdout"), ("test", "train")),
    **dict.fromkeys(("istrain", "istraining", "intrain", "trainset"), ("train", "test")),
    **dict.fromkeys(("isval", "isvalid", "isvalidation"), ("val", "train")),
}
_YES_OR_NO = {"true": 0, "1": 0, "yes": 0, "y": 0, "t": 0, "false": 1, "0": 1, "no": 1, "n": 1, "f": 1}
_TRAINING = re.compile(r"(?:train|training|trn)(?:set|data|part|split|cohort|fold)?\d*")
#: A column of more different values states no part.
_MAX_PARTS = 64
_PART_OF = {spelling: part for part, spellings in PARTS.items() for spelling in spellings}
#: Roles that put patients into groups, besides site.
GROUP_ROLES = ("scanner", "age_group", "race", "ethnicity", "sex", "her2_ihc", "ish")
#: Roles whose cells are text, even where they look like numbers ("1.10" is not 1.1).
_TEXT = ("path", "patch_id", "patient_id", "slide_id", "site", "scanner", "her2_ihc", "ish", "label", "predicted")


def squash(name: object) -> str:
    """A column name in lower case, letters and digits only.

    Parameters
    ----------
    name : object
        The name.

    Returns
    -------
    str

    Examples
    --------
    >>> squash("Patient-ID"), squash("patient_id")
    ('patientid', 'patientid')
    """
    return re.sub(r"[\W_]+", "", str(name).casefold())


def find_column(names: Sequence[str], role: str) -> str | None:
    """The column of a role, by its name.

    Parameters
    ----------
    names : sequence of str
        All columns of the table.
    role : str
        A key of ``SPELLINGS``.

    Returns
    -------
    str or None
        The first column under the most specific spelling.

    Examples
    --------
    >>> find_column(["PatientID", "GT", "Pred"], "label")
    'GT'
    >>> find_column(["PatientID", "GT", "Pred"], "slide_id") is None
    True
    """
    if role in names:
        return role
    squashed = [squash(name) for name in names]
    return next((names[squashed.index(s)] for s in SPELLINGS[role] if s in squashed), None)


def is_text_column(name: str) -> bool:
    """Whether a column of that name holds identifiers or labels, whose cells are never numbers.

    Parameters
    ----------
    name : str
        The column's name.

    Returns
    -------
    bool

    Examples
    --------
    >>> is_text_column("Case ID"), is_text_column("prob_0")
    (True, False)
    """
    return any(squash(name) in SPELLINGS[role] for role in _TEXT)


def split_parts(column: pd.Series, name: str = "") -> tuple[pd.Series, dict[str, str]]:
    """Parts of a split as train, val or test.

    Parameters
    ----------
    column : Series
        Cells that name a part.
    name : str, optional
        The column's name: of columns such as is_test the cells are yes and no.

    Returns
    -------
    Series of str
        "train", "val", "test", or empty where a cell names none of them.
    dict
        Each spelling that differs, with its part.

    Examples
    --------
    >>> parts, spelled = split_parts(pd.Series(["Training", "test", "fold 3"]))
    >>> parts.tolist(), spelled
    (['train', 'test', ''], {'Training': 'train'})
    >>> split_parts(pd.Series([True, False]), "is_test")[0].tolist()
    ['test', 'train']
    """
    flag = _FLAGS.get(squash(name))
    codes, values = pd.factorize(column)
    texts = [label_text(value) for value in values]
    parts = [_PART_OF.get(squash(text), "") for text in texts]
    if flag is not None and all(text.casefold() in _YES_OR_NO for text in texts):
        parts = [flag[_YES_OR_NO[text.casefold()]] for text in texts]
    named = np.array([*parts, ""], dtype=object)[codes]
    spelled = {text: part for text, part in zip(texts, parts, strict=True) if part and text != part}
    return pd.Series(named, dtype="str"), spelled


def find_split(frame: pd.DataFrame, *, taken: Collection[str] = ()) -> str | None:
    """The column that states the part of a split.

    Parameters
    ----------
    frame : DataFrame
        The table.
    taken : collection of str
        Columns with another role.

    Returns
    -------
    str or None
        A column named split, subset or partition; otherwise the first one of which every value is a known spelling of
        a part and at least two different parts occur; otherwise one of yes and no such as is_test; otherwise one that
        names training rows, whatever its other values: those rows must not pass for tested ones.

    Examples
    --------
    >>> find_split(pd.DataFrame({"fold": ["train", "val", "test"], "grade": [1, 2, 3]}))
    'fold'
    >>> find_split(pd.DataFrame({"fold": [0, 1, 2]})) is None
    True
    """
    names = [str(c) for c in frame.columns]
    free = [name for name in names if name not in taken]
    if (named := find_column(free, "split")) is not None:
        return named
    values = {
        name: held
        for place, name in enumerate(names)
        if name in free and (held := _few_values(frame.iloc[:, place], name))
    }
    parts = {name: {_PART_OF.get(squash(value)) for value in held} for name, held in values.items()}
    found = [name for name in values if None not in parts[name] and len(parts[name]) > 1]
    found += [name for name in values if _is_flag(name, values[name])]
    found += [name for name in values if any(_TRAINING.fullmatch(squash(value)) for value in values[name])]
    return found[0] if found else None


def _few_values(column: pd.Series, name: str) -> set[str]:
    """The different values of a column that may state parts; empty where there are many."""
    text = pd.api.types.is_string_dtype(column.dtype) or column.dtype == object
    if not (text or squash(name) in _FLAGS) or len(column.head(4096).unique()) > _MAX_PARTS:
        return set()
    found = column.unique()
    return {label_text(value) for value in found} if len(found) <= _MAX_PARTS else set()


def _is_flag(name: str, values: set[str]) -> bool:
    """Whether a column says yes or no to a part; of validation both must occur, as a valid tile is something else."""
    held = {_YES_OR_NO.get(value.casefold()) for value in values}
    return squash(name) in _FLAGS and None not in held and (_FLAGS[squash(name)][0] != "val" or len(held) > 1)
