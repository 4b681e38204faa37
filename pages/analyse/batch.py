"""Batch page: predictions for a zip or a server folder of patches, to sort, filter and download."""

from __future__ import annotations

from functools import partial
from uuid import uuid4

import streamlit as st

from dashboard.cache import folders_offered, load_model
from dashboard.ending import end_with_session
from dashboard.jobs import files_done, show_job
from dashboard.selection import opened_run
from dashboard.views.verdict import show_reservation
from dashboard.widgets import dataframe, download_table
from her2core.inference.answers import with_files
from her2core.inference.background import Job
from her2core.inference.batch import NOTED, UploadReader, answers_offered, batch_steps, batch_table, filter_batch
from her2core.inference.prediction import RULE
from her2core.io.text import markdown_text
from her2core.io.uploads import folder_titles, read_folder, read_uploaded_archive

run, model = opened_run("Batch", load_model)
show_reservation(run)


def start(uploads: UploadReader, source: str) -> None:
    """Start the job of this session; the one before is asked to stop."""
    if "batch" in st.session_state:
        st.session_state["batch"]["job"].cancel()
    started = Job(batch_steps(model, uploads))
    end_with_session(started)
    st.session_state["batch"] = {
        "job": started,
        "key": uuid4().hex,
        "source": source,
        "classes": model.classes,
        "model": model.model_id,
    }


from_zip, from_folder = st.tabs(["Zip archive", "Folder on the server"])
with from_zip:
    archive = st.file_uploader("Zip with PNG, JPEG, TIFF, BMP or WebP patches", key="archive", max_upload_size=200)
    if archive and st.button("Predict", key="predict_archive", type="primary", icon=":material/play_arrow:"):
        start(partial(read_uploaded_archive, archive), archive.name)
with from_folder:
    roots, folders = folders_offered()
    if not folders:
        st.info(
            "No folder with images below the allowed ones. Put patches below `data/`, or name other folders in the "
            "environment variable `HER2_FOLDERS` before the server starts."
        )
    else:
        titles = folder_titles(folders, roots)
        folder = folders[titles.index(st.selectbox("Folder", titles, key="folder"))]
        if st.button("Predict", key="predict_folder", type="primary", icon=":material/play_arrow:"):
            start(partial(read_folder, folder, roots=roots), titles[folders.index(folder)])

batch = st.session_state.get("batch")
if batch is None:
    st.caption("Nothing is stored: patches are processed in memory, and the table is kept for this session only.")
    st.stop()
job, key = batch["job"], batch["key"]  # a key for each job: the filters of another one do not hold here
if batch["model"] != model.model_id:
    st.warning(
        f"The predictions below are those of `{batch['model']}`, not of the model that is selected now: press Predict "
        "for those of the latter.",
        icon=":material/history:",
    )
show_job(job, batch["source"])
table = batch_table(job.results, batch["classes"])
if not table.empty:
    st.header(f"{files_done(job, len(table))} of {markdown_text(batch['source'])}")
    if job.running:
        st.info("The job is under way: the table holds what was done when the page was last drawn.")
    first, second, third = st.columns(3)
    labels = first.multiselect("Answer", answers_offered(table, batch["classes"]), key=f"answer-{key}")
    noted = second.segmented_control("Notes", NOTED, default="all", key=f"notes-{key}") or "all"
    name = third.text_input("File name contains", key=f"name-{key}")
    shown = filter_batch(table, labels=labels, noted=noted, name=name)
    columns = {
        "thumbnail": st.column_config.ImageColumn("", width="small"),
        "notes": st.column_config.TextColumn(width="large"),
        **{c: st.column_config.NumberColumn(format="percent") for c in batch["classes"]},
    }
    dataframe(shown, "Predictions for all files of the batch", row_height=60, column_config=columns)
    st.caption(f"{len(shown):,} of {len(table):,} shown. Model `{batch['model']}`. Click a column head to sort.")
    st.caption(f"{RULE} The probabilities are raw output of the network; they are an answer only where one is given.")
    stated = {row["patch"]: row.get("file", "") for row in job.results}
    export = with_files(shown.drop(columns="thumbnail"), stated).assign(model=batch["model"])
    with st.container(horizontal=True):
        download_table("CSV", export, "batch")
        download_table("Parquet", export, "batch", parquet=True)
