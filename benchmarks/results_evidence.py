"""Rows of docs/results.md on data checks, intervals, comparisons and decisions, from benchmarks/results."""

from __future__ import annotations

import json
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"
#: From docs/results.md to the repository.
LINK = ".."


def _fingerprints_alone(copies: dict) -> list[tuple[str, str, str, str]]:
    """Row of the search without key points, where it was measured."""
    if (cost := copies.get("fingerprints_alone")) is None:
        return []
    return [
        (
            f"the same by fingerprints alone for {cost['patches']:,} patches: thumbnails; search; peak memory in GB",
            f"{cost['seconds_for_thumbnails']}, {cost['seconds_search_of_fingerprints']}; {cost['peak_memory_gb']:g}",
            "minutes",
            "copies",
        )
    ]


def decision_rows() -> list[tuple[str, str, str, str]]:
    """Rows on aggregation, prediction sets, predictive values and the number of rows."""
    rule, sets, values, growth = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("aggregation_rule", "set_coverage", "predictive_values", "growth_rows")
    )
    gains = list(rule["simulated"].values())
    validation, test = ([g[f"gain_on_{part}"] for g in gains] for part in ("validation", "test"))
    rows = [
        (
            f"balanced accuracy by patient of a rule chosen on validation less that of the mean, {len(gains)} "
            "simulated designs, in points: on validation; on test",
            f"{min(validation):+.1f} to {max(validation):+.1f}; {min(test):+.1f} to {max(test):+.1f}",
            "",
            "aggregation_rule",
        )
    ]
    for name, found in sets["summary"].items():
        rows.append(
            (
                f"coverage of prediction sets, {name}, {found['designs']} designs, lowest to highest",
                f"{found['lowest']:.1%} to {found['highest']:.1%}",
                f"{sets['nominal']:.0%}",
                "set_coverage",
            )
        )
    for name, found in values["summary"].items():
        rows.append(
            (
                f"coverage of the intervals of {name.upper()} at a prevalence of {values['prevalence']:.0%}: mean; "
                f"lowest to highest of {len(values['rows'])} designs",
                f"{found['mean']:.1%}; {found['lowest']:.1%} to {found['highest']:.1%}",
                f"{values['nominal']:.0%}",
                "predictive_values",
            )
        )
    named = (
        "three_way_curve",
        "ish_table",
        "predictive_value_table",
        "suspected_labels",
        "group_differences, two groups",
    )
    for table, found in growth["tables"].items():
        spent = (str(round(found["steps"][name]["cpu"], 1)) for name in named)
        rows.append(
            (
                f"seconds of CPU for {table}: {', '.join(named)}; peak memory in MB",
                f"{', '.join(spent)}; {found['peak_rss_mb']:,}",
                "",
                "growth_rows",
            )
        )
    return rows


def _simulations() -> list[tuple[str, str, str, str]]:
    """Simulations of comparisons, cross-validation and sites."""

    def read(name: str) -> dict:
        path = HOME / RESULTS / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    rows = []
    if errors := read("comparison_errors"):
        for kind, what in (("runs", "two runs"), ("seeds", "groups of runs over seeds")):
            of = errors[kind]
            rows.append(
                (
                    f"false statements of a comparison of {what} that are alike: mean; largest; designs above 5 % by "
                    f"two standard errors ({of['cohorts']} cohorts each)",
                    f"{of['mean_false']:.1%}; {of['largest_false']:.1%}; "
                    f"{of['designs_above_5_percent_by_2_standard_errors']} of {of['designs']}",
                    "5 %",
                    "comparison_errors",
                )
            )
    if folds := read("cross_validation"):
        names = ("covered", "covered_by_folds", "false", "false_by_folds")
        rows.append(
            (
                "repeated cross-validation, 20 to 100 patients: coverage of the 95 % interval; of a t interval over "
                "folds and seeds; false statements; those of a t test over folds and seeds "
                f"({folds['cohorts']} cohorts each)",
                "; ".join(f"{folds[name][0]:.1%} to {folds[name][1]:.1%}" for name in names),
                "95 %; 5 %",
                "cross_validation",
            )
        )
    if slices := read("weak_slices"):
        none, planted = slices["no subset is weak"].values(), slices["site B is weak"].values()
        named, found = [of["any named"] for of in none], [of["weak site found"] for of in planted]
        rows.append(
            (
                f"search for weak slices, {slices['repeats']} test parts in each of {len(named)} regimes without and "
                f"{len(found)} with a weak site: a subset named where none is weak; the weak site found",
                f"{min(named):.1%} to {max(named):.1%}; {min(found):.1%} to {max(found):.1%}",
                f"{slices['level']:.0%}",
                "weak_slices",
            )
        )
    if sites := read("between_sites"):
        names = ("summary", "prediction", "false_heterogeneity", "pooled_where_sites_differ")
        rows.append(
            (
                "3 to 20 sites, accuracy 0.75, 0.92, 0.99: coverage of the summary; of the prediction interval of a "
                "new site; false heterogeneity; coverage of an interval of all patients together where sites differ "
                f"(lowest, median, highest of {sites['designs']} designs, {sites['cohorts']} cohorts each)",
                "; ".join(" / ".join(f"{value:.1%}" for value in sites[name]) for name in names),
                "95 %; 95 %; 5 %",
                "between_sites",
            )
        )
    return rows


def evidence() -> str:
    """Measurements of the data checks and the intervals with targets and results files."""
    coverage, speed, tissue, copies = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("interval_coverage", "metric_speed", "planted_tissue", "copies")
    )
    partial, cost = copies["tiles"], copies["cost"]
    rows = [
        (
            "planted on real tissue, found by kind; clean cohorts with a finding",
            ", ".join(f"{kind} {n['found']} of {n['planted']}" for kind, n in tissue["by_kind"].items())
            + f"; {tissue['clean_with_alarm']} of {tissue['clean']}",
            "all; none",
            "planted_tissue",
        ),
        (
            f"partial copies found among {partial['tiles']:,} real tiles by key points or fingerprint: "
            + "; ".join(partial["changes"]),
            " / ".join(f"{c['either']:.0%}" for c in partial["changes"].values()),
            "",
            "copies",
        ),
        (
            f"seconds for {cost['patches']:,} patches: key points; search of fingerprints; search of key points",
            f"{cost['seconds_for_key_points']}, {cost['seconds_search_of_fingerprints']}, "
            f"{cost['seconds_search_of_key_points']}",
            "minutes",
            "copies",
        ),
        *_fingerprints_alone(copies),
    ]
    for unit, found in coverage["summary"].items():
        every = found["all"]
        accuracies = ", ".join(f"{a:g}" for a in coverage["accuracies"][unit])
        rows.append(
            (
                f"coverage of the 95 % intervals by {unit}, all metrics and classes: mean; lowest; of all "
                f"metrics and designs within 92.5 to 97.5 %, below by more than two standard errors (20 "
                f"to 120 patients, accuracy {accuracies}, classes balanced and "
                f"80/15/5, sizes equal and lognormal, {coverage['cohorts_of_each_design']} cohorts each)",
                f"{every['mean_coverage']:.1%}; {every['lowest']:.1%}; {every['within']}, "
                f"{every['below_beyond_noise']} of {every['designs']}",
                "92.5 to 97.5 %",
                "interval_coverage",
            )
        )
        rows.append(
            (
                f"cohorts without an interval by {unit}, with the reason stated",
                f"{every['mean_without_interval']:.1%}",
                "",
                "interval_coverage",
            )
        )
    rows.append(
        (
            "mean coverage of intervals that take patches as independent, by patch",
            f"{coverage['summary']['patch']['all']['naive_mean']:.1%}",
            "",
            "interval_coverage",
        )
    )
    rows += _simulations()
    whole = speed["steps"]["the whole set of metrics"]
    rows.append(
        (
            f"full set of metrics with intervals, {speed['patches']:,} patches of {speed['patients']} patients",
            f"{whole['seconds']:.1f} s ({whole['cpu']:.1f} s of CPU)",
            "10 s",
            "metric_speed",
        )
    )
    lines = ["| quantity | measured | target | file |", "|---|---|---|---|"]
    lines += [f"| {a} | {b} | {c} | [{d}.json]({LINK}/{RESULTS}/{d}.json) |" for a, b, c, d in rows]
    return "\n".join(lines)


#: Block of docs/results.md -> function that generates it.
