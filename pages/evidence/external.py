"""External validation page: figures on another cohort beside those of development, and how the cohorts differ."""

from __future__ import annotations

import streamlit as st

from dashboard.review import unit_switch
from dashboard.selection import opened_review, or_stop
from dashboard.widgets import dataframe, download_table, figure, format_difference, format_p, markdown_sentence
from her2core.evidence.drift import LARGE, drift_sentences
from her2core.evidence.external import UNITS, external_statement
from her2core.evidence.metrics.registry import METRICS, metric_label
from her2core.io.text import markdown_text
from her2core.plots.colours import interval_text
from her2core.plots.external import drift_description, drift_figure, external_description, external_figure

review = opened_review("External validation")
run = review.run
if run is None or "external" not in run.card:
    st.markdown(
        "A model is evaluated on a cohort from elsewhere: other patients, scanner, staining, case mix. Weights, "
        "temperature and thresholds stay as they are."
    )
    st.info("The figures of this model are those of its own test part.")
    st.markdown("Import the other cohort, evaluate the model on it, and choose the new run in the sidebar:")
    st.code(f"her2 evaluate {run.name if run else 'RUN'} --on data/other.parquet", language=None)
    st.stop()

validated = run
external, drift = or_stop(lambda: (validated.table("external"), validated.table("drift")))
facts = run.card["external"]
st.markdown(
    f"**{markdown_text(facts['run'])}**, developed on {markdown_text(str(facts['data'].get('name') or 'its data'))}, "
    f"evaluated on **{markdown_text(str(run.card['data'].get('name') or 'another cohort'))}**."
)
present = [unit for unit in UNITS if (external["unit"] == unit).any()]
unit = unit_switch(review, "Unit of analysis", key="unit", default=len(present) - 1, among=present)
st.markdown(f"**{markdown_sentence(external_statement(external, unit=unit))}**")

st.header("Development and external figures")
rows = external[external["unit"] == unit].reset_index(drop=True)
rows["label"] = [
    metric_label(metric) + (f", {of}" if of else "") for metric, of in zip(rows["metric"], rows["class"], strict=True)
]
shares = rows[[METRICS[name].range == (0.0, 1.0) for name in rows["metric"]]]
figure(external_figure(shares), external_description(shares), key=f"external-{unit}", table=rows)
dataframe(
    [
        {
            "metric": row["label"],
            "development": interval_text(row["development"], row["development_lower_95"], row["development_upper_95"]),
            "external": interval_text(row["external"], row["external_lower_95"], row["external_upper_95"]),
            "difference (points)": format_difference(row),
            "note": row["note"],
        }
        for _, row in shares.iterrows()
    ],
    f"Figures by {unit} on both cohorts",
)
st.caption(
    f"From {rows['n_development'].iloc[0]:,} patients or rows of the model's own test part and "
    f"{rows['n_external'].iloc[0]:,} of the cohort. Intervals of differences by MOVER for independent estimates (Zou & "
    "Donner 2008). One statement is made, about the primary metric; the other differences are descriptive, and their "
    "intervals are not corrected for their number."
)

st.header("Drift")
st.markdown(
    "How the cohorts differ, by the means of patients. A property may differ without harm, and harm may come without a "
    f"property that differs. Named are differences of at least {LARGE} standard deviations that are beyond chance."
)
for sentence in drift_sentences(drift):
    st.warning(markdown_sentence(sentence), icon=":material/compare_arrows:")
kinds = list(dict.fromkeys(drift["kind"]))
kind = st.segmented_control("Properties", kinds, default=kinds[0], key="drift_kind", required=True)
chosen = drift[drift["kind"] == kind]
figure(drift_figure(chosen), drift_description(chosen), key=f"drift-{kind}", table=chosen)
dataframe(
    [
        {
            "property": row["property"],
            "development": f"{row['development']:.3g}",
            "external": f"{row['external']:.3g}",
            "difference": interval_text(row["difference"], row["lower_95"], row["upper_95"], "+.3g"),
            "standard deviations": f"{row['standardised_difference']:+.2f}",
            "p (Holm)": format_p(row["p_value_holm"]),
            "note": row["note"],
        }
        for _, row in chosen.iterrows()
    ],
    f"Properties of both cohorts: {kind}",
)
download_table("All properties (CSV)", drift, f"{review.name}-drift")
