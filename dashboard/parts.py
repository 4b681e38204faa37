"""Which pieces do several pages show? Headings with notices, numbers with intervals, figures with their tables."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.words import plain, sentence
from her2core.io.spreadsheet import spreadsheet_safe
from her2core.notice import NOTICE
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic


def heading(title: str, run: Run | None, subject: str = "") -> None:
    """The page's title, what it is about, and everything its figures must carry."""
    st.title(title)
    subject = subject or (run.card["title"] if run else "")
    st.caption(f"**{plain(subject)}** · {NOTICE}" if subject else NOTICE)
    if run is None:
        return
    if is_synthetic(run):
        st.info("This run learned its classes from synthetic patches: drawn by a program, not tissue.")
    if not run.card["scheme"]["is_her2"]:
        st.info(f"The classes of this run are not a HER2 status: {plain(run.card['scheme']['meaning'])}.")


def figure(plot: go.Figure, words: str, *, key: str, table: pd.DataFrame | None = None, **options: Any) -> Any:
    """A figure with its alternative text, also given to those who see it, and its table to download; its selection."""
    event = st.plotly_chart(
        plot, width="stretch", key=key, alt=words, config={"displayModeBar": False, "scrollZoom": False}, **options
    )
    st.caption(sentence(words))
    if table is not None:
        download_table("Table behind this figure (CSV)", table, key)
    return event


def interval(row: pd.Series) -> str:
    """A value with its interval, as text."""
    value, bounds = value_and_bounds(row)
    return f"{value} {bounds}" if value != "-" else bounds


def value_and_bounds(row: pd.Series) -> tuple[str, str]:
    """The two texts apart, for a large figure with its interval below."""
    if math.isnan(row["value"]):
        return "-", "not computable"
    if math.isnan(row["lower_95"]):
        return f"{row['value']:.1%}", "(no interval)"
    return f"{row['value']:.1%}", f"[{row['low']:.1%}, {row['high']:.1%}]"


def plain_interval(row: pd.Series) -> str:
    """The same for a figure that is no share of anything."""
    if math.isnan(row["value"]):
        return "not computable"
    return f"{row['value']:.3f}" + ("" if math.isnan(row["lower_95"]) else f" [{row['low']:.3f}, {row['high']:.3f}]")


def units_of(number: int, unit: str) -> str:
    """ "1 patch", "3 patches"."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}{'es' if unit == 'patch' else 's'}"


def download(label: str, make: Callable[[], bytes | str], *, name: str, mime: str, key: str | None = None) -> None:
    """A download whose content is made when it is asked for."""
    st.download_button(label, make, file_name=name, mime=mime, on_click="ignore", key=key, icon=":material/download:")


def download_table(label: str, table: pd.DataFrame, name: str, *, parquet: bool = False) -> None:
    """The table as CSV (or Parquet), with the research notice in every row; no cell can act as a formula."""
    if parquet:
        download(
            label,
            lambda: _parquet(table.assign(notice=NOTICE)),
            name=f"{name}.parquet",
            mime="application/vnd.apache.parquet",
            key=f"{name}-parquet",
        )
    else:
        download(
            label,
            lambda: spreadsheet_safe(table.assign(notice=NOTICE)).to_csv(index=False),
            name=f"{name}.csv",
            mime="text/csv",
            key=f"{name}-csv",
        )


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
