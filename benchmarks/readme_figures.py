"""Which figures may the README show? Tables of the released runs and of benchmarks/results in, the README's tables out.

python benchmarks/readme_figures.py          print the tables
python benchmarks/readme_figures.py --write  put them between the README's markers
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from her2core.io.files import write_text
from her2core.plots.seeds import SPLITS
from her2core.runs.folder import Run, open_run

HOME = Path(__file__).resolve().parents[1]
RESULTS = "benchmarks/results"
RUNS = ("demo", "tissue12", "her2st-erbb2")
COLUMNS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


def table() -> str:
    """Two Markdown tables: each run by unit, and each class of the runs with three classes."""
    runs = [open_run(HOME / "models" / name) for name in RUNS]
    lines = [
        "| run | split | unit (n) | accuracy | balanced accuracy | macro F1 | mean AUROC | intervals resample |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        for unit, rows in _metrics(run).groupby("unit", sort=False):
            cells = [_cell(rows[rows["metric"] == m].iloc[0]) for m in COLUMNS]
            first = rows.iloc[0]
            split = run.card["data"]["split_unit"].replace("_", " ")
            resampled = f"{first['clusters']} {first['resampled']}{'es' if first['resampled'] == 'patch' else 's'}"
            lines.append(f"| `{run.name}` | {split} | {unit} ({first['n']}) | {' | '.join(cells)} | {resampled} |")
    lines += ["", "| run | unit | class | recall | one-vs-rest accuracy | AUROC |", "|---|---|---|---|---|---|"]
    for run in (r for r in runs if len(r.classes) == 3):
        for unit, rows in _metrics(run).groupby("unit", sort=False):
            for name in run.classes:
                own = rows[rows["class"] == name].set_index("metric")
                cells = [_cell(own.loc[m]) for m in ("recall", "one_vs_rest_accuracy", "auroc")]
                lines.append(f"| `{run.name}` | {unit} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def dashboard() -> str:
    """A Markdown table: what was measured of the dashboard, what was asked of it, and the results file."""
    speed, sessions, familiar, quality = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("dashboard_speed", "dashboard_sessions", "ood", "quality")
    )
    upload, visits, million, loaded = (
        speed[name]["result"] for name in ("upload", "pages", "million", "million-with-network")
    )
    flagged = {k: v["flagged_percent"] for k, v in familiar["runs"]["demo"]["flagged"].items()}
    false = quality["false_alarms"]["all real tissue"]

    def medians(pages: dict) -> str:
        return " / ".join(f"{page['median_s']:.2f}" for page in pages.values()) + " s"

    rows = [
        (
            f"upload of a 224-px patch to prediction and map on screen, median of {upload['times']}",
            f"{upload['median_s']:.2f} s",
            "1.5 s",
            "dashboard_speed",
        ),
        (f"{' / '.join(visits)} after the first visit, medians", medians(visits), "1.0 s", "dashboard_speed"),
        (f"the same with {million['rows']:,} predictions", medians(million["pages"]), "3 s", "dashboard_speed"),
        (
            "the server's memory with these at its highest, without / with a network loaded",
            f"{million['memory_peak_MiB']:,.0f} / {loaded['memory_peak_MiB']:,.0f} MiB",
            "1.5 GB",
            "dashboard_speed",
        ),
        (
            f"computing all figures of these {million['rows']:,}, once",
            f"{million['first_s']:.1f} s",
            "",
            "dashboard_speed",
        ),
        (
            f"{sessions['sessions']} sessions for {sessions['seconds']:.0f} s: answers and maps, and wrong ones",
            f"{sessions['answers'] + sessions['maps']}, {sessions['wrong']} wrong",
            "0 wrong",
            "dashboard_sessions",
        ),
        (
            "flagged as unlike the training data by `demo`: real H&E tiles / fields / IHC",
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
    lines = ["| what | measured | asked | file |", "|---|---|---|---|"]
    lines += [f"| {a} | {b} | {c} | [{d}.json]({RESULTS}/{d}.json) |" for a, b, c, d in rows]
    return "\n".join(lines)


def leakage() -> str:
    """A Markdown table: the same network under each way to split, by patch and by patient, and the gap."""
    folder = HOME / "models" / "study" / "leakage"
    figures, gaps = pd.read_csv(folder / "leakage.csv"), pd.read_csv(folder / "gaps.csv")
    lines = [
        "| split | accuracy by patch | its seeds | accuracy by patient | less the split by patient, by patch |",
        "|---|---|---|---|---|",
    ]
    for group in dict.fromkeys(figures["group"]):
        by_patch, by_patient = (
            figures[(figures["unit"] == unit) & (figures["group"] == group) & (figures["metric"] == "accuracy")].iloc[0]
            for unit in ("patch", "patient")
        )
        gap = gaps[(gaps["unit"] == "patch") & (gaps["group"] == group) & (gaps["metric"] == "accuracy")]
        told = (
            ""
            if gap.empty
            else (
                f"{gap['difference'].iloc[0]:+.3f} [{gap['low'].iloc[0]:+.3f}, "
                f"{gap['high'].iloc[0]:+.3f}]: {gap['statement'].iloc[0]}"
            )
        )
        lines.append(
            f"| {SPLITS[group]} | {_cell(by_patch)} | {by_patch['lowest']:.3f} - {by_patch['highest']:.3f} | "
            f"{_cell(by_patient)} | {told} |"
        )
    return "\n".join(lines)


#: The studies of networks, in the order in which the README shows them.
STUDIES = ("backbones-demo", "backbones-tissue12", "backbones-her2st")


def backbones() -> str:
    """Markdown tables, one a study of networks: figures over seeds, paired differences, and what each network costs."""
    return "\n\n".join(_study(HOME / "models" / "study" / name) for name in STUDIES)


def _study(folder: Path) -> str:
    facts = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    figures, gaps = pd.read_csv(folder / "backbones.csv"), pd.read_csv(folder / "differences.csv")
    networks, costs = (pd.read_csv(folder / f"{n}.csv").set_index("network") for n in ("networks", "costs"))
    units = [u for u in ("patch", "patient") if u in set(figures["unit"])]
    reference = facts["study"]["reference"]
    lines = [
        f"**[{folder.name}](models/study/{folder.name})**: {facts['study']['title']}",
        "",
        f"| network | from | seeds | {' | '.join(f'balanced accuracy by {u}' for u in units)} | mean AUROC by patch "
        f"| less {reference}, balanced accuracy by patch | latency | memory |",
        "|---" * (7 + len(units)) + "|",
    ]
    for name in dict.fromkeys(figures["group"]):
        own, how = figures[figures["group"] == name].set_index(["unit", "metric"]), networks.loc[name]
        gap = gaps[(gaps["group"] == name) & (gaps["unit"] == "patch") & (gaps["metric"] == "balanced_accuracy")]
        told = (
            ""
            if gap.empty
            else (
                f"{gap['difference'].iloc[0]:+.3f} [{gap['low'].iloc[0]:+.3f}, "
                f"{gap['high'].iloc[0]:+.3f}]: {gap['statement'].iloc[0]}"
            )
        )
        start = "random weights" if how["init"] == "none" else how["init"]
        start += f", frozen ({how['frozen']})" if isinstance(how["frozen"], str) and how["frozen"] else ""
        cells = [_cell(own.loc[(u, "balanced_accuracy")]) for u in units] + [_cell(own.loc[("patch", "macro_auroc")])]
        cost = costs.loc[name]
        seeds = f"{how['runs']} of {how['asked']}"
        lines.append(
            f"| {name} | {start}, {how['px']} px | {seeds} | {' | '.join(cells)} | {told} | "
            f"{cost['latency_ratio']:.2f} | {cost['memory_bytes'] / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


#: Metrics whose coverage stands in the README by themselves; of the others the README says how many are outside.
HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "quadratic_kappa", "brier")
#: Disturbances under which a copy should be found.
COPIES = (
    "JPEG 90",
    "JPEG 75",
    "JPEG 50",
    "half the size",
    "1.5 times the size",
    "5 % cropped off each axis",
    "10 % cropped off each axis",
    "one of the seven turns and flips",
    "stains by 15 %",
    "stains by 30 %",
    "brightness 0.85",
)
HARDER = ("15 % cropped off each axis", "Macenko-normalised", "turned, 10 % off, stains by 30 %, JPEG 50")


def evidence() -> str:
    """A Markdown table: what was measured of the evidence, what was asked of it, and the results file."""
    audit, coverage, speed = (
        json.loads((HOME / RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("leak_audit", "interval_coverage", "metric_speed")
    )
    cohorts, tiles = audit["cohorts"], audit["tiles"]
    clean = cohorts["clean"] + cohorts["clean_with_images"]
    alarms = cohorts["clean_with_alarm"] + cohorts["clean_with_images_with_alarm"]
    false = sum(c["others_of_one_group"] + c["others_of_two_groups"] for c in tiles["changes"].values())
    rows = [
        (
            "planted faults found; clean cohorts with an alarm",
            f"{cohorts['found']} of {cohorts['planted']}; {alarms} of {clean}",
            "all; none",
            "leak_audit",
        ),
        (
            f"near-duplicates found of {tiles['disturbed']} real tiles, worst of JPEG 50 to 90, half and 1.5 times the "
            "size, 5 and 10 % cropped, turned, stains by 15 and 30 %, darker",
            f"{min(tiles['changes'][c]['found'] for c in COPIES):.1%}",
            "",
            "leak_audit",
        ),
        (
            f"the same of {'; '.join(HARDER)}",
            " / ".join(f"{tiles['changes'][c]['found']:.1%}" for c in HARDER),
            "",
            "leak_audit",
        ),
        (f"false pairs among {tiles['other_pairs_compared']:,} others of real tiles", f"{false}", "", "leak_audit"),
    ]
    sizes = list(coverage["summary"])
    for name in ("ours", "naive"):
        told = [
            r[name]["coverage"]
            for r in coverage["rows"]
            if r["metric"] in HEADLINES
            and r["class"] == ""
            and r["unit"] == "patch"
            and r[name].get("coverage") is not None
        ]
        rows.append(
            (
                f"coverage of {'our' if name == 'ours' else 'naive patch-level'} 95 % intervals over "
                f"{coverage['cohorts_of_each_size']} cohorts of {', '.join(sizes)} patients each: accuracy, balanced "
                "accuracy, macro F1, mean AUROC, kappa, Brier, by patch",
                f"{min(told):.1%} to {max(told):.1%}",
                "92.5 to 97.5 %" if name == "ours" else "",
                "interval_coverage",
            )
        )
    within = [
        (coverage["summary"][s]["patch"]["ours"]["within"], coverage["summary"][s]["patch"]["ours"]["metrics"])
        for s in sizes
    ]
    rows.append(
        (
            f"figures within 92.5 to 97.5 %, all classes, by patch: {', '.join(sizes)} patients",
            ", ".join(f"{a} of {b}" for a, b in within),
            "",
            "interval_coverage",
        )
    )
    whole = speed["steps"]["the whole set of metrics"]
    rows.append(
        (
            f"whole set of metrics, {speed['resamples']:,} resamples of {speed['patches']:,} patches from "
            f"{speed['patients']} patients",
            f"{whole['seconds']:.1f} s ({whole['cpu']:.1f} s of CPU)",
            "10 s",
            "metric_speed",
        )
    )
    lines = ["| what | measured | asked | file |", "|---|---|---|---|"]
    lines += [f"| {a} | {b} | {c} | [{d}.json]({RESULTS}/{d}.json) |" for a, b, c, d in rows]
    return "\n".join(lines)


#: Name of a block in the README -> what stands in it.
BLOCKS = {"figures": table, "leakage": leakage, "backbones": backbones, "evidence": evidence, "dashboard": dashboard}


def block(name: str) -> tuple[str, str, str]:
    """The marks around a block, and what stands between them: begin, text, end."""
    return f"<!-- {name}: begin -->", BLOCKS[name](), f"<!-- {name}: end -->"


def _metrics(run: Run) -> pd.DataFrame:
    frame = run.table("metrics")
    return frame.assign(**{"class": frame["class"].fillna("")})


def _cell(row: pd.Series) -> str:
    bounds = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["lower_95"] == row["lower_95"] else " (no interval)"
    return f"{row['value']:.3f}{bounds}"


def main() -> None:
    readme = HOME / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name in BLOCKS:
        begin, content, end = block(name)
        if "--write" not in sys.argv:
            print(content, end="\n\n")
            continue
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
        write_text(readme, text)


if __name__ == "__main__":
    main()
