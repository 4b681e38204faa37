"""Which figures may the README show? The released runs' evaluation tables in, the README's table out.

python benchmarks/readme_figures.py          print the table
python benchmarks/readme_figures.py --write  put it between the README's markers
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from her2core.data.files import write_text
from her2core.runs.folder import Run, open_run

HOME = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
RUNS = ("demo", "tissue12", "her2st-erbb2")
COLUMNS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auroc")


def table() -> str:
    """Two Markdown tables: each run by unit, and each class of the runs with three classes."""
    runs = [open_run(HOME / "models" / name) for name in RUNS]
    lines = ["| run | split | unit (n) | accuracy | balanced accuracy | macro F1 | mean AUROC | intervals resample |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
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


def _metrics(run: Run) -> pd.DataFrame:
    frame = run.table("metrics")
    return frame.assign(**{"class": frame["class"].fillna("")})


def _cell(row: pd.Series) -> str:
    bounds = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["low"] == row["low"] else " (no interval)"
    return f"{row['value']:.3f}{bounds}"


def main() -> None:
    if "--write" not in sys.argv:
        print(table())
        return
    readme = HOME / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(readme, f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
