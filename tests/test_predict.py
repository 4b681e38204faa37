"""Does the predictor answer rightly, item by item, and under threads?"""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from her2core import explain, load_predictor
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.errors import ImageError, NetworkError
from her2core.io.images import encode_png

SPEC = CohortSpec(patients=6, patches_per_patient=2, px=128, seed=11)


@pytest.fixture(scope="module")
def patches():
    return [render_patch(SPEC, i).image for i in range(6)]


def test_answer_is_a_distribution_over_the_runs_classes(tiny_predictor, patches):
    for answer in tiny_predictor.predict(patches):
        assert answer.classes == ("negative", "equivocal", "positive")
        assert sum(answer.probabilities) == pytest.approx(1, abs=1e-9)
        assert answer.label == answer.classes[int(np.argmax(answer.probabilities))]
        assert answer.usable
        assert answer.model.endswith(tiny_predictor.run.card["weights_sha256"][:12])
        assert set(answer.milliseconds) == {"prepare", "network"}
        json.dumps(answer.as_dict())


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
def test_nothing_to_judge_is_said(tiny_predictor, grey, flag):
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
    answer = tiny_predictor.predict([patches[0].astype(np.float32)])[0]
    assert "Expected uint8" in answer.error
    with pytest.raises(ImageError, match="expected 1 names"):
        tiny_predictor.predict(patches[:1], names=["a", "b"])
    with pytest.raises(NetworkError, match="negative, equivocal, positive"):
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
