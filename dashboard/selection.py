"""Choice of the model or predictions file under review, in the sidebar.

The choice is kept in the address (``?run=``), so that a link opens the same model and a change of page keeps it. The
address is written here and not bound to the widget: with a bound parameter in the address no page can be switched
(StreamlitAPIException), and each link to a page repeats it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import streamlit as st

from dashboard.cache import run_names, try_open
from dashboard.review import Review, review_of_run, uploaded_reviews
from dashboard.widgets import heading, markdown_sentence, short_names
from her2core.errors import Her2Error
from her2core.io.text import markdown_text
from her2core.runs.folder import Run

T = TypeVar("T")
#: What the name of an uploaded file has before it among the choices.
YOURS = "Your file: "
#: What every page says while there are uploaded tables.
KEPT_FOR_SESSION = (
    "Uploaded tables are kept for this session only: a reload or closing of this tab ends it, and they are lost."
)
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
            _follow_address(options)
            titles = short_names(options)
            shown = st.selectbox(
                "Model",
                options,
                key="run",
                on_change=_write_address,
                format_func=titles.__getitem__,
                help="Finished runs below models/ and runs/, and the predictions that you uploaded in this session.",
            )
            chosen = str(shown)
            if titles[chosen] != chosen:
                st.caption(markdown_text(chosen))
            _say_what_is_missing(chosen)
        else:
            st.info(NO_RUN)
        if reviews:
            st.caption(KEPT_FOR_SESSION)
        for problem in problems:
            st.caption(f"Not a run: {markdown_sentence(problem)}")
    run, reason = (None, "") if chosen is None or chosen in reviews else try_open(names[chosen])
    if reason:
        st.error(markdown_sentence(reason))
    st.session_state["selected"] = reviews.get(chosen, run) if chosen is not None else None


def show_evidence(review: Review, page: Path) -> NoReturn:
    """Select an uploaded predictions file and go on to a page about it."""
    st.session_state.pop("run_not_found", None)
    st.switch_page(page, query_params={"run": _option(review)})


def _option(review: Review) -> str:
    return f"{YOURS}{review.name}"


def _follow_address(options: list[str]) -> None:
    """Select what the address names; note a name that is not there, and take it out of the address."""
    wanted = st.query_params.get("run")
    if wanted in options:
        st.session_state["run"] = wanted
    elif wanted is not None:
        st.session_state["run_not_found"] = wanted
        st.query_params.pop("run", None)
    if st.session_state.get("run") not in options:
        st.session_state.pop("run", None)


def _write_address() -> None:
    """Write the choice into the address."""
    st.session_state.pop("run_not_found", None)
    st.query_params["run"] = st.session_state["run"]


def _say_what_is_missing(chosen: str) -> None:
    """Say that the address named something else than what is shown, until the viewer chooses."""
    missing = st.session_state.get("run_not_found")
    if missing is None:
        return
    if missing.startswith(YOURS):
        name = markdown_text(missing.removeprefix(YOURS))
        text = f"{name} was uploaded in a session that has ended: upload it again on Your predictions"
    else:
        text = "The model in the address was not found"
    st.warning(f"{text}; showing {markdown_text(chosen)}.")


def selected_run() -> Run | None:
    """The selected run; None where there is none, or a predictions file is selected."""
    selected = st.session_state.get("selected")
    return selected if isinstance(selected, Run) else None


def selected_evidence() -> tuple[Review | None, str]:
    """The evidence of what is selected, or None and the sentence that says why there is none."""
    selected = st.session_state.get("selected")
    if isinstance(selected, Review):
        return selected, ""
    if not isinstance(selected, Run):
        return None, NO_RUN
    try:
        return review_of_run(selected), ""
    except Her2Error as refused:
        return None, refused.sentence


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


def opened_review(title: str, *, warn: bool = True) -> Review:
    """Draw the page's heading; return the evidence of the selected run or predictions file, or end the page.

    With ``warn`` warnings and notes follow; a page that draws the verdict states them there.
    """
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
    if not warn:
        return review
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
