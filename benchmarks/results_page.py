"""Generated tables of docs/results.md, from the released runs and benchmarks/results.

python benchmarks/results_page.py            print the tables
python benchmarks/results_page.py --write    insert them between the markers of docs/results.md
"""

from __future__ import annotations

import json
import sys

import pandas as pd
from results_evidence import HOME, LINK, RESULTS, decision_rows, evidence
from results_speed import speed
from results_studies import backbones, cell, leakage, mil, tcga

from her2core.data.split_units import split_label
from her2core.evidence.metrics import headline_metrics, metric_label
from her2core.io.files import write_text
from her2core.runs.folder import Run, open_run

RUNS = ("demo", "tissue12", "tissue12-lite2", "her2st-erbb2", "her2-tcga")
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
            cells = [cell(rows[rows["metric"] == m].iloc[0]) for m in COLUMNS]
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
                cells = [cell(own.loc[m]) for m in PER_CLASS]
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
            "from the command that starts the server to the home page in a browser, median",
            f"{speed['first']['result']['median_s']:.1f} s",
            "4 s",
            "dashboard_speed",
        ),
        (
            f"from upload of a 224-px patch to prediction and map on screen, median of {upload['times']}",
            f"{upload['median_s']:.2f} s",
            "1.0 s",
            "dashboard_speed",
        ),
        (f"{' / '.join(visits)} after the first visit, medians", medians(visits), "0.7 s", "dashboard_speed"),
        (f"the same with {million['rows']:,} predictions", medians(million["pages"]), "2 s", "dashboard_speed"),
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


#: Block of the page -> the function that writes it.
BLOCKS = {
    "figures": table,
    "tcga": tcga,
    "mil": mil,
    "leakage": leakage,
    "backbones": backbones,
    "evidence": evidence,
    "dashboard": dashboard,
    "speed": speed,
}


def block(name: str) -> tuple[str, str, str]:
    """The marks around a block, and what stands between them: begin, text, end."""
    return f"<!-- {name}: begin -->", BLOCKS[name](), f"<!-- {name}: end -->"


def _metrics(run: Run) -> pd.DataFrame:
    frame = run.table("metrics")
    return frame.assign(**{"class": frame["class"].fillna("")})


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
