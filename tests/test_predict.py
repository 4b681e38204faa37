"""Predictions of a run: forms of input, arguments, results, threads."""

from __future__ import annotations

import io
import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
from PIL import Image

from her2core import Predictor, explain, load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ConfigError, ImageError, NetworkError, WeightsError
from her2core.inference.example import example_predictor
from her2core.inference.prediction import Prediction
from her2core.io.images import as_decoded, encode_png
from her2core.networks.weights import save_weights

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture(scope="module")
def patches():
    return [render_patch(SPEC, i).image for i in range(6)]


def test_answer_is_a_distribution_over_the_runs_classes(tiny_predictor, patches):
    for answer in tiny_predictor.predict(patches):
        assert answer.classes == ("negative", "equivocal", "positive")
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-9)
        assert answer.most_probable == answer.classes[int(np.argmax(answer.probabilities))]
        assert answer.label == (answer.most_probable if answer.reliable else None)
        assert answer.usable
        assert answer.model.endswith(tiny_predictor.run.card["weights_sha256"][:12])
        assert set(answer.milliseconds) == {"prepare", "network"}
        json.dumps(answer.as_dict())


@pytest.mark.parametrize(
    ("flags", "sets", "answer"),
    [
        ((), None, "c"),
        ((), ("c",), "c"),
        (("cropped", "weak_stain"), ("c",), "c"),
        ((), ("b", "c"), "b or c"),
        ((), ("a", "b", "c"), "a, b or c"),
        ((), ("a", "b", "c", "d"), "one of 4 classes"),
        ((), (), "No reliable answer"),
        ((), ("a", "b"), "No reliable answer"),
        *(((flag,), ("c",), "No reliable answer") for flag in ("blank", "not_he", "field_of_view")),
        (("out_of_distribution",), None, "No reliable answer"),
    ],
)
def test_headline_and_prediction_set_follow_one_rule(flags, sets, answer):
    """A class only for an assessable patch like those of training, and one that the prediction set contains."""
    found = Prediction("x", ("a", "b", "c", "d"), (0.1, 0.2, 0.6, 0.1), flags, {}, "m", prediction_set=sets)
    assert found.answer == answer
    assert found.most_probable == "c"
    reliable = answer != "No reliable answer"
    assert found.reliable is reliable
    assert found.label == ("c" if reliable else None)
    assert found.reported_set == (sets if reliable else None)
    assert bool(found.reasons) is not reliable
    told = found.as_dict()
    assert (told["answer"], told["label"], told["reliable"]) == (answer, found.label, reliable)
    assert told["prediction_set"] == (list(sets) if reliable and sets is not None else None)
    assert told["probabilities"] == {"a": 0.1, "b": 0.2, "c": 0.6, "d": 0.1}


def test_prediction_is_frozen(tiny_predictor, patches):
    answer = tiny_predictor.predict(patches[:1])[0]
    with pytest.raises(AttributeError):
        answer.name = "other"


def test_array_bytes_and_path_give_the_same_answer(tiny_predictor, patches, tmp_path):
    blob = encode_png(patches[0])
    (tmp_path / "patch.png").write_bytes(blob)
    array, data, path = tiny_predictor.predict([patches[0], blob, tmp_path / "patch.png"], batch=1)
    assert array.probabilities == data.probabilities == path.probabilities
    assert path.name == "patch.png"


def test_a_bad_image_is_named_and_the_others_go_on(tiny_predictor, patches, tmp_path):
    (tmp_path / "notes.png").write_text("these are notes")
    answers = tiny_predictor.predict([patches[0], tmp_path / "notes.png", b"", patches[1]])
    assert [a.error is None for a in answers] == [True, False, False, True]
    assert "notes.png" in answers[1].error
    assert not answers[1].usable
    assert answers[1].label is None
    alone = tiny_predictor.predict([patches[1]])[0]
    np.testing.assert_allclose(answers[3].probabilities, alone.probabilities, atol=1e-5)


@pytest.mark.parametrize(("grey", "flag"), [(255, "blank"), (0, "black"), (128, "one_colour")])
def test_a_patch_without_tissue_is_flagged(tiny_predictor, grey, flag):
    answer = tiny_predictor.predict([np.full((128, 128, 3), grey, np.uint8)])[0]
    assert flag in answer.flags
    assert not answer.usable
    assert answer.notes


def test_field_of_view_is_flagged_only_when_it_differs(tiny_predictor, patches):
    assert tiny_predictor.run.card["input"]["field_um"] == pytest.approx(64 * 0.7)
    same = tiny_predictor.predict(patches[:1], mpp=64 * 0.7 / 128)[0]
    other = tiny_predictor.predict(patches[:1], mpp=2.0)[0]
    assert "field_of_view" not in same.flags
    assert "field_of_view" in other.flags


def test_a_whole_field_of_unknown_scale_is_flagged(tiny_predictor):
    """512 px show over 100 microns even at the finest scan; the training patches showed 45."""
    field = render_patch(CohortSpec(patients=6, patches_per_patient=1, px=512, mpp=0.5), 0).image
    assert "field_of_view" in tiny_predictor.predict([field])[0].flags
    assert "field_of_view" not in tiny_predictor.predict([field[:256, :256]])[0].flags


def test_float_arrays_and_wrong_names_are_refused(tiny_predictor, patches):
    answer = tiny_predictor.predict(patches[0].astype(np.float32))
    assert "a uint8 (H, W, 3)" in answer.error
    with pytest.raises(ConfigError, match="argument `names` to be 1 names"):
        tiny_predictor.predict(patches[:1], names=["a", "b"])
    with pytest.raises(ConfigError, match="argument `target` to be one of 'negative', 'equivocal', 'positive'"):
        tiny_predictor.explain(patches[0], target="maybe")


def test_released_scores_are_the_predictors(tiny_predictor, tiny_run, tiny_manifest):
    """predictions.parquet comes from the very weights and preprocessing that serve."""
    from her2core.data.manifest import read_manifest
    from her2core.data.patches import PatchReader

    rows = tiny_run.predictions.head(4)
    reader = PatchReader(read_manifest(tiny_manifest))
    answers = tiny_predictor.predict([reader(p) for p in rows["patch_id"]])
    logits = rows[[f"logit_{c}" for c in tiny_run.classes]].to_numpy(np.float64) / tiny_run.card["temperature"]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([a.probabilities for a in answers], expected, atol=1e-5)


def test_eight_threads_two_hundred_mixed_calls_equal_serial(tiny_predictor, patches):
    classes = tiny_predictor.classes
    serial_probs = [tiny_predictor.predict([p])[0].probabilities for p in patches]
    serial_maps = {(i, c): tiny_predictor.explain(p, target=c).grid for i, p in enumerate(patches) for c in classes}

    def call(number: int):
        i = number % len(patches)
        if number % 2:
            return ("p", i, None, tiny_predictor.predict([patches[i]])[0].probabilities)
        c = classes[number // 2 % 3]
        return ("m", i, c, tiny_predictor.explain(patches[i], target=c).grid)

    numbers = list(range(200))
    random.Random(0).shuffle(numbers)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, numbers))
    assert len(answers) == 200
    for kind, i, c, got in answers:
        expected = serial_probs[i] if kind == "p" else serial_maps[i, c]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_one_pass_gives_the_same_as_two(tiny_predictor, patches):
    answer, maps = tiny_predictor.predict_and_explain(patches[2])
    np.testing.assert_allclose(answer.probabilities, tiny_predictor.predict([patches[2]])[0].probabilities, atol=1e-6)
    assert set(maps) == set(tiny_predictor.classes)
    for name, found in maps.items():
        np.testing.assert_allclose(found.grid, tiny_predictor.explain(patches[2], target=name).grid, atol=1e-6)


def test_public_explain_takes_a_run_folder(tiny_run, tiny_predictor, patches):
    found = explain(tiny_run.path, patches[0], target="positive")
    np.testing.assert_allclose(found.grid, tiny_predictor.explain(patches[0], target="positive").grid, atol=1e-6)


def test_loading_twice_gives_equal_answers(tiny_run, tiny_predictor, patches):
    again = load_predictor(str(tiny_run.path)).predict(patches[:2])
    assert [a.probabilities for a in again] == [a.probabilities for a in tiny_predictor.predict(patches[:2])]


@pytest.fixture(scope="module")
def example():
    """Random weights: for what does not depend on them."""
    return example_predictor()


def test_one_image_gives_one_prediction_and_several_give_a_list(example, patches, tmp_path):
    (tmp_path / "patch.png").write_bytes(encode_png(patches[0]))
    path = tmp_path / "patch.png"
    forms = [patches[0], encode_png(patches[0]), path, str(path), Image.fromarray(patches[0])]
    single = [example.predict(form) for form in forms]
    assert all(isinstance(p, Prediction) for p in single)
    assert {p.probabilities for p in single} == {single[0].probabilities}
    assert [p.name for p in single] == ["image 1", "image 1", "patch.png", "patch.png", "image 1"]
    for several in (forms, tuple(forms), iter(forms)):
        found = example.predict(several, batch=2)
        assert isinstance(found, list)
        np.testing.assert_allclose([p.probabilities for p in found], [single[0].probabilities] * 5, atol=1e-5)
    assert example.predict([]) == []


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_a_pil_image_of_any_mode_is_read_as_its_file_would_be(mode, patches):
    picture = Image.fromarray(patches[0])
    picture = Image.fromarray(patches[0][..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    picture.save(stream := io.BytesIO(), kind)
    np.testing.assert_array_equal(as_decoded(picture).pixels, as_decoded(stream.getvalue()).pixels)


def test_a_pil_image_is_turned_as_its_exif_says(patches):
    upright = patches[0][:96]
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.fromarray(np.rot90(upright)).save(stream, "PNG", exif=exif)
    np.testing.assert_array_equal(as_decoded(Image.open(stream)).pixels, upright)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, "`batch` to be a whole number of 1 or more, but got 0"),
        ({"batch": 1.5}, "`batch`"),
        ({"batch": True}, "`batch`"),
        ({"mpp": 0}, "`mpp` to be microns per pixel above 0, but got 0"),
        ({"mpp": float("nan")}, "`mpp`"),
        ({"mpp": "0.5"}, "`mpp`"),
        ({"names": "a"}, "`names` to be 2 names"),
        ({"names": ["a"]}, "`names` to be 2 names"),
        ({"names": [1, 2]}, "`names` to be 2 names"),
    ],
)
def test_arguments_are_checked(example, patches, arguments, message):
    with pytest.raises(ConfigError, match=message):
        example.predict(patches[:2], **arguments)


def test_images_of_another_type_are_refused(example, patches):
    with pytest.raises(ConfigError, match="`images` to be an image or a sequence"):
        example.predict(7)
    with pytest.raises(ConfigError, match="one name for one image"):
        example.predict(patches[0], names=["a"])
    assert "found int" in example.predict([7])[0].error
    assert "(6, 128, 128, 3)" in example.predict(np.stack(patches)).error, "one array is one image"
    with pytest.raises(ConfigError, match="`device`"):
        Predictor(example.run, example.network, device="abacus")


def test_results_compare_hash_and_show_themselves(example, patches):
    first, second = example.predict(patches[0]), example.predict(patches[0])
    assert first == second
    assert hash(first) == hash(second)
    assert first != example.predict(patches[0], names="other")
    assert first.label in repr(first)
    assert "array" not in repr(first)
    one, other = (example.explain(patches[0], target=t) for t in ("positive", "negative"))
    assert one == example.explain(patches[0], target="positive")
    assert len({one, example.explain(patches[0], target="positive"), other}) == 2
    assert "positive" in repr(one)
    html = one._repr_html_()
    assert html.count("data:image/png;base64,") == 1
    assert "Research use only" in html


def test_html_is_escaped_and_names_an_unusable_patch(example):
    white = np.full((64, 64, 3), 255, np.uint8)
    html = example.predict(white, names="<script>alert(1)</script>")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<td>No reliable answer</td>" in html
    assert html.index("<details>") < min(html.index(name) for name in example.classes)
    assert "Research use only" in html
    assert "<td>x: " in example.predict(b"", names="x")._repr_html_()


def test_a_network_with_scores_that_are_not_finite_never_names_a_class(patches):
    broken = example_predictor()
    with torch.no_grad():
        broken.network.get_submodule(broken.network.last_layer).bias[1] = float("nan")
    for prediction in (broken.predict(patches[0]), *broken.predict(patches[:2])):
        assert prediction.label is None
        assert not prediction.probabilities
        assert "finite score" in prediction.error
    prediction, maps = broken.predict_and_explain(patches[0])
    assert prediction.label is None
    assert not maps
    for target in (None, "negative"):
        with pytest.raises(NetworkError, match="finite score"):
            broken.explain(patches[0], target=target)
    with pytest.raises(NetworkError, match="finite score"):
        broken.predict_proba(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(NetworkError, match="finite score"):
        broken.analyse(patches[0]).class_map("negative")


def test_a_run_with_weights_that_are_not_finite_is_not_loaded(tiny_run, tiny_predictor, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(tiny_run.path, copy)
    network = deepcopy(tiny_predictor.network)
    with torch.no_grad():
        next(iter(network.parameters()))[0, 0, 0, 0] = float("inf")
    card = json.loads((copy / "model.card.json").read_text())
    card["weights_sha256"] = save_weights(network, copy / "model.safetensors")
    (copy / "model.card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="finite numbers"):
        load_predictor(copy)


def test_one_pass_through_the_network_serves_prediction_and_every_map(example, patches, monkeypatch):
    calls = []
    network = example.network
    features = network.features
    monkeypatch.setattr(network, "features", lambda x: (calls.append(len(x)), features(x))[1])
    analyses = example.analyse(patches[:3], names=["a", "b", "c"], batch=2)
    assert calls == [2, 1]
    maps = [a.class_maps(method=m) for a in analyses for m in ("gradcam", "layercam")]
    assert calls == [2, 1], "maps take no further pass"
    assert all(set(found) == set(example.classes) for found in maps)
    calls.clear()
    prediction, found = example.predict_and_explain(patches[0])
    assert calls == [1]
    assert set(prediction.milliseconds) == {"prepare", "network", "maps"}
    np.testing.assert_allclose(found["positive"].grid, maps[0]["positive"].grid, atol=1e-5)


def test_an_analysis_without_prediction_raises_its_reason(example):
    analysis = example.analyse(b"no image", names="broken.png")
    assert analysis.prediction.error
    with pytest.raises(ImageError, match=r"broken\.png"):
        analysis.class_map()
