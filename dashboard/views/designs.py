"""Validation designs of one network: figures, both readings of class-specific accuracy, differences, folds."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.views.studies import labelled_statement, primary_statements, show_seeds_caption
from dashboard.widgets import (
    count,
    dataframe,
    figure,
    format_detectable,
    format_difference,
    format_interval,
    markdown_sentence,
)
from her2core.evidence.metrics.registry import metric_label
from her2core.plots.seeds import seeds_description, seeds_figure
from her2core.study import reported
from her2core.study.designs import DesignComparison
from her2core.study.tables import StudyTables

_READINGS = ("recall", "one_vs_rest_accuracy")


def show_designs(compared: DesignComparison, unit: str, metric: str, *, key: str) -> None:
    """Draw the metric under each design, and its table."""
    of, label = compared.figures, metric_label(metric)
    rows = of[(of["unit"] == unit) & (of["metric"] == metric) & (of["class"] == "")]
    description = seeds_description(rows, compared.labels, metric=label)
    units = "patches" if unit == "patch" else f"{unit}s"
    table = [
        {
            "test patches": compared.labels[r["group"]],
            label: format_interval(r),
            "seeds": r["seeds"],
            "lowest seed": f"{r['lowest']:.1%}",
            "highest seed": f"{r['highest']:.1%}",
            "interval over": count(int(r["n_clusters"]), r["resampling_unit"]),
            f"{units} per run": r["n"],
        }
        for _, r in rows.iterrows()
    ]
    figure(seeds_figure(rows, compared.labels), description, key=f"{key}-{unit}-{metric}", table=rows, beside=table)
    show_seeds_caption(rows)
    for note in dict.fromkeys(filter(None, rows["note"])):
        named = [compared.labels[g] for g in rows.loc[rows["note"] == note, "group"]]
        st.caption(markdown_sentence(f"{', '.join(named)}: {note}."))


def show_class_accuracy(compared: DesignComparison, unit: str, *, is_her2: bool) -> None:
    """Draw both readings of class-specific accuracy under each design, beside the paper's where classes are alike."""
    of = compared.figures[compared.figures["unit"] == unit]
    classes = list(dict.fromkeys(of.loc[of["metric"] == "recall", "class"]))
    if not classes:
        return
    alike = is_her2 and set(classes) == set(reported.CLASS_ACCURACY)
    cells = of.set_index(["group", "metric", "class"])
    table = []
    for name in classes:
        for reading in _READINGS:
            row = {"class": name, "reading": metric_label(reading)}
            row |= {reported.CITATION: f"{reported.CLASS_ACCURACY[name]:.2%}"} if alike else {}
            row |= {label: format_interval(cells.loc[group, reading, name]) for group, label in compared.labels.items()}
            table.append(row)
    if alike:
        st.caption(
            f"{reported.CITATION} report {reported.ACCURACY:.2%} patch accuracy, and the values of their column for "
            "the classes. The paper does not say which of the two readings they are, nor what its split kept together; "
            "its data are not public, so that no difference from them can be tested here."
        )
    dataframe(table, f"Class-specific accuracy by {unit} under each design, in two readings")


def show_statements(compared: DesignComparison) -> None:
    """Draw what the study says about its primary metric."""
    said = primary_statements(compared.differences, compared.labels)
    st.markdown("\n".join(f"- {markdown_sentence(sentence)}" for sentence in said))


def show_differences(compared: DesignComparison, unit: str, metric: str) -> None:
    """Draw the differences by this unit and metric."""
    changes = compared.differences
    against = compared.labels[compared.reference]
    chosen = changes[(changes["unit"] == unit) & (changes["metric"] == metric)]
    table = [
        {
            "test patches": compared.labels[row["group"]],
            f"difference from the design {against} (points)": format_difference(row),
            "detectable (points)": format_detectable(row),
            "result (Holm-adjusted)": labelled_statement(row, compared.labels) or row["note"] or "descriptive",
        }
        for _, row in chosen.iterrows()
    ]
    dataframe(table, f"Difference of each design from that {against}, {metric_label(metric)}")


def show_folds(study: StudyTables, compared: DesignComparison) -> None:
    """Draw who was tested in which fold."""
    if study.folds.empty:
        return
    rows = study.folds[study.folds["group"].isin(compared.labels)]
    with st.expander("Folds: who was tested"):
        shown = rows.assign(**{"test patches": rows["group"].map(compared.labels)}).drop(columns="group")
        named = {c: metric_label(c) for c in ("balanced_accuracy", "macro_auroc") if c in shown}
        dataframe(_plain(shown.rename(columns={"held_out": "held out", **named})), "Folds of the study")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Columns in the order of reading, numbers rounded."""
    first = ["test patches", "seed", "fold", "held out"]
    return table[[*first, *(c for c in table if c not in first)]].round(3)
