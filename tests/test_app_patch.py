"""Patch page: the predictor's answer and what is shown with it."""

from __future__ import annotations

import io
import os
import re
import shutil

import numpy as np
import pytest
from app_steps import (
    PAGES,
    errors,
    evaluate_again,
    figure,
    map_class,
    numbers,
    patch_box,
    picture,
    rename_classes,
    rewrite,
    said,
    upload,
    view_of_maps,
    visit,
)
from PIL import Image

from dashboard import cache
from dashboard.views.answer import RAW
from her2core.data.prepare import FLAGS
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.inference.field import FIELD_RULE, predict_field
from her2core.inference.pipeline import Pipeline
from her2core.inference.prediction import RULE
from her2core.io.images import encode_png
from her2core.plots.colours import NEUTRAL

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture(scope="module")
def patches() -> list[np.ndarray]:
    return [render_patch(SPEC, i).image for i in range(4)]


def test_samples_are_answered_before_anything_is_uploaded(demo, tiny_run, tiny_predictor):
    at = visit()
    assert errors(at) == []
    assert "showing synthetic samples, which are generated images" in said(at.main.caption)
    samples = cache.samples(str(demo))
    assert patch_box(at).options == [s.name for s in samples]
    assert [s.label for s in samples] == list(tiny_run.classes)
    held_out = set(tiny_run.predictions.query("split == 'test'")["patient_id"])
    assert {s.name.split()[-1] for s in samples} <= held_out
    answers = tiny_predictor.predict([s.image for s in samples])
    assert at.main.header[0].value == answers[0].answer
    (bars,) = figure(at)["data"]
    assert bars["y"] == list(tiny_run.classes)
    np.testing.assert_allclose(numbers(bars["x"]), answers[0].probabilities, atol=1e-5)
    table = at.dataframe[0].value
    assert list(table["patch"]) == [s.name for s in samples]
    np.testing.assert_allclose(table[list(tiny_run.classes)], [a.probabilities for a in answers], atol=1e-5)
    assert tiny_run.card["weights_sha256"][:12] in said(at.main.caption)


def test_another_patch_class_and_opacity(demo, tiny_predictor):
    at = visit()
    samples = cache.samples(str(demo))
    patch_box(at).select_index(2).run()
    assert errors(at) == []
    expected = tiny_predictor.predict([samples[2].image])[0]
    np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected.probabilities, atol=1e-5)

    pictures = {}
    for target in tiny_predictor.classes:
        map_class(at).set_value(target).run()
        assert errors(at) == []
        found = picture(at, "laid over the patch")
        description = found.proto.imgs[0].alt
        assert description.startswith(f"Grad-CAM for {target}, 4 x 4 cells")
        pictures[target] = found.value
        empty = tiny_predictor.explain(samples[2].image, target=target).empty
        assert (f"no evidence for {target} in this patch" in description) is empty
    alive = [t for t in pictures if not tiny_predictor.explain(samples[2].image, target=t).empty]
    assert alive, "no class to look at: choose another seed"
    map_class(at).set_value(alive[0]).run()
    at = view_of_maps(at, "Side by side")
    patch, strong = picture(at, "before normalisation").value, picture(at, "laid over the patch").value
    at.slider(key="opacity").set_value(0.0).run()
    assert errors(at) == []
    assert picture(at, "before normalisation").value == patch
    assert picture(at, "laid over the patch").value != strong
    assert picture(at, "laid over the patch").value == patch, "without opacity the overlay is the patch itself"
    assert map_class(at).value == alive[0]


def test_thumbnails_and_buttons_choose_the_patch_and_its_true_class_is_said(demo):
    at = visit()
    samples = cache.samples(str(demo))
    assert [b.label for b in at.main.button if b.label.isdigit()] == [str(n + 1) for n in range(len(samples))]
    next(b for b in at.main.button if b.label == "2").click().run()
    assert errors(at) == []
    assert patch_box(at).value == samples[1].name
    assert f"true class: {samples[1].label}" in said(at.main.markdown)
    next(b for b in at.main.button if b.label == "Next").click().run()
    assert patch_box(at).value == samples[2].name
    assert next(b for b in at.main.button if b.label == "Next").disabled is (len(samples) == 3)
    next(b for b in at.main.button if b.label == "1").click().run()
    assert next(b for b in at.main.button if b.label == "Previous").disabled


def test_a_scale_bar_is_drawn_where_the_scale_is_known(demo, patches):
    at = upload(visit(), ("mine.png", encode_png(patches[0])))
    bare = picture(at, "laid over the patch").value
    next(box for box in at.selectbox if box.label == "Microns per pixel").set_value("0.5 (objective 20x)").run()
    assert errors(at) == []
    assert picture(at, "laid over the patch").value != bare


def test_an_upload_gets_the_predictors_answer(demo, patches, tiny_predictor):
    at = upload(visit(), ("mine.png", encode_png(patches[0])))
    assert errors(at) == []
    assert "No patch uploaded" not in said(at.main.caption)
    expected = tiny_predictor.predict([patches[0]])[0]
    np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected.probabilities, atol=1e-5)
    assert not at.dataframe
    assert [b.label for b in at.get("download_button")] == ["Overlay (PNG)", "Table (CSV)"]
    next(b for b in at.button if b.label == "Make the case report").click().run()
    assert errors(at) == []
    assert [b.label for b in at.get("download_button")] == [
        "Overlay (PNG)",
        "Case report (HTML)",
        "Case report (PDF)",
        "Table (CSV)",
    ]


def test_fewer_uploads_than_before_leave_no_choice_in_the_air(demo, patches):
    at = upload(visit(), *[(f"{i}.png", encode_png(p)) for i, p in enumerate(patches)])
    patch_box(at).select_index(3).run()
    assert errors(at) == []
    upload(at, ("only.png", encode_png(patches[1])))
    assert errors(at) == []
    assert patch_box(at) is None
    at.file_uploader[0].clear().run()
    assert errors(at) == []
    assert "No patch uploaded" in said(at.main.caption)


def test_the_box_of_patches_shows_what_is_in_view(demo, patches, tiny_predictor):
    """A choice among the samples does not stay in the box when other patches are uploaded, whatever their number."""
    at = visit()
    patch_box(at).select_index(2).run()
    for number in (2, 3, 4):
        at = upload(at, *[(f"{number}-{i}.png", encode_png(p)) for i, p in enumerate(patches[:number])])
        assert errors(at) == []
        assert patch_box(at).options == [f"{number}-{i}.png" for i in range(number)]
        assert patch_box(at).value == f"{number}-0.png"
        expected = tiny_predictor.predict([patches[0]])[0].probabilities
        np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected, atol=1e-5)


def test_a_patch_added_to_others_is_shown_and_not_the_first_of_them(demo, patches):
    first, second = (("first.png", encode_png(patches[0])), ("second.png", encode_png(patches[1])))
    at = upload(upload(visit(), first), first, second)
    assert patch_box(at).value == "second.png"
    assert picture(at, "laid over the patch second.png") is not None
    patch_box(at).set_value("first.png").run()
    assert picture(at, "laid over the patch first.png") is not None


def test_every_upload_goes_through_the_network_once(demo, patches, monkeypatch):
    passes = []
    forward = Pipeline.forward
    monkeypatch.setattr(Pipeline, "forward", lambda self, batch: passes.append(len(batch)) or forward(self, batch))
    at = upload(visit(), ("mine.png", encode_png(patches[3])))
    assert errors(at) == []
    passes.clear()
    at = upload(at, ("another.png", encode_png(patches[1])))
    at.slider(key="opacity").set_value(0.2).run()
    view_of_maps(at, "All classes")
    assert errors(at) == []
    assert passes == [1]
    passes.clear()
    at = upload(at, ("another.png", encode_png(patches[1])), *[(f"{i}.png", encode_png(patches[i])) for i in (0, 2)])
    patch_box(at).select_index(2).run()
    at.selectbox(key="method").set_value("layercam").run()
    assert errors(at) == []
    assert sum(passes) == 2, "the first was there before"


def test_two_files_of_one_name_are_two_patches(demo, patches, tiny_predictor):
    at = upload(visit(), ("a.png", encode_png(patches[0])), ("a.png", encode_png(patches[3])))
    assert patch_box(at).options == ["a.png", "a.png (2)"]
    for i, patch in ((1, patches[3]), (0, patches[0])):
        patch_box(at).select_index(i).run()
        expected = tiny_predictor.predict([patch])[0].probabilities
        np.testing.assert_allclose(numbers(figure(at)["data"][0]["x"]), expected, atol=1e-5)


def test_without_tissue_no_class_is_given(demo, patches):
    at = upload(
        visit(), ("blank.png", encode_png(np.full((96, 96, 3), 255, np.uint8))), ("a.png", encode_png(patches[0]))
    )
    assert errors(at) == []
    assert at.main.header[0].value == "No reliable answer"
    assert len(at.warning) == 1
    assert map_class(at) is None
    patch_box(at).select_index(1).run()
    assert errors(at) == []
    table = at.dataframe[0].value
    assert list(table["answer"]) == ["No reliable answer", at.main.header[0].value]


def test_out_of_distribution_no_class_is_given(demo, patches, tiny_predictor, monkeypatch):
    """Header, table, reports and colours name no class; the raw output is folded and grey."""
    monkeypatch.setattr(Pipeline, "_ood_scores", lambda self, responses, prepared: [1.5] * len(prepared))
    at = upload(visit(), ("a.png", encode_png(patches[0])), ("b.png", encode_png(patches[1])))
    assert errors(at) == []
    assert at.main.header[0].value == "No reliable answer"
    assert FLAGS["out_of_distribution"][1:] in said(at.main.warning)
    assert RULE in said(at.main.caption)
    (folded,) = [e for e in at.expander if e.label == RAW]
    assert not folded.proto.expanded
    assert all(name in said(folded.caption) for name in tiny_predictor.classes)
    outside = [e for kind in ("header", "markdown", "caption", "warning") for e in at.main.get(kind)]
    outside = said(e for e in outside if e not in (*folded.caption, *folded.markdown))
    assert not [name for name in tiny_predictor.classes if name in outside]
    assert set(figure(at)["data"][0]["marker"]["color"]) == {NEUTRAL}
    table = at.dataframe[0].value
    assert set(table["answer"]) == {"No reliable answer"}
    assert set(table["prediction set"]) == {""}
    assert table[list(tiny_predictor.classes)].notna().all(axis=None)


def test_a_patch_that_is_not_square_is_flagged(demo, patches):
    at = upload(visit(), ("wide.png", encode_png(np.hstack([patches[0], patches[1]]))))
    assert errors(at) == []
    assert "The patch is not square: only its centre square was used." in said(at.main.warning)


def test_another_run_in_the_same_session(demo, models, tiny_run):
    """Choices made under one run (patch, class, unit) must not break the page under another."""
    other = shutil.copytree(tiny_run.path, models / "other", copy_function=os.link)
    names = {"negative": "low", "equivocal": "middle", "positive": "high"}
    evaluate_again(other, rename_classes(other, tiny_run.predictions, names).assign(patient_id="unknown"))
    at = visit()
    map_class(at).set_value("positive").run()
    patch_box(at).select_index(2).run()
    at.sidebar.selectbox[0].set_value("other").run()
    assert errors(at) == []
    assert map_class(at).value in names.values()
    at.sidebar.selectbox[0].set_value("demo").run()
    at.switch_page(PAGES["performance"]).run()
    assert errors(at) == []
    at.get("button_group")[0].set_value("patient").run()
    at.sidebar.selectbox[0].set_value("other").run()
    assert errors(at) == []
    assert at.get("button_group")[0].value in ("patch", "slide")


def test_tampered_weights_are_refused_in_a_sentence(demo):
    weights = bytearray((demo / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    rewrite(demo / "model.safetensors", bytes(weights))
    at = visit()
    (sentence,) = errors(at)
    assert "model.safetensors" in sentence
    assert not at.file_uploader
    assert not at.image
    at.switch_page(PAGES["performance"]).run()
    assert errors(at) == []
    assert at.metric


def test_samples_that_cannot_be_drawn_are_said(demo):
    rewrite(demo / "splits.parquet", "not a table")
    at = visit()
    (sentence,) = errors(at)
    assert sentence.startswith("No samples for this model.")
    assert "splits.parquet" in sentence
    assert at.file_uploader


def test_a_large_field_is_predicted_tile_by_tile_at_the_scale_that_the_viewer_states(demo, tiny_predictor):
    field = np.concatenate([np.concatenate([render_patch(SPEC, 2 * i + j).image for j in range(2)], 1) for i in (0, 1)])
    at = upload(visit(), ("field.png", encode_png(field)))
    assert errors(at) == []
    scale = next(box for box in at.selectbox if box.label == "Microns per pixel")
    assert scale.value.startswith("not known")
    scale.set_value("0.5 (objective 20x)").run()
    assert errors(at) == []
    expected = predict_field(tiny_predictor, field, mpp=0.5)
    assert at.main.header[0].value == expected.answer
    assert f"{len(expected.tiles)} tiles" in said(at.main.caption)
    assert FIELD_RULE in said(at.main.caption)
    if expected.counted:
        np.testing.assert_allclose(numbers(figure(at, 1)["data"][0]["x"]), expected.probabilities, atol=1e-5)
        box = next(box for box in at.number_input if box.label.startswith("Tile to open"))
        box.set_value(2).run()
        assert errors(at) == []
        row = expected.tiles.iloc[1]
        best = tiny_predictor.classes[0]
        assert f"{best} {row[f'probability_{best}']:.1%}" in said(at.main.caption)
        assert picture(at, "laid over the patch tile 2 of field.png") is not None
        next(b for b in at.button if b.label == "Make the case report").click().run()
        assert errors(at) == []
        assert [b.label for b in at.get("download_button")] == [
            "Heatmap (PNG)",
            "Case report (HTML)",
            "Case report (PDF)",
            "Tiles (CSV)",
        ]


def test_a_field_keeps_the_notes_of_its_file_and_each_of_two_names(demo, tiny_predictor):
    field = np.concatenate([render_patch(SPEC, i).image for i in (0, 1, 2)], 1)
    stream = io.BytesIO()
    Image.fromarray(field).save(stream, "PNG", icc_profile=b"no profile", dpi=(50_800, 50_800))
    at = upload(visit(), ("field.png", stream.getvalue()), ("copy.png", stream.getvalue()))
    for name in ("field.png", "copy.png"):
        patch_box(at).set_value(name).run()
        assert FLAGS["profile_unreadable"].lower() in said(at.main.caption).lower()
        next(b for b in at.button if b.label == "Make the case report").click().run()
        assert errors(at) == []
        html = str(at.session_state["latest"]["case"][1][0])
        assert re.search("Accuracy of this model|nothing is known of its accuracy", html)
        assert [other in html for other in ("field.png", "copy.png")] == [name == "field.png", name == "copy.png"]


def test_the_same_pixels_with_another_stated_scale_are_another_patch(demo, patches):
    stream = io.BytesIO()
    Image.fromarray(patches[0]).save(stream, "PNG", dpi=(254_000, 254_000))  # 0.1 microns per pixel
    plain, scaled = ("plain.png", encode_png(patches[0])), ("scaled.png", stream.getvalue())
    at = upload(visit(), plain)
    at = upload(at, plain, scaled)
    assert errors(at) == []
    notes = at.dataframe[0].value.set_index("patch")["notes"]
    assert FLAGS["field_of_view"] not in notes["plain.png"]
    assert FLAGS["field_of_view"] in notes["scaled.png"]
    patch_box(at).set_value("scaled.png").run()
    assert next(box for box in at.selectbox if box.label == "Microns per pixel").value.startswith("0.1 ")
