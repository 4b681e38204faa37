"""The verdict on the accuracy under review: answer, sentence, figures and graded aspects, with details behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import cache
from dashboard.navigation import KEPT, PAGES
from dashboard.review import Review
from dashboard.widgets import large_figure, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.reservation import NOT_EVALUATED
from her2core.evidence.verdict import Aspect, Verdict
from her2core.evidence.verdict.rules import (
    ANSWERS,
    CLAIM,
    CONTRADICTS,
    LIMITS,
    NOT_KNOWN,
    OVERALL,
    QUESTION,
    RULES,
    SUPPORTS,
)
from her2core.identity import TONE_OF
from her2core.io.text import capitalised
from her2core.runs.folder import Run

_GRAVEST_FIRST = (CONTRADICTS, LIMITS, NOT_KNOWN, SUPPORTS)
#: Colour of the theme for each tone; .streamlit/config.toml gives it the values of her2core/identity.py.
_COLOURS: dict[str, Literal["green", "orange", "red", "gray"]] = {
    "good": "green",
    "limits": "orange",
    "bad": "red",
    "unknown": "gray",
}
#: Pages that show the evidence of an aspect, by their name in ``rules.Rule.section``.
_PAGES = {
    "dataset": (PAGES / "study/dataset.py", "Dataset"),
    "calibration": (PAGES / "evidence/calibration.py", "Calibration"),
}


def show_summary(review: Review) -> None:
    """Draw the verdict on what is selected in brief: answer, sentence and figures, with links to all of it."""
    found, run = review.verdict, review.run
    with st.container(border=True, key="summary"):
        _answer(found)
        kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
        with st.container(horizontal=True):
            st.page_link(PAGES / "evidence/performance.py", label="All aspects and the evidence", query_params=kept)
            if run is not None:
                st.page_link(PAGES / "about/about.py", label="Model card", query_params=kept)


def show_reservation(run: Run) -> None:
    """Draw one line above a model's answers: whether its own accuracy can be believed, unless it can."""
    try:
        found = cache.verdict(run)
    except Her2Error:  # older runs have answers too
        st.warning(NOT_EVALUATED, icon=":material/warning:")
        return
    if found.answer == ANSWERS[0]:
        return
    answer = f":{_COLOURS[TONE_OF[found.answer]]}-badge[{found.answer}]"
    st.markdown(f"Accuracy of this model: {QUESTION} {answer} {markdown_sentence(found.sentence)}")


def show_verdict(review: Review) -> Verdict:
    """Draw the verdict as a card, then the warnings and notes that it does not state; return it."""
    found = review.verdict
    with st.container(border=True, key="verdict"):
        left, right = _answer(found)
        groups = sorted(found.grouped, key=lambda group: _GRAVEST_FIRST.index(group[0].grade))
        doubts = [group for group in groups if group[0].grade != SUPPORTS]
        if doubts:
            with right:
                _table(("Aspect", "Finding", "Grade"), [_row(review, group) for group in doubts])
        support = [_linked(review, aspect) for group in groups if group[0].grade == SUPPORTS for aspect in group]
        if support:
            left.markdown(f"{capitalised(SUPPORTS)}: {', '.join(support)}.")
        with st.expander("All findings, what cannot be known from these data, and the rules of the grades"):
            _details(review, found)
            _rules()
    for warning in review.warnings:
        if not found.says(warning):
            st.warning(markdown_sentence(warning), icon=":material/warning:")
    if found.notes:
        st.info("\n".join(f"- {markdown_sentence(note)}" for note in found.notes))
    return found


def _answer(found: Verdict) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Draw question, answer and sentence, and the accuracies with their intervals beside; return both columns."""
    left, right = st.columns([4, 5], gap="medium")
    with left:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(QUESTION, anchor=False, width="content")
            st.badge(found.answer, color=_COLOURS[TONE_OF[found.answer]])
        st.markdown(markdown_sentence(found.sentence))
    with right, st.grid(max(len(found.figures), 1), min_column_width=120):
        for figure in found.figures:
            value, _, bounds = figure.text.partition(" ")
            large_figure(figure.short, value, bounds, markdown_sentence(figure.label))
    return left, right


def _row(review: Review, group: Sequence[Aspect]) -> tuple[str, str, str]:
    first = group[0]
    finding = first.finding if first.rule == "further" else f"{capitalised(first.reason)}."
    grade = f"**{first.grade}**" if first.grade in (CONTRADICTS, LIMITS) else first.grade
    names = ", ".join(_linked(review, aspect) for aspect in group)
    return names, markdown_sentence(finding), grade


def _linked(review: Review, aspect: Aspect) -> str:
    """The aspect's name, linked to its evidence where that is on another page of the run."""
    page, name = aspect.about.section.partition("#")[0], markdown_sentence(aspect.title)
    if page == "performance":
        return name
    # Another address opens in a tab of its own, whose session does not hold an uploaded table.
    return name if review.run is None else f"[{name}]({page}?run={quote(str(st.query_params.get('run', review.name)))})"


def _details(review: Review, found: Verdict) -> None:
    for group in found.grouped:
        names = ", ".join(markdown_sentence(aspect.title) for aspect in group)
        st.markdown(f"**{names}**: {group[0].grade}. {markdown_sentence(group[0].finding)}")
    _table(("Accuracy", "Of what"), [(f.text, markdown_sentence(f.label)) for f in found.figures])
    rows = [(markdown_sentence(u.what), markdown_sentence(u.needed)) for u in found.unknowns]
    if rows:
        _table(("Not known from these data", "What would make it known"), rows)
    kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
    with st.container(horizontal=True):
        for name, (page, label) in _PAGES.items():
            if name == "calibration" or review.run is not None:
                st.page_link(page, label=label, query_params=kept)


def _rules() -> None:
    st.markdown(f"Claim: {markdown_sentence(CLAIM)}")
    answers = "; ".join(f"*{answer}* where {markdown_sentence(when)}" for answer, when in OVERALL.items())
    st.markdown(f"Answer, by the first condition that holds: {answers}.")
    st.markdown("Aspects, graded by the first condition that holds:")
    lines = []
    for rule in RULES.values():
        conditions = "; ".join(f"*{grade}* where {markdown_sentence(when)}" for grade, when in rule.grades.items())
        lines.append(f"- **{markdown_sentence(rule.title)}**: {conditions}. {markdown_sentence(rule.source)}")
    st.markdown("\n".join(lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table of Markdown cells, whose text from outside is escaped already."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
    st.markdown("\n".join(lines))
