"""Feature map: test patches as points of a plane, whose selection opens the patches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import cache
from dashboard.jobs import show_job
from dashboard.review import Review
from dashboard.session import recall, remember, store
from dashboard.views.gallery import gallery
from dashboard.widgets import count, figure, markdown_sentence
from her2core.errors import Her2Error
from her2core.evidence.misclassified import all_rows, ordered
from her2core.evidence.projection import METHODS, MOST_ROWS, Projection, project
from her2core.inference.background import Job
from her2core.io.text import capitalised
from her2core.plots.projection import projection_description, projection_figure
from her2core.runs.folder import Run

PROPERTIES, NETWORK = "properties", "network"
SOURCES = {PROPERTIES: "Image properties (colour, size of file)", NETWORK: "Features of the network"}
COLOURS = {
    "true": "True class",
    "predicted": "Predicted class",
    "outcome": "Right or wrong",
    "site": "Site",
    "patient_id": "Patient",
}
#: Patches that are embedded on request; the network sees some 20 a second on two cores.
MOST_EMBEDDED = 600


def show_feature_map(review: Review) -> None:
    """Draw the map of the test patches, and the patches that are selected in it."""
    run = review.run
    if run is None:
        st.info("A predictions file holds no features: the map needs a run.")
        return
    first, second, third = st.columns(3)
    source = first.selectbox(
        "Features", list(SOURCES), format_func=SOURCES.__getitem__, key="features", bind="query-params"
    )
    method = second.selectbox(
        "Projection", list(METHODS), format_func=METHODS.__getitem__, key="projection", bind="query-params"
    )
    colour = third.selectbox(
        "Colour", list(COLOURS), format_func=COLOURS.__getitem__, key="map_colour", bind="query-params"
    )
    features = _properties(review, run) if source == PROPERTIES else _embedded(review, run)
    if features is None:
        return
    try:
        with st.spinner("Projecting ..."):
            found: Projection = remember(
                ("projection", review.key, source, method), lambda: project(features.to_numpy(), method=method)
            )
    except Her2Error as refused:
        st.error(markdown_sentence(refused.sentence))
        return
    rows = all_rows(review.patches).set_index("patch_id").loc[features.index].reset_index()
    right = rows["true"] == rows["predicted"]
    rows = rows.assign(outcome=np.where(right, "right", "wrong"))
    points = pd.DataFrame(
        {
            "x": found.places[:, 0],
            "y": found.places[:, 1],
            "patch_id": rows["patch_id"],
            "group": rows[colour],
            "right": right,
        }
    )
    order = review.classes if colour in ("true", "predicted") else ()
    kept = "" if np.isnan(found.explained) else f" The two components hold {found.explained:.0%} of the variance."
    st.caption(
        f"{capitalised(found.description)}.{kept} Only neighbourhoods can be read: distances between groups, their "
        "sizes and densities mean nothing. Draw around points to see their patches; crosses are misclassified."
    )
    event = figure(
        projection_figure(points, order=order),
        projection_description(points, how=found.description, coloured=COLOURS[colour].lower()),
        key=f"map-{source}-{method}-{colour}-{review.digest}",
        table=points,
        name=f"{review.name}-feature-map",
        words=False,
        on_select="rerun",
        selection_mode=("lasso", "box"),
    )
    chosen = {point.get("customdata") for point in event["selection"]["points"]}
    chosen = {of[0] if isinstance(of, list) else of for of in chosen} if chosen else set()
    selected = rows[rows["patch_id"].isin(chosen)].drop(columns="outcome")
    if len(selected):
        wrong = int((selected["true"] != selected["predicted"]).sum())
        st.markdown(f"**{count(len(selected), 'patch')}** selected, {wrong} of them misclassified.")
        gallery(review, ordered(selected, "confident"), unit="patch", key="map")


def _properties(review: Review, run: Run) -> pd.DataFrame | None:
    """Image properties of the test part, by patch; None, with the reason, where the run keeps none."""
    kept = run.image_properties
    if kept is None:
        st.info("This run keeps no image properties. Choose the features of the network.")
        return None
    of = kept.drop_duplicates("patch_id").set_index("patch_id")
    ids = [i for i in review.patches.frame["patch_id"] if i in of.index]
    return of.loc[_some(ids, MOST_ROWS)]


def _embedded(review: Review, run: Run) -> pd.DataFrame | None:
    """Embeddings of test patches by the run's network, computed on request; None until they are there."""
    if not run.has_weights:
        st.info("This run was released without weights. Choose the image properties.")
        return None
    images = cache.pictures(run)
    if images.read is None:
        st.info(f"The pictures of this model's data are not available here. {markdown_sentence(images.why_not)}")
        return None
    ids = _some(review.patches.frame["patch_id"].tolist(), MOST_EMBEDDED)
    key, read = ("embeddings", review.key), images.read
    made: pd.DataFrame | None = recall(key)
    if made is not None:
        return made
    job: Job | None = st.session_state.get("embedding_job")
    if job is None or st.session_state.get("embedding_job_of") != key:
        if not st.button(f"Compute the features of {count(len(ids), 'patch')}", icon=":material/hub:"):
            return None
        from her2core.inference.embeddings import embedding_steps  # with torch: only where a network is asked

        model = cache.load_model(run)
        job = Job(lambda cancelled: embedding_steps(model, ids, read, cancelled=cancelled))
        st.session_state["embedding_job"], st.session_state["embedding_job_of"] = job, key
    if job.running or job.error or job.cancelled:
        show_job(job, run.name, cancelled="Cancelled: reload the page to start again.")
        return None
    found = dict(job.results)
    table = pd.DataFrame(np.stack([found[i] for i in ids]), index=pd.Index(ids, name="patch_id"))
    store(key, table)
    st.session_state.pop("embedding_job")
    return table


def _some(ids: list[str], most: int) -> list[str]:
    """At most so many, in their order; which ones follows from a fixed seed."""
    if len(ids) <= most:
        return ids
    st.caption(f"{most:,} of {len(ids):,} test patches, drawn at random (seed 0).")
    return [ids[i] for i in np.sort(np.random.default_rng(0).choice(len(ids), most, replace=False))]
