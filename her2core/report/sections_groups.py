"""Sections on groups of patients and on the labels in the run report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from her2core.evidence.between_sites import between_sites_sentences
from her2core.evidence.label_noise import WOLFF, label_noise_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.weak_slices import METHOD, weak_slices_sentence
from her2core.io.text import capitalised
from her2core.report.document import Block, Grid, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import figure, pivot
from her2core.report.sections import absent, section, text

#: Most classes whose recall is shown by group; with more, the run's own table has it.
_MOST_CLASSES = 6
#: Suspected labels, and weak slices, that are listed.
_LISTED = 10


def subgroups(r: RunReport) -> Section:
    """Metrics in each group of each column with numbers of patients, differences between groups, and weak slices.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> subgroups(example_report()).title
    'Subgroups'
    """
    blocks: list[Block] = [Words(text("subgroups", "one_by_one"))]
    if not r.about_people:
        blocks.append(Words(text("subgroups", "no_people")))
    for unit, table in r.by_unit("subgroups").items():
        differences = r.table("group_differences", unit)
        for by, rows in table.groupby("by", sort=False):
            blocks += [*_group_grids(rows, r.classes, str(by), unit)]
            compared = differences[differences["by"] == by]
            if not compared.empty:
                blocks.append(_difference_grid(compared, str(by), unit))
    sites = r.result_tables["between_sites"]
    blocks += [Words(said) for said in between_sites_sentences(sites)]
    blocks += [Words(capitalised(f"{note}."), "muted") for note in dict.fromkeys(sites["note"]) if note]
    blocks += absent(r, "subgroups", "group_differences", "between_sites")
    return section("subgroups", *blocks, *_weak_slices(r))


def labels(r: RunReport) -> Section:
    """Discordance of IHC and ISH, accuracy under label noise, and suspected labels.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> labels(example_report()).title
    'Labels'
    """
    cells = r.result_tables["discordance"]
    blocks: list[Block] = [_discordance_grid(rows, str(part)) for part, rows in cells.groupby("part", sort=False)]
    blocks.append(Words(text("labels", "noise")))
    for unit, rows in r.by_unit("label_noise").items():
        blocks.append(Words(label_noise_sentence(rows[rows["label_error"].round(6) == 0.05].iloc[0])))
        blocks.append(_noise_grid(rows, unit))
    blocks.append(Words(text("labels", "suspected")))
    blocks += [_suspected_grid(rows, unit) for unit, rows in r.by_unit("suspected_labels").items()]
    return section("labels", *blocks, *absent(r, "discordance", "label_noise", "suspected_labels"))


def _group_grids(rows: pd.DataFrame, classes: Sequence[str], by: str, unit: str) -> Iterator[Grid]:
    """Metrics over all classes in each group, then recall and specificity of each class."""
    caption, first = f"By {by}, counted by {unit}", {"n": "Rows", "patients": "Patients"}
    yield pivot(rows[rows["class"] == ""], caption, down="group", across="metric", head=by, first=first)
    for metric in ("recall", "specificity"):
        here = rows[rows["metric"] == metric]
        if len(classes) <= _MOST_CLASSES and not here.empty:
            caption = f"{metric_label(metric)} of each class by {by}, counted by {unit}"
            order = list(dict.fromkeys(rows["group"]))
            yield pivot(here, caption, down="group", across="class", order=order, columns=classes, head=by)


def _weak_slices(r: RunReport) -> list[Block]:
    """Subsets of lower accuracy by each unit at which they were searched, the clearest first."""
    tables = r.by_unit("weak_slices")
    blocks: list[Block] = [Words("Weak slices", "strong"), Words(METHOD)] if tables else []
    for unit, rows in tables.items():
        body = []
        for row in rows.head(_LISTED).to_dict("records"):
            accuracies = figure(row["value"]), figure(row["rest"])
            difference = figure(row["difference"], row["lower_95"], row["upper_95"])
            adjusted = "<0.001" if row["p_value_adjusted"] < 0.001 else figure(row["p_value_adjusted"])
            counts = f"{int(row['n']):,}", f"{int(row['patients']):,}"
            body.append((row["subset"], *counts, *accuracies, difference, adjusted, row["statement"]))
        listed = f", {len(body)} of {len(rows)}" if len(rows) > len(body) else ""
        caption = f"Subsets of lower accuracy by {unit}, the clearest first{listed}"
        head = ("Subset", "Rows", "Patients", "Accuracy", "Rest", "Difference (same class)", "Adjusted p", "Statement")
        notes = tuple(f"{capitalised(note)}." for note in dict.fromkeys(rows["note"]) if note)
        wide = (2.4, 0.6, 0.8, 0.95, 0.65, 2.2, 1.05, 1.4)
        blocks += [Words(weak_slices_sentence(rows)), Grid(caption, head, tuple(body), wide, (1, 2, 3, 4, 5, 6), notes)]
    return blocks


def _difference_grid(rows: pd.DataFrame, by: str, unit: str) -> Grid:
    body = []
    for row in rows.to_dict("records"):
        metric = metric_label(row["metric"], of=row["class"])
        difference = figure(row["difference"], row["lower_simultaneous"], row["upper_simultaneous"])
        body.append((str(row["group"]), f"{int(row['patients'])}", metric, difference, row["statement"]))
    first = rows.iloc[0]
    notes = (
        f"Group less {first['reference']} ({int(first['reference_patients'])} patients, the largest group). The "
        f"intervals of the {int(first['comparisons'])} comparisons hold together at 95 % (Bonferroni).",
        *(f"{r.group}: {r.note}." for r in rows[rows["value"].isna()].drop_duplicates("group").itertuples()),
    )
    caption, head = f"Differences by {by}, counted by {unit}", (by, "Patients", "Metric", "Difference", "Statement")
    return Grid(caption, head, tuple(body), (1.0, 0.6, 1.6, 1.5, 1.2), (1, 3), notes)


def _discordance_grid(rows: pd.DataFrame, part: str) -> Grid:
    body, notes, cells = [], [], rows.set_index(["her2_ihc", "ish"])
    for score in dict.fromkeys(rows["her2_ihc"]):
        counts = [str(int(cells.loc[(score, ish), "count"])) for ish in ("negative", "positive", "unknown")]
        known = [cells.loc[(score, ish)] for ish in ("negative", "positive")]
        body.append((score, *counts, *(figure(row["value"], row["lower_95"], row["upper_95"]) for row in known)))
    for r in rows[rows["published_source"] != ""].itertuples():
        highest = f" to {100 * r.published_high:.0f}" if r.published_high > r.published_low else ""
        published = f"{100 * r.published_low:.0f}{highest} % ({r.published_source})"
        notes.append(f"IHC {r.her2_ihc}, ISH {r.ish}: published {published}.")
    every = "of all parts" if part == "all" else f"of the {part} part"
    caption = f"ISH results by IHC score, patients {every}; shares of those with an ISH result, exact 95 % intervals"
    head = ("IHC", "ISH negative", "ISH positive", "No result", "Share negative", "Share positive")
    return Grid(caption, head, tuple(body), (0.8, 0.8, 0.8, 0.8, 1.5, 1.5), (1, 2, 3, 4, 5), tuple(notes))


def _noise_grid(rows: pd.DataFrame, unit: str) -> Grid:
    body = []
    for row in rows.itertuples():
        bounds = f"{figure(row.true_lowest)} to {figure(row.true_highest)}"
        share = f"{100 * row.label_error:.0f} %"
        body.append((share, bounds, figure(row.true_if_independent), figure(row.perfect_network)))
    caption = f"Accuracy by {unit} against the truth, by the share of wrong labels"
    head = ("Wrong labels", "At least, at most", "If errors are independent", "A network without error")
    note = f"20 %: {WOLFF}. Other shares are our choice."
    return Grid(caption, head, tuple(body), (0.8, 1.4, 1.2, 1.2), (1, 2, 3), (note,))


def _suspected_grid(rows: pd.DataFrame, unit: str) -> Grid:
    body, first = [], rows.iloc[0]
    for row in rows.head(_LISTED).to_dict("records"):
        probabilities = figure(row["probability"]), figure(row["probability_suggested"])
        body.append((row["id"], row["class"], row["suggested"], *probabilities))
    caption = f"Labels most suspected by {unit}: {int(first['suspected'])} of {int(first['n'])} are suspected"
    head = ("Case", "Label", "Suggested", "Probability of the label", "Of the suggested")
    return Grid(caption, head, tuple(body), (1.6, 0.9, 0.9, 1.0, 1.0), (3, 4))
