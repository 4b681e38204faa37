"""Elements that several pages show: headings with notices, metrics with intervals, figures, tables and downloads."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard.navigation import HOME
from dashboard.session import is_latest, latest
from her2core.io.spreadsheet import spreadsheet_safe, to_csv
from her2core.io.text import SENTENCE_LENGTH, markdown_text, shortened, without_folders
from her2core.locations import run_folders, working_folder
from her2core.notice import NOTICE
from her2core.runs.folder import Run
from her2core.runs.patch_images import is_synthetic

__all__ = [
    "NOTICE",
    "File",
    "count",
    "dataframe",
    "download",
    "download_table",
    "downloads_on_request",
    "figure",
    "format_difference",
    "format_interval",
    "format_number",
    "format_p",
    "heading",
    "markdown_sentence",
    "short_names",
    "value_and_bounds",
]

#: Tables of at most so many rows are made for download whenever a page is drawn (about 10 ms a thousand rows).
AT_ONCE = 6000
#: What follows "trained on".
SYNTHETIC = "synthetic patches: generated images, not tissue."
#: Longest name that a box in the sidebar shows uncut, in characters.
SHOWN = 30


@dataclass(frozen=True)
class File:
    """A file that is made when it is asked for."""

    label: str
    make: Callable[[], bytes | str]
    name: str
    mime: str


def markdown_sentence(text: object) -> str:
    """Return a message that may quote text from outside as Markdown, without the folders of this server."""
    folders = (HOME, working_folder(), *(runs.parent for runs in run_folders()))
    return markdown_text(without_folders(str(text), folders), SENTENCE_LENGTH)


def heading(title: str, run: Run | None, subject: str = "") -> None:
    """Draw the page's title, what it is about, and one banner of what its data are; the footer is in ``main``."""
    subject = subject or (run.card["title"] if run else "")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.title(title, anchor=False, width="content")
        if subject.strip():
            st.caption(f"**{markdown_text(subject)}**", width="content")
    if run is not None:
        banner(
            synthetic=f"This model was trained on {SYNTHETIC}" if is_synthetic(run) else "",
            other="" if run.card["scheme"]["is_her2"] else run.card["scheme"]["meaning"],
        )


def banner(*, synthetic: str = "", other: str = "", of: str = "model") -> None:
    """Draw one banner that says what data are: the sentence ``synthetic``, and classes that mean something ``other``.

    ``other`` is the meaning of classes ``of`` a model or study that are no HER2 status, from outside.
    """
    said = [synthetic] if synthetic else []
    if other:
        said.append(f"The classes of this {of} are not a HER2 status: {markdown_text(other)}.")
    if said:
        with st.container(key="banner"):
            st.info(" ".join(said), icon=":material/info:")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """A title for each name that a box shows uncut: unique, at most SHOWN characters, long ones without a middle."""
    titles: dict[str, str] = {}
    for name in names:
        title, number = shortened(name, SHOWN), 1
        while title in titles.values():
            number += 1
            title = f"{shortened(name, SHOWN - 4)} ({number})"
        titles[name] = title
    return titles


def figure(
    plot: go.Figure,
    description: str,
    *,
    key: str,
    table: pd.DataFrame | None = None,
    name: str | None = None,
    beside: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    words: bool = True,
    note: str = "",
    **options: Any,
) -> Any:
    """Draw a figure with its numbers beside it; return its selection event.

    Parameters
    ----------
    plot : plotly.graph_objects.Figure
        With the template of ``plots.colours``.
    description : str
        Text alternative; without ``beside`` it is shown beside the figure too.
    key : str
        Names the figure's content.
    table : DataFrame, optional
        What can be downloaded beside it; ``name`` is its file name, by default the key.
    beside : rows, optional
        Numbers in place of the description.
    words : bool, default True
        Whether anything stands beside the figure; a figure in a narrow column has its numbers elsewhere.
    note : str, default ""
        Caption below the numbers, Markdown.
    **options
        For ``st.plotly_chart``.
    """
    parts = [1, 1] if beside is not None else [7, 3]
    chart, numbers = st.columns(parts, gap="medium", vertical_alignment="center") if words else (st.container(),) * 2
    with chart:
        event = st.plotly_chart(
            plot,
            width="stretch",
            key=key,
            alt=description,
            config={"displayModeBar": False, "scrollZoom": False},
            **options,
        )
    with numbers:
        if beside is not None:
            dataframe(beside, description)
        elif words:
            st.caption(markdown_sentence(description))
        if note:
            st.caption(note)
        if table is not None:
            download_table("Table behind this figure (CSV)", table, name or key, key=key, minor=True)
    return event


def dataframe(
    rows: pd.DataFrame | Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]],
    description: str,
    *,
    hide_index: bool = True,
    **options: Any,
) -> Any:
    """Draw a table, by default without its index, with a text alternative; no cell can act as a formula.

    ``options`` are passed to ``st.dataframe``, whose selection event is returned.
    """
    # The table's own toolbar exports what is shown as CSV.
    safe = spreadsheet_safe(pd.DataFrame(rows))
    return st.dataframe(safe, hide_index=hide_index, width="stretch", alt=description, placeholder="", **options)


def format_interval(row: pd.Series) -> str:
    """Format a proportion with its interval: "91.2% [88.0%, 94.1%]"."""
    value, bounds = value_and_bounds(row)
    return f"{value} {bounds}" if value != "-" else bounds


def value_and_bounds(row: pd.Series) -> tuple[str, str]:
    """Format a proportion and its interval apart, for a large figure with the interval below."""
    if math.isnan(row["value"]):
        return "-", "not computable"
    if math.isnan(row["lower_95"]):
        return f"{row['value']:.1%}", "(no interval)"
    return f"{row['value']:.1%}", f"[{row['lower_95']:.1%}, {row['upper_95']:.1%}]"


def metric(label: str, row: pd.Series, about: str = "") -> None:
    """Draw a proportion as a large figure with its interval below."""
    value, bounds = value_and_bounds(row)
    large_figure(label, value, bounds, about)


def large_figure(label: str, value: str, below: str, about: str = "") -> None:
    """Draw a large figure with what belongs to it below; ``about`` is shown on request."""
    st.metric(
        markdown_text(label), value, delta=below or None, delta_color="off", delta_arrow="off", help=about or None
    )


def format_number(row: pd.Series) -> str:
    """Format a metric that is not a proportion with its interval: "0.123 [0.101, 0.150]"."""
    if math.isnan(row["value"]):
        return "not computable"
    bounds = "" if math.isnan(row["lower_95"]) else f" [{row['lower_95']:.3f}, {row['upper_95']:.3f}]"
    return f"{row['value']:.3f}{bounds}"


def format_difference(row: pd.Series, *, proportion: bool = True) -> str:
    """Format a difference of two proportions in percentage points ("+3.1 [-0.4, +6.5]"), any other as it is."""
    scale, form = (100, "+.1f") if proportion else (1, "+.3f")
    difference, lower, upper = (scale * row[name] for name in ("difference", "lower_95", "upper_95"))
    if math.isnan(difference):
        return "undefined"
    return f"{difference:{form}}" + ("" if math.isnan(lower) else f" [{lower:{form}}, {upper:{form}}]")


def format_detectable(row: pd.Series, *, proportion: bool = True) -> str:
    """Format the smallest difference that could have been shown, in points or as it is; empty where there is none."""
    value = row["detectable_difference"]
    return "" if math.isnan(value) else f"{100 * value:.1f}" if proportion else f"{value:.3f}"


def detectable_sentence(row: pd.Series) -> str:
    """Say what difference of a proportion these data could have shown; empty where that is unknown."""
    smallest = format_detectable(row)
    return f"The smallest difference that such data show with a power of 80% is {smallest} points." if smallest else ""


def format_p(p: float) -> str:
    """Format a p value: "0.473", "<0.001"; empty where there is none."""
    return "" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int, unit: str) -> str:
    """Format a number of units: "1 patch", "3 patches", "1,200 patients"."""
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}{'es' if unit.endswith('patch') else 's'}"


def download(
    label: str, data: bytes | str, *, name: str, mime: str, key: str | None = None, minor: bool = False
) -> None:
    """Draw a download button, without a frame where it is a ``minor`` one.

    The content is made beforehand: what Streamlit makes on the click is deleted by other sessions' runs before the
    browser has fetched it (404 with a dozen visitors).
    """
    st.download_button(
        label,
        data,
        file_name=name,
        mime=mime,
        on_click="ignore",
        key=key,
        icon=":material/download:",
        type="tertiary" if minor else "secondary",
    )


def downloads_on_request(label: str, files: Sequence[File], *, place: str, content: Hashable) -> None:
    """Draw a button that makes files which take a while, then their download buttons.

    Parameters
    ----------
    label : str
        Of the button, such as "Make the report".
    files : sequence of File
        What is offered.
    place : str
        Names the button; each place keeps the files of one content.
    content : hashable
        Names what the files are made of; another content asks for a new request.
    """
    slot = st.empty()
    if not is_latest(place, content):
        if not slot.button(label, key=f"make-{place}", icon=":material/description:"):
            return
        slot.empty()
    with st.spinner("Making the files ..."):
        made = latest(place, content, lambda: [file.make() for file in files])
    for file, data in zip(files, made, strict=True):
        download(file.label, data, name=file.name, mime=file.mime, key=f"{place}-{file.name}")


def download_table(
    label: str, table: pd.DataFrame, name: str, *, parquet: bool = False, key: str | None = None, minor: bool = False
) -> None:
    """Offer a table as CSV or Parquet, with the research notice in every row; no cell can act as a formula.

    ``key`` is that of the button where two tables of a page may have one ``name``.
    """
    kind = "parquet" if parquet else "csv"
    mime = "application/vnd.apache.parquet" if parquet else "text/csv"

    def make() -> bytes:
        noted = table.assign(notice=NOTICE)
        return _parquet(noted) if parquet else to_csv(noted).encode()

    place = f"{key or name}-{kind}"
    if len(table) <= AT_ONCE:
        download(label, make(), name=f"{name}.{kind}", mime=mime, key=place, minor=minor)
        return
    digest = hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
    file = File(label, make, f"{name}.{kind}", mime)
    downloads_on_request(f"Make: {label}", [file], place=place, content=digest)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
