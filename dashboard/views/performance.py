"""Sections of the performance page: further metrics, threshold explorer, map evaluation, data and limits, report."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.cache import map_scores
from dashboard.review import Review
from dashboard.session import recall, remember
from dashboard.widgets import (
    File,
    count,
    dataframe,
    download_table,
    downloads_on_request,
    format_interval,
    format_number,
    markdown_sentence,
    metric,
)
from her2core.data.split_units import split_label
from her2core.evidence.metric_table import metric_table
from her2core.evidence.metrics.registry import headline_metrics, metric_help, metric_label, metrics_of
from her2core.evidence.thresholds import RATES, operating_point
from her2core.io.text import markdown_text
from her2core.maps.methods import METHODS
from her2core.report.run_download import RenderedReport, render_report
from her2core.report.run_report import predictions_report, run_report
from her2core.runs.folder import Run

#: Beyond so many rows the further metrics take tens of seconds, and are computed when they are asked for.
AT_ONCE = 200_000


def further_metrics(review: Review, unit: str, metrics: pd.DataFrame) -> None:
    """Draw the metrics that the page has not shown yet; a run's tables hold them, for a file they are computed here."""
    st.subheader("Further metrics")
    present, predictions = set(metrics["metric"]), review.at(unit)
    absent = [
        m for m in metrics_of("metrics") if m.name not in present and (predictions.has_scores or not m.needs_scores)
    ]
    if absent:
        rows = len(predictions)
        if rows > AT_ONCE and not st.checkbox(
            f"Compute them (tens of seconds for {rows:,} rows)", key=f"further-{unit}-{review.digest}"
        ):
            return
        further = remember(("further", review.key, unit), lambda: metric_table(predictions, metrics=absent))
        metrics = pd.concat([metrics, further], ignore_index=True)
        cells = further.set_index(["metric", "class"])
        dataframe(
            [
                {"class": c} | {m.label: format_interval(cells.loc[(m.name, c)]) for m in absent if m.per_class}
                for c in review.classes
            ],
            f"Further metrics of each class by {unit}",
        )
    shown = {m.name for m in headline_metrics()}
    overall = metrics[(metrics["class"] == "") & ~metrics["metric"].isin(shown)]
    dataframe(
        [{metric_label(row["metric"]): format_number(row) for _, row in overall.iterrows()}],
        f"Further metrics by {unit}",
    )
    for row in overall.itertuples():
        if isinstance(row.note, str) and ("not given" in row.note or "cannot" in row.note):
            st.caption(f"{metric_label(row.metric)}: {markdown_sentence(row.note)}.")


def threshold_explorer(review: Review, unit: str) -> None:
    """Draw the rates of one class at a decision threshold that the viewer moves."""
    st.caption(
        "A case is predicted positive for a class where the probability of the class reaches the threshold. A "
        "threshold for use must be chosen on validation data (see Decisions); on test data it is descriptive only."
    )
    left, right = st.columns([1, 2])
    classes = review.classes
    of = left.selectbox("Positive class", classes, index=len(classes) - 1, key="of", bind="query-params")
    threshold = right.slider("Decision threshold", 0.0, 1.0, 0.5, 0.01, key="threshold", bind="query-params")
    point = remember(
        ("point", review.key, unit, of, threshold), lambda: operating_point(review.at(unit), of=of, threshold=threshold)
    )
    rows = point.set_index("metric")
    with st.grid(len(RATES), min_column_width=150):
        for rate in RATES:
            metric(metric_label(rate), rows.loc[rate], metric_help(rate))
    true, false, missed = (
        int(rows.loc[of_count, "value"]) for of_count in ("true_positives", "false_positives", "false_negatives")
    )
    st.caption(
        f"Predicted {markdown_text(of)}: {count(true + false, unit)}, of which {true:,} true positives; "
        f"false negatives: {missed:,}."
    )
    download_table("Operating point (CSV)", point, f"{review.name}-{unit}-{of}-threshold")


def show_map_scores(run: Run) -> None:
    """Draw the evaluation of the run's class-activation maps, where it was made (``her2 runs maps``)."""
    scores = map_scores(run)
    if scores is None:
        return
    st.subheader("Evaluation of the class-activation maps")
    st.caption(
        "Maps of the predicted class on test patches. Pointing game, energy-based pointing game and overlap compare "
        "the map with the tumour nuclei of the synthetic ground truth. Deletion should be low, insertion and ROAD "
        "high. The rank correlation with maps of randomised weights should be near zero (sanity check). The row chance "
        "is a map of noise: a method that does not exceed it carries no information."
    )
    text = [
        f"{r.value:.2f} [{r.lower_95:.2f}, {r.upper_95:.2f}]" if r.n else "not defined" for r in scores.itertuples()
    ]
    wide = scores.assign(value=text).pivot(index="method", columns="measure", values="value")
    wide = wide.loc[list(dict.fromkeys(scores["method"]))]
    wide = wide.rename(index=lambda m: METHODS[m].label if m in METHODS else m, columns=lambda c: c.replace("_", " "))
    dataframe(wide, "Scores of the maps by method and measure, with intervals over patients", hide_index=False)
    patients = count(int(scores["n_clusters"].max()), "patient")
    st.caption(f"{count(int(scores['n'].max()), 'patch')} of {patients}; computed by `her2 runs maps`.")
    download_table("Map scores (CSV)", scores, f"{run.name}-maps")


def show_data_and_limits(run: Run) -> None:
    """Draw what the run was trained and tested on, and its limits."""
    st.subheader("Data, split and limits")
    data = run.card["data"]
    st.markdown(
        f"Split **{split_label(data['split_unit'])}**. Sources: {markdown_sentence(', '.join(data['sources']))}."
    )
    dataframe(
        [{"split": part, **n} for part, n in data["patches"].items()], "Patches of each class by part of the split"
    )
    st.markdown(licence_and_citation(run))
    for limit in run.card["limits"]:
        st.markdown(f"- {markdown_sentence(limit)}")


def licence_and_citation(run: Run) -> str:
    """Return licence and citation of the run's data as Markdown."""
    facts = run.card["data"].get("facts", {})
    licence, citation = facts.get("licence", "not stated"), facts.get("citation", "No citation.")
    return f"Licence of the data: {markdown_sentence(licence)}. {markdown_sentence(citation)}"


def report_downloads(review: Review) -> None:
    """Offer the report of all evidence, made on request: that of a file needs every table and may take a minute."""
    st.caption(
        "Every metric with its unit and interval, calibration, abstention, subgroups, misclassified cases, and the "
        "items of TRIPOD+AI and CLAIM 2024 as met or not reported, in one file."
    )
    name = f"{review.name}-report-research-use-only"
    files = [
        File("Report (HTML)", lambda: _report(review).html(), f"{name}.html", "text/html"),
        File("Report (PDF)", lambda: _report(review).pdf(), f"{name}.pdf", "application/pdf"),
        File("One-page summary (PDF)", lambda: _report(review).summary(), f"{name}-summary.pdf", "application/pdf"),
    ]
    with st.container(horizontal=True):
        downloads_on_request("Make the report", files, place="report", content=review.key)
    made: RenderedReport | None = recall(("report", review.key))
    if made is not None:
        with st.expander("Items of the reporting guidelines that a table of predictions does not report"):
            for guideline, listed in made.not_reported.items():
                st.markdown(f"**{markdown_text(guideline)}**: {markdown_sentence(listed)}")


def _report(review: Review) -> RenderedReport:
    """The report of a run from its tables; that of a file is computed once."""
    if review.run is not None:
        return render_report(run_report(review.run))
    whole = review.patches if review.whole is None else review.whole
    return remember(("report", review.key), lambda: render_report(predictions_report(whole, name=review.name)))
