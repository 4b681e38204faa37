"""Slide page: choice from a server folder, tissue and tiles, answer, states, examples; and its prediction in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from app_steps import PAGES, errors, said, visit
from slide_files import glass, slide_pixels, write_pyramid

from dashboard import cache
from her2core.inference.background import Job
from her2core.inference.predictor import load_predictor
from her2core.io.uploads import slide_files
from her2core.slide.in_memory import preview_slide, slide_steps
from her2core.slide.jobs import SlideJob
from her2core.slide.predict import SlideSettings, predict_slide, slide_grid

pytest.importorskip("openslide", reason="the extra slide is not installed")
SECRET = "TCGA-A8-0001_Jane"


@pytest.fixture(scope="module")
def model():
    return load_predictor("models/demo", engine="torch")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A server folder with a slide of a known scale and one without."""
    write_pyramid(tmp_path / f"{SECRET}.svs", slide_pixels())
    write_pyramid(tmp_path / f"{SECRET}_no_scale.svs", slide_pixels(), mpp=None)
    (tmp_path / "patch.png").write_bytes(b"small")
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path))
    cache._slides.clear()
    return tmp_path


def box(at, label):
    return next(b for b in at.selectbox if b.label == label)


def visit_again(at):
    return at.switch_page(PAGES["slide"]).run()


def finished(at):
    assert at.session_state["slide-job"]["job"].wait(120)
    return at.run()


def test_slides_of_the_allowed_folders_are_offered_and_patches_are_not(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write_pyramid(outside / "x.svs", glass(256, 256))
    (folder / "link.svs").symlink_to(outside / "x.svs")
    assert [p.name for p in slide_files([folder.resolve()])] == [f"{SECRET}.svs", f"{SECRET}_no_scale.svs"]


def test_a_slide_in_memory_is_predicted_as_by_the_command(folder, model, tmp_path):
    path, grid = folder / f"{SECRET}.svs", slide_grid(model)
    seen = preview_slide(path, grid)
    job = Job(slide_steps(model, path, grid, name="Slide 1"))
    assert job.wait(120)
    assert job.error == ""
    (answer,) = job.results
    about, _ = predict_slide(model, SlideJob(path, "Slide 1"), tmp_path / "out", SlideSettings(grid))
    written = pd.read_parquet(tmp_path / "out/slides/Slide 1/tiles.parquet")
    shown = [c for c in written if c.startswith("probability_")]
    np.testing.assert_allclose(answer.tiles[shown].to_numpy(float), written[shown].to_numpy(float), atol=1e-6)
    assert answer.tiles["state"].tolist() == written["state"].tolist()
    assert answer.found.answer == about["prediction"]["answer"]
    assert len(answer.tiles) == seen.tiles == job.progress[1]
    assert seen.audit["remaining"].iloc[-1] == seen.tiles
    target = answer.found.classes[0]
    high, low = answer.ends(target)
    probabilities = answer.tiles[f"probability_{target}"]
    if high:
        assert probabilities.iloc[high[0]] == probabilities[answer.tiles["counts"].astype(bool)].max()
        assert set(high) | set(low) <= set(answer.examples)
        assert not set(high) & set(low)


def test_a_cancelled_prediction_has_no_answer(folder, model):
    steps = slide_steps(model, folder / f"{SECRET}.svs", slide_grid(model), name="Slide 1")(lambda: True)
    assert next(steps)[0] == []
    assert next(steps)[1] > 0
    steps.close()


def test_a_slide_is_chosen_looked_at_and_predicted_without_its_name(folder):
    at = visit("slide", run="demo")
    assert errors(at) == []
    everything = str(at.main) + str(at.sidebar)
    assert SECRET not in everything
    assert box(at, "Slide on the server").options[0].startswith("Slide 1 (svs, ")
    assert "label images are never opened" in said(at.caption).lower()
    (predict,) = [b for b in at.button if b.key == "predict_slide"]
    at = finished(predict.click().run())
    assert errors(at) == []
    assert at.session_state["slide-job"]["job"].results[-1].found.name == "Slide 1"
    assert "depends on which part of the tissue was seen" in said(at.caption)
    answer = at.session_state["slide-job"]["job"].results[-1]
    if answer.examples:
        opened = next(b for b in at.button if b.label == "Open as a patch").click().run()
        assert errors(opened) == []
        (tile,) = opened.session_state["uploads"]
        assert any(np.array_equal(tile.image, image) for image in answer.examples.values())
        assert tile.name.startswith("Slide 1, column")
        at = visit_again(opened)
    assert SECRET not in str(at.main)
    at = next(t for t in at.toggle if t.key == "slide-names").set_value(True).run()
    assert SECRET in box(at, "Slide on the server").options[0]


def test_a_slide_without_scale_asks_for_it_and_a_vanished_one_is_a_sentence(folder):
    at = visit("slide", run="demo")
    other = box(at, "Slide on the server")
    at = other.select_index(1).run()
    (refused,) = errors(at)
    assert "State its microns per pixel above" in refused
    assert SECRET not in refused
    at = box(at, "Microns per pixel").select_index(2).run()
    assert errors(at) == []
    (folder / f"{SECRET}_no_scale.svs").unlink()
    at = at.run()
    (refused,) = errors(at)
    assert "no such file" in refused
    assert SECRET not in refused


def test_slide_scale_and_answer_stay_while_other_pages_are_looked_at(folder):
    at = box(visit("slide", run="demo"), "Slide on the server").select_index(1).run()
    at = box(at, "Microns per pixel").select_index(2).run()
    at = finished(next(b for b in at.button if b.key == "predict_slide").click().run())
    chosen = [box(at, label).value for label in ("Slide on the server", "Microns per pixel")]
    job = at.session_state["slide-job"]["job"]
    for page in ("patch", "performance"):
        at = at.switch_page(PAGES[page]).run()
    at = visit_again(at)
    assert errors(at) == []
    assert [box(at, label).value for label in ("Slide on the server", "Microns per pixel")] == chosen
    assert at.session_state["slide-job"]["job"] is job
    assert not job.cancelled


def test_a_server_without_slides_says_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HER2_FOLDERS", str(tmp_path))
    cache._slides.clear()
    at = visit("slide", run="demo")
    assert errors(at) == []
    assert "HER2_FOLDERS" in said(at.info)
