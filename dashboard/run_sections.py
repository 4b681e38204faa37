"""What stands below the figures of a run? A run in; the trials of its maps, its data and limits out."""

from __future__ import annotations

import streamlit as st

from dashboard.loaders import map_scores
from dashboard.parts import download_table, units_of
from dashboard.words import sentence
from her2core.runs.folder import Run


def show_map_scores(run: Run) -> None:
    """How its maps stood their trials, where they were tried (``her2 runs maps``)."""
    scores = map_scores(run)
    if scores is None:
        return
    st.header("Are its maps to be believed?")
    st.caption(
        "Maps of the predicted class on test patches. Pointing, mass and overlap: against the tumour nuclei of the "
        "synthetic truth. Deletion should be low; insertion and ROAD high. The rank correlation to the maps of random "
        "weights "
        "should be near zero. The row chance is a map of noise: what does not beat it is worth nothing."
    )
    told = [
        f"{r.value:.2f} [{r.lower_95:.2f}, {r.upper_95:.2f}]" if r.n else "not defined" for r in scores.itertuples()
    ]
    wide = scores.assign(value=told).pivot(index="method", columns="measure", values="value")
    wide = wide.loc[list(dict.fromkeys(scores["method"]))]
    st.dataframe(wide, width="stretch", alt="Scores of the maps by method and measure, with intervals over patients")
    st.caption(
        f"{units_of(int(scores['n'].max()), 'patch')} of {units_of(int(scores['clusters'].max()), 'patient')}; "
        "made by her2 runs maps."
    )
    download_table("Map scores (CSV)", scores, f"{run.name}-maps")


def show_data_and_limits(run: Run) -> None:
    """On what it was trained and tested, and what it cannot claim."""
    with st.expander("Data, partition and limits"):
        data = run.card["data"]
        st.markdown(
            f"Split by **{data['split_unit'].replace('_', ' ')}**. Sources: {sentence(', '.join(data['sources']))}."
        )
        st.dataframe(
            [{"part": part, **n} for part, n in data["patches"].items()],
            hide_index=True,
            width="stretch",
            alt="Patches of each class by part of the split",
        )
        facts = data.get("facts", {})
        st.markdown(
            f"Licence of the data: {sentence(facts.get('licence', 'not stated'))}. "
            f"{sentence(facts.get('citation', 'No citation.'))}"
        )
        for limit in run.card["limits"]:
            st.markdown(f"- {sentence(limit)}")
