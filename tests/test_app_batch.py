"""Batch predictions of a zip or folder in the background, and background jobs."""

from __future__ import annotations

import gc
import io
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest
from app_steps import PAGES, errors, said, visit

from dashboard import cache
from dashboard.ending import GRACE, SessionWatch
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
    next(box for box in at.text_input if box.label == "File name contains").set_value("3.png").run()
    assert len(at.dataframe[0].value) == 1
    at.switch_page("pages/evidence/performance.py").run()
    at.switch_page("pages/analyse/batch.py").run()
    assert len(at.dataframe[0].value) >= 1, "the table lives as long as the session"
    assert "selected now" not in said(at.main.warning)
    at.session_state["batch"]["model"] = "other@0123456789ab"
    assert "those of `other@0123456789ab`, not of the model that is selected now" in said(at.run().main.warning)


def test_a_job_goes_on_while_other_pages_are_looked_at_and_can_be_cancelled(demo, images):
    """Back on its page the job is there, says how far it is, and stops when it is told to."""
    go = threading.Event()

    def steps(cancelled):
        yield [{"patch": f"{i}.png", "answer": "Not read"} for i in range(3)], 3, 2000
        while not cancelled():
            go.wait(0.01)
            yield [], 3, 2000

    job = Job(steps)
    at = visit("batch")
    at.session_state["batch"] = {"job": job, "key": "k", "source": "mine", "classes": ("a", "b"), "model": "m"}
    for page in ("performance", "errors", "patch", "about", "batch"):
        at.switch_page(PAGES[page]).run()
        assert errors(at) == []
    while not job.results:
        pass
    at.run()
    assert job.running
    assert at.main.header[0].value == "3 of 2,000 files of mine"
    assert "under way" in said(at.main.info)
    next(b for b in at.main.button if b.label == "Cancel").click().run()
    assert job.wait(LONG)
    at.run()
    assert errors(at) == []
    assert at.main.header[0].value == "3 of 2,000 files of mine"
    assert "Cancelled: 3 of 2,000 files were read" in said(at.main.warning)
    assert not [b for b in at.main.button if b.label == "Cancel"]


def test_the_filters_of_one_job_do_not_hold_for_the_next(demo):
    rows = [{"patch": "a.png", "answer": "Not read"}, {"patch": "b.png", "answer": "Not read"}]
    at = visit("batch")
    for key in ("first", "second"):
        job = Job(lambda cancelled: iter([(rows, 2, 2)]))
        assert job.wait(LONG)
        at.session_state["batch"] = {"job": job, "key": key, "source": "mine", "classes": ("a",), "model": "m"}
        at.run()
        assert len(at.dataframe[0].value) == 2
        next(box for box in at.text_input if box.label == "File name contains").set_value("a.png").run()
        assert len(at.dataframe[0].value) == 1


class FakeRuntime:
    """Sessions as Streamlit's runtime holds them."""

    def __init__(self) -> None:
        self.active, self.closed, self.uploaded_file_mgr = {"here", "left"}, [], self
        self.file_storage: dict[str, dict] = {}

    def is_active_session(self, session_id):
        return session_id in self.active

    def clear_user_info_for_session(self, session_id):
        self.closed.append(session_id)

    def remove_session_files(self, session_id):
        self.closed.append(f"files of {session_id}")
        self.file_storage.pop(session_id, None)


def test_a_session_whose_visitor_left_ends_with_its_job_and_uploads():
    now, runtime = [0.0], FakeRuntime()
    watch = SessionWatch(clock=lambda: now[0])

    def steps(cancelled):
        while not cancelled():
            yield [], 0, None

    jobs = {name: Job(steps) for name in ("here", "left")}
    for name, job in jobs.items():
        watch.know(name)
        watch.add_job(name, job)
    now[0] = 2 * GRACE
    watch.look(runtime)
    assert runtime.closed == [], "a connected session never ends, however long nothing runs"
    runtime.active.remove("left")
    now[0] += GRACE - 1
    watch.look(runtime)
    assert runtime.closed == [], "a lost connection may come back"
    now[0] += 2
    watch.look(runtime)
    assert runtime.closed == ["left", "files of left"]
    assert jobs["left"].wait(LONG)
    assert jobs["here"].running
    assert watch.known == {"here"}
    jobs["here"].cancel()


def test_files_posted_to_a_session_that_never_ran_a_script_end_with_it():
    now, runtime = [0.0], FakeRuntime()
    watch = SessionWatch(clock=lambda: now[0])
    runtime.file_storage = {"here": {"f": b""}, "nobody": {"f": b""}}
    watch.look(runtime)
    now[0] = GRACE - 1
    watch.look(runtime)
    assert set(runtime.file_storage) == {"here", "nobody"}
    now[0] = 2 * GRACE
    watch.look(runtime)
    assert set(runtime.file_storage) == {"here"}, "a connected session keeps its files"
    assert runtime.closed == ["nobody", "files of nobody"]


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
    assert at.selectbox(key="folder").options == ["allowed/patches"], "no path of the server"
    assert str(tmp_path) not in str(at)
    next(b for b in at.main.button if b.key == "predict_folder").click().run()
    finished(at)
    assert errors(at) == []
    assert list(at.dataframe[0].value["patch"]) == ["a.png"]


def test_without_a_folder_the_page_says_how_to_allow_one(demo, tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path / "nowhere"))
    at = visit("batch")
    assert errors(at) == []
    assert "HER2_FOLDERS" in said(at.main.info)
