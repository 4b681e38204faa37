"""Errors page: misclassified cases with their pictures, disagreement of two models, weak slices, and a feature map."""

from __future__ import annotations

import streamlit as st

from dashboard.review import unit_switch
from dashboard.selection import opened_review
from dashboard.views.errors import show_disagreement, show_misclassified, show_slices
from dashboard.views.feature_map import show_feature_map

VIEWS = {"cases": "Misclassified cases", "models": "Two models", "slices": "Weak slices", "map": "Feature map"}

review = opened_review("Errors")
left, right = st.columns([2, 3], gap="medium")
with left:
    unit = unit_switch(review, "Unit of analysis", key="unit", default=0)
view = right.segmented_control(
    "View",
    list(VIEWS),
    format_func=VIEWS.__getitem__,
    default="cases",
    key="errors_view",
    bind="query-params",
    required=True,
)
if view == "models":
    show_disagreement(review, unit)
elif view == "slices":
    show_slices(review, unit)
elif view == "map":
    show_feature_map(review)
else:
    show_misclassified(review, unit)
