"""Checks of confounding: classes that coincide with a site, a scanner or a few patients.

A class is *bound* to a site when nearly all of its patches come from there while the other classes do not. Association
over all classes is Cramer's V with the bias correction of Bergsma (2013, J Korean Stat Soc 42:323,
doi 10.1016/j.jkss.2012.10.002), and of one class and one site phi; both are reported only where a permutation test over
patients is significant.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import CouldNotRun, Found, NotApplicable, Result, patch_ids
from her2core.data.manifest import UNKNOWN

#: A class is bound to a site when more than MIN_SHARE of its patches come from there, and less than MAX_OVERALL of all.
MIN_SHARE, MAX_OVERALL = 0.95, 0.8
#: Largest probability, Bonferroni-corrected over classes, that random assignment of patients would bind a class.
MAX_P_BOUND = 0.01
#: Cramer's V or phi from which a site predicts the class although no class is bound to one (our choice).
MIN_ASSOCIATION = 0.5
#: Largest p-value of the permutation test of Cramer's V, and its permutations.
MAX_P_ASSOCIATION, PERMUTATIONS = 1e-3, 1999
#: Fewest effective patients per class (inverse Simpson index of its patches over patients).
MIN_EFFECTIVE_PATIENTS = 2.5


def site_confounded(inputs: CheckInputs) -> Result:
    """Find a class that comes (almost) from one site only while sites differ, or sites that predict the class.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> site_confounded(example_inputs(site=["A", "B"] * 3)).got
    'negative, positive from one site only'
    >>> site_confounded(example_inputs(site="A")).reason
    'only one site is known'
    """
    return _confounded(inputs, "site")


def scanner_confounded(inputs: CheckInputs) -> Result:
    """Find a class that comes (almost) from one scanner only, or scanners that predict the class.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> scanner_confounded(example_inputs(scanner=["A", "A", "B", "B"])) is None
    True
    """
    return _confounded(inputs, "scanner")


def patient_confounded(inputs: CheckInputs) -> Result:
    """Find a class most of whose patches come from one or two patients with hardly any patches of other classes.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> patient_confounded(example_inputs(patient_id=["P1", "P2", "P3", "P2", "P4", "P2"])).got
    '100% of positive from patient P2'
    """
    frame = inputs.frame
    if not inputs.manifest.patients_known:
        return CouldNotRun("patient ids are unknown")
    if frame["patient_id"].nunique() < 2:
        return NotApplicable("all patches are of one patient")
    table = pd.crosstab(frame["label"], frame["patient_id"])
    share = table.div(table.sum(axis=1), axis=0)
    effective = 1 / (share**2).sum(axis=1)
    purity = (table / table.sum()).to_numpy()[np.arange(len(table)), share.to_numpy().argmax(axis=1)]
    dominated = [
        label
        for label, patients, pure in zip(table.index, effective, purity, strict=True)
        if patients < MIN_EFFECTIVE_PATIENTS and pure > MIN_SHARE
    ]
    if not dominated:
        return None
    return Found(
        "every class spread over several patients",
        ", ".join(f"{share.loc[c].max():.0%} of {c} from patient {share.loc[c].idxmax()}" for c in dominated),
        patch_ids(frame[frame["label"].isin(dominated)]),
    )


def _confounded(inputs: CheckInputs, column: str) -> Result:
    frame = inputs.frame[inputs.frame[column] != UNKNOWN]
    if frame.empty:
        return CouldNotRun(f"the {column} is unknown in every row")
    if frame[column].nunique() < 2:
        return NotApplicable(f"only one {column} is known")
    if frame["label"].nunique() < 2:
        return NotApplicable("all patches are of one class")
    units = _units(frame, column)
    bound = _bound_classes(frame, units, column)
    if bound:
        return Found(
            f"every class from several {column}s",
            f"{', '.join(bound)} from one {column} only",
            patch_ids(frame[frame["label"].isin(bound)]),
        )
    association = _association(units, column)
    if association:
        where = f"over {len(units)} {units.attrs['unit']}"
        return Found(f"similar class proportions at every {column}", f"{association} {where})", patch_ids(frame))
    absent = [c for c in inputs.manifest.classes if c in set(inputs.frame["label"]) - set(frame["label"])]
    return CouldNotRun(f"the {column} is unknown in every row of {', '.join(absent)}") if absent else None


def _units(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row per patient (slide where a patient is unknown, patch where slides are too): most frequent values."""
    by, name = "patch_id", "patches"
    for candidate in ("patient_id", "slide_id"):
        if not (frame[candidate] == UNKNOWN).any():
            by, name = candidate, candidate.removesuffix("_id") + "s"
            break
    counted = frame.groupby([by, "label", column], as_index=False).size().sort_values("size", kind="stable")
    units = counted.drop_duplicates(by, keep="last")[["label", column]].reset_index(drop=True)
    units.attrs["unit"] = name
    return units


def _bound_classes(frame: pd.DataFrame, units: pd.DataFrame, column: str) -> list[str]:
    """Classes bound to one value of ``column``, by patches, unless random assignment of units would do the same.

    The probability of the latter is hypergeometric. Where every value of ``column`` holds one class only, a class is
    bound however few units there are.
    """
    from scipy.stats import hypergeom

    table = pd.crosstab(frame["label"], frame[column])
    share = table.div(table.sum(axis=1), axis=0)
    overall = table.sum() / table.to_numpy().sum()
    counts = pd.crosstab(units["label"], units[column]).reindex_like(table).fillna(0)
    one_class_each = bool(((counts > 0).sum(axis=0) <= 1).all())
    bound = []
    for label in table.index:
        value = share.loc[label].idxmax()
        if share.loc[label, value] <= MIN_SHARE or overall[value] >= MAX_OVERALL:
            continue
        of_class, of_value = counts.loc[label, value], counts[value].sum()
        p_value = hypergeom.sf(of_class - 1, len(units), of_value, counts.loc[label].sum()) * len(table)
        if one_class_each or p_value < MAX_P_BOUND:
            bound.append(label)
    return bound


def _association(units: pd.DataFrame, column: str) -> str:
    """That values predict the class (Cramer's V), or else one value one class (phi), where a permutation test says so.

    Phi finds one special site among many, which hardly changes V. Empty where nothing is found.
    """
    a, labels = pd.factorize(units["label"])
    b, values = pd.factorize(units[column])
    rows, columns, n = len(labels), len(values), len(a)
    if rows < 2 or columns < 2 or n < 3:
        return ""
    of_label, of_value = np.bincount(a)[:, None], np.bincount(b)
    expected = of_label * of_value / n
    spread = np.sqrt(of_label * (n - of_label) * of_value * (n - of_value))

    def differences(permuted: np.ndarray) -> np.ndarray:
        return np.bincount(permuted * columns + b, minlength=rows * columns).reshape(rows, columns) - expected

    def statistics(permuted: np.ndarray) -> np.ndarray:
        found = differences(permuted)
        return np.array([(found**2 / expected).sum(), (n * np.abs(found) / spread).max()])

    statistic = statistics(a)
    shared = max(0.0, statistic[0] / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    effects = np.array([np.sqrt(shared / least) if least > 0 else 0.0, statistic[1]])
    if effects.max() < MIN_ASSOCIATION:
        return ""
    rng = np.random.default_rng(0)
    reached = sum(statistics(rng.permutation(a)) >= statistic - 1e-9 for _ in range(PERMUTATIONS))
    strong = ((1 + reached) / (1 + PERMUTATIONS) <= MAX_P_ASSOCIATION) & (effects >= MIN_ASSOCIATION)
    if strong[0]:
        return f"{column}s that predict the class (Cramer's V {effects[0]:.2f}"
    if not strong[1]:
        return ""
    signed = differences(a) / spread
    label, value = np.unravel_index(int((np.abs(signed) + 1e-9 * np.sign(signed)).argmax()), signed.shape)
    verb = "goes with" if signed[label, value] > 0 else "hardly has"
    return f"{column} {values[value]} that {verb} {labels[label]} (phi {effects[1]:.2f}"
