"""Sections of the errors page: misclassified cases, disagreement with another model, and weak slices."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.review import Review, opened_result_table, uploaded_reviews
from dashboard.session import remember
from dashboard.views.gallery import gallery
from dashboard.widgets import count, dataframe, download_table, format_p, markdown_sentence, short_names
from her2core.data.manifest import UNKNOWN
from her2core.errors import Her2Error
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import why_incomparable
from her2core.evidence.disagreement import OUTCOMES, outcome_counts, paired_rows
from her2core.evidence.misclassified import ORDERS, misclassified, ordered
from her2core.evidence.predictions import Predictions
from her2core.evidence.weak_slices import METHOD, WEAKER, weak_slices_sentence
from her2core.io.text import capitalised, markdown_text

FILTERS = {"true": "True class", "predicted": "Predicted class", "patient_id": "Patient", "site": "Site"}


def show_misclassified(review: Review, unit: str) -> None:
    """Draw the misclassified cases with filters and order."""
    rows = remember(("misclassified", review.key, unit), lambda: misclassified(review.at(unit)))
    total = len(review.at(unit))
    if rows.empty:
        st.success(f"None of {count(total, unit)} of the test set is misclassified.")
        return
    st.markdown(
        f"**{count(len(rows), unit)}** of {total:,} in the test set are misclassified. "
        "Confident errors point to wrong labels, artefacts and spurious features."
    )
    gallery(review, filtered(rows, unit), unit=unit, key="errors")


def filtered(rows: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Let the viewer filter and order rows; both stand in the address."""
    places = st.columns(len(FILTERS) + 1)
    for column, (name, label) in zip(places, FILTERS.items(), strict=False):
        values = [v for v in rows[name].unique() if v != UNKNOWN]
        if not values:
            column.caption(f"{label}: unknown in these data.")
            continue
        chosen = column.multiselect(label, sorted(values), key=f"errors_{name}", bind="query-params")
        if chosen:
            rows = rows[rows[name].isin(chosen)]
    order = places[-1].selectbox(
        "Order", list(ORDERS), format_func=lambda o: ORDERS[o][0], key="errors_order", bind="query-params"
    )
    st.caption(f"{count(len(rows), unit)} shown.")
    return ordered(rows, order)


def show_disagreement(review: Review, unit: str) -> None:
    """Draw the cases on which this and another model of the same test cases disagree."""
    others = _comparable(review)
    if not others:
        st.info(
            "No other model was tested on the same cases. Train one on the same manifest and split, or upload its "
            "predictions of the same patches with their identifiers."
        )
        return
    titles = short_names(others)
    left, right = st.columns(2)
    name = left.selectbox("Other model", list(others), format_func=titles.__getitem__, key="other", bind="query-params")
    patches = others[name]
    try:
        second = patches if unit == "patch" else aggregate(patches, unit, rule=review.rule(unit))
        rows = remember(("paired", review.key, name, unit), lambda: paired_rows(review.at(unit), second))
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    words = {key: text.format(review.name, name) for key, text in OUTCOMES.items()}
    outcome = right.selectbox(
        "Cases", list(words), format_func=words.__getitem__, key="outcome", bind="query-params", index=0
    )
    counts = outcome_counts(rows)
    dataframe(
        {
            "": counts["outcome"].map(words),
            "patches" if unit == "patch" else f"{unit}s": counts["n"],
            "share": counts["share"].map("{:.1%}".format),
            "patients": counts["patients"],
        },
        f"Outcomes of two models by {unit}",
    )
    st.caption(
        "Errors that both models make alike point to labels or to what the image does not show; whether one model is "
        "better is tested on the page Backbones."
    )
    shown = rows[rows["outcome"] == outcome].drop(columns="outcome")
    gallery(review, ordered(shown, "confident"), unit=unit, key="disagreement")


def show_slices(review: Review, unit: str) -> None:
    """Draw the search for subsets in which the accuracy is lower than in the rest."""
    if unit == "slide":
        st.info("Weak slices are searched by patch and by patient: choose one of these units.")
        return
    table = opened_result_table(review, "weak_slices")
    rows = table.frame[table.frame["unit"] == unit]
    if rows.empty:
        reasons = table.missing.loc[table.missing["unit"] == unit, "reason"].astype(str)
        st.info(f"Not available: {markdown_sentence('; '.join(reasons))}")
        return
    weaker = bool((rows["statement"] == WEAKER).any())
    (st.warning if weaker else st.info)(markdown_sentence(weak_slices_sentence(rows)))
    st.caption(METHOD)
    dataframe(
        [
            {
                "subset": row["subset"],
                "accuracy": f"{row['value']:.1%}",
                "rest": f"{row['rest']:.1%}",
                "difference (same class)": _points(row),
                "p": format_p(row["p_value"]),
                "adjusted p": format_p(row["p_value_adjusted"]),
                "statement": row["statement"],
                "patients": int(row["patients"]),
                "patches" if unit == "patch" else f"{unit}s": int(row["n"]),
            }
            for row in rows.to_dict("records")
        ],
        f"Subsets with lower accuracy by {unit}, the clearest first",
    )
    for note in dict.fromkeys(n for n in rows["note"] if isinstance(n, str) and n):
        st.caption(f"{capitalised(markdown_text(note))}.")
    download_table("Weak slices (CSV)", rows, f"{review.name}-{unit}-weak-slices")


def _points(row: dict[str, float]) -> str:
    """A difference with its interval, in points."""
    low, high = row["lower_95"], row["upper_95"]
    bounds = "(no interval)" if pd.isna(low) else f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{100 * row['difference']:+.1f} {bounds}"


def _comparable(review: Review) -> dict[str, Predictions]:
    """Test parts of the other models that were tested on the same patches, by name."""
    found = {}
    for name, run in cache.runs_of_the_same_split(review.run).items():
        try:
            found[name] = cache.test_predictions(run)
        except Her2Error:
            continue  # a run whose predictions are damaged is named on its own pages
    found |= {other.name: other.patches for other in uploaded_reviews().values() if other.key != review.key}
    return {name: of for name, of in found.items() if not why_incomparable(review.patches, of)}
