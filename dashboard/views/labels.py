"""Sections on the labels: IHC and ISH discordance, label noise, and labels that are suspected."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.review import Review
from dashboard.widgets import dataframe, download_table, format_interval, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.label_noise import LABEL_ERRORS, WOLFF, label_noise_sentence, label_noise_table
from her2core.evidence.result_tables import ResultTable

#: Share of wrong labels that is shown first, in percent: our choice.
LABEL_ERROR = 5.0


def discordance_section(review: Review) -> None:
    """Draw ISH results by IHC score of the whole data, each patient once."""
    table = _table(review, "discordance")
    if table is None:
        return
    rows = table.frame[table.frame["part"] == "all"]
    if rows.empty:
        reasons = dict.fromkeys(table.missing["reason"].astype(str))
        st.info(f"Not available: {markdown_sentence('; '.join(reasons))}.")
        return
    st.caption(
        "All patients of the data, each once. Shares are of those with an ISH result; brackets are exact 95% intervals "
        "(Clopper-Pearson). ISH is mostly done where IHC is 2+: at other scores those tested may have been chosen "
        "because of a doubt."
    )
    cells = rows.set_index(["her2_ihc", "ish"])
    shown = []
    for score in dict.fromkeys(rows["her2_ihc"]):
        counts = {name: int(cells.loc[(score, name), "count"]) for name in ("negative", "positive", "unknown")}
        positive, negative = cells.loc[(score, "positive")], cells.loc[(score, "negative")]
        tested = counts["negative"] + counts["positive"]
        shown.append(
            {
                "IHC": score,
                "ISH negative": counts["negative"],
                "ISH positive": counts["positive"],
                "no ISH result": counts["unknown"],
                "ISH positive of those tested": format_interval(positive) if tested else "none tested",
                "published": _published(positive, "positive") or _published(negative, "negative"),
            }
        )
    dataframe(shown, "ISH results by IHC score, patients")
    for source in dict.fromkeys(s for s in rows["published_source"] if isinstance(s, str) and s):
        st.caption(f"Published: {markdown_sentence(source)}.")
    download_table("Discordance (CSV)", table.frame, f"{review.name}-discordance")


def label_noise_section(review: Review, unit: str) -> None:
    """Draw what the accuracy means under an assumed share of wrong labels, and the labels that are suspected."""
    percent = st.number_input(
        "Assumed share of wrong labels (%)",
        0.0,
        49.0,
        LABEL_ERROR,
        1.0,
        key=f"label-error-{unit}-{review.digest}",
        help=f"Stated, not measured here. {WOLFF}.",
    )
    row = label_noise_table(review.at(unit), label_errors=(percent / 100,)).iloc[0]
    st.markdown(markdown_sentence(label_noise_sentence(row)))
    st.caption(
        "The bounds hold whatever the errors of labels and network have in common, and include the 95% interval of the "
        "accuracy."
    )
    table = _table(review, "label_noise")
    if table is not None:
        rows = table.frame[table.frame["unit"] == unit]
        dataframe(
            [
                {
                    "wrong labels": f"{r.label_error:.0%}",
                    "against the truth, at least": f"{r.true_lowest:.1%}",
                    "at most": f"{r.true_highest:.1%}",
                    "if errors are independent": "-"
                    if pd.isna(r.true_if_independent)
                    else f"{r.true_if_independent:.1%}",
                    "a network without error": f"{r.perfect_network:.1%}",
                }
                for r in rows.itertuples()
            ],
            f"Accuracy by {unit} against the truth, by the share of wrong labels",
        )
        st.caption(f"{', '.join(f'{e:.0%}' for e in LABEL_ERRORS[:-1])}: our choice; {LABEL_ERRORS[-1]:.0%}: {WOLFF}.")
        download_table("Label noise (CSV)", table.frame, f"{review.name}-label-noise")
    _suspected(review, unit)


def _suspected(review: Review, unit: str) -> None:
    st.subheader("Suspected labels")
    table = _table(review, "suspected_labels")
    if table is None:
        return
    rows = table.frame[table.frame["unit"] == unit]
    if rows.empty:
        reasons = table.missing.loc[table.missing["unit"] == unit, "reason"].astype(str)
        st.info(f"None: {markdown_sentence('; '.join(reasons) or 'no label is suspected')}.")
        return
    first = rows.iloc[0]
    st.caption(
        f"{int(first['suspected']):,} of {int(first['n']):,}: the network is confident in another class than the label "
        "(confident learning, Northcutt et al. 2021). A network that is wrong and sure of it looks the same: these are "
        "the cases worth a second reading, not errors found."
    )
    dataframe(
        [
            {
                "case": str(r.id),
                "patient": str(r.patient_id),
                "label": r._4,
                "suggested": r.suggested,
                "probability of the label": f"{r.probability:.3f}",
                "of the suggested": f"{r.probability_suggested:.3f}",
            }
            for r in rows.head(20).itertuples()
        ],
        f"Labels most suspected, by {unit}",
    )
    download_table("Suspected labels (CSV)", rows, f"{review.name}-{unit}-suspected-labels")


def _published(row: pd.Series, result: str) -> str:
    low, high = row["published_low"], row["published_high"]
    if pd.isna(low):
        return ""
    share = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
    return f"{share} {result}"


def _table(review: Review, name: str) -> ResultTable | None:
    try:
        return review.result_table(name)
    except Her2Error as refused:
        st.info(f"Not available: {markdown_sentence(refused.sentence)}")
        return None
