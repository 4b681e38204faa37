"""Runs page: every finished run with figures, verdict, status, tags and note; filters, order and saved views."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.selection import NO_RUN
from dashboard.views.run_details import show_details
from dashboard.views.run_views import show_views
from dashboard.widgets import count, dataframe, download_table, heading, markdown_sentence
from her2core.evidence.arguments import UNITS
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.run_table import FIGURES, select_runs
from her2core.evidence.verdict.rules import ANSWERS
from her2core.runs.annotations import STATUSES

#: Columns that can be shown beside the name, with their heads.
COLUMNS = {
    **{"status": "Status", "verdict": "Verdict", "tags": "Tags", "note": "Note"},
    **{name: metric_label(name) for name in FIGURES},
    **{"title": "Title", "network": "Network", "classes": "Classes", "split_unit": "Split", "created": "Created"},
    "folder": "Folder",
}
FIRST = ["status", "verdict", "tags", "balanced_accuracy", "macro_auroc", "network"]


def shown_columns(chosen: list[str], rows: pd.DataFrame) -> pd.DataFrame:
    """The table as it is drawn: figures in percent, each followed by its interval, then the number of patients."""
    drawn = {"Run": rows["run"]}
    for name in chosen:
        head = COLUMNS[name]
        if name not in FIGURES:
            drawn[head] = rows[name].map(", ".join) if name == "tags" else rows[name]
            continue
        drawn[head] = 100 * rows[name]
        bounds = zip(rows[f"{name}_lower_95"], rows[f"{name}_upper_95"], strict=True)
        texts = ["no interval" if pd.isna(low) else f"[{low:.1%}, {high:.1%}]" for low, high in bounds]
        drawn[f"{head}, 95% interval"] = pd.Series(texts, rows.index).where(rows[name].notna(), "not assessed")
    figures = [name for name in chosen if name in FIGURES]
    if figures:
        drawn["Patients"] = rows[[f"{name}_patients" for name in figures]].max(axis=1)
    return pd.DataFrame(drawn)


heading("Runs", None)
top = st.columns([3, 2, 2, 2], gap="small")
search = top[0].text_input(
    "Search",
    key="search",
    bind="query-params",
    placeholder="name, title, network, tag or note",
    icon=":material/search:",
)
statuses = top[1].multiselect("Status", [*STATUSES, "none"], key="status", bind="query-params")
verdicts = top[2].multiselect("Verdict", ANSWERS, key="verdict", bind="query-params")
tags_place = top[3].container()
with st.container(horizontal=True, gap="small"):
    options = st.popover("Columns and order", icon=":material/view_column:")
    views = st.container(width="content")
with options:
    columns = st.multiselect(
        "Columns", list(COLUMNS), default=FIRST, format_func=COLUMNS.__getitem__, key="columns", bind="query-params"
    )
    sort = st.selectbox(
        "Order by",
        list(COLUMNS),
        index=list(COLUMNS).index("balanced_accuracy"),
        format_func=COLUMNS.__getitem__,
        key="sort",
        bind="query-params",
    )
    descending = st.toggle("Highest first", value=True, key="descending", bind="query-params")
    unit = st.segmented_control(
        "Unit of analysis", UNITS, default="patient", key="figures_unit", bind="query-params", required=True
    )
    studies = st.toggle("With the runs of studies (not graded)", key="studies", bind="query-params")

with st.spinner("Reading and grading the runs ..."):
    table, problems = cache.table_of_runs(unit or "patient", studies=studies)
if table.empty:
    st.info(NO_RUN)
    st.stop()
known = sorted({tag for tags in table["tags"] for tag in tags})
tags = tags_place.multiselect(
    "Tags", known, key="tags", bind="query-params", placeholder="all of" if known else "none yet"
)
rows = select_runs(
    table, search=search, statuses=statuses, tags=tags, verdicts=verdicts, sort=sort, descending=descending
)
with views:
    show_views()
st.caption(
    f"{count(len(rows), 'run')} of {len(table)}. Figures of different data or classes are not comparable: the order "
    "ranks no networks. Select a row to open the run, and to set its status, tags and note."
)
drawn = shown_columns(columns, rows)
percent = {COLUMNS[name]: st.column_config.NumberColumn(format="%.1f%%") for name in FIGURES}
event = dataframe(
    drawn,
    "Finished runs",
    key=f"runs-{len(table)}-{unit}",
    on_select="rerun",
    selection_mode="single-row",
    column_config=percent,
)
selected = event["selection"]["rows"]
if selected and selected[0] < len(rows):
    show_details(rows.iloc[selected[0]])
elif rows.empty:
    st.info("No run fits these filters.")
download_table("These runs (CSV)", rows.drop(columns="path").assign(tags=rows["tags"].map(", ".join)), "runs")
broken = [f"{row.run}: {row.problem}" for row in rows.itertuples() if row.problem]
if problems or broken:
    with st.expander(f"Not listed, or without figures: {len(problems) + len(broken)}"):
        for reason in [*problems, *broken]:
            st.markdown(f"- {markdown_sentence(reason)}")
