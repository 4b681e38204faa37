"""Calibration page: reliability diagram, calibration errors, Brier score decomposition, slopes by class."""

from __future__ import annotations

import streamlit as st

from dashboard.review import opened_result_table, rows_at, unit_switch
from dashboard.selection import opened_review
from dashboard.widgets import dataframe, download_table, figure, format_number
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.result_tables import UNITS
from her2core.plots.reliability import reliability_description, reliability_figure

BY_CLASS = ("calibration_slope", "calibration_intercept", "calibration_in_the_large", "classwise_ece", "brier")
SCORES = {"uncalibrated": "before scaling", "calibrated": "after scaling", "as given": "as provided"}

review = opened_review("Calibration")
switch, about = st.columns([2, 5], gap="medium", vertical_alignment="bottom")
with switch:
    unit = unit_switch(review, "Unit of analysis", key="unit", default=0, among=UNITS)
about.caption(
    "A model is calibrated where its predicted probabilities match the observed frequencies. The temperature is fitted "
    "on validation patches; its effect is measured here on the test set."
)
bins = rows_at(opened_result_table(review, "reliability"), unit)
table = rows_at(opened_result_table(review, "calibration"), unit)
if bins.empty or table.empty:
    st.stop()

latest = table[table["scores"] == table["scores"].iloc[-1]]
scores = [s for s in SCORES if (table["scores"] == s).any()]
overall = table[table["class"] == ""].set_index(["scores", "metric"])
figure(
    reliability_figure(bins, review.classes),
    reliability_description(latest, review.classes),
    key="reliability",
    table=bins,
    beside=[
        {"metric": metric_label(metric)} | {SCORES[s]: format_number(overall.loc[(s, metric)]) for s in scores}
        for metric in dict.fromkeys(overall.index.get_level_values("metric"))
    ],
    note="Bins of equal mass; on the dotted diagonal, predicted probability and observed frequency are equal. Scaling: "
    "by the temperature fitted on validation patches. Brier score = reliability - resolution + uncertainty + "
    "within-bin terms; lower is better, except for resolution.",
)

st.subheader("By class")
by_class = table[table["class"] != ""].set_index(["scores", "class", "metric"])
dataframe(
    [
        {"class": c, "temperature": SCORES[s]}
        | {metric_label(metric): format_number(by_class.loc[(s, c, metric)]) for metric in BY_CLASS}
        for c in review.classes
        for s in scores
    ],
    f"Calibration of each class by {unit}",
)
st.caption("A slope below 1 means that the probabilities are too extreme (overconfident), above 1 underconfident.")
download_table("All calibration metrics (CSV)", table, f"{review.name}-{unit}-calibration", minor=True)
