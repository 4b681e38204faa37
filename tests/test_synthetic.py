"""The synthetic cohort: deterministic, labelled, balanced, with a mask that can be scored."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from her2core.data.synthetic import MASK_CODES, PLAN_COLUMNS, CohortSpec, plan_cohort, render_patch, write_cohort
from her2core.errors import ConfigError, Her2Error
from her2core.labels import SCHEMES

SMALL = CohortSpec(patients=6, patches_per_patient=3, px=64, seed=5)


def _read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).copy()


def _indices_of(plan: pd.DataFrame, label: str, count: int) -> list[int]:
    """The first patch of `count` patients of one class: the class is the patient's, not the patch's."""
    chosen = plan[plan["label"] == label].drop_duplicates("patient_id").head(count)
    return [int(i) for i in chosen.index]


def test_the_default_plan_is_the_cohort_promised():
    spec = CohortSpec()
    plan = plan_cohort(spec)
    assert list(plan.columns) == list(PLAN_COLUMNS)
    assert len(plan) == spec.patches == 3000
    assert plan["patch_id"].is_unique
    assert plan.groupby("patient_id").size().eq(25).all()
    by_patient = plan.drop_duplicates("patient_id")
    assert by_patient["label"].value_counts().to_dict() == {"negative": 40, "equivocal": 40, "positive": 40}
    slides = plan.groupby("patient_id")["slide_id"].nunique()
    assert set(slides) == {1, 2}
    assert plan.groupby("slide_id")["patient_id"].nunique().eq(1).all()
    assert plan.groupby("patient_id")[["site", "scanner", "her2_ihc", "ish", "label"]].nunique().eq(1).all(axis=None)
    assert plan["patient_id"].str.fullmatch(r"SYN-\d{4}").all()
    assert set(plan["source"]) == {"her2core synthetic"}
    assert plan["site"].str.startswith("synthetic").all()
    assert plan["scanner"].str.startswith("synthetic").all()


def test_labels_follow_the_ihc_score_by_the_scheme_paper3():
    plan = plan_cohort(CohortSpec())
    derived = [SCHEMES["paper3"].derive(ihc, ish) for ihc, ish in zip(plan["her2_ihc"], plan["ish"], strict=True)]
    assert derived == list(plan["label"])
    assert set(plan["her2_ihc"]) == {"0", "1+", "2+", "3+"}
    assert set(plan.loc[plan["her2_ihc"] != "2+", "ish"]) == {"unknown"}
    assert {"unknown", "negative"} <= set(plan.loc[plan["her2_ihc"] == "2+", "ish"])


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_site_says_nothing_about_the_class(seed):
    by_patient = plan_cohort(CohortSpec(patches_per_patient=1, seed=seed)).drop_duplicates("patient_id")
    table = pd.crosstab(by_patient["label"], by_patient["site"])
    assert (table.to_numpy() == 20).all()


def test_an_odd_number_of_patients_stays_balanced():
    by_patient = plan_cohort(CohortSpec(patients=11, patches_per_patient=1)).drop_duplicates("patient_id")
    assert sorted(by_patient["label"].value_counts()) == [3, 4, 4]
    assert np.ptp(by_patient["site"].value_counts().to_numpy()) <= 1


def test_the_same_seed_gives_the_same_bytes_in_any_order():
    forward = [render_patch(SMALL, i) for i in (0, 7, 17)]
    backward = [render_patch(SMALL, i) for i in (17, 7, 0)][::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert one.mask.tobytes() == other.mask.tobytes()
        assert one.row == other.row
    other_seed = render_patch(CohortSpec(patients=6, patches_per_patient=3, px=64, seed=6), 7)
    assert other_seed.image.tobytes() != forward[1].image.tobytes()
    assert forward[0].image.tobytes() != forward[1].image.tobytes()


def test_files_do_not_depend_on_the_number_of_workers(tmp_path):
    spec = CohortSpec(patients=6, patches_per_patient=5, px=64, seed=5)
    calls: list[tuple[int, int]] = []
    one = write_cohort(spec, tmp_path / "one", workers=1, progress=lambda done, total: calls.append((done, total)))
    two = write_cohort(spec, tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(one, two)
    assert calls[-1] == (30, 30)
    assert [d for d, _ in calls] == sorted(d for d, _ in calls)
    for column in ("path", "mask_path"):
        for path in one[column]:
            assert "\\" not in path
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_written_files_are_the_rendered_patches(tmp_path):
    plan = write_cohort(SMALL, tmp_path, workers=1)
    pd.testing.assert_frame_equal(plan[list(PLAN_COLUMNS)], plan_cohort(SMALL))
    for index in (0, 10):
        row, patch = plan.iloc[index], render_patch(SMALL, index)
        assert row["path"] == f"patches/{row['patient_id']}/{row['patch_id']}.png"
        assert row["mask_path"] == f"masks/{row['patient_id']}/{row['patch_id']}.png"
        np.testing.assert_array_equal(_read(tmp_path / row["path"]), patch.image)
        np.testing.assert_array_equal(_read(tmp_path / row["mask_path"]), patch.mask)
        assert dict(patch.row) == row[list(PLAN_COLUMNS)].to_dict()


@pytest.mark.parametrize(("px", "mpp"), [(64, 0.7), (97, 0.5), (128, 2.0), (256, 0.25)])
def test_shapes_and_types_at_other_sizes(px, mpp):
    patch = render_patch(CohortSpec(patients=6, patches_per_patient=1, px=px, mpp=mpp), 3)
    assert patch.image.shape == (px, px, 3)
    assert patch.image.dtype == np.uint8
    assert patch.mask.shape == (px, px)
    assert patch.mask.dtype == np.uint8
    assert set(np.unique(patch.mask)) <= set(MASK_CODES)
    assert patch.image.std() > 10


def test_masks_cover_part_of_the_patch_in_clusters():
    spec = CohortSpec()
    masks = [render_patch(spec, i).mask for i in range(0, 3000, 50)]
    area = np.array([(mask > 0).mean() for mask in masks])
    assert ((area > 0.08) & (area < 0.50)).mean() > 0.9
    assert 0.15 < np.median(area) < 0.40
    assert {int(code) for mask in masks for code in np.unique(mask)} == set(MASK_CODES)
    # Clustered: on a 4 by 4 grid the masked share varies far more between cells than independent pixels would.
    spread = [(mask > 0).reshape(4, 32, 4, 32).mean(axis=(1, 3)).std() for mask in masks]
    assert np.median(spread) > 0.08


def test_the_class_shows_in_nuclear_size_and_mitoses():
    spec = CohortSpec()
    plan = plan_cohort(spec)

    def nuclear_area(label: str) -> float:
        areas = []
        for index in _indices_of(plan, label, 12):
            parts, count = ndimage.label(render_patch(spec, index).mask == 1)
            areas.extend(np.bincount(parts.ravel(), minlength=count + 1)[1:])
        return float(np.mean([a for a in areas if a > 30])) * spec.mpp**2

    negative, positive = nuclear_area("negative"), nuclear_area("positive")
    assert positive > 1.2 * negative


def test_without_a_class_effect_the_patches_of_a_patient_ignore_the_label():
    from her2core.data.synthetic.cohort import cohort_patients
    from her2core.data.synthetic.patient import draw_traits

    spec = CohortSpec(class_effect=0.0, patient_effect=0.0)
    traits = {draw_traits(spec, record) for record in cohort_patients(spec)}
    assert len(traits) == 1


def test_without_a_patient_effect_patients_of_one_site_share_their_stain():
    from her2core.data.synthetic.cohort import cohort_patients
    from her2core.data.synthetic.patient import draw_look

    spec = CohortSpec(patient_effect=0.0)
    looks = {(r.site_index, draw_look(spec, r, slide)) for r in cohort_patients(spec) for slide in range(r.slides)}
    assert len(looks) == 2
    assert render_patch(spec, 0).image.shape == (128, 128, 3)
    own = {draw_look(CohortSpec(), record, 0) for record in cohort_patients(CohortSpec())}
    assert len(own) == 120


def test_it_looks_stained():
    image = render_patch(CohortSpec(), 0).image.reshape(-1, 3).astype(float)
    red, green, blue = image.mean(axis=0)
    assert green < red
    assert green < blue
    assert image.min() < 130
    assert image.max() > 200


@pytest.mark.parametrize(
    "bad",
    [
        {"patients": 5},
        {"patients": 12.0},
        {"patients": True},
        {"patches_per_patient": 0},
        {"px": 63},
        {"px": 1025},
        {"mpp": 0.0},
        {"mpp": 2.1},
        {"mpp": float("nan")},
        {"mpp": "0.7"},
        {"seed": -1},
        {"patient_effect": -0.1},
        {"class_effect": -1},
        {"class_effect": float("inf")},
    ],
)
def test_bad_specs_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        CohortSpec(**bad)


@pytest.mark.parametrize("index", [-1, 18, 1.0, True, "0"])
def test_a_patch_that_is_not_there_is_refused(index):
    with pytest.raises(ConfigError, match="from 0 to 17"):
        render_patch(SMALL, index)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_bad_workers_are_refused(workers, tmp_path):
    with pytest.raises(Her2Error, match="workers"):
        write_cohort(SMALL, tmp_path, workers=workers)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="a folder"):
        write_cohort(SMALL, tmp_path / "taken", workers=1)


def test_spec_patch_and_row_cannot_be_changed():
    patch = render_patch(SMALL, 0)
    with pytest.raises(FrozenInstanceError):
        SMALL.px = 65
    with pytest.raises(FrozenInstanceError):
        patch.image = patch.mask
    with pytest.raises(TypeError):
        patch.row["label"] = "positive"
