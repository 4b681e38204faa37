"""What does the run say about this patch, and where did it look? Upload, sample or link in; answer, map, report out."""

from __future__ import annotations

import streamlit as st

from dashboard.answers import answer_table, notes_of, said_in_words
from dashboard.choice import opened_run
from dashboard.loaders import load_model
from dashboard.mapping import Mapping, map_controls
from dashboard.parts import NOTICE, download, download_table, figure
from dashboard.patches import patches_in_view
from dashboard.reporting import case_of, report_downloads
from dashboard.state import remember
from dashboard.words import plain, sentence
from her2core.io.images import encode_png
from her2core.maps.overlay import stamped
from her2core.plots.probabilities import probability_figure, probability_words

run, model = opened_run("Patch", load_model)
view = patches_in_view(run)
if not view.patches:
    st.stop()

chosen = 0
if len(view.patches) > 1:
    chosen = st.selectbox(
        "Patch",
        range(len(view.patches)),
        format_func=lambda i: view.patches[i].name,
        key="patch_in_view",
        persist_state="session",
    )
patch = view.patches[chosen]
mapping = Mapping(model, patch, key=(model.model_id, view.key, chosen))
answer = mapping.answer

for note in notes_of(answer):
    st.warning(note, icon=":material/flag:")
if not answer.usable:
    st.error("This patch holds nothing to predict_proba, so no class is given.")
    st.image(mapping.whole, caption="the patch", width=280, alt=f"The uploaded patch {patch.name}")
    report_downloads(case_of(run, mapping, None, synthetic=view.synthetic))
    st.stop()

left, right = st.columns([2, 3], gap="large")
with left:
    st.header(plain(answer.label))
    st.markdown(said_in_words(answer))
    figure(
        probability_figure(answer.classes, answer.probabilities),
        probability_words(answer.classes, answer.probabilities),
        key="probabilities",
    )
    spent = answer.milliseconds
    st.caption(f"{sum(spent.values()):.0f} ms · temperature {run.card['temperature']:.2f} · `{answer.model}`")
with right:
    choice = map_controls(mapping)
    seen = st.columns(2 if choice.side_by_side else 3)
    seen[0].image(mapping.whole, caption="patch", width="stretch", alt=f"The patch {patch.name} before normalisation")
    seen[1].image(
        mapping.normalised,
        caption="stain normalised (what the network saw)",
        width="stretch",
        alt="The same patch with the reference stain",
    )
shown = answer.classes if choice.side_by_side else (choice.target,)
places = st.columns(max(3, min(len(shown), 6))) if choice.side_by_side else [seen[2]]
for i, target in enumerate(shown):
    picture, words = mapping.picture(target, choice)
    places[i % len(places)].image(
        picture, caption=sentence(words), width="stretch", alt=f"{words}, laid over the patch {patch.name}"
    )

synthetic = "Synthetic patch. " if view.synthetic else ""
picture, words = mapping.picture(choice.target, choice)
with st.container(horizontal=True):
    download(
        "Overlay (PNG)",
        lambda: encode_png(stamped(picture, f"{synthetic}{words}. {NOTICE}")),
        name="overlay-research-use-only.png",
        mime="image/png",
    )
    report_downloads(case_of(run, mapping, choice, synthetic=view.synthetic))

answers = [answer]
if len(view.patches) > 1:
    answers = remember(
        ("all", model.model_id, view.key),
        lambda: model.predict([p.image for p in view.patches], names=[p.name for p in view.patches]),
    )
table = answer_table(answers)
if len(view.patches) > 1:
    st.header("All patches")
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        alt="Answers for all patches in view",
        column_config={c: st.column_config.NumberColumn(format="percent") for c in answer.classes},
    )
download_table("Table (CSV)", table, "predictions")
st.caption(NOTICE)
