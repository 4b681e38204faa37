"""What does the run say about this patch, and where did it look? Upload or sample in; answer and map out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.loaders import load_model, samples
from dashboard.parts import NOTICE, download_table, opened_run
from dashboard.state import remember
from dashboard.uploads import MAX_FILES, Upload, accept
from her2core.data.images import encode_png, resize_rgb
from her2core.data.prepare import centre_square
from her2core.errors import Her2Error
from her2core.maps.overlay import overlay, stamped
from her2core.plots.probabilities import probability_figure

#: Side of the pictures shown and saved, in pixels.
SHOWN = 448

run, model = opened_run("Patch", load_model)

files = st.file_uploader(
    f"H&E patches (PNG, JPEG, TIFF, BMP or WebP; up to {MAX_FILES})",
    accept_multiple_files=True, key="uploads",
    help="Patches stay in memory for this session and are never stored.",
)  # fmt: skip
#: What is looked at, so that a moved slider finds the answers of before.
shown = (model.model_id, *(f.file_id for f in files))
if files:
    uploads = remember(("uploads", *shown), lambda: accept(files))
    for upload in uploads:
        if upload.error:
            st.error(upload.error, icon=":material/block:")
    patches = [u for u in uploads if u.image is not None]
    if not patches:
        st.stop()
else:
    try:
        patches = [Upload(name, image) for name, image, _ in samples(str(run.path))]
    except Her2Error as refused:
        st.error(f"No samples for this run: {refused}")
        st.stop()
    st.caption("No patch uploaded: showing synthetic samples, drawn by a program.")

chosen = st.selectbox("Patch", range(len(patches)), format_func=lambda i: patches[i].name, key="patch")
patch = patches[chosen]
answer, maps = remember(("patch", *shown, chosen), lambda: model.predict_and_explain(patch.image, name=patch.name))

for note in answer.notes:
    st.warning(note[0].upper() + note[1:] + ".", icon=":material/flag:")
if not answer.usable:
    st.error("This patch holds nothing to judge, so no class is given.")
    st.image(resize_rgb(answer.raw, SHOWN), caption="as the network would see it", width=280)
    st.stop()

left, right = st.columns([2, 3], gap="large")
with left:
    st.subheader(f"{answer.label}")
    st.plotly_chart(probability_figure(answer.classes, answer.probabilities), width="stretch", key="probabilities")
    spent = answer.milliseconds
    st.caption(f"{sum(spent.values()):.0f} ms · temperature {run.card['temperature']:.2f} · `{answer.model}`")
with right:
    options = st.columns(2)
    # A key for each patch: another patch starts at its own predicted class.
    target = options[0].selectbox(
        "Map for class", answer.classes, index=answer.classes.index(answer.label), key=f"target-{patch.name}"
    )
    opacity = options[1].slider("Opacity", 0.0, 1.0, 0.55, 0.05, key="opacity")
    whole = resize_rgb(centre_square(patch.image), SHOWN)
    picture = overlay(whole, maps[target], opacity=opacity)
    seen = st.columns(3)
    seen[0].image(whole, caption="patch", width="stretch")
    seen[1].image(answer.image, caption="stain normalised (what the network saw)", width="stretch")
    rows, columns = maps[target].grid.shape
    seen[2].image(picture, caption=f"Grad-CAM for {target}, {rows} x {columns} cells", width="stretch")
    if maps[target].empty:
        st.caption(f"Nothing in this patch speaks for {target}.")
    st.download_button(
        "Overlay (PNG)",
        encode_png(stamped(picture, f"{'' if files else 'Synthetic patch. '}Grad-CAM for {target}. {NOTICE}")),
        file_name="overlay-research-use-only.png",
        mime="image/png",
        on_click="ignore",
    )

if len(patches) > 1:
    st.subheader("All patches")
    answers = remember(
        ("all", *shown), lambda: model.predict([p.image for p in patches], names=[p.name for p in patches])
    )
    table = pd.DataFrame(
        [
            {"patch": a.name, "class": a.label if a.usable else "not judged", "notes": "; ".join(a.notes),
             **dict(zip(a.classes, a.probabilities, strict=True))}
            for a in answers
        ]
    )  # fmt: skip
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={c: st.column_config.NumberColumn(format="percent") for c in answer.classes},
    )
    download_table("Table (CSV)", table, "predictions")
st.caption(NOTICE)
