"""Choice of the model or predictions file under review, in the sidebar.

The choice is kept in the address (``?run=``), so that a link opens the same model and a change of page keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from dashboard.cache import run_names, try_open
from dashboard.review import Review, review_of_run, uploaded_reviews
from dashboard.widgets import heading, markdown_sentence
from her2core.errors import Her2Error
from her2core.io.text import markdown_text
from her2core.runs.folder import Run

T = TypeVar("T")
NO_RUN = (
    "There is no trained model yet. Train one with `her2 train`, copy one from the repository (folder `models/`) "
    "into `models/`, or name a folder of runs: `her2 app --runs FOLDER`."
)


def choose_model() -> None:
    """Draw the choice and remember what is selected for the page that runs next."""
    names, problems = run_names()
    reviews = {_option(review): review for review in uploaded_reviews().values()}
    options = [*names, *reviews]
    chosen = None
    with st.sidebar:
        if options:
            if "select_next" in st.session_state:
                st.session_state["run"] = st.session_state.pop("select_next")
            wanted = st.query_params.get("run")
            if wanted and wanted not in options:
                st.session_state["run_not_found"] = True
            chosen = st.selectbox(
                "Model",
                options,
                key="run",
                bind="query-params",
                help="Finished runs below models/ and runs/, and the predictions that you uploaded in this session.",
            )
            if st.session_state.pop("run_not_found", False):
                st.warning(f"The model in the address was not found; showing {markdown_text(chosen)}.")
        else:
            st.info(NO_RUN)
        for problem in problems:
            st.caption(f"Not a run: {markdown_sentence(problem)}")
    run, reason = (None, "") if chosen is None or chosen in reviews else try_open(names[chosen])
    if reason:
        st.error(markdown_sentence(reason))
    st.session_state["selected"] = reviews.get(chosen, run) if chosen is not None else None


def select(review: Review) -> None:
    """Select an uploaded predictions file, from the next page or rerun on."""
    st.session_state["select_next"] = _option(review)


def _option(review: Review) -> str:
    return f"Your file: {review.name}"


def selected_run() -> Run | None:
    """The selected run; None where there is none, or a predictions file is selected."""
    selected = st.session_state.get("selected")
    return selected if isinstance(selected, Run) else None


def opened_run(title: str, load: Callable[[Run], T]) -> tuple[Run, T]:
    """Draw the page's heading; return the selected run and ``load(run)``, or end the page with one sentence."""
    selected = st.session_state.get("selected")
    if isinstance(selected, Review):
        heading(title, None, selected.title)
        st.info("This page needs a trained model, and a predictions file is selected. Choose a model in the sidebar.")
        st.stop()
    if not isinstance(selected, Run):
        heading(title, None)
        st.info(NO_RUN)
        st.stop()
    heading(title, selected)
    return selected, or_stop(lambda: load(selected))


def opened_review(title: str) -> Review:
    """Draw the page's heading; return the evidence of the selected run or predictions file, or end the page."""
    selected = st.session_state.get("selected")
    if isinstance(selected, Review):
        heading(title, None, selected.title)
        review = selected
    elif isinstance(selected, Run):
        heading(title, selected)
        review = or_stop(lambda: review_of_run(selected))
    else:
        heading(title, None)
        st.info(f"{NO_RUN} Or upload any tool's predictions: see **Your predictions**.")
        st.stop()
    for warning in review.warnings:
        st.warning(markdown_sentence(warning), icon=":material/warning:")
    if review.notes:
        st.info("\n".join(f"- {markdown_sentence(note)}" for note in review.notes))
    return review


def or_stop(load: Callable[[], T]) -> T:
    """Return ``load()``; where it is refused, show the sentence and end the page."""
    try:
        return load()
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        st.stop()
