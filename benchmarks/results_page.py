"""Generated tables of docs/results.md, from the released runs and benchmarks/results.

python benchmarks/results_page.py            print the tables
python benchmarks/results_page.py --write    insert them between the markers of docs/results.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from results_evidence import HOME, LINK, RESULTS, decision_rows, evidence

from her2core.data.split_units import split_label
from her2core.evidence.metrics import headline_metrics, metric_label
from her2core.io.files import write_text
from her2core.runs.folder import Run, open_run

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
    rows += decision_rows()
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
