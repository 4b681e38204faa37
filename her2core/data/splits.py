"""Splits of a manifest into training, validation and test parts, stratified by class.

What stays together is the split unit (`split_units`): patients by default. A split is computed once and saved with the
run.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN, Manifest
from her2core.data.split_units import PARTS, Unit, split_label, split_unit
from her2core.errors import SplitError

PATCH_RANDOM_WARNING = (
    "Random patch split: neighbouring patches of one slide are in training and test, so the figures describe how well "
    "known slides are recognised, not how well new patients are classified, and are expected to be inflated."
)
SAME_PATIENT_WARNING = "Patients are in several parts of this split, so the figures make no claim about new patients."
UNKNOWN_PATIENT_WARNING = (
    "Patient ids are unknown: no patient-level claim can be made, and the figures may be inflated by patches of one "
    "patient in several parts of the split."
)


def split_manifest(
    manifest: Manifest,
    unit: Unit = "patient",
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> pd.DataFrame:
    """Divide a data set into training, validation and test parts.

    Groups (patients, slides, sites or single patches) are assigned class by class, so that each part holds about its
    fraction of the groups of every class; a group with several labels counts under its most frequent one. Sites are few
    and hold all classes, so they are assigned without stratification.

    Parameters
    ----------
    manifest : Manifest
    unit : {'patient', 'slide', 'field', 'site', 'patch_random', 'predefined'}
        What stays together; 'predefined' takes the manifest's own column ``split``.
    fractions : tuple of float
        Of train, val and test, each positive, with sum 1; ignored for 'predefined'. The default is the paper's.
    seed : int
        From 0. The split follows from the seed and the ids, whatever the row order.

    Returns
    -------
    DataFrame
        Columns ``patch_id`` and ``split`` ('train', 'val' or 'test'), in the manifest's row order.

    Raises
    ------
    SplitError
        For an unknown unit, invalid fractions or seed, unknown ids, or fewer than three groups of a class.

    References
    ----------
    Bussola et al. (2021), AI Slipping on Tiles: Data Leakage in Digital Pathology, doi 10.1007/978-3-030-68763-2_13.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core import split_manifest
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({
    ...     "path": [f"{i}.png" for i in range(20)],
    ...     "label": ["negative"] * 10 + ["positive"] * 10,
    ...     "patient_id": [f"P{i // 2}" for i in range(20)],
    ... })
    >>> split = split_manifest(build_manifest(table, root="images"), "patient", seed=0)
    >>> split["split"].value_counts().to_dict()
    {'train': 12, 'val': 4, 'test': 4}
    """
    split_unit(unit)
    if unit == "predefined":
        return _predefined(manifest)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise SplitError(
            "argument `fractions` to be three positive fractions that sum to 1",
            got=str(fractions),
            fix="The paper's are 0.6, 0.2, 0.2.",
        )
    if seed < 0:
        raise SplitError("argument `seed` to be 0 or more", got=str(seed), fix="Choose another.")
    frame = manifest.frame
    groups = groups_of(manifest, unit)
    part_of: dict[str, str] = {}
    for number, (name, members) in enumerate(_strata(manifest, groups, unit).items()):
        if len(members) < len(PARTS):
            raise SplitError(
                f"at least three {unit}s of {name}, one for each part",
                got=str(len(members)),
                where=f"split {split_label(unit)}",
                fix="Add data, or split by a smaller unit, which weakens what the figures may claim.",
            )
        order = np.random.default_rng(np.random.SeedSequence([seed, number])).permutation(len(members))
        part_of.update({members[i]: part for i, part in zip(order, _allocate(len(members), fractions), strict=True)})
    result = pd.DataFrame({"patch_id": frame["patch_id"], "split": groups.map(part_of).to_numpy()})
    return verify_split(manifest, result, unit)


def groups_of(manifest: Manifest, unit: Unit) -> pd.Series:
    """What each patch is kept together with.

    Parameters
    ----------
    manifest : Manifest
    unit : {'patient', 'slide', 'field', 'site', 'patch_random'}

    Returns
    -------
    Series of str
        Row for row with the manifest: ids of the unit, or of the patch itself.

    Raises
    ------
    SplitError
        Where a row does not name its unit.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": list("ab"), "label": ["x", "y"], "patient_id": ["P1", "P2"]})
    >>> groups_of(build_manifest(table, root="."), "patient").tolist()
    ['P1', 'P2']
    """
    column, frame = split_unit(unit).column or "patch_id", manifest.frame
    absent = frame[column].isna() | (frame[column] == UNKNOWN) if column in frame else pd.Series(True, frame.index)
    if absent.any():
        raise SplitError(
            f"a known {unit} in every row",
            got=f"{int(absent.sum())} rows without one",
            where=f"split {split_label(unit)}",
            fix="Add the ids to the manifest, or split by patch_random, which allows no claim about new patients.",
        )
    return frame[column].astype("str")


def verify_split(manifest: Manifest, split: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Verify that a split keeps the unit that it claims to keep.

    Parameters
    ----------
    manifest : Manifest
    split : DataFrame
        Columns ``patch_id`` and ``split``.
    unit : {'patient', 'slide', 'field', 'site', 'patch_random', 'predefined'}

    Returns
    -------
    DataFrame
        ``split`` itself.

    Raises
    ------
    SplitError
        For other patches than the manifest's, an empty part, a class absent from training, or a group in several parts.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": list("abc"), "label": ["x", "y", "x"], "patient_id": ["P1", "P2", "P1"]})
    >>> split = pd.DataFrame({"patch_id": list("abc"), "split": ["train", "train", "test"]})
    >>> verify_split(build_manifest(table, root="."), split, "slide")
    Traceback (most recent call last):
    her2core.errors.SplitError: Expected patches in train, val and test, but got no val patch (split by slide). Add \
data, or change the fractions or the split column.
    """
    column, where = split_unit(unit).column, f"split {split_label(unit)}"
    if sorted(split["patch_id"]) != sorted(manifest.frame["patch_id"]):
        raise SplitError(
            "exactly the manifest's patches",
            got="other patch ids",
            where=where,
            fix="Make the split anew from this manifest.",
        )
    joined = _joined(manifest, split)
    for part in PARTS:
        if not (joined["split"] == part).any():
            raise SplitError(
                "patches in train, val and test",
                got=f"no {part} patch",
                where=where,
                fix="Add data, or change the fractions or the split column.",
            )
    absent = set(manifest.frame["label"]) - set(joined.loc[joined["split"] == "train", "label"])
    if absent:
        raise SplitError(
            "every class among the training patches",
            got=f"none of {', '.join(sorted(absent))}",
            where=where,
            fix="Add data of these classes or change the split.",
        )
    if column:
        parts = joined.groupby(column)["split"].nunique()
        if (parts > 1).any():
            group = parts.index[parts > 1][0]
            raise SplitError(
                f"each {unit} in one part only",
                got=f"{unit} {group!r} in {int(parts[group])} parts",
                where=where,
                fix="Correct the split column, or name the split patch_random.",
            )
    return split


def split_warnings(manifest: Manifest, split: pd.DataFrame, unit: Unit) -> list[str]:
    """Limits that every result under a split must state.

    Parameters
    ----------
    manifest : Manifest
    split : DataFrame
        Columns ``patch_id`` and ``split``.
    unit : {'patient', 'slide', 'field', 'site', 'patch_random', 'predefined'}

    Returns
    -------
    list of str
        Sentences; empty for a split that keeps known patients apart.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": list("abc"), "label": ["x", "y", "x"], "patient_id": ["P1", "P2", "P1"]})
    >>> split = pd.DataFrame({"patch_id": list("abc"), "split": ["train", "train", "test"]})
    >>> split_warnings(build_manifest(table, root="."), split, "predefined") == [SAME_PATIENT_WARNING]
    True
    """
    warnings = [PATCH_RANDOM_WARNING] if unit == "patch_random" else []
    if not manifest.patients_known:
        warnings.append(UNKNOWN_PATIENT_WARNING)
    elif (_joined(manifest, split).groupby("patient_id")["split"].nunique() > 1).any():
        warnings.append(SAME_PATIENT_WARNING)
    return warnings


def _joined(manifest: Manifest, split: pd.DataFrame) -> pd.DataFrame:
    """The manifest's rows with their part in ``split``; a column of the same name of its own is renamed."""
    return manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))


def _strata(manifest: Manifest, groups: pd.Series, unit: Unit) -> dict[str, list[str]]:
    """Sorted names of groups that are assigned together, by the name of their stratum: each class, or all sites."""
    if unit == "site":
        return {"any class": sorted(groups.unique())}
    labels = manifest.frame["label"]
    if unit != "patch_random":
        labels = labels.groupby(groups.to_numpy()).agg(lambda s: s.mode().iloc[0])
        groups = labels.index.to_series()
    named = {f"class {c!r}": sorted(groups[(labels == c).to_numpy()]) for c in manifest.classes}
    return {name: members for name, members in named.items() if members}


def _predefined(manifest: Manifest) -> pd.DataFrame:
    if "split" not in manifest.frame:
        raise SplitError(
            "a column 'split' in the manifest",
            got="none",
            where="predefined split",
            fix="Add it (train, val or test in every row) or choose another unit.",
        )
    bad = ~manifest.frame["split"].isin(PARTS)
    if bad.any():
        raise SplitError(
            f"one of {', '.join(PARTS)}",
            got=repr(manifest.frame.loc[bad, "split"].iloc[0]),
            where=f"column 'split', row {int(bad.to_numpy().argmax()) + 1}",
            fix="Correct the cell.",
        )
    return verify_split(manifest, manifest.frame[["patch_id", "split"]].copy(), "predefined")


def _allocate(count: int, fractions: tuple[float, float, float]) -> list[str]:
    """Parts for ``count`` groups by largest remainder; from three groups on, each part gets at least one."""
    exact = np.array(fractions) * count
    counts = np.floor(exact).astype(int)
    for i in np.argsort(-(exact - counts), kind="stable")[: count - counts.sum()]:
        counts[i] += 1
    while count >= len(PARTS) and counts.min() == 0:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return [part for part, n in zip(PARTS, counts, strict=True) for _ in range(n)]


def split_hash(split: pd.DataFrame) -> str:
    """Hash of a split, whatever its row order.

    Parameters
    ----------
    split : DataFrame
        ``patch_id`` and the columns that say where each patch is.

    Returns
    -------
    str
        SHA-256 (hex).

    Examples
    --------
    >>> split = pd.DataFrame({"patch_id": ["b", "a"], "split": ["test", "train"]})
    >>> split_hash(split) == split_hash(split.iloc[::-1])
    True
    """
    text = split.sort_values("patch_id").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()
