"""Figure of the README: accuracy on TCGA fields under each validation design, beside the paper's.

python benchmarks/leakage_gap.py        writes docs/leakage_gap.svg from models/study/her2-tcga
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from her2core.io.files import write_text
from her2core.study import reported
from her2core.study.designs import design_comparisons
from her2core.study.tables import read_study_tables

HOME = Path(__file__).parent.parent
STUDY = HOME / "models" / "study" / "her2-tcga"
COLOURS = {"patch": "#0072b2", "patient": "#d55e00"}


def figure() -> Figure:
    """Accuracy by patch and by patient of the study's reference network, one row a design."""
    study = read_study_tables(STUDY, "cv")
    if study is None:
        raise SystemExit(f"{STUDY} is not a cross-validation.")
    compared = next(c for c in design_comparisons(study) if c.reference == study.facts["study"]["reference"])
    rows = compared.figures[(compared.figures["metric"] == "accuracy")].set_index(["group", "unit"])
    order = sorted(compared.labels, key=lambda group: -rows.loc[(group, "patient"), "value"])
    drawn = Figure(figsize=(8, 3.3), layout="constrained")
    axes = drawn.add_subplot()
    for place, group in enumerate(order):
        for shift, (unit, colour) in zip((-0.14, 0.14), COLOURS.items(), strict=True):
            row = rows.loc[group, unit]
            if row["lower_95"] == row["lower_95"]:
                axes.plot([row["lower_95"], row["upper_95"]], [place + shift] * 2, color=colour, linewidth=2)
            label = f"accuracy by {unit}" if place == 0 else None
            axes.plot(row["value"], place + shift, "o", color=colour, label=label)
            at = (row["value"], place + shift)
            axes.annotate(f"{row['value']:.0%}", at, (0, 4), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(reported.ACCURACY, color="#555555", linestyle="--", label=f"{reported.CITATION}, by patch")
    patients = study.facts["data"]["patients"]["test"]
    frequent = max(patients, key=patients.get)
    share = patients[frequent] / sum(patients.values())
    axes.axvline(share, color="#999999", linestyle=":", label=f"always {frequent}, by patient")
    axes.set_yticks(range(len(order)), [f"held out {compared.labels[group]}" for group in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.02)
    axes.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
    axes.spines[["top", "right"]].set_visible(False)
    drawn.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return drawn


def main() -> None:
    """Write the figure; the same tables give the same bytes."""
    mpl.rcParams |= {"svg.hashsalt": "her2core", "font.size": 9}
    text = io.StringIO()
    figure().savefig(text, format="svg", metadata={"Date": None})
    write_text(HOME / "docs" / "leakage_gap.svg", text.getvalue())


if __name__ == "__main__":
    main()
