"""Preparation in threads: order, errors, pictures decoded once, and nothing left running."""

from __future__ import annotations

import threading
import time
from itertools import islice

import numpy as np
import pytest
from PIL import Image

from her2core.data.synthetic import CohortSpec, render_patch
from her2core.inference import reading_ahead
from her2core.inference.reading_ahead import ready_patches


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setattr(reading_ahead.os, "cpu_count", lambda: 4)


def test_order_is_kept_whatever_takes_long():
    def slow(image, name):
        time.sleep(0.02 if int(name) % 3 == 0 else 0)
        return name

    names = [str(i) for i in range(40)]
    assert list(ready_patches(slow, [b""] * 40, names, 4)) == names


def test_images_are_prepared_at_the_same_time_and_not_all_ahead():
    seen, together = [], threading.Barrier(4, timeout=10)

    def meet(image, name):
        if int(name) < 4:
            together.wait()  # passes only if four are prepared at once
        seen.append(name)
        return name

    patches = ready_patches(meet, [b""] * 100, [str(i) for i in range(100)], 5)
    assert list(islice(patches, 5)) == ["0", "1", "2", "3", "4"]
    patches.close()
    assert len(seen) < 40
    assert not [t for t in threading.enumerate() if t.name.startswith("prepare")]


def test_a_pillow_image_given_twice_is_decoded_by_one_thread():
    used = set()

    def note(image, name):
        used.add(threading.get_ident())
        return name

    picture = Image.new("RGB", (8, 8))
    assert list(ready_patches(note, [picture] * 6, list("abcdef"), 2)) == list("abcdef")
    assert used == {threading.get_ident()}


def test_what_preparing_raises_reaches_the_caller():
    def refuse(image, name):
        raise RuntimeError(name)

    with pytest.raises(RuntimeError, match="0"):
        list(ready_patches(refuse, [b""] * 10, [str(i) for i in range(10)], 2))
    assert not [t for t in threading.enumerate() if t.name.startswith("prepare")]


def test_many_images_of_every_form_are_predicted_as_one_by_one(tiny_predictor, tmp_path):
    images = [render_patch(CohortSpec(patients=6, patches_per_patient=2, px=96, seed=3), i).image for i in range(12)]
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    several = [*images, tmp_path / "a.png", tmp_path / "absent.png", Image.open(tmp_path / "a.png"), b"no image"]
    found = tiny_predictor.predict(several, batch=5)
    assert [p.error is None for p in found] == [True] * 13 + [False, True, False]
    for image, prediction in zip(images, found, strict=False):
        alone = tiny_predictor.predict(image)
        np.testing.assert_allclose(prediction.probabilities, alone.probabilities, atol=1e-5)
        assert prediction.ood_score == pytest.approx(alone.ood_score, rel=1e-4)
        assert prediction.flags == alone.flags
