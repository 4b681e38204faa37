"""Gallery of patches with their class-activation maps, and the table of their predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.cache import load_model, pictures
from dashboard.navigation import PAGES
from dashboard.review import Review
from dashboard.session import remember
from dashboard.widgets import dataframe, download_table, markdown_sentence
from her2core.data.prepare import centre_square
from her2core.errors import Her2Error
from her2core.io.images import resize_rgb
from her2core.io.text import NAME_LENGTH, markdown_text
from her2core.io.uploads import Upload
from her2core.runs.folder import Run

if TYPE_CHECKING:
    from her2core.inference.predictor import Predictor

#: Pictures shown at a time, and in a row.
PAGE, ACROSS = 6, 3
#: Rows of the table that are shown; the download has all.
ROWS = 1000
#: Heads of the columns of ``evidence.misclassified``.
LABELS = {
    "patch_id": "patch",
    "patient_id": "patient",
    "slide_id": "slide",
    "true": "true class",
    "predicted": "predicted class",
    "predicted_second": "predicted by the other",
}
PROBABILITIES = {
    "probability_predicted": "p (predicted class)",
    "probability_true": "p (true class)",
    "probability_second": "p (predicted by the other)",
}


def gallery(review: Review, rows: pd.DataFrame, *, unit: str, key: str) -> None:
    """Show rows of ``evidence.misclassified`` in their order, and the pictures of patches where available."""
    if rows.empty:
        st.info("There are no such rows.")
        return
    if unit != "patch":
        st.caption("Pictures are shown by patch: set the unit of analysis to patch.")
    elif review.run is None:
        st.caption("No pictures: a predictions file holds none.")
    else:
        _pictures(review.run, rows, key)
    columns = {name: st.column_config.Column(label) for name, label in LABELS.items()}
    columns |= {name: st.column_config.NumberColumn(label, format="%.3f") for name, label in PROBABILITIES.items()}
    dataframe(rows.head(ROWS), "The rows, in the order of the pictures", height=240, column_config=columns)
    if len(rows) > ROWS:
        st.caption(f"The first {ROWS:,} of {len(rows):,} rows; the download has all.")
    download_table("These rows (CSV)", rows, f"{review.name}-{unit}-{key}")


def _pictures(run: Run, rows: pd.DataFrame, key: str) -> None:
    """Draw one page of pictures; or say why there are none."""
    found = pictures(run)
    if found.read is None:
        st.info(f"The pictures of this model's data are not available here. {markdown_sentence(found.why_not)}")
        return
    pages = -(-len(rows) // PAGE)
    page = 1
    if pages > 1:
        content = hashlib.sha256("\n".join(rows["patch_id"]).encode()).hexdigest()[:16]
        page = int(st.pagination(pages, key=f"page-{key}-{content}"))
    model = None
    if run.trained_on_evaluated:
        st.caption("No maps: the model that is served was trained on these patches; other models predicted them.")
    elif run.has_weights:
        try:
            model = load_model(run)
        except Her2Error as refused:
            st.error(markdown_sentence(refused.sentence))
    shown = rows.iloc[(page - 1) * PAGE : page * PAGE]
    for start in range(0, len(shown), ACROSS):
        for column, row in zip(st.columns(ACROSS), shown.iloc[start : start + ACROSS].itertuples(), strict=False):
            with column:
                _tile(run, row, found.read, model)


def _tile(run: Run, row: Any, read: Callable[[str], np.ndarray], model: Predictor | None) -> None:
    """One patch (a row as a named tuple): its picture, and with a model the map of its class and a link to its page."""
    try:
        image = remember(("picture", str(run.path), row.patch_id), lambda: read(row.patch_id))
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    original = resize_rgb(centre_square(image), 256)
    images, alts = [original], [f"Patch {row.patch_id}"]
    if model is not None:
        from dashboard.views.patch import analyse  # with torch: only where there is a network to ask
        from her2core.maps.overlay import overlay

        analysis = analyse(model, Upload(row.patch_id, image))
        if analysis.maps:
            images.append(overlay(original, analysis.maps[row.predicted], opacity=0.55))
            alts.append(f"The same patch with the Grad-CAM map for {row.predicted}")
    st.image(images, width=128, alt=alts)
    text = (
        f"{row.patch_id}: true {row.true}, predicted {row.predicted} with probability {row.probability_predicted:.1%}"
    )
    st.caption(markdown_text(text, 3 * NAME_LENGTH))
    if model is not None:
        st.page_link(
            PAGES / "analyse/patch.py",
            label="Open on the patch page",
            icon=":material/open_in_new:",
            query_params={"run": st.session_state["run"], "patch": row.patch_id},
        )
