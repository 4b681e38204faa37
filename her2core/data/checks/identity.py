"""Checks of identity: one patient under several ids, several people under one, ids that are file names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.names import of_another_patient
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.manifest import UNKNOWN
from her2core.io.number_formats import to_numbers
from her2core.io.spellings import spelling_key, tcga_patient

#: Words in the name of a file that is a part of an image, and a name that ends with two numbers: coordinates.
_PARTS_OF_IMAGES = frozenset(("tile", "patch", "crop", "roi", "region", "window"))
_COORDINATES = re.compile(r"^(.+?)[-_, ]+[xy]?\d+[-_, ]+[xy]?\d+$")
#: Fewest files for which ids that equal the file name are a finding, and the share of rows in which they do.
MIN_FILES, MIN_EQUAL = 5, 0.9
#: Share of the patients (slides) with several values up to which these are faults rather than the design of the data:
#: slides scanned at every site, slides numbered within each patient.
MAX_BY_DESIGN = 0.3
#: Patients of a slide, in the median of those with several, from which that is the design.
_MIN_BY_DESIGN = 3
#: A slide's number within its patient.
_PLAIN_NUMBER = re.compile(r"(?:s|sl|slide|dx|he)?[-_ ]?\d{1,2}|[a-z]", re.IGNORECASE)
#: Years by which the ages of one patient's samples may differ.
_MAX_YEARS = 2.0
#: Words in the names of columns that have one value for a person.
_PERSONAL = frozenset(("sex", "gender", "race", "ethnicity", "birth", "dob", "birthdate", "menopause", "menopausal"))
_RECEPTORS = frozenset(("er", "pr", "pgr", "estrogen", "oestrogen", "progesterone"))


def patient_spellings(inputs: CheckInputs) -> Result:
    """Find patient ids that differ only in spelling, or that name one TCGA patient.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> patient_spellings(example_inputs(patient_id=["P-7", "p007", "P8"])).got
    "1 patient under several ids, the first: 'P-7' and 'p007'"
    """
    frame = inputs.frame[inputs.frame["patient_id"] != UNKNOWN]
    if frame.empty:
        return CouldNotRun("patient ids are unknown")
    ids = pd.Series(frame["patient_id"].unique())
    keys = dict(zip(ids, ids.map(spelling_key), strict=True))
    named = frame["patient_id"].map(keys)
    barcode = (frame["slide_id"].astype(str) + " " + frame["path"].astype(str)).map(tcga_patient)
    groups = []
    for by in (named[named.map(len) > 0], barcode[barcode != ""]):
        by = by.map(str)
        several = frame.loc[by.index].groupby(by)["patient_id"].unique()
        groups += [tuple(found) for found in several if len(found) > 1]
    groups = list(dict.fromkeys(groups))
    if not groups:
        return None
    rows = frame[frame["patient_id"].isin({i for group in groups for i in group})]
    number = "1 patient" if len(groups) == 1 else f"{len(groups)} patients"
    parts = inputs.parts().loc[frame.index].dropna()
    held = parts.groupby(frame.loc[parts.index, "patient_id"]).unique()
    across = [g for g in groups if len({part for i in g for part in held.get(i, ())}) > 1]
    return Found(
        "one id for each patient",
        f"{number} under several ids, the first: {groups[0][0]!r} and {groups[0][1]!r}"
        + (f"; {len(across)} of them in several parts of the split" if across else ""),
        patch_ids(rows),
    )


def file_name_ids(inputs: CheckInputs) -> Result:
    """Find patient ids that are the names of the files, one file a patient.

    Files may rightly be named after their patients, one each. The finding is a warning where something shows that the
    files are parts: a slide or TCGA patient of several files, names with coordinates or with a word such as tile.
    Otherwise it is information.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> found = file_name_ids(example_inputs(patient_id=["0", "1", "2", "3", "4"]))
    >>> found.severity, found.got[:61]
    ('info', 'an id equal to the name of its file in 5 of 5 rows, such as 0')
    """
    frame = inputs.frame[inputs.frame["patient_id"] != UNKNOWN]
    if frame.empty:
        return CouldNotRun("patient ids are unknown")
    ids = frame["patient_id"].astype(str).str.casefold()
    if len(frame) < MIN_FILES or ids.duplicated().any():
        return None
    names = frame["path"].map(lambda path: PurePosixPath(path).name.casefold())
    stems = names.map(lambda name: PurePosixPath(name).stem)
    equal = (ids == names) | (ids == stems) | (ids == frame["path"].str.casefold())
    if equal.mean() < MIN_EQUAL:
        return None
    first = frame.loc[equal, "patient_id"].iloc[0]
    shown = _parts_shown(frame)
    why = shown or "nothing shows that two files are of one patient: right where each patient gave one image"
    return Found(
        "ids of patients",
        f"an id equal to the name of its file in {int(equal.sum()):,} of {len(frame):,} rows, such as {first}; {why}",
        patch_ids(frame[equal]),
        severity=None if shown else "info",
    )


def _parts_shown(frame: pd.DataFrame) -> str:
    """What shows that files with an id each are parts of fewer images or patients; empty where nothing does."""
    stems = frame["path"].map(lambda path: PurePosixPath(path).stem)
    places = stems.str.extract(_COORDINATES.pattern)[0]
    groups = {
        "slide": frame["slide_id"].where(frame["slide_id"] != UNKNOWN),
        "TCGA patient": stems.map(tcga_patient).replace("", None),
        "beginning of a name with coordinates": places,
    }
    for what, values in groups.items():
        counts = values.value_counts()
        if len(counts) and counts.iloc[0] > 1:
            return f"{counts.index[0]} is the {what} of {counts.iloc[0]} of them"
    parts = stems.map(lambda stem: sorted(_PARTS_OF_IMAGES & set(_words(stem))))
    named = parts[parts.map(len) > 0]
    return f"names such as {stems[named.index[0]]} are of parts of images" if len(named) > len(frame) / 2 else ""


def slide_of_two_patients(inputs: CheckInputs) -> Result:
    """Find slides whose patches are of several patients, and files and slides named after another patient.

    Several patients of a slide may be the design of the data, where slides are numbered within each patient or hold the
    tissue of many (tissue microarrays): ids then occur with three patients or more, or with half of them. Ids shifted
    against the rows give each slide two. Spellings of one patient are a finding of their own.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> slide_of_two_patients(example_inputs(slide_id=["S1", "S1", "S2", "S3", "S4"],
    ...                                      patient_id=["P1", "P2", "P2", "P3", "P4"])).got
    '1 slide of several patients, the first: S1 of P1 and P2'
    >>> slide_of_two_patients(example_inputs(path=["P1_0.png", "P1_1.png", "P2_0.png", "P2_1.png"],
    ...                                      patient_id=["P1", "P1", "P2", "P1"])).got
    '1 row whose file is named after another patient, the first: P2_1.png of P1'
    """
    frame, shared, said = inputs.frame, _shared_slides(inputs), []
    rows = pd.Series(False, index=frame.index)
    if isinstance(shared, Found):
        said, rows = [shared.got], frame["patch_id"].isin(set(shared.rows))
    for column, what in (("path", "file"), ("slide_id", "slide")):
        wrong = of_another_patient(frame[column].astype(str), frame["patient_id"]) != ""
        if wrong.any():
            number = "1 row" if wrong.sum() == 1 else f"{int(wrong.sum()):,} rows"
            first = frame[wrong].iloc[0]
            of = f"the first: {first[column]} of {first['patient_id']}"
            said.append(f"{number} whose {what} is named after another patient, {of}")
            rows |= wrong
    if not said:
        return shared
    return Found("each slide and file of one patient", "; ".join(said), patch_ids(frame[rows]))


def slide_keys(frame: pd.DataFrame) -> pd.Series:
    """Slide ids, with the patient before them where each patient's slides are numbered from 1 (or A).

    Parameters
    ----------
    frame : DataFrame
        Rows of a manifest.

    Returns
    -------
    Series of str
        ``UNKNOWN`` where the slide is.

    Examples
    --------
    >>> columns = {"patient_id": ["P1", "P1", "P2", "P3"], "slide_id": ["1", "2", "1", "1"]}
    >>> slide_keys(pd.DataFrame(columns)).tolist()
    ['P1 / 1', 'P1 / 2', 'P2 / 1', 'P3 / 1']
    >>> slide_keys(pd.DataFrame(columns | {"slide_id": ["S8", "S9", "S9", "S10"]})).tolist()
    ['S8', 'S9', 'S9', 'S10']
    """
    slides, patients = frame["slide_id"].astype(str), frame["patient_id"].astype(str)
    known = (slides != UNKNOWN) & (patients != UNKNOWN)
    counts = patients[known].groupby(slides[known]).nunique()
    plain = all(_PLAIN_NUMBER.fullmatch(slide) for slide in counts.index)
    if not plain or not len(counts) or counts.max() < max(_MIN_BY_DESIGN, patients[known].nunique() / 2):
        return slides
    return (patients + " / " + slides).where(known, slides)


def _shared_slides(inputs: CheckInputs) -> Result:
    """Find slides of several patients."""
    frame = inputs.frame
    frame = frame[(frame["slide_id"] != UNKNOWN) & (frame["patient_id"] != UNKNOWN)]
    if frame.empty:
        return CouldNotRun("patient or slide ids are unknown")
    patients = frame.groupby("slide_id")["patient_id"].unique()
    several = patients[patients.map(lambda ids: len({spelling_key(i) for i in ids}) > 1)]
    if several.empty:
        return None
    if len(several) > MAX_BY_DESIGN * len(patients) and _by_design(several.map(len), frame["patient_id"].nunique()):
        return NotApplicable(
            f"{len(several)} of {len(patients)} slide ids occur with several patients: slides seem to be numbered "
            "within each patient, or to hold tissue of several"
        )
    slides = "1 slide" if len(several) == 1 else f"{len(several)} slides"
    first = several.iloc[0]
    return Found(
        "each slide of one patient",
        f"{slides} of several patients, the first: {several.index[0]} of {first[0]} and {first[1]}",
        patch_ids(frame[frame["slide_id"].isin(several.index)]),
    )


def _by_design(counts: pd.Series, patients: int) -> bool:
    """Whether the numbers of patients of slides that have several are those of a design."""
    return bool(counts.median() >= _MIN_BY_DESIGN or (len(counts) > 1 and counts.max() >= patients / 2))


def shared_ids(inputs: CheckInputs) -> Result:
    """Find patient ids with several ages, sexes, receptor results or sites.

    A column in which many patients have several values is taken as a property of the sample or of the design (every
    slide scanned at every site), not of the person; except sites, where patients are plain numbers and no slide is at
    two sites: each site then counted its own patients from 1.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> shared_ids(example_inputs(patient_id=["P1", "P1", "P2", "P3", "P4"], age=[41, 77, 50, 60, 55])).got
    'patient P1 with age 41 and 77'
    """
    frame = inputs.frame[inputs.frame["patient_id"] != UNKNOWN]
    if frame.empty:
        return CouldNotRun("patient ids are unknown")
    columns = [c for c in frame.columns if c == "site" or _of_a_person(str(c))]
    if all((frame[c].astype(str) == UNKNOWN).all() for c in columns):
        return NotApplicable("the manifest holds neither sites nor ages, sexes or receptor results")
    said, concerned = [], set()
    patients = frame["patient_id"].nunique()
    for column in columns:
        conflicts = _conflicts(frame, column)
        by_design = len(conflicts) > 1 and len(conflicts) > MAX_BY_DESIGN * patients
        if not conflicts or (by_design and not (column == "site" and _numbered_at_each_site(frame))):
            continue
        patient, values = next(iter(conflicts.items()))
        more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
        said.append(f"patient {patient} with {column} {values[0]} and {values[-1]}{more}")
        concerned |= set(conflicts)
    if not said:
        return None
    return Found(
        "one age, sex, receptor result and site for each patient",
        ", ".join(said),
        patch_ids(frame[frame["patient_id"].isin(concerned)]),
    )


def _numbered_at_each_site(frame: pd.DataFrame) -> bool:
    known = frame[(frame["site"] != UNKNOWN) & (frame["slide_id"] != UNKNOWN)]
    numbered = frame["patient_id"].astype(str).str.fullmatch(r"\d{1,4}").all()
    return bool(numbered and len(known) and known.groupby("slide_id")["site"].nunique().max() == 1)


def _words(column: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).casefold())


def _of_a_person(column: str) -> bool:
    words = _words(column)
    if {"her2", "label"} & set(words):
        return False
    return "age" in words or bool(_PERSONAL & set(words)) or bool(words and _RECEPTORS & set(words))


def _conflicts(frame: pd.DataFrame, column: str) -> dict[str, list[str]]:
    """Patients with several values, and those values."""
    cells = frame[column]
    if "age" in _words(column):
        numbers = pd.Series(to_numbers(cells), index=frame.index)
        span = numbers.groupby(frame["patient_id"]).agg(["min", "max"])
        span = span[span["max"] - span["min"] > _MAX_YEARS]
        return {str(p): [f"{low:g}", f"{high:g}"] for p, low, high in span.itertuples()}
    text = cells.astype(str).str.strip().str.casefold()
    text = text.where(cells.notna() & ~text.isin(("", UNKNOWN, "nan", "none", "na", "n/a")))
    values = text.groupby(frame["patient_id"]).unique()
    found = {str(p): sorted(str(v) for v in seen if pd.notna(v)) for p, seen in values.items()}
    return {p: seen for p, seen in found.items() if len(seen) > 1}
