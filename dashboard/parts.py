"""Which pieces do several pages show? The research notice, the run in use, its warnings, and numbers with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import streamlit as st

from dashboard.loaders import run_names, try_open
from her2core.errors import Her2Error
from her2core.runs.folder import Run

T = TypeVar("T")
NOTICE = "Research use only. Not a medical device; not for the care of any patient."


def choose_run() -> Run | None:
    """The sidebar's run picker; the choice stands in the address, so that a link opens the same run."""
    names, problems = run_names()
    with st.sidebar:
        if not names:
            st.info("No finished run in `models/` or `runs/` yet. Train one: `her2 train configs/demo.yaml`")
        else:
            asked = st.query_params.get("run", st.session_state.get("run"))
            options = list(names)
            chosen = st.selectbox(
                "Run in use", options, index=options.index(asked) if asked in options else 0, key="run_picker",
                help="Finished runs below models/ and runs/.",
            )  # fmt: skip
            if asked and asked not in options:
                st.warning(f"The run asked for is not here; showing {chosen}.")
            st.session_state["run"] = st.query_params["run"] = chosen
        for problem in problems:
            st.caption(f"Not a run: {problem}")
        st.caption(f"**{NOTICE}**")
    if not names:
        return None
    run, why_not = try_open(names[chosen])
    if run is None:
        st.error(why_not)
    return run


def opened_run(title: str, load: Callable[[Run], T]) -> tuple[Run, T]:
    """The page's heading, the run in use and what ``load`` makes of it; or one sentence, and the page ends there."""
    run = st.session_state.get("opened_run")
    if run is None:
        st.title(title)
        st.info("There is no run yet. Train one with `her2 train configs/demo.yaml`, or put one into `models/`.")
        st.stop()
    heading(title, run)
    try:
        return run, load(run)
    except Her2Error as refused:
        st.error(str(refused))
        st.stop()


def heading(title: str, run: Run) -> None:
    """The page's title, what the run is, and everything its figures must carry."""
    st.title(title)
    st.caption(f"**{run.card['title']}** · {NOTICE}")
    facts = run.card["data"].get("facts", {})
    if facts.get("synthetic"):
        st.info("This run learned its classes from synthetic patches: drawn by a program, not tissue.")
    if not run.card["scheme"]["is_her2"]:
        st.info(f"The classes of this run are not a HER2 status: {run.card['scheme']['meaning']}.")


def interval(row: pd.Series) -> str:
    """A value with its interval, as text."""
    value, bounds = value_and_bounds(row)
    return f"{value} {bounds}" if value != "-" else bounds


def value_and_bounds(row: pd.Series) -> tuple[str, str]:
    """The two texts apart, for a large figure with its interval below."""
    if math.isnan(row["value"]):
        return "-", "not computable"
    if math.isnan(row["low"]):
        return f"{row['value']:.1%}", "(no interval)"
    return f"{row['value']:.1%}", f"[{row['low']:.1%}, {row['high']:.1%}]"


def download_table(label: str, table: pd.DataFrame, name: str) -> None:
    """A CSV of the table behind a figure, with the research notice in every row."""
    st.download_button(label, table.assign(notice=NOTICE).to_csv(index=False), file_name=f"{name}.csv", mime="text/csv",
                       on_click="ignore")  # fmt: skip
