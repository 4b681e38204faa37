"""Findings and outcomes of data checks."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.widgets import dataframe, markdown_sentence
from her2core.data.checks import CheckReport, Finding
from her2core.io.text import markdown_text


def show_finding(finding: Finding, dataset: pd.DataFrame) -> None:
    """Draw a finding of the checks with the rows that it concerns."""
    show = {"error": st.error, "warning": st.warning}.get(finding.severity, st.info)
    show(f"{markdown_sentence(finding.sentence)}\n\n{markdown_sentence(finding.why)}")
    if not finding.rows:
        return
    with st.expander(f"{markdown_text(finding.title)}: {finding.count:,} rows, the first {len(finding.rows)}"):
        rows = dataset[dataset["patch_id"].isin(finding.rows)]
        dataframe(rows, f"Rows of the finding {finding.title}")
        if finding.pairs:
            pairs = pd.DataFrame(finding.pairs, columns=["patch", "duplicate or neighbour"])
            dataframe(pairs, f"Pairs of the finding {finding.title}")


def show_unanswered(checks: CheckReport) -> None:
    """Draw how many checks ended how, and those that were not applicable or could not be run, with reasons."""
    st.caption(markdown_sentence(checks.summary[0]))
    unanswered = [o for o in checks.outcomes if o.reason]
    if not unanswered:
        return
    with st.expander(f"Checks without an answer: {len(unanswered)} of {len(checks.outcomes)}"):
        dataframe(
            [{"check": o.title, "outcome": o.status, "reason": o.reason} for o in unanswered],
            "Checks that were not applicable or could not be run, with reasons",
        )


def show_checks(checks: CheckReport, dataset: pd.DataFrame) -> None:
    """Draw errors and warnings in full sentences, and on request each finding with its rows."""
    for finding in checks.errors:
        st.error(markdown_sentence(finding.sentence), icon=":material/block:")
    warnings = [finding for finding in checks if finding.severity == "warning"]
    if warnings:
        said = "\n".join(f"- {markdown_sentence(finding.sentence)}" for finding in warnings)
        st.warning(f"{len(warnings)} warnings of the check:\n{said}" if len(warnings) > 1 else said[2:])
    if not checks.errors and not warnings:
        st.success("The check of the manifest and its split has neither error nor warning.", icon=":material/check:")
    if not checks:
        st.caption(markdown_sentence(checks.summary[0]))
        return
    with st.expander(f"All {len(checks)} findings with their rows" if len(checks) > 1 else "The finding with its rows"):
        for finding in checks:
            show_finding(finding, dataset)
        st.caption(markdown_sentence(" ".join(checks.summary)))
