"""Result tables beside the metrics: calibration, abstention, decisions, operating points, subgroups and labels.

The tables that clinical reporting asks for, each made on demand (a page shows one, a run keeps all). What cannot be
given is a row of ``ResultTable.missing`` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.abstention import referral_table, risk_coverage
from her2core.evidence.aggregate import UNIT_COLUMN
from her2core.evidence.arguments import check_choice, check_resampling
from her2core.evidence.between_sites import COLUMNS as SITES_COLUMNS
from her2core.evidence.between_sites import between_sites
from her2core.evidence.decisions import decision_curve
from her2core.evidence.discordance import COLUMNS as DISCORDANCE_COLUMNS
from her2core.evidence.discordance import discordance_table
from her2core.evidence.group_differences import COLUMNS as DIFFERENCE_COLUMNS
from her2core.evidence.group_differences import group_differences
from her2core.evidence.inputs import EvaluationInputs
from her2core.evidence.ish_referral import ish_table
from her2core.evidence.label_noise import label_noise_table
from her2core.evidence.operating_points import COLUMNS as POINT_COLUMNS
from her2core.evidence.operating_points import THRESHOLD_RULES, validated_operating_point
from her2core.evidence.predictions import IDS
from her2core.evidence.reliability import calibration_table, compare_calibration, reliability_table
from her2core.evidence.results import TableResult
from her2core.evidence.slice_conditions import columns_by_unit
from her2core.evidence.subgroups import SEVERAL, subgroup_table
from her2core.evidence.suspected_labels import COLUMNS as SUSPECTED_COLUMNS
from her2core.evidence.suspected_labels import suspected_labels
from her2core.evidence.three_way import three_way_curve
from her2core.evidence.weak_slices import COLUMNS as SLICE_COLUMNS
from her2core.evidence.weak_slices import weak_slices

UNITS = ("patch", "patient")
_BASE = ("value", "lower_95", "upper_95", "interval_method", "note", "resampling_unit", "n_clusters", "n")
#: The tables, each with its columns in order; further ones of the module that makes it follow.
TABLES: dict[str, tuple[str, ...]] = {
    "calibration": ("scores", "unit", "metric", "class", *_BASE),
    "reliability": ("unit", "metric", "class", "bin", "lowest", "highest", "mean_probability", *_BASE),
    "risk_coverage": ("unit", "metric", "class", "coverage", "threshold", *_BASE),
    "referral": ("unit", "metric", "class", *_BASE, "nominal_coverage"),
    "decisions": ("unit", "metric", "class", "strategy", "threshold", *_BASE),
    "three_way": ("unit", "metric", "class", "strategy", "threshold", "harm", *_BASE),
    "ish_referral": ("unit", "metric", "class", "policy", "prevalence", *_BASE),
    "operating_points": POINT_COLUMNS,
    "subgroups": (
        *("by", "group", "unit", "metric", "class", *_BASE, "lower_simultaneous", "upper_simultaneous", "patients"),
    ),
    "group_differences": DIFFERENCE_COLUMNS,
    "between_sites": SITES_COLUMNS,
    "discordance": DISCORDANCE_COLUMNS,
    "label_noise": (
        *("unit", "metric", "class", "label_error", *_BASE),
        *("true_lowest", "true_highest", "true_if_independent", "perfect_network"),
    ),
    "suspected_labels": SUSPECTED_COLUMNS,
    "weak_slices": SLICE_COLUMNS,
}
#: Tables that runs of before them lack; they are then made from the run's predictions.
MADE_WHEN_ABSENT = (
    *("group_differences", "between_sites", "discordance", "label_noise", "suspected_labels", "weak_slices"),
)
#: Tables that exist by patient alone.
BY_PATIENT = ("discordance", "between_sites")
MISSING = ("table", "unit", "what", "reason")
#: Value of the column ``scores`` for a table of probabilities: whether they were calibrated is unknown.
AS_GIVEN = "as given"
#: Columns of which the label is made, or that are the result of a reading: groups, but not of people or places.
_OF_THE_LABEL = ("her2_ihc", "ish", "label")


@dataclass(frozen=True, eq=False, repr=False)
class ResultTable(TableResult):
    """One of ``TABLES``; made by ``result_table``.

    Equality is that of ``TableResult``: tables by ``DataFrame.equals``.

    Parameters
    ----------
    name : str
        Key of ``TABLES``.
    frame : DataFrame
        Perhaps without rows.
    missing : DataFrame
        What could not be given: columns ``MISSING``, each row with its reason.
    """

    name: str
    frame: pd.DataFrame
    missing: pd.DataFrame


def result_table(inputs: EvaluationInputs, name: str, *, resamples: int = 2000, seed: int = 0) -> ResultTable:
    """Make one of ``TABLES`` at every unit of ``UNITS`` that can be assessed.

    Parameters
    ----------
    inputs : EvaluationInputs
    name : str
        calibration (``reliability.compare_calibration``; ``scores`` is "as given" where nothing is known of before),
        reliability (``reliability_table``), risk_coverage, referral (``referral_table``), decisions
        (``decision_curve`` of ``EvaluationInputs.decision_class``), three_way (``three_way_curve``), ish_referral
        (``ish_table`` at the prevalence of the test part), operating_points
        (``validated_operating_point``, every class and rule), subgroups and group_differences (``subgroup_table`` and
        ``group_differences`` by every column that makes groups), between_sites, discordance (``discordance_table`` of
        all parts and of the test part), label_noise, suspected_labels or weak_slices (over every column and image
        property).
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    ResultTable

    Raises
    ------
    ConfigError
        For an unknown table, or resamples or a seed out of range.

    Examples
    --------
    >>> from her2core.evidence.inputs import inputs_from_predictions
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> found = result_table(inputs_from_predictions(p), "decisions", resamples=100)
    >>> len(found.frame), found.missing["unit"].tolist()
    (396, ['patient'])
    """
    check_choice("name", name, TABLES)
    check_resampling(resamples, seed)
    frames, missing = [], []
    for unit in ("patient",) if name in BY_PATIENT else UNITS:
        try:
            inputs.at(unit if name != "discordance" else "patch")
        except EvaluationError as reason:
            missing.append((name, unit, "", reason.sentence))
            continue
        for what, make in _MAKERS[name](inputs, unit):
            try:
                made = make(resamples=resamples, seed=seed)
            except EvaluationError as reason:
                made = reason.sentence
            if isinstance(made, str):
                missing.append((name, unit, what, made))
            else:
                frames.append(made)
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    more = [c for c in frame if c not in TABLES[name]]
    frame = frame.reindex(columns=[*TABLES[name], *more])
    return ResultTable(name, frame, pd.DataFrame(missing, columns=list(MISSING)))


def all_result_tables(inputs: EvaluationInputs, *, resamples: int = 2000, seed: int = 0) -> dict[str, ResultTable]:
    """Make every table, in the order of ``TABLES``.

    Parameters
    ----------
    inputs : EvaluationInputs
    resamples, seed : int
        Of the cluster bootstrap.

    Returns
    -------
    dict of str to ResultTable
    """
    return {name: result_table(inputs, name, resamples=resamples, seed=seed) for name in TABLES}


def all_missing(result_tables: Mapping[str, ResultTable]) -> pd.DataFrame:
    """Collect what none of several tables could give.

    Parameters
    ----------
    result_tables : mapping of str to ResultTable

    Returns
    -------
    DataFrame
        Columns ``MISSING``.

    Examples
    --------
    >>> reasons = pd.DataFrame([("referral", "patch", "", "no sets")], columns=list(MISSING))
    >>> all_missing({"referral": ResultTable("referral", pd.DataFrame(), reasons)})["reason"].tolist()
    ['no sets']
    """
    return pd.concat([e.missing for e in result_tables.values()], ignore_index=True).reindex(columns=list(MISSING))


#: What is made, and a function that makes it, or returns the reason why it cannot.
_Parts = Iterator[tuple[str, Callable[..., pd.DataFrame | str]]]


def _calibration(d: EvaluationInputs, unit: str) -> _Parts:
    if d.uncalibrated is not None:
        yield "", partial(compare_calibration, d.at(unit, "uncalibrated"), d.at(unit))
        return
    yield "", lambda **options: calibration_table(d.at(unit), **options).assign(scores=AS_GIVEN)
    yield "uncalibrated", lambda **_: d.reasons["uncalibrated"]


def _referral(d: EvaluationInputs, unit: str) -> _Parts:
    if d.sets is None:
        yield "", lambda **_: d.reasons["sets"]
    else:
        of_unit = d.sets.get(unit)
        no_sets = f"this run has no prediction sets of a {unit} (her2 runs sets adds them)"
        yield "", partial(referral_table, d.at(unit), of_unit) if of_unit is not None else lambda **_: no_sets


def _of_her2(d: EvaluationInputs, make: Callable[..., pd.DataFrame]) -> _Parts:
    """What needs a HER2 status: there is no ISH test to refer to otherwise."""
    yield "", (lambda **_: d.reasons["her2"]) if "her2" in d.reasons else make


def _operating_points(d: EvaluationInputs, unit: str) -> _Parts:
    for of in d.classes:
        for rule in THRESHOLD_RULES:
            # ``at`` inside: validation may not be aggregated to this unit where test can.
            yield (
                f"{of}, {rule}",
                lambda of=of, rule=rule, **options: validated_operating_point(
                    d.at(unit, "validation"), d.at(unit), of=of, rule=rule, **options
                ),
            )


def _subgroups(d: EvaluationInputs, unit: str) -> _Parts:
    columns = d.test.frame[["site"]] if d.columns is None else d.columns
    for by in columns:
        yield str(by), partial(_by_group, d, unit, columns[by])
    for wanted in ("site", "scanner"):
        if wanted not in columns:
            yield wanted, lambda **_: d.reasons.get("columns", "the data table has no such column")


def _differences(d: EvaluationInputs, unit: str) -> _Parts:
    columns = d.test.frame[["site"]] if d.columns is None else d.columns
    for by in columns:
        if by not in _OF_THE_LABEL:
            yield str(by), partial(_by_group, d, unit, columns[by], compare=True)


def _discordance(d: EvaluationInputs, unit: str) -> _Parts:
    for part in ("all", "test"):
        if d.cohort is None:
            yield part, lambda **_: d.reasons["columns"]
        else:
            yield part, lambda part=part, **_: discordance_table(d.cohort, part=part)


def _suspected(d: EvaluationInputs, unit: str, **_: object) -> pd.DataFrame | str:
    found = suspected_labels(d.at(unit))
    return found if len(found) else "no label is suspected"


def _slices(d: EvaluationInputs, unit: str, *, resamples: int, seed: int) -> pd.DataFrame | str:
    parts = [d.test.frame[["site"]] if d.columns is None else d.columns]
    if d.properties is not None:
        parts.append(d.properties.drop(columns=[c for c in d.properties if c in parts[0]]))
    columns, at = pd.concat(parts, axis=1), d.at(unit)
    if unit != "patch":
        columns = columns_by_unit(columns, d.test.frame[UNIT_COLUMN[unit]], at.frame["patch_id"])
    found = weak_slices(at, columns, resamples=resamples, seed=seed)
    return found if len(found) else "no column or property divides the patients into subsets of enough patients"


def _by_group(
    d: EvaluationInputs, unit: str, cells: pd.Series, *, compare: bool = False, **_: object
) -> pd.DataFrame | str:
    at, by = d.at(unit), str(cells.name)
    if unit != "patch":
        ids = d.test.frame[UNIT_COLUMN[unit]]
        values = cells.astype(object).fillna("unknown").astype("str").groupby(ids.to_numpy())
        cells = values.first().where(values.nunique() == 1, SEVERAL).reindex(at.frame["patch_id"])
    groups = cells.dropna().unique()
    if list(groups) == [SEVERAL] and unit != "patch":
        return f"every {unit} has several {by}"
    if len(groups) == len(at) > 1:
        return f"every {unit} has its own {by}: these are no groups"
    if len(groups) == 1 and cells.notna().all() and str(groups[0]) != "unknown":
        return f"one group only: {str(groups[0])[:80]}"
    frame = at.frame[[*IDS, "split"]].drop(columns=[by], errors="ignore").assign(**{by: cells.to_numpy()})
    return (group_differences if compare else subgroup_table)(replace(at, frame=frame), by=by)


_MAKERS: dict[str, Callable[[EvaluationInputs, str], _Parts]] = {
    "calibration": _calibration,
    "reliability": lambda d, unit: iter([("", partial(reliability_table, d.at(unit)))]),
    "risk_coverage": lambda d, unit: iter([("", partial(risk_coverage, d.at(unit)))]),
    "referral": _referral,
    "decisions": lambda d, unit: iter([("", partial(decision_curve, d.at(unit), of=d.decision_class))]),
    "three_way": lambda d, unit: _of_her2(d, partial(three_way_curve, d.at(unit))),
    "ish_referral": lambda d, unit: _of_her2(d, lambda **_: ish_table(d.at(unit), (d.sets or {}).get(unit))),
    "operating_points": _operating_points,
    "subgroups": _subgroups,
    "group_differences": _differences,
    "between_sites": lambda d, unit: iter([("", lambda **_: between_sites(d.at(unit), new_sites=d.new_sites))]),
    "discordance": _discordance,
    "label_noise": lambda d, unit: iter([("", lambda **_: label_noise_table(d.at(unit)))]),
    "suspected_labels": lambda d, unit: iter([("", partial(_suspected, d, unit))]),
    "weak_slices": lambda d, unit: iter([("", partial(_slices, d, unit))]),
}
