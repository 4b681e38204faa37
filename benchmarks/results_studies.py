"""Tables of docs/results.md about studies: TCGA fields, leakage, networks."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from results_evidence import HOME, LINK

from her2core.data.split_units import split_label
from her2core.evidence.metrics import metric_label
from her2core.study import reported
from her2core.study.designs import DesignComparison, design_comparisons
from her2core.study.tables import read_study_tables

#: The studies of TCGA fields, in the order of the page.
TCGA = ("her2-tcga", "her2-tcga-networks", "her2-tcga-positive", "her2-tcga-positive-a8")


def tcga() -> str:
    """Networks on TCGA fields under each design, and both readings of class-specific accuracy."""
    studies = [study for name in TCGA if (study := read_study_tables(HOME / "models" / "study" / name, "cv"))]
    lines = [
        "| study | network | test patches | accuracy by patch | accuracy by patient | balanced accuracy by patient | "
        "macro AUROC by patient | balanced accuracy by patient, difference to the design by patient (primary) |",
        "|---" * 8 + "|",
    ]
    for study in studies:
        link = f"[{study.path.name}]({LINK}/models/study/{study.path.name})"
        for compared in design_comparisons(study):
            lines += [f"| {link} | {compared.network} | {row}" for row in _designs(compared)]
    return "\n".join([*lines, "", *_readings(design_comparisons(studies[0])[0])])


def _designs(compared: DesignComparison) -> list[str]:
    cells = compared.figures[compared.figures["class"] == ""].set_index(["group", "unit", "metric"]).sort_index()
    rows = []
    for group, label in compared.labels.items():
        shown = [("patch", "accuracy"), ("patient", "accuracy"), ("patient", "balanced_accuracy")]
        values = [cell(cells.loc[(group, *key)]) for key in (*shown, ("patient", "macro_auroc"))]
        own = compared.differences[compared.differences["group"] == group]
        said = _gap(own[own["role"] == "primary"]).replace(compared.reference, compared.labels[compared.reference])
        rows.append(f"{label} | {' | '.join(values)} | {said} |")
    return rows


def _readings(compared: DesignComparison) -> list[str]:
    of = compared.figures[compared.figures["unit"] == "patch"]
    cells = of.set_index(["group", "metric", "class"]).sort_index()
    lines = [
        f"| {compared.network}, by patch | reading | {reported.CITATION} | {' | '.join(compared.labels.values())} |",
        "|---" * (3 + len(compared.labels)) + "|",
        f"| all classes | {metric_label('accuracy')} | {reported.ACCURACY:.4f} | "
        + " | ".join(cell(cells.loc[group, "accuracy", ""]) for group in compared.labels)
        + " |",
    ]
    for name, value in reported.CLASS_ACCURACY.items():
        for reading in ("recall", "one_vs_rest_accuracy"):
            values = " | ".join(cell(cells.loc[group, reading, name]) for group in compared.labels)
            lines.append(f"| {name} | {metric_label(reading)} | {value:.4f} | {values} |")
    return lines


#: Bag models in the order of the page: label of the study -> words.
BAGS = {
    "mean": "mean",
    "attention": "gated attention",
    "attention-ordinal": "gated attention, ordinal",
    "top-k": "top-k",
    "noisy-or": "noisy-or",
}


def mil() -> str:
    """Bag models on TCGA fields by patient and with each site left out, and the difference from mean pooling."""
    results = HOME / "benchmarks" / "results"
    figures = pd.read_csv(results / "mil_tcga.csv").fillna({"class": ""})
    gaps = pd.read_csv(results / "mil_tcga_differences.csv")
    cells = figures.set_index(["group", "metric", "class"]).sort_index()
    whole = [(name, "") for name in ("accuracy", "balanced_accuracy", "macro_auroc")]
    shown = [*whole, ("auroc", "equivocal"), ("auroc", "positive")]
    lines = [
        "| pooling | folds | accuracy | balanced accuracy | macro AUROC | AUROC of equivocal | AUROC of positive | "
        "balanced accuracy, difference to mean pooling (primary) |",
        "|---" * 8 + "|",
    ]
    for design, words in (("patient", "by patient"), ("each-site", "each site left out")):
        for label, name in BAGS.items():
            group = f"lite0-{label}-{design}"
            own = gaps[(gaps["group"] == group) & (gaps["role"] == "primary") & (label != "mean")]
            said = _gap(own).replace(f"lite0-mean-{design}", "mean pooling")
            values = " | ".join(cell(cells.loc[(group, *key)]) for key in shown)
            lines.append(f"| {name} | {words} | {values} | {said} |")
    return "\n".join(lines)


def leakage() -> str:
    """One network under each kind of split, by patch and by patient, with the difference to the patient split."""
    folder = HOME / "models" / "study" / "leakage"
    figures, gaps = _whole(folder / "leakage.csv"), pd.read_csv(folder / "gaps.csv")
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
            f"| {split_label(group)} | {cell(by_patch)} | {by_patch['lowest']:.3f} - {by_patch['highest']:.3f} | "
            f"{cell(by_patient)} | {descriptive} | {statement} |"
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
    figures, gaps = _whole(folder / "backbones.csv"), pd.read_csv(folder / "differences.csv")
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
        cells = [cell(own.loc[(u, "balanced_accuracy")]) for u in units] + [cell(own.loc[("patch", "macro_auroc")])]
        cost = costs.loc[name]
        seeds = f"{how['runs']} of {how['asked']}"
        lines.append(
            f"| {name} | {start}, {how['px']} px | {seeds} | {' | '.join(cells)} | {statement} | "
            f"{cost['latency_ratio']:.2f} | {cost['memory_bytes'] / 2**20:.0f} MiB |"
        )
    return "\n".join(lines)


def _whole(path: Path) -> pd.DataFrame:
    """Figures over all classes."""
    frame = pd.read_csv(path)
    return frame[frame["class"].isna()]


def cell(row: pd.Series) -> str:
    """A value with its interval."""
    bounds = (
        f" [{row['lower_95']:.3f}, {row['upper_95']:.3f}]" if row["lower_95"] == row["lower_95"] else " (no interval)"
    )
    return f"{row['value']:.3f}{bounds}"
