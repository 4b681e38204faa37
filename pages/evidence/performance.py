"""How good is it, for whom, and how sure is that? The evidence in use in; figures, each with its table, out."""

from __future__ import annotations

import streamlit as st

from dashboard.choice import opened_review
from dashboard.evidence_report import evidence_report
from dashboard.further_figures import further_figures
from dashboard.gallery import gallery
from dashboard.parts import NOTICE, download_table, figure, interval, units_of, value_and_bounds
from dashboard.review import unit_switch
from dashboard.run_sections import show_data_and_limits, show_map_scores
from dashboard.state import remember
from dashboard.threshold_explorer import threshold_explorer
from dashboard.words import plain, sentence
from her2core.evidence.curves import pr_points, roc_points
from her2core.evidence.misclassified import cell
from her2core.plots.confusion import confusion_figure, confusion_words
from her2core.plots.curves import pr_figure, pr_words, roc_figure, roc_words
from her2core.plots.per_class import per_class_figure, per_class_words

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "AUROC, mean",
}
PER_CLASS = {
    "recall": "Recall (sensitivity)",
    "one_vs_rest_accuracy": "One-vs-rest accuracy",
    "precision": "Precision (PPV)",
    "specificity": "Specificity",
    "f1": "F1",
    "auroc": "AUROC",
}
review = opened_review("Performance")
classes = review.classes

unit = unit_switch(review, "Unit of every number", key="unit", default=-1)
for row in review.units[~review.units["assessed"].astype(bool)].itertuples():
    st.caption(f"No figures by {row.unit}. {sentence(row.reason)}")
metrics = review.metrics[review.metrics["unit"] == unit]
first = metrics.iloc[0]
st.caption(
    f"Test part: {units_of(int(first['n']), unit)}. Brackets: 95 % intervals, bootstrap over "
    f"{units_of(int(first['clusters']), first['resampled'])} (About, Method)."
)
if unit != "patch":
    why = review.units.set_index("unit").loc[unit, "rule_reason"]
    st.caption(f"From patches to a {unit} by the rule {sentence(why)}.")
note = metrics.loc[metrics["metric"] == "accuracy", "note"].astype(object).fillna("").iloc[0]
if note:
    st.warning(f"Intervals: {sentence(note)}.", icon=":material/warning:")
for column, (metric, name) in zip(st.columns(len(NAMES)), NAMES.items(), strict=True):
    value, bounds = value_and_bounds(metrics[metrics["metric"] == metric].iloc[0])
    column.metric(name, value, help=f"{name} by {unit}, {bounds}", border=True)
    column.caption(bounds)

st.header("Confusion matrix")
confusion = review.confusion[review.confusion["unit"] == unit]
counts = {(r.true, r.predicted): int(r.count) for r in confusion.itertuples(index=False)}


def cell_clicked(key: str) -> None:
    """A cell of either matrix was clicked: choose it in the box below."""
    points = st.session_state[key]["selection"]["points"]
    if points:
        st.session_state["cell"] = f"{points[0]['y']} as {points[0]['x']}"


for column, (show, name) in zip(
    st.columns(2), (("count", "Counts"), ("share_of_true", "Percent of the true class")), strict=True
):
    column.markdown(f"**{name}**")
    with column:
        figure(
            confusion_figure(confusion, classes, show=show),
            confusion_words(confusion, classes, show=show),
            key=f"confusion-{show}",
            on_select=lambda key=f"confusion-{show}": cell_clicked(key),
            selection_mode="points",
        )
download_table("Confusion table (CSV)", confusion, f"{review.name}-{unit}-confusion")

cells = {f"{true} as {guess}": (true, guess) for true in classes for guess in classes}
chosen = st.selectbox(
    f"Look at the {'patches' if unit == 'patch' else f'{unit}s'} of one cell (or click it above)",
    list(cells),
    index=None,
    key="cell",
    bind="query-params",
    placeholder="true class as predicted class",
)
if chosen:
    true, guess = cells[chosen]
    st.markdown(f"{units_of(counts[true, guess], unit)} of true {plain(true)} taken for {plain(guess)}.")
    gallery(review, cell(review.at(unit), true=true, predicted=guess), unit=unit, key="cell")

st.header("Per class")
st.caption(
    '"Class-specific accuracy" has two readings in the literature: recall (share of the class that was found) and '
    "one-vs-rest accuracy (share of all answers that were right about this class). Both are given, each by its name."
)
rows = [metrics[metrics["metric"] == m].set_index("class") for m in PER_CLASS]
table = {"class": list(classes)}
for (_, name), row in zip(PER_CLASS.items(), rows, strict=True):
    table[name] = [interval(row.loc[c]) for c in classes]
st.dataframe(table, hide_index=True, width="stretch", alt=f"Metrics for each class by {unit}")
shown = st.selectbox(
    "Figure of", list(PER_CLASS), format_func=PER_CLASS.get, key="per_class_metric", persist_state="session"
)
of_metric = metrics[metrics["metric"] == shown]
figure(per_class_figure(of_metric, classes), per_class_words(of_metric, classes), key="per-class")
download_table("All metrics (CSV)", metrics, f"{review.name}-{unit}-metrics")

st.header("ROC and precision-recall")
at_unit = review.at(unit)
roc = remember(("roc", review.key, unit), lambda: roc_points(at_unit))
pr = remember(("pr", review.key, unit), lambda: pr_points(at_unit))
left, right = st.columns(2)
with left:
    figure(roc_figure(roc, classes), roc_words(metrics, classes), key="roc", table=roc)
with right:
    figure(pr_figure(pr, classes), pr_words(pr, classes), key="pr", table=pr)

further_figures(review, unit, metrics)
threshold_explorer(review, unit)
if review.run:
    show_map_scores(review.run)
    show_data_and_limits(review.run)
evidence_report(review)
st.caption(NOTICE)
