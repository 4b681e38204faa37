"""Batch predictions of a zip or folder in the background, and background jobs."""

from __future__ import annotations

import gc
import io
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest
from app_steps import errors, said, visit

from dashboard import cache
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import EvaluationError
from her2core.inference.background import Job
from her2core.inference.batch import batch_steps, batch_table, filter_batch
from her2core.io.images import encode_png
from her2core.io.uploads import Upload

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=96, seed=11)
LONG = 60


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [render_patch(SPEC, i).image for i in range(5)]


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def finished(at):
    """The page once its job has come to its end."""
    assert at.session_state["batch"]["job"].wait(LONG)
    return at.run()


# Jobs


def test_a_job_gives_results_as_they_come_and_ends():
    go = threading.Event()

    def steps(cancelled):
        yield ["a"], 1, 2
        go.wait(LONG)
        yield ["b"], 2, 2

    job = Job(steps)
    while not job.results:
        pass
    assert job.running
    assert job.progress == (1, 2)
    go.set()
    assert job.wait(LONG)
    assert (job.results, job.progress, job.error, job.cancelled) == (["a", "b"], (2, 2), "", False)


def test_a_cancelled_job_keeps_what_it_has():
    def steps(cancelled):
        yield ["first"], 1, None
        while not cancelled():
            yield [], 1, None

    job = Job(steps)
    while not job.results:
        pass
    job.cancel()
    assert job.wait(LONG)
    assert job.cancelled
    assert job.results == ["first"]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (EvaluationError("a", got="b", where="c", fix="Do d."), "c: her2core needs a, but found b. Do d."),
        (ZeroDivisionError("secret"), "This is a fault of her2core, not yours: ZeroDivisionError."),
    ],
)
def test_a_job_that_breaks_says_one_sentence_and_keeps_its_results(broken, said):
    def steps(cancelled):
        yield ["kept"], 1, None
        raise broken

    job = Job(steps)
    assert job.wait(LONG)
    assert (job.results, job.error) == (["kept"], said)


def test_a_job_whose_session_ended_is_asked_to_stop():
    stopped = threading.Event()

    def steps(cancelled):
        while not cancelled():
            yield [], 0, None
        stopped.set()

    job = Job(steps)
    del job
    gc.collect()
    # The loop of steps sees the wish between two of them; the generator is closed with the thread.
    for thread in threading.enumerate():
        if thread.name.startswith("Thread") and "_run" in thread.name:
            thread.join(LONG)
            assert not thread.is_alive()


# Rows and filters


def test_rows_are_the_predictors_answers_and_refused_files_stay_in_their_place(tiny_predictor, images):
    uploads = [Upload("a.png", images[0]), Upload("bad.png", None, "Expected an image."), Upload("b.png", images[1])]

    def incoming(*, cancelled, on_progress):
        on_progress(3, 3)
        return iter(uploads)

    (rows, done, of) = next(batch_steps(tiny_predictor, incoming)(lambda: False))
    assert (done, of) == (3, None) or done == 3
    table = batch_table(rows, tiny_predictor.classes)
    assert list(table["patch"]) == ["a.png", "bad.png", "b.png"]
    answers = tiny_predictor.predict([images[0], images[1]])
    assert list(table["answer"]) == [answers[0].answer, "Not read", answers[1].answer]
    np.testing.assert_allclose(
        table.loc[[0, 2], list(tiny_predictor.classes)].astype(float), [a.probabilities for a in answers], atol=1e-5
    )
    assert table["thumbnail"].iloc[0].startswith("data:image/png;base64,")
    assert table["notes"].iloc[1] == "Expected an image."


def test_filters_keep_what_they_name():
    rows = {"patch": ["A1", "b2", "a3"], "answer": ["x", "y", "x or z"], "prediction set": ["x", "", "x, z"]}
    table = pd.DataFrame({**rows, "notes": ["", "blurred", None]})
    every = {"labels": [], "noted": "all", "name": ""}
    assert len(filter_batch(table, **every)) == 3
    assert list(filter_batch(table, **{**every, "labels": ["x"]})["patch"]) == ["A1", "a3"]
    assert list(filter_batch(table, **{**every, "labels": ["z", "y"]})["patch"]) == ["b2", "a3"]
    assert list(filter_batch(table, **{**every, "noted": "with"})["patch"]) == ["b2"]
    assert list(filter_batch(table, **{**every, "noted": "without"})["patch"]) == ["A1", "a3"]
    assert list(filter_batch(table, **{**every, "name": "a"})["patch"]) == ["A1", "a3"]
    assert filter_batch(table, **{**every, "name": "[("}).empty


# The page


def test_a_zip_is_judged_and_the_table_can_be_filtered_and_taken_along(demo, images, tiny_predictor):
    files = {f"P{i}/{i}.png": encode_png(image) for i, image in enumerate(images)} | {"notes.txt": b"hello"}
    at = visit("batch")
    assert errors(at) == []
    at.file_uploader(key="archive").set_value(("mine.zip", zipped(files), "application/zip")).run()
    next(b for b in at.main.button if b.key == "predict_archive").click().run()
    finished(at)
    assert errors(at) == []
    table = at.dataframe[0].value
    judged = table[table["answer"] != "Not read"]
    assert len(judged) == len(images)
    assert list(judged["answer"]) == [a.answer for a in tiny_predictor.predict(images)]
    assert [b.label for b in at.get("download_button")] == ["CSV", "Parquet"]
    at.text_input(key="batch_name").set_value("3.png").run()
    assert len(at.dataframe[0].value) == 1
    at.switch_page("pages/evidence/performance.py").run()
    at.switch_page("pages/analyse/batch.py").run()
    assert len(at.dataframe[0].value) >= 1, "the table lives as long as the session"


def test_a_bad_zip_is_one_sentence(demo):
    at = visit("batch")
    at.file_uploader(key="archive").set_value(("bad.zip", b"PK\x03\x04" + b"\0" * 80, "application/zip")).run()
    next(b for b in at.main.button if b.key == "predict_archive").click().run()
    finished(at)
    (sentence,) = errors(at)
    assert sentence.startswith("bad.zip: ")
    assert not at.dataframe


def test_a_server_folder_is_offered_only_below_the_allowed_ones(demo, images, tmp_path, monkeypatch):
    allowed, other = tmp_path / "allowed" / "patches", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(encode_png(images[0]))
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path / "allowed"))
    assert cache.folders_offered() == ((tmp_path / "allowed",), [allowed])
    at = visit("batch")
    assert at.selectbox(key="folder").options == [str(allowed)]
    next(b for b in at.main.button if b.key == "predict_folder").click().run()
    finished(at)
    assert errors(at) == []
    assert list(at.dataframe[0].value["patch"]) == ["a.png"]


def test_without_a_folder_the_page_says_how_to_allow_one(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path / "nowhere"))
    at = visit("batch")
    assert errors(at) == []
    assert "HER2_FOLDERS" in said(at.main.info)
