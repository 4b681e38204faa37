"""Does 80 % mean 80 %? The evidence in use in; reliability, calibration errors before and after, Brier's parts out."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_review
from dashboard.parts import NOTICE, download_table, figure, plain_interval
from dashboard.result_tables import opened_exhibit, rows_at
from dashboard.review import unit_switch
from her2core.evidence.result_tables import UNITS
from her2core.plots.reliability import reliability_figure, reliability_words

WHOLE = {
    "ece_equal_mass": "ECE of the top class, equal-mass bins",
    "ece_equal_width": "ECE of the top class, equal widths",
    "classwise_ece": "ECE, mean of the classes",
    "brier": "Brier score (0 to 2)",
    "brier_reliability": "Brier: reliability",
    "brier_resolution": "Brier: resolution",
    "brier_uncertainty": "Brier: uncertainty",
    "brier_within_bins": "Brier: within bins",
}
BY_CLASS = {
    "calibration_slope": "Slope (1 is right)",
    "calibration_intercept": "Intercept (0 is right)",
    "calibration_in_the_large": "In the large (0 is right)",
    "classwise_ece": "ECE",
    "brier": "Brier",
}
SCORES = {"uncalibrated": "before", "calibrated": "after temperature scaling", "as given": "as given"}

review = opened_review("Calibration")
st.markdown(
    "Is a probability worth its number? A temperature is fitted on validation patches; what it does on the "
    "test part stands here, before and after."
)
unit = unit_switch(review, "Unit", key="calibration_unit", default=0, among=UNITS)
bins = rows_at(opened_exhibit(review, "reliability"), unit)
table = rows_at(opened_exhibit(review, "calibration"), unit)
if bins.empty or table.empty:
    st.caption(NOTICE)
    st.stop()

st.header("Reliability")
latest = table[table["scores"] == table["scores"].iloc[-1]]
figure(
    reliability_figure(bins, review.classes), reliability_words(latest, review.classes), key="reliability", table=bins
)
st.caption("Each point is a bin with about as many rows as the others. On the dotted line, what was said came true.")

st.header("Calibration errors")
held = [s for s in SCORES if (table["scores"] == s).any()]
whole = table[table["class"] == ""].set_index(["scores", "metric"])
st.dataframe(
    [
        {"figure": name} | {SCORES[s]: plain_interval(whole.loc[(s, metric)]) for s in held}
        for metric, name in WHOLE.items()
    ],
    hide_index=True,
    width="stretch",
    alt=f"Calibration errors by {unit}",
)
st.caption("Brier = reliability - resolution + uncertainty + within bins. Lower is better, but for resolution.")

st.header("By class")
by_class = table[table["class"] != ""].set_index(["scores", "class", "metric"])
st.dataframe(
    [
        {"class": c, "scores": SCORES[s]} | {n: plain_interval(by_class.loc[(s, c, m)]) for m, n in BY_CLASS.items()}
        for c in review.classes
        for s in held
    ],
    hide_index=True,
    width="stretch",
    alt=f"Calibration of each class by {unit}",
)
st.caption("A slope below 1 says that the probabilities are too extreme (overconfident), above 1 too timid.")
download_table("All calibration figures (CSV)", table, f"{review.name}-{unit}-calibration")
st.caption(NOTICE)
