"""Checks of shortcuts: columns, file properties, marks or a stain by which a class is told without its tissue.

Each property is tested against the class by permutation over patients (`permutation`); a finding needs a corrected
p-value of at most one in a thousand and an effect that matters (our choice). Columns from which the label was made
(IHC, ISH, receptors, grade) are left out; site and scanner have checks of their own.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from her2core.data.checks.fixed_marks import fixed_mark
from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.checks.permutation import OF_TISSUE, Association, Units, associations, corrected_p, label_units
from her2core.data.checks.properties import OF_FILE, OF_PIXELS
from her2core.data.manifest import COLUMNS, UNKNOWN
from her2core.io.cells import missing_cells
from her2core.io.number_formats import to_numbers

#: Largest corrected p-value, and smallest effects, of a finding.
MAX_P, MIN_AUROC, MIN_V = 1e-3, 0.75, 0.5
#: Of marks, which clean patches hardly have; and the share of a class that a stain must set apart: by distance, or
#: where no other patient is there.
MIN_AUROC_MARKS, MIN_SHARE, MIN_TAIL = 0.65, 0.35, 0.2
#: Of the number of patches, which also follows from how much tumour the patients of a class have.
MIN_AUROC_PATCHES = 0.8
#: Of settings of the files (AUROC; 0.25 less as V or phi) where patients are unknown and patches are counted.
MIN_EFFECT_PATCHES = 0.95
_SETTINGS = ("format", "width", "height", "JPEG quality", "JPEG tables")
#: Properties that follow from the tissue as well as from how it was stained, scanned and saved.
_OF_TISSUE = ("bytes", "bytes per pixel", "brightness", "background share", "sharpness", "marks in corners")
_PATCHES = "patches per unit"
_MEASURED = (*OF_PIXELS, "bytes", "bytes per pixel", _PATCHES)
_MARKS = ("marks in corners", "border")
_NOT_TESTED = {*COLUMNS, "split"} - {"mpp", "source"}
#: Columns of which, beside those tested, it is asked whether they are filled for one class and not for another.
_FILLED = ("site", "scanner")
_CLINICAL = (
    frozenset(
        ("her2", "erbb2", "ihc", "ish", "fish", "cish", "sish", "cep17", "ratio", "label", "labels", "class", "target")
    )
    | frozenset(
        ("score", "grade", "grading", "nottingham", "nhg", "sbr", "er", "pr", "pgr", "receptor", "subtype", "stage")
    )
    | frozenset(("diagnosis", "status", "outcome", "copy", "copies", "counts", "count", "expression", "ki67", "gt"))
)
#: A day: 2021-03-31, 31.3.2021, 3/31/21, with or without a time.
_DAY = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{2}|\d{4}))(?!\d)")
_MAX_VALUES = 30


def column_shortcut(inputs: CheckInputs) -> Result:
    """Find columns of the manifest, dates, name prefixes and numbers of patches that go with the class.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> batches = {"batch": ["one", "two"] * 12}
    >>> column_shortcut(example_inputs(patient_id=[f"P{i}" for i in range(24)], **batches)).got
    "batch (Cramer's V 1.00, p = 0.0001) over 24 patients"
    """
    units = label_units(inputs, inputs.frame)
    if isinstance(units, CouldNotRun):
        return units
    frame = inputs.frame
    table = {}
    for name in frame.columns:
        words = set(re.findall(r"[a-z]+\d*", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name)).casefold()))
        if name in _NOT_TESTED or words & _CLINICAL:
            continue
        column = _typed(frame[name])
        if column is not None and not _names_classes(column, frame["label"]):
            table[str(name)] = column
            empty = missing_cells(frame[name])
            if empty.any() and pd.api.types.is_numeric_dtype(column):  # missing numbers rank in the middle
                table[f"{name} missing"] = pd.Series(np.where(empty, "missing", "stated"), index=frame.index)
    for name in _FILLED:
        if 0 < (frame[name] == UNKNOWN).sum() < len(frame):
            table[f"{name} missing"] = (frame[name] == UNKNOWN).map({True: "missing", False: "stated"})
    prefix = frame["path"].map(lambda path: (re.match(r"[^\W\d_]+|\d+", PurePosixPath(path).stem) or [""])[0])
    if not _names_classes(prefix, frame["label"]):
        table["prefix of the file name"] = prefix
    table[_PATCHES] = frame.groupby(units.column)["patch_id"].transform("size").astype(float)
    return _found(
        inputs, units, pd.DataFrame(table, index=frame.index), "columns that do not tell the class", MIN_AUROC
    )


def file_shortcut(inputs: CheckInputs) -> Result:
    """Find properties of files and pixels that go with the class: format, size, bytes, compression, sharpness.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> from her2core.data.checks.properties import property_frame
    >>> rows = [("JPEG", 64, 64, 900 + 300 * (i % 2), 75.0, "a", 180.0, 0.1, 0.8, 0.0, 0.0) for i in range(24)]
    >>> contents = Contents(np.array(["9f"] * 24, object), np.zeros((24, 48, 48)), np.zeros((24, 14)), {},
    ...                     property_frame(rows))
    >>> file_shortcut(example_inputs(contents=contents, patient_id=[f"P{i}" for i in range(24)])).got
    'bytes (AUROC 1.00, p = 0.0001), bytes per pixel (AUROC 1.00, p = 0.0001) over 24 patients'
    """
    names = [n for n in (*OF_FILE, *OF_PIXELS) if n not in _MARKS]
    return _of_images(inputs, names, "files whose properties do not tell the class", MIN_AUROC)


def corner_marks(inputs: CheckInputs) -> Result:
    """Find ink, flat marks, borders, or structure in a fixed place (a stamp, caption or watermark) of one class.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> from her2core.data.checks.properties import property_frame
    >>> rows = [("PNG", 64, 64, 900, float("nan"), "", 180.0, 0.1, 0.8, float(i % 2), 0.0) for i in range(24)]
    >>> contents = Contents(np.array(["9f"] * 24, object), np.zeros((24, 48, 48)), np.zeros((24, 14)), {},
    ...                     property_frame(rows))
    >>> corner_marks(example_inputs(contents=contents, patient_id=[f"P{i}" for i in range(24)])).got
    'marks in corners (AUROC 1.00, p = 0.0001) over 24 patients'
    """
    expected = "patches without marks that tell the class"
    found = _of_images(inputs, list(_MARKS), expected, MIN_AUROC_MARKS)
    units = label_units(inputs, inputs.frame)
    if isinstance(found, NotApplicable | CouldNotRun) or isinstance(units, CouldNotRun):
        return found
    read = inputs.images.readable
    owners = inputs.frame.loc[read, units.column]
    labels = pd.Series(units.codes, index=units.labels.index)
    labels = labels[labels.index.isin(owners)]
    if labels.nunique() < 2:
        return found
    mark = fixed_mark(inputs.images.thumbnails[read], units=owners, labels=labels, alike=not inputs.of_tissue)
    if mark.p_value > MAX_P / 2 or mark.auroc < MIN_AUROC:
        return found
    label = units.classes[mark.label]
    said = f"{mark} in {label}, over {len(labels)} {units.name}"
    if isinstance(found, Found):
        return replace(found, got=f"{found.got}; {said}", severity=None, note="")
    return Found(expected, said, patch_ids(inputs.frame[inputs.frame["label"] == label]))


def partial_stain(inputs: CheckInputs) -> Result:
    """Find a class of which a part is set apart by its colours.

    Two statistics, each the largest over classes and colour statistics: the Kolmogorov-Smirnov distance between a class
    and the rest, and the number of its patients beyond every other (or all but one), weighted by how rare that is by
    chance. They find a stain that only some of a class's patients have, whose means a linear classifier mixes.

    Examples
    --------
    >>> from her2core.data.checks.contents import Contents
    >>> from her2core.data.checks.inputs import example_inputs
    >>> colours = np.random.default_rng(0).normal(size=(80, 14))
    >>> colours[1:80:4, 0] += 9
    >>> contents = Contents(np.array(["9f"] * 80, object), np.zeros((80, 48, 48)), colours, {})
    >>> partial_stain(example_inputs(contents=contents, patient_id=[f"P{i}" for i in range(80)])).got[:45]
    'mean R sets 50% of positive apart from the re'
    """
    from her2core.data.checks.colour_statistics import COLOUR_STATISTICS

    contents = inputs.images
    frame = inputs.frame[contents.readable]
    if frame.empty:
        return CouldNotRun("no image could be read")
    units = label_units(inputs, frame)
    if isinstance(units, CouldNotRun):
        return units
    means = pd.DataFrame(contents.colours[contents.readable]).groupby(frame[units.column].to_numpy()).mean()
    values = means.loc[units.labels.index].to_numpy(float)
    rng, labels = np.random.default_rng(0), units.codes
    distance, tail = _distances(values, labels[None])[0], _tails(values, labels[None])[0]
    every = [np.array([[distance.max(), tail.max()]])]
    batch = max(1, 5_000_000 // (values.size * len(units.classes)))
    for done in range(0, 1999, batch):
        permuted = rng.permuted(np.tile(labels, (min(batch, 1999 - done), 1)), axis=1)
        found = [f(values, permuted).reshape(len(permuted), -1).max(axis=1) for f in (_distances, _tails)]
        every.append(np.stack(found, axis=1))
    p = corrected_p(np.concatenate(every))
    best = int(p.argmin())
    counts = np.bincount(labels)
    shares = tail / (-np.log(counts / len(labels))) / counts if best else distance
    feature, label = np.unravel_index(int((tail if best else distance).argmax()), distance.shape)
    share = shares[feature, label]
    if p[best] > MAX_P or share < (MIN_TAIL if best else MIN_SHARE):
        return None
    return Found(
        "classes whose patients were stained alike",
        f"{COLOUR_STATISTICS[feature]} sets {share:.0%} of {units.classes[label]} apart from the rest, over "
        f"{len(labels)} {units.name} (p = {p[best]:.4f})",
        patch_ids(frame[frame["label"] == units.classes[label]]),
        severity="info" if inputs.of_tissue else None,
        note=OF_TISSUE if inputs.of_tissue else "",
    )


def _distances(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Kolmogorov-Smirnov distances (B, F, K) of each class to the rest; ties are compared at their end."""
    order = values.argsort(axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    ends = np.concatenate([np.diff(ordered, axis=0) > 0, np.ones((1, values.shape[1]), bool)])
    classes = np.arange(labels.max() + 1)
    found = np.empty((len(labels), values.shape[1], len(classes)))
    for k in classes:
        own = (labels == k)[:, order]
        share = own.cumsum(axis=1) / own.sum(axis=1, keepdims=True)
        rest = (~own).cumsum(axis=1) / np.maximum((~own).sum(axis=1, keepdims=True), 1)
        found[:, :, k] = (np.abs(share - rest) * ends).max(axis=1)
    return found


def _tails(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Patients of a class beyond every other patient, times minus the logarithm of its share, (B, F, K)."""
    order = values.argsort(axis=0, kind="stable")
    classes, n = np.arange(labels.max() + 1), len(values)
    found = np.empty((len(labels), values.shape[1], len(classes)))
    for k in classes:
        other = (labels != k)[:, order]
        weight = -np.log(max(1 - other[0, :, 0].mean(), 1e-9))
        runs = []
        for side in (other, other[:, ::-1]):
            count = side.cumsum(axis=1)
            first, second = ((count < many).sum(axis=1) for many in (1, 2))
            runs += [first, np.minimum(second, n) - 3]  # one other among them: as if two fewer were beyond
        found[:, :, k] = np.maximum(0, np.max(runs, axis=0)) * weight
    return found


def _of_images(inputs: CheckInputs, names: list[str], expected: str, least: float) -> Result:
    contents = inputs.images
    if not contents.readable.any():
        return CouldNotRun("no image could be read")
    if len(contents.properties) != len(inputs.frame):
        return NotApplicable("the properties of the files were not read")
    table = contents.properties.set_axis(inputs.frame.index)[names].copy()
    if "bytes" in table:
        table["bytes per pixel"] = table["bytes"] / (table["width"] * table["height"])
    units = label_units(inputs, inputs.frame, patches=bool({*names} & {*_SETTINGS}))
    if isinstance(units, CouldNotRun):
        return units
    if units.column == "patch_id":
        return _found(inputs, units, table[list(_SETTINGS)], expected, MIN_EFFECT_PATCHES)
    return _found(inputs, units, table, expected, least)


def _found(inputs: CheckInputs, units: Units, table: pd.DataFrame, expected: str, least: float) -> Result:
    frame = inputs.frame
    by = frame[units.column]
    columns = {}
    for name in table:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values):
            columns[name] = values.astype(float).groupby(by).mean()
        else:
            text = values.astype(object).where(values.notna(), UNKNOWN).astype(str)
            columns[name] = text.groupby(by).agg(lambda cells: cells.mode().iloc[0])
    per_unit = pd.DataFrame(columns).loc[units.labels.index]
    many = [n for n in per_unit if not pd.api.types.is_numeric_dtype(per_unit[n])]
    limit = min(_MAX_VALUES, len(per_unit) // 3)
    per_unit = per_unit.drop(columns=[n for n in many if per_unit[n].nunique() > limit])
    strong = [a for a in associations(per_unit, labels=units.codes, measured=_MEASURED) if _matters(a, least)]
    if not strong:
        return None
    strong.sort(key=lambda a: (a.measure != "AUROC", -a.effect))
    strong = [a for i, a in enumerate(strong) if a.name not in {b.name for b in strong[:i]}]
    of_tissue = inputs.of_tissue and all(a.name in _OF_TISSUE for a in strong)
    notes = [OF_TISSUE] if of_tissue else []
    if units.column == "patch_id":
        notes.append("Patients are unknown: this is counted by patch, and patches of few patients may explain it.")
    return Found(
        expected,
        f"{', '.join(map(str, strong))} over {len(per_unit):,} {units.name}",
        patch_ids(frame[frame["label"].isin(units.classes)]),
        severity="info" if of_tissue else None,
        note=" ".join(notes),
    )


def _matters(found: Association, least: float) -> bool:
    least = MIN_AUROC_PATCHES if found.name == _PATCHES else least
    return found.p_value <= MAX_P and found.effect >= (least if found.measure == "AUROC" else max(MIN_V, least - 0.25))


def _typed(column: pd.Series) -> pd.Series | None:
    """Numbers where all cells are, days where they are dates, text with few values, or None for ids and free text."""
    known = column.notna() & (column.astype(str).str.strip() != "")
    if pd.api.types.is_datetime64_any_dtype(column) or (
        not pd.api.types.is_numeric_dtype(column) and known.any() and column[known].astype(str).str.match(_DAY).all()
    ):
        return _days(column)
    numbers = pd.Series(to_numbers(column), index=column.index)
    if known.any() and numbers[known].notna().all():
        return numbers
    return column.astype(object).where(known, UNKNOWN).astype(str) if known.any() else None


def _days(column: pd.Series) -> pd.Series:
    """Days since the first; day before month where a first number exceeds twelve."""
    first = pd.to_numeric(column.astype(str).str.extract(r"^\s*(\d{1,2})[-/.]")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas warns of each format that it has to guess
        days = pd.to_datetime(column, errors="coerce", format="mixed", dayfirst=bool((first > 12).any()), utc=True)
    return (days - days.min()).dt.total_seconds() / 86400


def _names_classes(column: pd.Series, labels: pd.Series) -> bool:
    """Whether the cells are the names of the classes or their beginnings: they restate the label."""
    if pd.api.types.is_numeric_dtype(column):
        return False
    pairs = pd.DataFrame({"cell": column.astype(str).str.casefold(), "label": labels.str.casefold()}).value_counts()
    alike = [bool(cell) and (label.startswith(cell[:3]) or cell.startswith(label[:3])) for cell, label in pairs.index]
    return float(np.average(alike, weights=pairs.to_numpy())) > 0.8
