"""Decisions page: prediction sets, risk and coverage, decision curves, stated prevalence, validated thresholds."""

from __future__ import annotations

import streamlit as st

from dashboard.review import opened_result_table, rows_at, unit_switch
from dashboard.selection import opened_review
from dashboard.views.decisions import at_prevalence_section, three_way_section
from dashboard.views.labels import discordance_section
from dashboard.widgets import count, dataframe, download_table, figure, format_interval, markdown_sentence
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.operating_points import RULE_LABELS
from her2core.evidence.result_tables import UNITS
from her2core.evidence.thresholds import RATES
from her2core.io.text import capitalised, markdown_text
from her2core.plots.abstention import (
    referral_description,
    referral_figure,
    risk_coverage_description,
    risk_coverage_figure,
)
from her2core.plots.decisions import decision_description, decision_figure

review = opened_review("Decisions")
switch, about = st.columns([2, 5], gap="medium", vertical_alignment="bottom")
with switch:
    unit = unit_switch(review, "Unit of analysis", key="unit", default=0, among=UNITS)
about.caption("A model may abstain. Cases that it does not classify can be **referred to IHC/ISH** testing.")
sections = (
    "Referral",
    "Risk and coverage",
    "Decision curve",
    "Three-way decision",
    "Stated prevalence",
    "Thresholds",
    "IHC and ISH",
)
sets, risks, net_benefit, three_way, prevalence, thresholds, discordance = st.tabs(sections)

with sets:
    referral = rows_at(opened_result_table(review, "referral"), unit)
    if not referral.empty:
        coverage = referral["nominal_coverage"].iloc[0]
        noted = "; ".join(dict.fromkeys(referral["note"].astype(object).fillna("")))
        for note in dict.fromkeys(noted.split("; ")):
            if note.startswith(("marginal", "patches are", "a set of")):
                st.info(markdown_sentence(f"{capitalised(note)}."))
        st.caption(
            "A case is classified where its prediction set holds exactly one class; empty and larger sets are "
            f"referred. The sets were calibrated on the validation part for a coverage of {coverage:.0%}."
        )
        cells = referral.set_index(["class", "metric"])
        outcomes = list(dict.fromkeys(referral["metric"]))
        figure(
            referral_figure(referral, review.classes),
            referral_description(referral, review.classes),
            key="referral",
            table=referral,
        )
        dataframe(
            [
                {"true class": c or "all"} | {metric_label(m): format_interval(cells.loc[c, m]) for m in outcomes}
                for c in (*review.classes, "")
                if (c, outcomes[0]) in cells.index
            ],
            f"Coverage and referral by true class, by {unit}",
        )

with risks:
    risk = rows_at(opened_result_table(review, "risk_coverage"), unit)
    if not risk.empty:
        figure(risk_coverage_figure(risk), risk_coverage_description(risk), key="risk", table=risk)

with net_benefit:
    curve = rows_at(opened_result_table(review, "decisions"), unit)
    if not curve.empty:
        st.caption(
            "Net benefit (Vickers & Elkin 2006) of the model, compared with predicting all and none positive. The "
            "threshold sets the cost of a false positive: at 20%, one quarter of that of a false negative."
        )
        figure(decision_figure(curve), decision_description(curve), key="decision", table=curve)

with three_way:
    three_way_section(review, unit)

with prevalence:
    at_prevalence_section(review, unit)

with discordance:
    discordance_section(review)

with thresholds:
    points = rows_at(opened_result_table(review, "operating_points"), unit)
    if not points.empty:
        left, right = st.columns(2)
        of = left.selectbox(
            "Positive class", review.classes, index=len(review.classes) - 1, key="point_of", bind="query-params"
        )
        rules = list(dict.fromkeys(points["rule"]))
        rule = right.selectbox(
            "Rule", rules, format_func=lambda r: capitalised(RULE_LABELS.get(str(r), str(r))), key="point_rule"
        )
        rows = points[(points["class"] == of) & (points["rule"] == rule)].set_index("metric")
        if not rows.empty:
            first = rows.iloc[0]
            dataframe(
                [
                    {"threshold": f"{first['threshold']:.3f}"}
                    | {
                        metric_label(metric): format_interval(rows.loc[metric])
                        for metric in RATES
                        if metric in rows.index
                    }
                ],
                f"Rates for {of} at the threshold set on validation data",
            )
            st.caption(
                f"Set on validation data ({count(int(first['validation_n']), unit)}, "
                f"{int(first['validation_cases']):,} of them {markdown_text(of)}); measured on the test set with the "
                "threshold fixed."
            )
        download_table("All thresholds (CSV)", points, f"{review.name}-{unit}-operating-points")
