"""What do these patches look like, and where did the network look? Rows of patches in; pictures with maps out."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.loaders import load_model, pictures
from dashboard.navigation import PAGES
from dashboard.parts import download_table
from dashboard.review import Review
from dashboard.state import remember
from dashboard.uploads import Upload
from dashboard.words import NAME, plain, sentence
from her2core.data.prepare import centre_square
from her2core.errors import Her2Error
from her2core.io.images import resize_rgb
from her2core.runs.patch_images import is_synthetic

#: Pictures shown at a time, and in a row.
PAGE, ACROSS = 6, 3
SIDE = 256


def gallery(review: Review, rows: pd.DataFrame, *, unit: str, key: str) -> None:
    """Rows of evidence.misclassified, most confident first: their table, and the pictures of patches where at hand."""
    if rows.empty:
        st.info("There is none.")
        return
    numbers = {c: st.column_config.NumberColumn(format="%.3f") for c in rows if c.startswith("p_")}
    st.dataframe(
        rows.head(1000),
        hide_index=True,
        width="stretch",
        height=240,
        alt="The rows, most confident first",
        column_config=numbers,
    )
    if len(rows) > 1000:
        st.caption(f"The first 1,000 of {len(rows):,}; the download has all.")
    download_table("These rows (CSV)", rows, f"{review.name}-{unit}-{key}")
    if unit != "patch":
        st.caption("Pictures are shown by patch: switch the unit to patch to see them.")
        return
    if review.run is None:
        st.caption("No pictures: a file of predictions brings none.")
        return
    found = pictures(review.run)
    if found.read is None:
        st.info(f"The pictures of this run are not at hand here. {sentence(found.why_not)}")
        return
    pages = -(-len(rows) // PAGE)
    page = 1
    if pages > 1:
        page = int(st.number_input(f"Page of pictures, 1 to {pages:,}", 1, pages, 1, key=f"page-{key}"))
    if is_synthetic(review.run):
        st.caption("Synthetic patches, drawn by a program.")
    few = rows.iloc[(page - 1) * PAGE : page * PAGE]
    for start in range(0, len(few), ACROSS):
        for column, row in zip(st.columns(ACROSS), few.iloc[start : start + ACROSS].itertuples(), strict=False):
            with column:
                _tile(review, row, found.read, key)


def _tile(review: Review, row, read, key: str) -> None:
    """One patch: as it is and with the map of the class it was taken for, its numbers, and a link to its page."""
    try:
        image = remember(("picture", str(review.run.path), row.patch_id), lambda: read(row.patch_id))
    except Her2Error as refused:
        st.error(sentence(refused))
        return
    whole = resize_rgb(centre_square(image), SIDE)
    shown, alts = [whole], [f"Patch {row.patch_id}"]
    if review.run.has_weights:
        from dashboard.mapping import Mapping  # with torch: only where there is a network to ask
        from her2core.maps.overlay import overlay

        model = load_model(review.run)
        mapping = Mapping(model, Upload(row.patch_id, image), key=(model.model_id, "gallery", row.patch_id))
        shown.append(overlay(whole, mapping.maps("gradcam")[row.predicted], opacity=0.55))
        alts.append(f"The same patch with the Grad-CAM map for {row.predicted}")
    st.image(shown, width=128, alt=alts)
    st.caption(
        plain(f"{row.patch_id}: true {row.true}, taken for {row.predicted} with {row.p_predicted:.1%}", 3 * NAME)
    )
    if review.run.has_weights:
        st.page_link(
            PAGES / "analyse/patch.py",
            label="Open on the patch page",
            icon=":material/open_in_new:",
            query_params={"run": st.session_state["run"], "patch": row.patch_id},
        )
