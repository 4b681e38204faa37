"""Home page: what this is, three ways in, samples to open with one click, and the verdict on the model in use."""

from __future__ import annotations

import streamlit as st

from dashboard.cache import samples
from dashboard.navigation import KEPT, PAGES
from dashboard.selection import NO_RUN, selected_evidence, selected_run
from dashboard.views.verdict import show_summary
from dashboard.widgets import heading, markdown_sentence
from her2core.data.prepare import centre_square
from her2core.errors import Her2Error
from her2core.io.images import resize_rgb
from her2core.io.text import markdown_text
from her2core.runs.folder import Run

#: Icon, name, what is behind it, and the page.
DOORS = (
    (
        "search",
        "Look at a patch or slide",
        "Probabilities, prediction set and class-activation map of patches, fields and slides.",
        "analyse/patch.py",
    ),
    (
        "fact_check",
        "Review predictions",
        "Verdict, intervals over patients, calibration and errors, of a run or of any tool's table.",
        "evidence/performance.py",
    ),
    (
        "compare_arrows",
        "Compare networks",
        "Which network is best, whether the difference is real, and what it costs.",
        "study/backbones.py",
    ),
)
#: Side of a thumbnail in pixels.
SIDE = 192


def show_samples(run: Run) -> None:
    """Draw synthetic patches, each a link to its prediction and map."""
    st.subheader("Try a synthetic patch", anchor="samples")
    try:
        drawn = samples(str(run.path))
    except Her2Error as refused:
        st.error(f"No samples for this model. {markdown_sentence(refused.sentence)}")
        return
    st.caption("Generated images, not tissue. A click opens the patch with its prediction and map.")
    with st.grid(len(drawn), min_column_width=100, gap="small"):
        for number, sample in enumerate(drawn):
            with st.container(key=f"card-sample-{number}", gap="xxsmall"):
                picture = resize_rgb(centre_square(sample.image), SIDE)
                st.image(picture, width="stretch", alt=f"A synthetic patch of class {sample.label}")
                st.page_link(
                    PAGES / "analyse/patch.py",
                    label=markdown_text(sample.label),
                    query_params=kept | {"sample": sample.name},
                )


if "patch" in st.query_params:  # an address of the time when the patch page was the first
    st.switch_page(PAGES / "analyse/patch.py", query_params=dict(st.query_params))
run = selected_run()
kept = {name: st.query_params[name] for name in KEPT if name in st.query_params}
heading("HER2 status from H&E patches", run, subject=" ")
st.markdown(
    "her2core predicts the HER2 status of breast tissue (negative, equivocal, positive) from H&E patches, shows where "
    "the network looked, and shows whether a reported accuracy can be believed."
)
with st.grid(3, min_column_width=230):
    for icon, name, about, page in DOORS:
        with st.container(border=True, key=f"card-{page.split('/')[0]}", gap="xsmall", height="stretch"):
            st.page_link(PAGES / page, label=f"**{name}**", icon=f":material/{icon}:", query_params=kept)
            st.caption(about)
if st.session_state.get("selected") is None:
    st.info(NO_RUN)
    st.stop()
if run is not None and run.has_weights:
    show_samples(run)
review, reason = selected_evidence()
title = review.title if review else run.card["title"] if run else ""
st.subheader(f"In use: {markdown_text(title)}", anchor="model")
if review is None:
    st.info(markdown_sentence(reason))
else:
    show_summary(review)
