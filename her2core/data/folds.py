"""Folds of cross-validation and leave-one-site-out, each with a validation part of its own inside the training folds.

What stays together is the split unit (`split_units`); patients are counted once whatever their number of patches. The
validation part, by which epoch, regularisation and temperature are chosen, never contains a patch of the held-out fold
(nested cross-validation): it is drawn by patient where folds are by patient or site, and by the folds' own unit
otherwise, so that a split by random patches is one throughout.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from her2core.data.manifest import Manifest
from her2core.data.split_units import Unit, split_label
from her2core.data.splits import groups_of
from her2core.errors import SplitError

Folds = int | Literal["each"]
#: Fold of patches that no fold can test: they are trained on in all folds.
NEVER_TESTED = -1
#: Sites with fewer patients are left out together (our choice): one of two patients needs no training of its own.
SMALLEST_SITE = 5


@dataclass(frozen=True, eq=False)
class FoldAssignment:
    """Which patches are tested in which fold. Get one with ``assign_folds``.

    Attributes
    ----------
    unit : str
        What is kept together.
    table : DataFrame
        ``patch_id`` and ``fold`` (from 0, or ``NEVER_TESTED``), in the manifest's row order.
    names : tuple of str
        Name of each fold: its number from 1, or the sites that it leaves out.
    notes : tuple of str
        Sentences on what the folds could not keep.
    """

    unit: Unit
    table: pd.DataFrame
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def assign_folds(
    manifest: Manifest, unit: Unit = "patient", *, folds: Folds = 5, seed: int = 0, smallest_site: int = SMALLEST_SITE
) -> FoldAssignment:
    """Assign every patch to the fold in which it is tested.

    Folds are balanced by class: scikit-learn's StratifiedKFold over the groups of a unit, ``SitePreservedKFold`` over
    the patients of sites, LeaveOneGroupOut for each site. The assignment follows from the seed and the ids, whatever
    the row order.

    Parameters
    ----------
    manifest : Manifest
    unit : {'patient', 'slide', 'field', 'site', 'patch_random'}
        What stays together.
    folds : int or 'each'
        Number of folds; 'each' leaves out one site after another, for ``unit='site'``.
    seed : int
        From 0; without effect on 'each'.
    smallest_site : int
        With 'each': sites with fewer patients are left out together.

    Returns
    -------
    FoldAssignment

    Raises
    ------
    SplitError
        For unknown ids, one class, a class of one group, or too few groups or sites.

    References
    ----------
    Howard et al. 2021, doi 10.1038/s41467-021-24698-1.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": [f"{i}.png" for i in range(20)], "label": ["neg"] * 10 + ["pos"] * 10,
    ...                       "patient_id": [f"P{i // 2}" for i in range(20)]})
    >>> found = assign_folds(build_manifest(table, root="."), "patient", folds=5)
    >>> found.table["fold"].value_counts().to_dict() == {0: 4, 1: 4, 2: 4, 3: 4, 4: 4}
    True
    """
    where = f"folds {split_label(unit)}"
    if unit == "predefined" or (folds == "each") > (unit == "site"):
        got = f"{folds} folds of unit {unit}"
        fix = "Name patient, slide, field, site or patch_random; `each` goes with site alone."
        raise SplitError("folds by a unit that can be held out", got=got, where=where, fix=fix)
    rows = _rows(manifest, unit)
    _refuse(rows, unit, folds, where)
    if folds == "each":
        fold, names, notes = _each_site(rows, smallest_site, where)
    elif unit == "site":
        fold, names, notes = _sites(rows, folds, seed)
    else:
        fold, names, notes = _groups(rows, folds, seed, unit)
    of_row = pd.Series(fold, index=rows["row"])
    table = pd.DataFrame(
        {"patch_id": manifest.frame["patch_id"], "fold": _row_ids(manifest, unit).map(of_row).to_numpy("int64")}
    )
    return FoldAssignment(unit, table, names, notes)


def fold_split(
    manifest: Manifest, assignment: FoldAssignment, held_out: int, *, validation: float = 0.2, seed: int = 0
) -> pd.DataFrame:
    """Make the split of one fold: its patches are the test part, the others training and validation.

    Parameters
    ----------
    manifest : Manifest
    assignment : FoldAssignment
        Of this manifest.
    held_out : int
        The fold, from 0.
    validation : float
        Share of the other patients (or groups of the unit) of each class, between 0 and 1.
    seed : int
        Of the validation part.

    Returns
    -------
    DataFrame
        ``patch_id`` and ``split``, in the manifest's row order.

    Raises
    ------
    SplitError
        For a fold that does not exist, and where nothing is left for validation.

    Examples
    --------
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": [f"{i}.png" for i in range(20)], "label": ["neg"] * 10 + ["pos"] * 10,
    ...                       "patient_id": [f"P{i // 2}" for i in range(20)]})
    >>> manifest = build_manifest(table, root=".")
    >>> fold_split(manifest, assign_folds(manifest), 0)["split"].value_counts()["train"].item()
    12
    """
    if not 0 <= held_out < len(assignment):
        got, fix = f"fold {held_out}", "Folds are numbered from 0."
        raise SplitError(f"a fold below {len(assignment)}", got=got, where="fold held out", fix=fix)
    test = (assignment.table["fold"] == held_out).to_numpy()
    known = manifest.patients_known and assignment.unit in ("patient", "site")
    groups = groups_of(
        manifest, "patient" if known else "patch_random" if assignment.unit == "site" else assignment.unit
    )
    rest = _modal_labels(manifest.frame["label"][~test], groups[~test])
    chosen: set[str] = set()
    for number, name in enumerate(manifest.classes):
        members = sorted(rest.index[rest == name])
        count = min(len(members) - 1, max(1, round(validation * len(members))))
        rng = np.random.default_rng(np.random.SeedSequence([seed, held_out, number]))
        chosen |= set(rng.permutation(members)[: max(count, 0)].tolist()) if members else set()
    val = groups.isin(chosen).to_numpy() & ~test
    if not val.any():
        got = f"one {'patient' if known else 'group'} of each class outside fold {held_out + 1}"
        fix = "Use fewer folds, or add data."
        raise SplitError(
            "at least two of one class outside each fold, one to choose by", got=got, where="folds", fix=fix
        )
    split = np.where(test, "test", np.where(val, "val", "train"))
    return pd.DataFrame({"patch_id": manifest.frame["patch_id"], "split": split})


def _row_ids(manifest: Manifest, unit: Unit) -> pd.Series:
    """What is assigned to a fold: groups of the unit; for sites their patients, or patches where these are unknown."""
    if unit != "site":
        return groups_of(manifest, unit)
    sites = groups_of(manifest, "site")
    of = groups_of(manifest, "patient" if manifest.patients_known else "patch_random")
    return sites + "\x1f" + of


def _rows(manifest: Manifest, unit: Unit) -> pd.DataFrame:
    """One row a group: ``row``, ``label`` (the most frequent) and, for sites, ``site``; sorted by name."""
    ids = _row_ids(manifest, unit)
    labels = _modal_labels(manifest.frame["label"], ids).sort_index()
    rows = pd.DataFrame({"row": labels.index, "label": labels.to_numpy()})
    return rows.assign(site=rows["row"].str.split("\x1f").str[0]) if unit == "site" else rows


def _modal_labels(labels: pd.Series, groups: pd.Series) -> pd.Series:
    counts = pd.crosstab(groups.to_numpy(), labels.to_numpy())
    return counts.idxmax(axis=1)


def _refuse(rows: pd.DataFrame, unit: Unit, folds: Folds, where: str) -> None:
    what = "patient" if unit == "site" else "patch" if unit == "patch_random" else unit
    counts = rows["label"].value_counts()
    if len(counts) < 2:
        fix = "Cross-validation of a classifier needs a second class."
        raise SplitError("at least two classes", got=f"{counts.index[0]!r} alone", where=where, fix=fix)
    if counts.min() < 2:
        fix = "Add data of this class, or leave it out: held out, it could not be trained on."
        raise SplitError(f"at least two {what}s of each class", got=f"one of {counts.idxmin()!r}", where=where, fix=fix)
    if folds == "each":
        if rows["site"].nunique() < 2:
            raise SplitError("at least two sites", got="one", where=where, fix="Leave out patients instead.")
        return
    if folds < 2:
        raise SplitError("at least two folds", got=str(folds), where=where, fix="Five or ten are usual.")
    have = rows["site"].nunique() if unit == "site" else int(counts.max())
    if have < folds:
        of = "sites" if unit == "site" else f"{what}s of one class"
        fix = f"Use at most {have} folds{', or `each`' if unit == 'site' else ''}."
        raise SplitError(f"at least as many {of} as folds ({folds})", got=str(have), where=where, fix=fix)


def _groups(
    rows: pd.DataFrame, folds: int, seed: int, unit: Unit
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    from sklearn.model_selection import StratifiedKFold

    fold = np.full(len(rows), NEVER_TESTED)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)  # a note instead
        for number, (_, test) in enumerate(splitter.split(rows, rows["label"])):
            fold[test] = number
    what = "patches" if unit == "patch_random" else f"{unit}s"
    return fold, _numbered(folds), _rare(rows, fold, folds, what)


def _sites(rows: pd.DataFrame, folds: int, seed: int) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    from her2core.data.splitters import SitePreservedKFold

    fold = np.full(len(rows), NEVER_TESTED)
    splitter = SitePreservedKFold(folds, random_state=seed)
    for number, (_, test) in enumerate(splitter.split(rows, rows["label"], rows["site"])):
        fold[test] = number
    notes = _rare(rows, fold, folds, "patients")
    if splitter.divided:
        notes = (
            f"Not site-preserved for {', '.join(splitter.divided)}: as a whole in one fold, no patient of some class "
            "would be left to train on, so its patients are in several folds.",
            *notes,
        )
    return fold, _numbered(folds), notes


def _each_site(rows: pd.DataFrame, smallest: int, where: str) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    from sklearn.model_selection import LeaveOneGroupOut

    counts = pd.crosstab(rows["site"], rows["label"])
    total = counts.sum()
    few = [str(s) for s in counts.index[counts.sum(axis=1) < smallest]]
    together = few if len(few) > 1 and (counts.loc[few].sum() < total).all() else []
    groups = rows["site"].where(~rows["site"].isin(together), "\x1f")
    fold = np.full(len(rows), NEVER_TESTED)
    names: list[str] = []
    notes: list[str] = []
    for _, test in LeaveOneGroupOut().split(rows, groups=groups):
        site = str(rows["site"].iloc[test[0]])
        held = counts.loc[together].sum() if site in together else counts.loc[site]
        if absent := [str(name) for name in counts.columns if held[name] == total[name]]:
            notes.append(
                f"Site {site} cannot be left out: all patients of {' and '.join(absent)} come from it. It is trained "
                "on in every fold and has no prediction."
            )
            continue
        fold[test] = len(names)
        names.append(", ".join(together) if site in together else site)
    if len(names) < 2:
        fix = "Use folds by patient: on these data nothing can be said about other sites."
        raise SplitError("two sites that can be left out", got=str(len(names)), where=where, fix=fix)
    if together:
        notes.append(f"Sites with fewer than {smallest} patients were left out together: {', '.join(together)}.")
    return fold, tuple(names), tuple(notes)


def _rare(rows: pd.DataFrame, fold: np.ndarray, folds: int, what: str) -> tuple[str, ...]:
    """A sentence for each class that some folds do not test."""
    notes = []
    for name, of in rows.groupby("label"):
        held = len(set(fold[of.index].tolist()))
        if held < folds:
            notes.append(f"Only {held} of {folds} folds test {name} ({len(of)} {what}).")
    return tuple(notes)


def _numbered(folds: int) -> tuple[str, ...]:
    return tuple(str(number + 1) for number in range(folds))
