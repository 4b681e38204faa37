"""Which patch is for training, which for validation, which for test? A manifest and a unit in, one word a patch out.

Units: ``patient`` (default), ``slide``, ``site``, ``patch_random`` (what patch-level papers do; tiles of one slide
land on both sides and scores come out inflated: Bussola et al. 2021, doi 10.1007/978-3-030-68763-2_13), and
``predefined`` (the data set's own column ``split``). A split is computed once and saved with the run.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import pandas as pd

from her2core.data.manifest import UNKNOWN, Manifest
from her2core.errors import SplitError

Unit = Literal["patient", "slide", "site", "patch_random", "predefined"]
UNITS: tuple[str, ...] = get_args(Unit)
PARTS = ("train", "val", "test")
UNIT_COLUMN = {"patient": "patient_id", "slide": "slide_id", "site": "site"}

PATCH_RANDOM_WARNING = (
    "Random patch split: neighbouring patches of one slide stand in training and test, so these figures say how well "
    "known slides are recognised, not how well new patients are. Expect them to be inflated."
)
SAME_PATIENT_WARNING = "Patients stand on both sides of this split, so these figures make no claim about new patients."
UNKNOWN_PATIENT_WARNING = (
    "The data do not say which patches share a patient: no patient-level claim can be made, and the figures may be "
    "inflated by patches of one patient on both sides of the split."
)


def split_manifest(
    manifest: Manifest,
    unit: Unit = "patient",
    *,
    fractions: tuple[float, float, float] = (0.6, 0.2, 0.2),
    seed: int = 0,
) -> pd.DataFrame:
    """Assign each patch to train, val or test.

    Groups (patients, slides, sites, or single patches) are dealt out class by class, so that each part holds about
    its fraction of the groups of every class; a group with several labels counts under its most frequent one. Sites are
    few and hold all classes, so they are dealt out as one heap.
    Deterministic from ``seed`` and the group names, whatever the row order.

    Returns
    -------
    DataFrame with columns ``patch_id`` and ``split``, in the manifest's row order.

    Raises
    ------
    SplitError : unknown unit, bad fractions or seed, unknown ids, or fewer than three groups of a class.
    """
    if unit not in UNITS:
        raise SplitError(f"a unit out of {', '.join(UNITS)}", got=repr(unit), where="split", fix="Choose one.")
    if unit == "predefined":
        return _predefined(manifest)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise SplitError(
            "three positive fractions that sum to 1",
            got=str(fractions),
            where="split",
            fix="The paper's are 0.6, 0.2, 0.2.",
        )
    if seed < 0:
        raise SplitError("a seed of 0 or more", got=str(seed), where="split", fix="Choose another.")
    frame = manifest.frame
    groups = frame["patch_id"] if unit == "patch_random" else frame[UNIT_COLUMN[unit]]
    if (groups == UNKNOWN).any():
        raise SplitError(
            f"a known {unit} in every row",
            got=f"{int((groups == UNKNOWN).sum())} rows without one",
            where=f"split by {unit}",
            fix="Add the ids to the manifest, or split by patch_random and carry its warning.",
        )
    part_of: dict[str, str] = {}
    for number, (name, members) in enumerate(_strata(manifest, groups, unit).items()):
        if len(members) < 3:
            raise SplitError(
                f"at least three {unit}s of {name}, one for each part",
                got=str(len(members)),
                where=f"split by {unit}",
                fix="Add data, or split by a smaller unit and say so.",
            )
        order = np.random.default_rng(np.random.SeedSequence([seed, number])).permutation(len(members))
        part_of.update({members[i]: part for i, part in zip(order, _deal(len(members), fractions), strict=True)})
    result = pd.DataFrame({"patch_id": frame["patch_id"], "split": groups.map(part_of).to_numpy()})
    return verify_split(manifest, result, unit)


def verify_split(manifest: Manifest, split: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Refuse a split that breaks the unit it claims, misses patches, or leaves a part or its classes empty."""
    if sorted(split["patch_id"]) != sorted(manifest.frame["patch_id"]):
        raise SplitError(
            "exactly the manifest's patches",
            got="other patch ids",
            where="split",
            fix="Make the split anew from this manifest.",
        )
    joined = manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))
    for part in PARTS:
        if not (joined["split"] == part).any():
            raise SplitError(
                "patches in train, val and test",
                got=f"no {part} patch",
                where=f"split by {unit}",
                fix="Add data, or change the fractions or the split column.",
            )
    absent = set(manifest.frame["label"]) - set(joined.loc[joined["split"] == "train", "label"])
    if absent:
        raise SplitError(
            "every class among the training patches",
            got=f"none of {', '.join(sorted(absent))}",
            where=f"split by {unit}",
            fix="Add data of these classes or change the split.",
        )
    column = UNIT_COLUMN.get(unit)
    if column:
        parts = joined.groupby(column)["split"].nunique()
        if (parts > 1).any():
            who = parts.index[parts > 1][0]
            raise SplitError(
                f"each {unit} in one part only",
                got=f"{unit} {who!r} in {int(parts[who])} parts",
                where=f"split by {unit}",
                fix="Correct the split column, or name the split patch_random.",
            )
    return split


def split_warnings(manifest: Manifest, split: pd.DataFrame, unit: Unit) -> list[str]:
    """The sentences that every result under this split must carry; empty for a clean split by patient."""
    warnings = [PATCH_RANDOM_WARNING] if unit == "patch_random" else []
    if not manifest.patients_known:
        warnings.append(UNKNOWN_PATIENT_WARNING)
    else:
        joined = manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))
        if (joined.groupby("patient_id")["split"].nunique() > 1).any():
            warnings.append(SAME_PATIENT_WARNING)
    return warnings


def _strata(manifest: Manifest, groups: pd.Series, unit: Unit) -> dict[str, list[str]]:
    """Group names to deal out together, sorted, under the words for them: by class, or all sites as one."""
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


def _deal(count: int, fractions: tuple[float, float, float]) -> list[str]:
    """Parts for ``count`` groups by largest remainder; from three groups on, each part gets at least one."""
    exact = np.array(fractions) * count
    counts = np.floor(exact).astype(int)
    for i in np.argsort(-(exact - counts), kind="stable")[: count - counts.sum()]:
        counts[i] += 1
    while count >= len(PARTS) and counts.min() == 0:
        counts[counts.argmax()] -= 1
        counts[counts.argmin()] += 1
    return [part for part, n in zip(PARTS, counts, strict=True) for _ in range(n)]
