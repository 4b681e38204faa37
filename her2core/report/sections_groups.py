"""Sections on groups of patients and on the labels in the run report."""

from __future__ import annotations

import math

import pandas as pd

from her2core.evidence.between_sites import between_sites_sentences
from her2core.evidence.label_noise import WOLFF, label_noise_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.result_tables import UNITS
from her2core.io.text import capitalised
from her2core.report.document import Block, Grid, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, figure, pivot
from her2core.report.sections import section
from her2core.report.sections_figures import absent

#: Most classes whose recall is shown by group; with more, the run's own table has it.
_MOST_CLASSES = 6
#: Suspected labels that are listed.
_LISTED = 10
_ONE_BY_ONE = (
    "Each group is assessed separately: an interval that excludes another group's value is no test of a difference. "
    "Differences are in tables of their own, with intervals that hold together."
)
_NO_PEOPLE = (
    "No column of these data describes age, sex or ethnicity: fairness across groups of people cannot be assessed."
)
_LABELS = (
    "Labels are readings and some are wrong. Accuracy is agreement with them; the accuracy against the truth differs "
    "from it by at most the share of wrong labels, which is assumed here and not measured."
)
_SUSPECTED = (
    "Suspected labels by confident learning (Northcutt et al. 2021, doi 10.1613/jair.1.12125): the network is "
    "confident in another class than the label. A network that is wrong and sure of it looks the same."
)


def subgroups(r: RunReport) -> Section:
    """Metrics in each group of each column with numbers of patients, and differences between groups.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> subgroups(example_report()).title
    'Subgroups'
    """
    blocks: list[Block] = [Words(_ONE_BY_ONE), *([] if r.about_people else [Words(_NO_PEOPLE)])]
    for unit in UNITS:
        table, differences = r.table("subgroups", unit), r.table("group_differences", unit)
        for by in dict.fromkeys(table["by"]):
            rows = table[table["by"] == by]
            groups = list(dict.fromkeys(rows["group"]))
            overall = rows[rows["class"].astype(object).fillna("") == ""]
            measures = list(dict.fromkeys(overall["metric"]))
            blocks.append(
                pivot(
                    overall,
                    caption=f"By {by}, counted by {unit}",
                    head=str(by),
                    down="group",
                    across="metric",
                    order=groups,
                    columns=[(m, metric_label(m)) for m in measures],
                    first=[("n", "Rows"), ("patients", "Patients")],
                    wide=1.0,
                )
            )
            for metric in ("recall", "specificity"):
                here = rows[rows["metric"] == metric]
                if len(r.classes) <= _MOST_CLASSES and not here.empty:
                    blocks.append(
                        pivot(
                            here,
                            caption=f"{metric_label(metric)} of each class by {by}, counted by {unit}",
                            head=str(by),
                            down="group",
                            across="class",
                            order=groups,
                            columns=[(c, c) for c in r.classes],
                            wide=1.0,
                        )
                    )
            compared = differences[differences["by"] == by]
            if not compared.empty:
                blocks.append(_difference_grid(compared, str(by), unit))
    sites = r.result_tables["between_sites"]
    blocks += [Words(said) for said in between_sites_sentences(sites)]
    blocks += [Words(capitalised(f"{note}."), "muted") for note in dict.fromkeys(sites["note"]) if note]
    return section("subgroups", *blocks, *absent(r, "subgroups", "group_differences", "between_sites"))


def labels(r: RunReport) -> Section:
    """Discordance of IHC and ISH, accuracy under label noise, and suspected labels.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> labels(example_report()).title
    'Labels'
    """
    blocks: list[Block] = []
    cells = r.result_tables["discordance"]
    for part in dict.fromkeys(cells["part"]):
        blocks.append(_discordance_grid(cells[cells["part"] == part], str(part)))
    blocks.append(Words(_LABELS))
    for unit in UNITS:
        rows = r.table("label_noise", unit)
        if not rows.empty:
            blocks.append(Words(label_noise_sentence(rows[rows["label_error"].round(6) == 0.05].iloc[0])))
            blocks.append(_noise_grid(rows, unit))
    blocks.append(Words(_SUSPECTED))
    for unit in UNITS:
        rows = r.table("suspected_labels", unit)
        if not rows.empty:
            blocks.append(_suspected_grid(rows, unit))
    return section("labels", *blocks, *absent(r, "discordance", "label_noise", "suspected_labels"))


def _difference_grid(rows: pd.DataFrame, by: str, unit: str) -> Grid:
    body = []
    for row in rows.to_dict("records"):
        of = f" of {row['class']}" if row["class"] else ""
        bounds = row["lower_simultaneous"], row["upper_simultaneous"]
        difference = NONE if math.isnan(row["difference"]) else figure(row["difference"], *bounds)
        patients = f"{int(row['patients'])}"
        body.append((str(row["group"]), patients, f"{metric_label(row['metric'])}{of}", difference, row["statement"]))
    few = rows[rows["value"].isna()].drop_duplicates("group")
    first = rows.iloc[0]
    notes = (
        f"Group less {first['reference']} ({int(first['reference_patients'])} patients, the largest group). The "
        f"intervals of the {int(first['comparisons'])} comparisons hold together at 95 % (Bonferroni).",
        *(f"{r.group}: {r.note}." for r in few.itertuples()),
    )
    return Grid(
        f"Differences by {by}, counted by {unit}",
        (by, "Patients", "Metric", "Difference", "Statement"),
        tuple(body),
        (1.0, 0.6, 1.6, 1.5, 1.2),
        (1, 3),
        notes,
    )


def _discordance_grid(rows: pd.DataFrame, part: str) -> Grid:
    body, cells = [], rows.set_index(["her2_ihc", "ish"])
    for score in dict.fromkeys(rows["her2_ihc"]):
        counts = [str(int(cells.loc[(score, name), "count"])) for name in ("negative", "positive", "unknown")]
        shares = []
        for name in ("negative", "positive"):
            row = cells.loc[(score, name)]
            shares.append(figure(row["value"], row["lower_95"], row["upper_95"]))
        body.append((score, *counts, *shares))
    known = rows[rows["published_source"].astype(object).fillna("") != ""]
    notes = [
        f"IHC {r.her2_ihc}, ISH {r.ish}: published {100 * r.published_low:.0f}"
        + (f" to {100 * r.published_high:.0f}" if r.published_high > r.published_low else "")
        + f" % ({r.published_source})."
        for r in known.itertuples()
    ]
    every = "of all parts" if part == "all" else f"of the {part} part"
    return Grid(
        f"ISH results by IHC score, patients {every}; shares of those with an ISH result, exact 95 % intervals",
        ("IHC", "ISH negative", "ISH positive", "No result", "Share negative", "Share positive"),
        tuple(body),
        (0.8, 0.8, 0.8, 0.8, 1.5, 1.5),
        (1, 2, 3, 4, 5),
        tuple(notes),
    )


def _noise_grid(rows: pd.DataFrame, unit: str) -> Grid:
    body = tuple(
        (
            f"{100 * row.label_error:.0f} %",
            f"{figure(row.true_lowest)} to {figure(row.true_highest)}",
            figure(row.true_if_independent),
            figure(row.perfect_network),
        )
        for row in rows.itertuples()
    )
    return Grid(
        f"Accuracy by {unit} against the truth, by the share of wrong labels",
        ("Wrong labels", "At least, at most", "If errors are independent", "A network without error"),
        body,
        (0.8, 1.4, 1.2, 1.2),
        (1, 2, 3),
        (f"20 %: {WOLFF}. Other shares are our choice.",),
    )


def _suspected_grid(rows: pd.DataFrame, unit: str) -> Grid:
    first = rows.iloc[0]
    body = tuple(
        (r["id"], r["class"], r["suggested"], figure(r["probability"]), figure(r["probability_suggested"]))
        for r in rows.head(_LISTED).to_dict("records")
    )
    return Grid(
        f"Labels most suspected by {unit}: {int(first['suspected'])} of {int(first['n'])} are suspected",
        ("Case", "Label", "Suggested", "Probability of the label", "Of the suggested"),
        body,
        (1.6, 0.9, 0.9, 1.0, 1.0),
        (3, 4),
    )
