"""How good is the run, for whom, and how sure is that? The run's evaluation tables in; figures and tables out."""

from __future__ import annotations

import streamlit as st

from dashboard.loaders import tables
from dashboard.parts import NOTICE, download_table, interval, opened_run, value_and_bounds
from her2core.plots.confusion import confusion_figure
from her2core.plots.per_class import per_class_figure

NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "macro_auroc": "AUROC, mean",
}
PER_CLASS = {
    "recall": "Recall (sensitivity)", "one_vs_rest_accuracy": "One-vs-rest accuracy", "precision": "Precision (PPV)",
    "specificity": "Specificity", "f1": "F1", "auroc": "AUROC",
}  # fmt: skip

run, found = opened_run("Performance", tables)
for warning in run.warnings:
    st.warning(warning, icon=":material/warning:")

assessed = found["units"][found["units"]["assessed"]]["unit"].tolist()
unit = st.segmented_control("Unit of every number", assessed, default=assessed[-1], key="unit") or assessed[-1]
for row in found["units"][~found["units"]["assessed"]].itertuples():
    st.caption(f"No figures by {row.unit}. {row.reason}")
metrics = found["metrics"][found["metrics"]["unit"] == unit]
first = metrics.iloc[0]
st.caption(
    f"Test part: {int(first['n'])} {unit}{'es' if unit == 'patch' else 's'}. Brackets: 95 % percentile bootstrap over "
    f"{int(first['clusters'])} {first['resampled']}{'es' if first['resampled'] == 'patch' else 's'}."
)
note = metrics.loc[metrics["metric"] == "accuracy", "note"].fillna("").iloc[0]
if note:
    st.warning(f"Intervals: {note}.", icon=":material/warning:")

for column, (metric, name) in zip(st.columns(len(NAMES)), NAMES.items(), strict=True):
    row = metrics[metrics["metric"] == metric].iloc[0]
    value, bounds = value_and_bounds(row)
    column.metric(name, value, help=f"{name} by {unit}, {bounds}", border=True)
    column.caption(bounds)

st.subheader("Confusion matrix")
confusion = found["confusion"][found["confusion"]["unit"] == unit]
for column, (show, name) in zip(
    st.columns(2), (("count", "Counts"), ("share_of_true", "Percent of the true class")), strict=True
):
    column.markdown(f"**{name}**")
    column.plotly_chart(confusion_figure(confusion, run.classes, show=show), width="stretch", key=f"confusion-{show}")
download_table("Confusion table (CSV)", confusion, f"{run.name}-{unit}-confusion")

st.subheader("Per class")
st.caption(
    '"Class-specific accuracy" has two readings in the literature: recall (share of the class that was found) and '
    "one-vs-rest accuracy (share of all answers that were right about this class). Both are given, each by its name."
)
rows = [metrics[metrics["metric"] == m].set_index("class") for m in PER_CLASS]
table = {"class": list(run.classes)}
for (_, name), row in zip(PER_CLASS.items(), rows, strict=True):
    table[name] = [interval(row.loc[c]) for c in run.classes]
st.dataframe(table, hide_index=True, width="stretch")
shown = st.selectbox("Figure of", list(PER_CLASS), format_func=PER_CLASS.get, key="per_class_metric")
st.plotly_chart(per_class_figure(metrics[metrics["metric"] == shown], run.classes), width="stretch", key="per-class")
download_table("All metrics (CSV)", metrics, f"{run.name}-{unit}-metrics")

with st.expander("Data, partition and limits"):
    data = run.card["data"]
    st.markdown(f"Split by **{data['split_unit'].replace('_', ' ')}**. Sources: {', '.join(data['sources'])}.")
    st.dataframe(
        [{"part": part, **counts} for part, counts in data["patches"].items()], hide_index=True, width="stretch"
    )
    facts = data.get("facts", {})
    st.markdown(f"Licence of the data: {facts.get('licence', 'not stated')}. {facts.get('citation', '')}")
    for limit in run.card["limits"]:
        st.markdown(f"- {limit}")
st.caption(NOTICE)
