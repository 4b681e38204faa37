"""Who should be sent for IHC/ISH instead of being answered? Prediction sets, risk against coverage, net benefit out."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_review
from dashboard.parts import NOTICE, download_table, figure, interval
from dashboard.result_tables import opened_exhibit, rows_at
from dashboard.review import unit_switch
from dashboard.words import plain
from her2core.evidence.result_tables import UNITS
from her2core.plots.abstention import referral_figure, referral_words, risk_coverage_figure, risk_coverage_words
from her2core.plots.decisions import decision_figure, decision_words

SHARES = {
    "covered": "set holds the truth",
    "answered": "answered",
    "answered_rightly": "answered rightly",
    "sent": "sent for IHC/ISH",
    "right_when_answered": "right when answered",
}

review = opened_review("Decisions")
st.markdown("A network need not answer. What follows when it is unsure is a test that exists: **send for IHC/ISH**.")
unit = unit_switch(review, "Unit", key="decision_unit", default=0, among=UNITS)

st.header("Prediction sets")
referral = rows_at(opened_exhibit(review, "referral"), unit)
if not referral.empty:
    asked = referral["coverage_asked"].iloc[0]
    st.caption(
        "Only a set of exactly one class is an answer; empty and larger sets are sent. The sets were fitted on "
        f"validation patches so that {asked:.0%} of each class's patches are covered. Intervals draw patients."
    )
    figure(
        referral_figure(referral, review.classes),
        referral_words(referral, review.classes),
        key="referral",
        table=referral,
    )
    cells = referral.set_index(["class", "metric"])
    st.dataframe(
        [
            {"true class": c or "all"} | {name: interval(cells.loc[c, m]) for m, name in SHARES.items()}
            for c in (*review.classes, "")
            if (c, "sent") in cells.index
        ],
        hide_index=True,
        width="stretch",
        alt=f"Coverage and referral by true class, by {unit}",
    )

st.header("Risk against coverage")
risk = rows_at(opened_exhibit(review, "risk_coverage"), unit)
if not risk.empty:
    figure(risk_coverage_figure(risk), risk_coverage_words(risk), key="risk", table=risk)

st.header("Decision curve")
curve = rows_at(opened_exhibit(review, "decisions"), unit)
if not curve.empty:
    st.caption(
        "Net benefit (Vickers & Elkin 2006) of calling cases by the network, beside calling all and none. The "
        "threshold says what a false call costs: at 20 %, a fourth of what a missed case does."
    )
    figure(decision_figure(curve), decision_words(curve), key="decision", table=curve)

st.header("Thresholds set on validation")
points = rows_at(opened_exhibit(review, "operating_points"), unit)
if not points.empty:
    left, right = st.columns(2)
    of = left.selectbox("Class", review.classes, index=len(review.classes) - 1, key="point_of", bind="query-params")
    rules = list(dict.fromkeys(points["rule"]))
    rule = right.selectbox("Rule", rules, format_func=lambda r: r.replace("_", " "), key="point_rule")
    rows = points[(points["class"] == of) & (points["rule"] == rule)].set_index("metric")
    if not rows.empty:
        shown = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV", "npv": "NPV"}
        st.dataframe(
            [{"threshold": f"{rows['threshold'].iloc[0]:.3f}"} | {n: interval(rows.loc[m]) for m, n in shown.items()}],
            hide_index=True,
            width="stretch",
            alt=f"Rates of calling {of} from the threshold set on validation",
        )
        first = rows.iloc[0]
        st.caption(
            f"Set on {int(first['validation_n']):,} validation rows, {int(first['validation_cases']):,} of them "
            f"{plain(of)}; measured on the test part, the threshold taken as fixed."
        )
    download_table("All thresholds (CSV)", points, f"{review.name}-{unit}-operating-points")
st.caption(NOTICE)
