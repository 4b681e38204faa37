"""Sections of the decisions page: three-way decisions, ISH tests saved, predictive values at a stated prevalence."""

from __future__ import annotations

import streamlit as st

from dashboard.review import Review, rows_at
from dashboard.session import remember
from dashboard.widgets import dataframe, download_table, figure, format_interval, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.ish_referral import ISH_LABELS, ISH_POSITIVE, ish_table
from her2core.evidence.prevalence import PREVALENCE_LABELS, predictive_value_table
from her2core.io.text import capitalised, markdown_text
from her2core.labels import referral_class
from her2core.plots.three_way import three_way_description, three_way_figure

#: Prevalence that is shown first, in percent: our choice.
PREVALENCE = 15.0


def three_way_section(review: Review, unit: str) -> None:
    """Draw the three-way decision curve of a run's table, or of a file."""
    try:
        with st.spinner("Resampling patients ..."):
            table = review.result_table("three_way")
    except Her2Error as refused:
        st.info(f"Not available: {markdown_sentence(refused.sentence)}")
        return
    curve = rows_at(table, unit)
    if curve.empty:
        return
    harms = sorted(curve["harm"].unique())
    harm = st.segmented_control(
        "Harm of an ISH test, as a share of the benefit of treating a positive case",
        harms,
        default=harms[len(harms) // 2],
        format_func=lambda h: f"{h:.0%}",
        key=f"harm-{unit}-{review.digest}",
        required=True,
    )
    note = str(curve["note"].astype(object).fillna("").iloc[0])
    for part in note.split("; "):
        if part.startswith("ISH taken"):
            st.info(markdown_sentence(f"{capitalised(part)}."))
    st.caption(
        "Each case is called negative, referred for ISH, or called positive: whichever is expected to be worth most. "
        "The threshold sets the harm of treating a negative case, as in the decision curve (Vickers & Elkin 2006; with "
        "a test between two thresholds after Pauker & Kassirer 1980)."
    )
    rows = curve[curve["harm"] == harm]
    figure(three_way_figure(rows), three_way_description(rows), key=f"three-way-{unit}-{review.digest}", table=rows)


def at_prevalence_section(review: Review, unit: str) -> None:
    """Draw predictive values and, for a HER2 status, ISH tests saved against positives missed, as the viewer states."""
    left, right = st.columns(2)
    percent = left.number_input(
        "Prevalence of the positive class (%)",
        0.1,
        99.9,
        PREVALENCE,
        1.0,
        key=f"prevalence-{review.digest}",
        help="That of the place of use. The classes of the test part may have been balanced on purpose.",
    )
    asks = referral_class(review.classes)
    share = ISH_POSITIVE
    if asks:
        share = (
            right.number_input(
                f"Share of {markdown_text(asks)} cases that ISH finds positive (%)",
                0.0,
                100.0,
                100 * ISH_POSITIVE,
                5.0,
                key=f"ish-positive-{review.digest}",
                help="Stated, not measured here: it differs between laboratories.",
            )
            / 100
        )
    _predictive_values(review, unit, percent / 100)
    _ish_tests(review, unit, percent / 100, share)


def _predictive_values(review: Review, unit: str, prevalence: float) -> None:
    st.subheader("Predictive values")
    table = remember(
        ("predictive", review.key, unit, prevalence),
        lambda: predictive_value_table(review.at(unit), prevalence=prevalence),
    )
    cells = table.set_index(["class", "metric"])
    for note in dict.fromkeys(n for n in table["note"] if "with both" in n):
        st.warning(markdown_sentence(f"{capitalised(note)}."), icon=":material/warning:")
    names = {"ppv": f"PPV at {prevalence:.1%}", "npv": f"NPV at {prevalence:.1%}"}
    observed = [m for m in PREVALENCE_LABELS if m.endswith("_observed")]
    dataframe(
        [
            {"class": c}
            | {
                names.get(m, x): format_interval(cells.loc[(c, m)])
                for m, x in PREVALENCE_LABELS.items()
                if m not in observed
            }
            for c in review.classes
        ],
        f"Predictive values of each class against the rest by {unit}, at a prevalence of {prevalence:.1%}",
    )
    dataframe(
        [
            {"class": c}
            | {PREVALENCE_LABELS[m]: format_interval(cells.loc[(c, m)]) for m in observed}
            | {"prevalence in this test part": f"{cells.loc[(c, 'ppv_observed'), 'prevalence']:.1%}"}
            for c in review.classes
        ],
        f"Predictive values of each class against the rest by {unit}, in this test part",
    )
    st.caption(
        "By Bayes' rule from sensitivity and specificity, each class in turn at the stated prevalence. This assumes "
        "that the cases of a class are the same kind of cases there."
    )
    download_table("Predictive values (CSV)", table, f"{review.name}-{unit}-predictive-values")


def _ish_tests(review: Review, unit: str, prevalence: float, share: float) -> None:
    st.subheader("ISH tests saved against positives missed")
    try:
        reason = review.no_her2
        sets = {} if reason else review.sets
        if not reason:
            table = remember(
                ("ish", review.key, unit, prevalence, share),
                lambda: ish_table(review.at(unit), sets.get(unit), prevalence=prevalence, ish_positive=share),
            )
    except Her2Error as refused:
        reason = refused.sentence
    if reason:
        st.info(f"Not available: {markdown_sentence(reason)}")
        return
    cells = table.set_index(["policy", "metric"])
    st.caption(f"{markdown_sentence(capitalised(str(table['note'].iloc[0])))}.")
    dataframe(
        [
            {"policy": policy}
            | {x: format_interval(cells.loc[(policy, m)]) for m, x in ISH_LABELS.items() if m != "ish_tests"}
            for policy in dict.fromkeys(table["policy"])
        ],
        f"ISH tests saved against positives missed by {unit}, at a prevalence of {prevalence:.1%}",
    )
    st.caption(
        "Shares of all cases; missed of the positives: share of the positive cases. Compared with testing every case. "
        "A prediction set calls a case negative or positive where it holds no other class, and refers the rest."
    )
    download_table("ISH tests (CSV)", table, f"{review.name}-{unit}-ish-tests")
