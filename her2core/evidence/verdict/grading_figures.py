"""Grades that rest on figures: interval and effective sample, accuracy by patient, baselines, calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from her2core.evidence.baselines import BASELINES, HIGHER, LOWER, METRICS, baseline_sentences, not_below
from her2core.evidence.jackknife import WILSON, wilson_interval
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.result_tables import UNITS
from her2core.evidence.statements import NOT_COMPARED
from her2core.evidence.verdict.inputs import SEVERAL_LABELS, VerdictInputs
from her2core.evidence.verdict.result import Aspect, Figure, percent
from her2core.evidence.verdict.rules import CONTRADICTS, LARGEST_ECE, LIMITS, MARGIN, NOT_KNOWN, SUPPORTS
from her2core.io.text import capitalised, clean_text

_IDS, _EXPORT = "Name the patient of every row.", "Export the identifiers as text."


def figures(inputs: VerdictInputs) -> tuple[Figure, ...]:
    """The accuracy as usually reported, and with honest intervals.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    tuple of Figure
        Those that could be computed, in the order all_rows, as_reported, by_patch, by_patient.
    """
    found = []
    every = inputs.predictions
    if not inputs.from_run and (every.frame["split"] == "train").any():
        n = len(every)
        value = float((every.predicted == every.labels).mean())
        label = f"All {n:,} rows of the table, training rows included"
        found.append(Figure("all_rows", label, value, *wilson_interval(value, n), WILSON, n))
    patch = inputs.metric("accuracy", "patch")
    if patch is not None:
        n = int(patch["n"])
        low, high = wilson_interval(patch["value"], n)
        label = f"By patch, as usually reported: {n:,} patches of the test part taken as independent"
        found.append(Figure("as_reported", label, patch["value"], low, high, WILSON, n))
        if patch["resampling_unit"] == "patient" and not inputs.rounded:
            label = f"By patch, interval over {int(patch['n_clusters']):,} patients"
            found.append(_figure("by_patch", label, patch))
    patient = inputs.metric("accuracy", "patient")
    if patient is not None and not inputs.rounded:
        rule = inputs.evaluation.units.set_index("unit")["rule"].get("patient", "") or "mean"
        label = f"By patient ({str(rule).replace('_', '-')} of the patches)"
        found.append(_figure("by_patient", label, patient))
    return tuple(found)


def interval(inputs: VerdictInputs, found: dict[str, Figure]) -> Aspect:
    """Grade the usual interval, with the effective sample.

    Parameters
    ----------
    inputs : VerdictInputs
    found : dict of str to Figure

    Returns
    -------
    Aspect
    """
    usual, honest = found.get("as_reported"), found.get("by_patch")
    if usual is None or honest is None or math.isnan(honest.lower_95):
        row = inputs.metric("accuracy", "patch") or {"note": ""}
        why = "patient identifiers were rounded" if inputs.rounded else row["note"]
        reason = "there is no interval over patients"
        text = f"{reason} ({why})" if why else reason
        needed = _EXPORT if inputs.rounded else "Test more patients." if inputs.test.patients_known else _IDS
        return Aspect("interval", NOT_KNOWN, f"{capitalised(text)}.", reason, needed)
    worth = inputs.effective
    if worth is not None:
        sample = worth.sentence
    elif len(inputs.test) == len(inputs.test.patients[1]):
        sample = "Each patient has one row, so that rows are independent."
    else:
        sample = "The rows are all right or all wrong, so that their correlation within patients is not known."
    text = f"{sample} The interval is {_bounds(honest)} over patients, and {_bounds(usual)} as usually reported."
    if usual.lower_95 - honest.lower_95 > MARGIN:
        reason = "the usual interval is too narrow"
        if worth is not None:
            reason = f"{usual.n:,} patches are worth {worth.effective_rows:,.0f} independent ones"
        return Aspect("interval", LIMITS, text, reason)
    return Aspect("interval", SUPPORTS, text, "the usual interval holds over patients")


def patients(inputs: VerdictInputs, found: dict[str, Figure]) -> Aspect:
    """Grade the accuracy by patient against the usual interval.

    Parameters
    ----------
    inputs : VerdictInputs
    found : dict of str to Figure

    Returns
    -------
    Aspect
    """
    usual, by_patient = found.get("as_reported"), found.get("by_patient")
    if usual is None or by_patient is None or math.isnan(by_patient.lower_95):
        if by_patient is not None:
            text, needed = f"{by_patient.text} by patient: {by_patient.note}.", "Test more patients."
            return Aspect("patients", NOT_KNOWN, text, "it has no interval by patient", needed)
        why, needed = inputs.why_not("patient"), "Give each patient one label."
        if not inputs.test.patients_known:
            why, needed = "patients are unknown", _IDS
        elif inputs.rounded:
            why, needed = "patient identifiers were rounded", _EXPORT
        elif SEVERAL_LABELS in why:
            why = "patients have several labels"
        text = f"No accuracy by patient: {why.rstrip('.')}."
        return Aspect("patients", NOT_KNOWN, text, "there is no accuracy by patient", needed)
    text = (
        f"{by_patient.text} of {by_patient.n:,} patients are right; by patch {percent(usual.value)} with the usual "
        f"interval {_bounds(usual)}."
    )
    if by_patient.upper_95 < usual.lower_95:
        reason = f"by patient it is {by_patient.text}, below the usual interval by patch"
        return Aspect("patients", CONTRADICTS, text, reason)
    if usual.lower_95 - by_patient.lower_95 > MARGIN:
        return Aspect("patients", LIMITS, text, f"by patient it may be as low as {percent(by_patient.lower_95)}")
    return Aspect("patients", SUPPORTS, text, "it holds by patient")


def baselines(inputs: VerdictInputs) -> Aspect:
    """Grade the comparison with baselines, with a constant prediction and with the no-information rate.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    graded = _against_baselines(inputs)
    not_above = _no_information(inputs)
    if not_above is None or graded.grade == CONTRADICTS:
        return graded
    reason = graded.reason if graded.grade == LIMITS else not_above.reason
    return Aspect("baselines", LIMITS, f"{not_above.finding} {graded.finding}".strip(), reason)


def _against_baselines(inputs: VerdictInputs) -> Aspect:
    constant = _constant(inputs)
    table = pd.DataFrame() if inputs.baselines is None else _at_one_unit(inputs.baselines)
    if constant is not None and constant.grade == CONTRADICTS:
        unit = "patch" if table.empty else str(table["unit"].iloc[0])
        lost = () if table.empty else baseline_sentences(table, unit)
        return replace(constant, finding=" ".join((constant.finding, *lost)))
    rows = table if table.empty else table[~table["statement"].astype(str).str.startswith(NOT_COMPARED)]
    if rows.empty:
        if constant is not None and constant.grade == LIMITS and table.empty:
            return constant
        above = "" if constant is None else constant.finding
        if not table.empty:
            said = " ".join((*baseline_sentences(table, str(table["unit"].iloc[0])), above)).strip()
            if as_good := not_below(table):
                return Aspect("baselines", LIMITS, said, f"the baseline {', '.join(as_good)} is as good as the network")
            needed = "Test more patients." if inputs.test.patients_known else _IDS
            return Aspect("baselines", NOT_KNOWN, said, "no baseline can be compared", needed)
        why, needed = inputs.reasons["baselines"], "Train on the data as a run."
        if inputs.from_run:
            needed = f"Compute them: her2 baselines {inputs.name} --manifest MANIFEST --save."
        return Aspect("baselines", NOT_KNOWN, f"{capitalised(why)}. {above}".strip(), why, needed)
    unit = str(rows["unit"].iloc[0])
    lost = baseline_sentences(rows, unit)
    network = f"{metric_label(METRICS[0])} by {unit} {rows['network'].iloc[0]:.2f}"
    if lost:
        grade = CONTRADICTS if (rows["statement"] == LOWER).any() else LIMITS
        names = ", ".join(BASELINES.get(n, n) for n in rows.loc[rows["statement"] != HIGHER, "baseline"])
        return Aspect("baselines", grade, " ".join(lost), f"it is not shown to beat the baseline {names}")
    names = ", ".join(f"{BASELINES.get(r.baseline, r.baseline)} {r.value:.2f}" for r in rows.itertuples())
    return Aspect("baselines", SUPPORTS, f"{network}, higher than every baseline: {names}.", "every baseline is beaten")


def calibration(inputs: VerdictInputs) -> Aspect:
    """Grade the calibration of the probabilities by patch.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Aspect
    """
    if inputs.calibration is None:
        why = inputs.reasons["calibration"]
        needed = "" if inputs.test.has_scores else "Export the probabilities of the model."
        return Aspect("calibration", NOT_KNOWN, f"{capitalised(why)}.", why, needed)
    rows = inputs.calibration[inputs.calibration["unit"] == "patch"]
    overall = rows[rows["class"].astype(object).fillna("") == ""].set_index("metric")
    slopes = rows[rows["metric"] == "calibration_slope"]
    if rows.empty or "ece_equal_mass" not in overall.index:
        why = "there is no calibration error by patch"
        return Aspect("calibration", NOT_KNOWN, f"{capitalised(why)}.", why, "Export the probabilities of the model.")
    error = overall.loc["ece_equal_mass"]
    off = ((slopes["lower_95"] > 1) | (slopes["upper_95"] < 1)).sum()
    parts = [f"ECE {_number(error)}"]
    parts += (
        [f"slope of {clean_text(row['class'], 60)} {_number(row)}" for _, row in slopes.iterrows()]
        if len(slopes) <= 3
        else []
    )
    parts += [f"the interval of the slope excludes 1 for {off} of {len(slopes)} classes"] if len(slopes) > 3 else []
    parts += [f"Brier score {_number(overall.loc['brier'])}"] if "brier" in overall.index else []
    text = f"{'; '.join(parts)}."
    needed = "Test more patients." if inputs.test.patients_known else _IDS
    if error["resampling_unit"] != "patient" or math.isnan(error["upper_95"]):
        why = "there is no interval of the calibration error over patients"
        return Aspect("calibration", NOT_KNOWN, f"{text} {capitalised(why)}.", why, needed)
    if error["lower_95"] > 0 or (len(slopes) and off >= len(slopes) / 2):
        return Aspect("calibration", LIMITS, text, "the probabilities are not calibrated")
    if len(slopes) and slopes["value"].isna().all():
        why = "too few rows are wrong to judge the calibration"
        return Aspect("calibration", NOT_KNOWN, f"{text} {capitalised(why)}.", why, needed)
    if error["upper_95"] > LARGEST_ECE:
        why = "the interval of the calibration error is wide"
        return Aspect("calibration", NOT_KNOWN, f"{text} {capitalised(why)}.", why, needed)
    return Aspect("calibration", SUPPORTS, text, "the probabilities are calibrated")


def _constant(inputs: VerdictInputs) -> Aspect | None:
    """Comparison with a constant prediction; None where there is no interval of the balanced accuracy."""
    row = inputs.metric("balanced_accuracy", "patient") or inputs.metric("balanced_accuracy", "patch")
    if row is None:
        return None
    constant = 1 / len(set(inputs.test.labels.tolist()))  # balanced accuracy is over the classes that have cases
    about = (
        f"Balanced accuracy by {row['unit']} {row['value']:.2f} "
        f"{_bounds_of(row)}; that of a constant prediction is {constant:.2f}."
    )
    if len(set(inputs.test.predicted.tolist())) == 1:
        return Aspect("baselines", CONTRADICTS, f"One class only is predicted. {about}", "one class only is predicted")
    if row["upper_95"] < constant:
        return Aspect("baselines", CONTRADICTS, about, "it is worse than always predicting one class")
    if math.isnan(row["lower_95"]) and row["value"] > constant:
        return None
    if row["value"] <= constant or row["lower_95"] <= constant:
        return Aspect("baselines", LIMITS, about, "it is not shown to be better than always predicting one class")
    return Aspect("baselines", SUPPORTS, about, "it is better than always predicting one class")


def _no_information(inputs: VerdictInputs) -> Aspect | None:
    """Accuracy that is not shown to be above the share of the most frequent class; None where it is above."""
    tested = inputs.test
    for unit in ("patient", "patch"):
        row = inputs.metric("accuracy", unit)
        if row is None or len(set(tested.labels.tolist())) < 2:
            continue
        counts = list(inputs.patients_by_class.values()) if unit == "patient" else np.bincount(tested.labels).tolist()
        share = max(counts) / sum(counts)
        if (row["value"] if math.isnan(row["lower_95"]) else row["lower_95"]) > share:
            continue
        most = clean_text(tested.classes[counts.index(max(counts))], 60)
        text = (
            f"Accuracy by {unit} {_percents(row)}; always answering {most}, the most frequent class, is right for "
            f"{percent(share)} (no-information rate)."
        )
        below = "is below" if row["value"] < share else "is not shown to be above"
        return Aspect("baselines", LIMITS, text, f"the accuracy by {unit} {below} the share of the most frequent class")
    return None


def _at_one_unit(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first metric, by patient where a patient could be compared, otherwise by patch or what there is."""
    rows = table[table["metric"] == METRICS[0]]
    compared = rows[~rows["statement"].astype(str).str.startswith(NOT_COMPARED)]
    units = [u for found in (compared, rows) for u in reversed(UNITS) if (found["unit"] == u).any()]
    return rows[rows["unit"] == units[0]] if units else rows


def _figure(name: str, label: str, row: dict[str, object]) -> Figure:
    value, low, high = (float(str(row[c])) for c in ("value", "lower_95", "upper_95"))
    return Figure(name, label, value, low, high, str(row["interval_method"]), int(str(row["n"])), str(row["note"]))


def _bounds(figure: Figure) -> str:
    return f"[{percent(figure.lower_95)}, {percent(figure.upper_95)}]"


def _bounds_of(row: dict[str, object]) -> str:
    low, high = (float(str(row[c])) for c in ("lower_95", "upper_95"))
    return "(no interval)" if math.isnan(low) else f"[{low:.2f}, {high:.2f}]"


def _percents(row: dict[str, object]) -> str:
    value, low, high = (float(str(row[c])) for c in ("value", "lower_95", "upper_95"))
    return f"{percent(value)} " + ("(no interval)" if math.isnan(low) else f"[{percent(low)}, {percent(high)}]")


def _number(row: pd.Series) -> str:
    return "not defined" if math.isnan(row["value"]) else f"{row['value']:.2f} {_bounds_of(row.to_dict())}"
