"""Generated tables of docs/results.md, from the released runs and benchmarks/results.

python benchmarks/results_page.py            print the tables
python benchmarks/results_page.py --write    insert them between the markers of docs/results.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from her2core.data.split_units import split_label
from her2core.evidence.metrics import headline_metrics, metric_label
from her2core.io.files import write_text
from her2core.runs.folder import Run, open_run

HOME = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"
#: From docs/results.md to the repository.
LINK = ".."
RUNS = ("demo", "tissue12", "her2st-erbb2")
COLUMNS = tuple(m.name for m in headline_metrics())
PER_CLASS = ("recall", "one_vs_rest_accuracy", "auroc")


def table() -> str:
    """Metrics of each released run by unit, and of each class of the runs with three classes."""
    runs = [open_run(HOME / "models" / name) for name in RUNS]
    lines = [
        f"| run | split | unit (n) | {' | '.join(map(metric_label, COLUMNS))} | resampling unit |",
        "|---" * (4 + len(COLUMNS)) + "|",
    ]
    for run in runs:
        for unit, rows in _metrics(run).groupby("unit", sort=False):
            cells = [_cell(rows[rows["metric"] == m].iloc[0]) for m in COLUMNS]
            first = rows.iloc[0]
            split = split_label(run.card["data"]["split_unit"])
            unit_of_bootstrap = first["resampling_unit"]
            resampled = f"{first['n_clusters']} {unit_of_bootstrap}{'es' if unit_of_bootstrap == 'patch' else 's'}"
            lines.append(f"| `{run.name}` | {split} | {unit} ({first['n']}) | {' | '.join(cells)} | {resampled} |")
    lines += ["", f"| run | unit | class | {' | '.join(map(metric_label, PER_CLASS))} |", "|---|---|---|---|---|---|"]
    for run in (r for r in runs if len(r.classes) == 3):
        for unit, rows in _metrics(run).groupby("unit", sort=False):
            for name in run.classes:
                own = rows[rows["class"] == name].set_index("metric")
                cells = [_cell(own.loc[m]) for m in PER_CLASS]
                lines.append(f"| `{run.name}` | {unit} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dashboard() -> str:
    """Measurements of the dashboard with targets and results files."""
    speed, sessions, ood, quality = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("dashboard_speed", "dashboard_sessions", "ood", "quality")
    )
    upload, visits, million, loaded = (
        speed[name]["result"] for name in ("upload", "pages", "million", "million-with-network")
    )
    flagged = {k: v["flagged_percent"] for k, v in ood["runs"]["demo"]["flagged"].items()}
    false = quality["false_alarms"]["all real tissue"]

    def medians(pages: dict) -> str:
        return " / ".join(f"{page['median_s']:.2f}" for page in pages.values()) + " s"

    rows = [
        (
            f"from upload of a 224-px patch to prediction and map on screen, median of {upload['times']}",
            f"{upload['median_s']:.2f} s",
            "1.5 s",
            "dashboard_speed",
        ),
        (f"{' / '.join(visits)} after the first visit, medians", medians(visits), "1.0 s", "dashboard_speed"),
        (f"the same with {million['rows']:,} predictions", medians(million["pages"]), "3 s", "dashboard_speed"),
        (
            "peak memory of the server with these, without / with a network loaded",
            f"{million['memory_peak_MiB']:,.0f} / {loaded['memory_peak_MiB']:,.0f} MiB",
            "1.5 GB",
            "dashboard_speed",
        ),
        (
            f"computing all figures of these {million['rows']:,} predictions once",
            f"{million['first_s']:.1f} s",
            "",
            "dashboard_speed",
        ),
        (
            f"{sessions['sessions']} parallel sessions, {sessions['seconds']:.0f} s: predictions and maps, wrong ones",
            f"{sessions['answers'] + sessions['maps']}, {sessions['wrong']} wrong",
            "0 wrong",
            "dashboard_sessions",
        ),
        (
            "flagged as out of distribution by `demo`: real H&E tiles / fields / IHC",
            " / ".join(f"{flagged[k]:.1f}" for k in ("tissue tiles", "BreCaHAD windows", "IHC windows")) + " %",
            "95 % each",
            "ood",
        ),
        ("the same of fresh synthetic patches", f"{flagged['fresh synthetic']:.1f} %", "at most 2 %", "ood"),
        (
            "false alarms on real H&E: blurred / ink / not H&E",
            " / ".join(f"{100 * false[k]:.1f}" for k in ("blurred", "ink", "not_he")) + " %",
            "",
            "quality",
        ),
    ]
    rows += _decision_rows()
    lines = ["| quantity | measured | target | file |", "|---|---|---|---|"]
    lines += [f"| {a} | {b} | {c} | [{d}.json]({LINK}/{RESULTS}/{d}.json) |" for a, b, c, d in rows]
    return "\n".join(lines)


def leakage() -> str:
    """One network under each kind of split, by patch and by patient, with the difference to the patient split."""
    folder = HOME / "models" / "study" / "leakage"
    figures, gaps = pd.read_csv(folder / "leakage.csv"), pd.read_csv(folder / "gaps.csv")
    lines = [
        "| split | accuracy by patch | range over seeds | accuracy by patient | difference to patient split: accuracy "
        "by patch | the same: balanced accuracy by patient (primary) |",
        "|---|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(figures["group"]):
        by_patch, by_patient = (
            figures[(figures["unit"] == unit) & (figures["group"] == group) & (figures["metric"] == "accuracy")].iloc[0]
            for unit in ("patch", "patient")
        )
        own = gaps[gaps["group"] == group]
        descriptive = _gap(own[(own["unit"] == "patch") & (own["metric"] == "accuracy")])
        statement = _gap(own[own["role"] == "primary"])
        lines.append(
            f"| {split_label(group)} | {_cell(by_patch)} | {by_patch['lowest']:.3f} - {by_patch['highest']:.3f} | "
            f"{_cell(by_patient)} | {descriptive} | {statement} |"
        )
    return "\n".join(lines)


def _gap(rows: pd.DataFrame) -> str:
    """A difference with its interval, the smallest that could have been shown, and what is said about it."""
    if rows.empty:
        return ""
    row = rows.iloc[0]
    bounds = f" [{row['lower_95']:+.3f}, {row['upper_95']:+.3f}]" if pd.notna(row["lower_95"]) else ""
    power = f", detectable {row['detectable_difference']:.3f}" if pd.notna(row["detectable_difference"]) else ""
    said = next((str(row[name]) for name in ("statement", "note") if isinstance(row[name], str) and row[name]), "")
    return f"{row['difference']:+.3f}{bounds}{power}" + (f": {said}" if said else "")


#: The studies of networks, in the order of the page.
STUDIES = ("backbones-demo", "backbones-tissue12", "backbones-her2st")


def backbones() -> str:
    """One table per study of networks: means over seeds, paired differences, computational cost."""
    return "\n\n".join(_study(HOME / "models" / "study" / name) for name in STUDIES)


def _study(folder: Path) -> str:
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    figures, gaps = pd.read_csv(folder / "backbones.csv"), pd.read_csv(folder / "differences.csv")
    networks, costs = (pd.read_csv(folder / f"{n}.csv").set_index("network") for n in ("networks", "costs"))
    units = [u for u in ("patch", "patient") if u in set(figures["unit"])]
    reference = facts["study"]["reference"]
    lines = [
        f"**[{folder.name}]({LINK}/models/study/{folder.name})**: {facts['study']['title']}",
        "",
        f"| network | initial weights | seeds | {' | '.join(f'balanced accuracy by {u}' for u in units)} "
        f"| macro AUROC by patch | difference to {reference}, balanced accuracy by {units[-1]} | latency | memory |",
        "|---" * (7 + len(units)) + "|",
    ]
    for name in dict.fromkeys(figures["group"]):
        own, how = figures[figures["group"] == name].set_index(["unit", "metric"]), networks.loc[name]
        gap = gaps[(gaps["group"] == name) & (gaps["unit"] == units[-1]) & (gaps["metric"] == "balanced_accuracy")]
        statement = _gap(gap)
        start = "random weights" if how["init"] == "none" else how["init"]
        start += f", frozen ({how['frozen']})" if isinstance(how["frozen"], str) and how["frozen"] else ""
        cells = [_cell(own.loc[(u, "balanced_accuracy")]) for u in units] + [_cell(own.loc[("patch", "macro_auroc")])]
        cost = costs.loc[name]
        seeds = f"{how['runs']} of {how['asked']}"
        lines.append(
            f"| {name} | {start}, {how['px']} px | {seeds} | {' | '.join(cells)} | {statement} | "
            f"{cost['latency_ratio']:.2f} | {cost['memory_bytes'] / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


#: Metrics whose coverage is listed; of all metrics the page states how many lie within the target range.
#: Perturbations under which a near-duplicate should be found.
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


def _decision_rows() -> list[tuple[str, str, str, str]]:
    """Rows on aggregation, prediction sets, predictive values and a million patches."""
    rule, sets, values, million = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("aggregation_rule", "set_coverage", "predictive_values", "million_rows")
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
    steps = million["parquet"]["steps"]
    named = (
        "three_way_curve",
        "ish_table",
        "predictive_value_table",
        "suspected_labels",
        "group_differences, two groups",
    )
    rows.append(
        (
            f"seconds of CPU for {million['rows']:,} patches: {', '.join(named)}; peak memory in MB",
            f"{', '.join(str(round(steps[n]['cpu'], 1)) for n in named)}; {million['parquet']['peak_rss_mb']:,}",
            "",
            "million_rows",
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
BLOCKS = {"figures": table, "leakage": leakage, "backbones": backbones, "evidence": evidence, "dashboard": dashboard}


def block(name: str) -> tuple[str, str, str]:
    """The marks around a block, and what stands between them: begin, text, end."""
    return f"<!-- {name}: begin -->", BLOCKS[name](), f"<!-- {name}: end -->"


def _metrics(run: Run) -> pd.DataFrame:
    frame = run.table("metrics")
    return frame.assign(**{"class": frame["class"].fillna("")})


def _cell(row: pd.Series) -> str:
    bounds = (
        f" [{row['lower_95']:.3f}, {row['upper_95']:.3f}]" if row["lower_95"] == row["lower_95"] else " (no interval)"
    )
    return f"{row['value']:.3f}{bounds}"


def main() -> None:
    page = HOME / "docs" / "results.md"
    text = page.read_text(encoding="utf-8")
    for name in BLOCKS:
        begin, content, end = block(name)
        if "--write" not in sys.argv:
            print(content, end="\n\n")
            continue
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
        write_text(page, text)


if __name__ == "__main__":
    main()
