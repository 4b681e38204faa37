"""What does the run say about many patches at once? A zip or a server folder in; a table to sort, filter, keep out."""

from __future__ import annotations

from functools import partial

import streamlit as st

from dashboard.batch import batch_steps, batch_table, filtered
from dashboard.choice import opened_run
from dashboard.folders import folders_offered
from dashboard.jobs import Job
from dashboard.loaders import load_model
from dashboard.parts import NOTICE, download_table
from dashboard.uploads import accept_archive, accept_folder
from dashboard.words import plain, sentence

run, model = opened_run("Batch", load_model)


def start(uploads, of: str) -> None:
    st.session_state["batch"] = {
        "job": Job(batch_steps(model, uploads)),
        "of": of,
        "classes": model.classes,
        "model": model.model_id,
    }


from_zip, from_folder = st.tabs(["A zip of patches", "A folder on the server"])
with from_zip:
    archive = st.file_uploader("Zip with PNG, JPEG, TIFF, BMP or WebP patches", key="archive", max_upload_size=200)
    if archive and st.button("Judge these patches", type="primary", icon=":material/play_arrow:"):
        start(partial(accept_archive, archive), archive.name)
with from_folder:
    roots, folders = folders_offered()
    if not folders:
        st.info(
            "No folder with images below the allowed ones. Put patches below `data/`, or name other folders in the "
            "environment variable `HER2_FOLDERS` before the server starts."
        )
    else:
        folder = st.selectbox("Folder", folders, format_func=str, key="folder")
        if st.button("Judge this folder", icon=":material/play_arrow:"):
            start(partial(accept_folder, folder, roots=roots), str(folder))

batch = st.session_state.get("batch")
if batch is None:
    st.caption("Nothing is stored: patches are judged in memory, and the table lives in this session.")
    st.caption(NOTICE)
    st.stop()
job: Job = batch["job"]


@st.fragment(run_every=0.7 if job.running else None)
def progress() -> None:
    done, of = job.progress
    if job.running:
        said = f"{plain(batch['of'])}: {done:,}" + (f" of {of:,}" if of else "") + " done"
        st.progress(done / of if of else 0.0, text=said)
        st.button("Cancel", on_click=job.cancel, icon=":material/stop:")
        if st.session_state.get("batch_was_running") is not job:
            st.session_state["batch_was_running"] = job
    elif st.session_state.pop("batch_was_running", None) is job:
        st.rerun()


progress()
if job.error:
    st.error(sentence(job.error), icon=":material/block:")
elif job.cancelled:
    st.warning(f"Cancelled after {job.progress[0]} files; what was judged stays below.", icon=":material/stop:")
table = batch_table(job.results, batch["classes"])
if not table.empty:
    st.header(f"{len(table):,} files of {plain(batch['of'])}")
    first, second, third = st.columns(3)
    labels = first.multiselect("Class", sorted(table["class"].unique()), key="batch_class")
    noted = second.segmented_control("Notes", ["all", "with", "without"], default="all", key="batch_notes") or "all"
    name = third.text_input("Name holds", key="batch_name")
    shown = filtered(table, labels=labels, noted=noted, name=name)
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        alt="Answers for all files of the batch",
        row_height=60,
        column_config={
            "thumbnail": st.column_config.ImageColumn("", width="small"),
            "notes": st.column_config.TextColumn(width="large"),
            **{c: st.column_config.NumberColumn(format="percent") for c in batch["classes"]},
        },
    )
    st.caption(f"{len(shown):,} of {len(table):,} shown. Model `{batch['model']}`. Click a column's head to sort.")
    plain = shown.drop(columns="thumbnail").assign(model=batch["model"])
    with st.container(horizontal=True):
        download_table("CSV", plain, "batch")
        download_table("Parquet", plain, "batch", parquet=True)
st.caption(NOTICE)
