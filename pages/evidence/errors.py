"""Errors page: misclassified cases, most confident first, with their pictures."""

from __future__ import annotations

import streamlit as st

from dashboard.review import unit_switch
from dashboard.selection import opened_review
from dashboard.session import remember
from dashboard.views.gallery import gallery
from dashboard.widgets import count
from her2core.data.manifest import UNKNOWN
from her2core.evidence.misclassified import misclassified

FILTERS = {"true": "True class", "predicted": "Predicted class", "patient_id": "Patient", "site": "Site"}

review = opened_review("Errors")
unit = unit_switch(review, "Unit of analysis", key="error_unit", default=0)
rows = remember(("misclassified", review.key, unit), lambda: misclassified(review.at(unit)))
total = len(review.at(unit))
if rows.empty:
    st.success(f"None of {count(total, unit)} of the test set is misclassified.")
    st.stop()
st.markdown(
    f"**{count(len(rows), unit)}** of {total:,} in the test set are misclassified, listed with the most confident "
    "first. Confident errors point to wrong labels, artefacts and spurious features."
)
for column, (name, label) in zip(st.columns(len(FILTERS)), FILTERS.items(), strict=True):
    values = [v for v in rows[name].unique() if v != UNKNOWN]
    if not values:
        column.caption(f"{label}: unknown in these data.")
        continue
    chosen = column.multiselect(label, sorted(values), key=f"errors_{name}", bind="query-params")
    if chosen:
        rows = rows[rows[name].isin(chosen)]
st.caption(f"{count(len(rows), unit)} shown.")
gallery(review, rows, unit=unit, key="errors")
