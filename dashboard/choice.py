"""What is being looked at? The sidebar's picker of finished runs and of predictions brought along, one at a time.

The choice stands in the address (``?run=``), so that a link opens the same run and a change of page keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from dashboard.loaders import run_names, try_open
from dashboard.parts import heading
from dashboard.review import Review, brought_along, review_of_run
from dashboard.words import plain, sentence
from her2core.errors import Her2Error
from her2core.runs.folder import Run

T = TypeVar("T")
NO_RUN = "There is no run yet. Train one with `her2 train configs/demo.yaml`, or put one into `models/`."


def choose() -> None:
    """Draw the picker and remember what is in use for the page that runs next."""
    names, problems = run_names()
    brought = {_as_option(review): review for review in brought_along().values()}
    options = [*names, *brought]
    chosen = None
    with st.sidebar:
        if options:
            if "put_in_use" in st.session_state:
                st.session_state["run"] = st.session_state.pop("put_in_use")
            asked = st.query_params.get("run")
            if asked and asked not in options:
                st.session_state["run_not_here"] = True
            chosen = st.selectbox(
                "Run in use",
                options,
                key="run",
                bind="query-params",
                help="Finished runs below models/ and runs/, and predictions that you brought along.",
            )
            if st.session_state.pop("run_not_here", False):
                st.warning(f"The run asked for is not here; showing {plain(chosen)}.")
        else:
            st.info("No finished run in `models/` or `runs/` yet. Train one: `her2 train configs/demo.yaml`")
        for problem in problems:
            st.caption(f"Not a run: {sentence(problem)}")
    run, why_not = (None, "") if chosen is None or chosen in brought else try_open(names[chosen])
    if why_not:
        st.error(sentence(why_not))
    st.session_state["in_use"] = brought.get(chosen, run)


def put_in_use(review: Review) -> None:
    """Choose a file brought along, from the next page or rerun on."""
    st.session_state["put_in_use"] = _as_option(review)


def _as_option(review: Review) -> str:
    return f"Your file: {review.name}"


def run_in_use() -> Run | None:
    """The run in use; None where there is none, or a file of predictions is looked at."""
    in_use = st.session_state.get("in_use")
    return in_use if isinstance(in_use, Run) else None


def opened_run(title: str, load: Callable[[Run], T]) -> tuple[Run, T]:
    """The page's heading, the run in use and what ``load`` makes of it; or one sentence, and the page ends there."""
    in_use = st.session_state.get("in_use")
    if isinstance(in_use, Review):
        heading(title, None, in_use.title)
        st.info(
            "This page needs a trained network, and you are looking at a file of predictions. "
            "Choose a run in the sidebar."
        )
        st.stop()
    if in_use is None:
        heading(title, None)
        st.info(NO_RUN)
        st.stop()
    heading(title, in_use)
    return in_use, _or_one_sentence(lambda: load(in_use))


def opened_review(title: str) -> Review:
    """The page's heading and the evidence in use, of a run or of a file brought along; or one sentence."""
    in_use = st.session_state.get("in_use")
    if in_use is None:
        heading(title, None)
        st.info(f"{NO_RUN} Or bring any tool's predictions: see **Your predictions**.")
        st.stop()
    if isinstance(in_use, Review):
        heading(title, None, in_use.title)
        review = in_use
    else:
        heading(title, in_use)
        review = _or_one_sentence(lambda: review_of_run(in_use))
    for warning in review.warnings:
        st.warning(sentence(warning), icon=":material/warning:")
    return review


def _or_one_sentence(load: Callable[[], T]) -> T:
    try:
        return load()
    except Her2Error as refused:
        st.error(sentence(refused))
        st.stop()
