"""Where is it wrong, and how sure was it? The evidence in use in; its mistakes, most confident first, with pictures."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_review
from dashboard.gallery import gallery
from dashboard.parts import NOTICE, units_of
from dashboard.review import unit_switch
from dashboard.state import remember
from her2core.data.manifest import UNKNOWN
from her2core.evidence.misclassified import mistakes

review = opened_review("Errors")
unit = unit_switch(review, "Unit", key="error_unit", default=0)
wrong = remember(("mistakes", review.key, unit), lambda: mistakes(review.at(unit)))
judged = len(review.at(unit))
if wrong.empty:
    st.success(f"None of {units_of(judged, unit)} of the test part is wrong.")
    st.caption(NOTICE)
    st.stop()
st.markdown(
    f"**{units_of(len(wrong), unit)}** of {judged:,} in the test part got another class than the true one, most "
    "confident first. Confident mistakes are where to look for wrong labels, artefacts and what the network learned."
)
FILTERS = {"true": "True class", "predicted": "Taken for", "patient_id": "Patient", "site": "Site"}
for column, (name, label) in zip(st.columns(len(FILTERS)), FILTERS.items(), strict=True):
    values = [v for v in wrong[name].unique() if v != UNKNOWN]
    if not values:
        column.caption(f"{label}: unknown in these data.")
        continue
    chosen = column.multiselect(label, sorted(values), key=f"errors_{name}", bind="query-params")
    if chosen:
        wrong = wrong[wrong[name].isin(chosen)]
st.caption(f"{units_of(len(wrong), unit)} shown.")
gallery(review, wrong, unit=unit, key="errors")
st.caption(NOTICE)
