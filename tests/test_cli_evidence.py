"""``her2 evaluate``, ``compare``, ``predict`` and ``explain``: answers and refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_steps import copy_of, relabelled, strict_json
from PIL import Image

from her2core.io.images import read_image

# Evidence


def test_evaluate_a_run_folder_gives_its_own_numbers(her2, tiny_run):
    code, out, err = her2("evaluate", tiny_run.path, "--json")
    assert code == 0, err
    found = strict_json(out)
    assert found["part"] == "test"
    assert found["notice"] == "Research use only."
    assert found["warnings"] == list(tiny_run.warnings)
    stored = tiny_run.table("metrics")
    assert len(stored) == len(found["metrics"])
    shown = pd.DataFrame(found["metrics"])
    for column in ("value", "lower_95", "upper_95"):
        np.testing.assert_allclose(shown[column].astype(float), stored[column], atol=1e-6)
    counts = sum(row["count"] for row in found["confusion"] if row["unit"] == "patch")
    assert counts == (tiny_run.predictions["split"] == "test").sum()
    assert all(isinstance(row["count"], int) for row in found["confusion"])
    code, out, _ = her2("evaluate", tiny_run.path, "--part", "val")
    assert code == 0
    assert "recall of equivocal" in out
    assert out.endswith("Research use only.\n")


def foreign(path: Path, **changes) -> Path:
    """Another tool's CSV: probabilities, labels, patients; nothing that this project writes itself."""
    rng = np.random.default_rng(4)
    probs = rng.dirichlet([1, 1], 40)
    frame = pd.DataFrame(
        {
            "case": range(40),
            "patient_id": [f"p{i // 4}" for i in range(40)],
            "probability_0": probs[:, 0],
            "probability_1": probs[:, 1],
            "label": [str(i // 4 % 2) for i in range(40)],
        }
    ).assign(**changes)
    frame.to_csv(path, index=False)
    return path


def test_evaluate_any_tools_table(her2, tmp_path):
    table = foreign(tmp_path / "theirs.csv")
    code, out, err = her2("evaluate", table, "--json")
    assert code == 0, err
    found = strict_json(out)
    frame = pd.read_csv(table, dtype={"label": str})
    expected = (np.where(frame["probability_1"] > frame["probability_0"], "1", "0") == frame["label"]).mean()
    accuracy = next(r for r in found["metrics"] if r["metric"] == "accuracy" and r["unit"] == "patch")
    assert accuracy["value"] == pytest.approx(expected)
    assert accuracy["resampling_unit"] == "patient"
    assert accuracy["n_clusters"] == 10
    units = {u["unit"]: u for u in found["units"]}
    assert units["patient"]["assessed"] is True
    assert units["slide"]["assessed"] is False
    assert "slide id" in units["slide"]["reason"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": "maybe"}, "Expected labels out of 0, 1"),
        ({"probability_1": 0.9}, "sum to one"),
        ({"probability_1": "high"}, "a probability column for each"),
        ({"split": "train"}, "predictions of the test part, but got only 'train'"),
        ({"patch_id": "same"}, "each patch once"),
    ],
)
def test_evaluate_refuses_a_table_that_cannot_be_right(her2, tmp_path, changes, said):
    code, out, err = her2("evaluate", foreign(tmp_path / "theirs.csv", **changes), "--json")
    assert code == 1, err
    assert said in strict_json(out)["error"]


def test_evaluate_can_write_the_tables_that_the_dashboard_reads(her2, tiny_run, tmp_path):
    copy = copy_of(tiny_run, tmp_path / "copy")
    shutil.rmtree(copy / "evaluation")
    assert her2("evaluate", copy, "--json")[0] == 0
    assert not (copy / "evaluation").exists()
    code, out, err = her2("evaluate", copy, "--save", "--json")
    assert code == 0, err
    assert strict_json(out)["metrics"]
    for name in ("metrics", "confusion", "units"):
        assert (copy / "evaluation" / f"{name}.csv").read_text() == (
            tiny_run.path / "evaluation" / f"{name}.csv"
        ).read_text()


def test_a_run_against_itself_shows_no_difference(her2, tiny_run):
    code, out, err = her2("compare", tiny_run.path, tiny_run.path, "--json")
    assert code == 0, err
    found = strict_json(out)
    said = "cannot be compared: only 3 patients (at least 6 are needed)"
    assert (found["statement"], found["unit"], found["primary"]["metric"]) == (said, "patient", "balanced_accuracy")
    metrics = {r["metric"] for r in found["table"]}
    assert metrics >= {"accuracy", "balanced_accuracy", "macro_f1", "macro_auroc", "recall"}
    assert [r["statement"] for r in found["table"] if r["role"] == "primary"] == [said]
    assert {r["statement"] for r in found["table"] if r["role"] == "descriptive"} == {""}
    assert {r["difference"] for r in found["table"]} <= {0, None}
    code, out, _ = her2("compare", tiny_run.path, tiny_run.path, "--unit", "patch", "--primary", "recall")
    assert code == 1, "a metric per class needs its class"
    code, out, _ = her2("compare", tiny_run.path, tiny_run.path, "--unit", "patch", "--primary", "accuracy")
    assert (code, out.splitlines()[0]) == (0, f"accuracy by patch: {said}")


def test_runs_on_other_data_are_not_compared(her2, tiny_run, tmp_path):
    patches = relabelled(tiny_run, tmp_path / "patches", lambda f: f.assign(patch_id="other-" + f["patch_id"]))
    labels = relabelled(tiny_run, tmp_path / "labels", lambda f: f.assign(label="negative"))
    for other, said in ((patches, "0 are shared"), (labels, "patches with different true classes")):
        code, out, _ = her2("compare", tiny_run.path, other, "--json")
        assert code == 1
        assert "two runs tested on the same patches" in strict_json(out)["error"]
        assert said in strict_json(out)["error"]


# Predictions


def test_predict_names_what_it_cannot_read_and_goes_on(her2, tiny_run, tiny_predictor, mixed, tmp_path):
    code, out, err = her2("predict", tiny_run.path, mixed, tmp_path / "absent.png", "--out", "answers.csv", "--json")
    assert code == 1
    assert "Traceback" not in err
    answers = strict_json(out)
    assert [Path(a["name"]).name for a in answers] == ["a.png", "cut.png", "notes.png", "b.png", "absent.png"]
    assert [a["error"] is None for a in answers] == [True, False, False, True, False]
    for answer in answers:
        assert answer["research_use_only"] is True
        if answer["error"]:
            assert Path(answer["name"]).name in answer["error"]
            assert answer["label"] is None
        else:
            assert sum(answer["probabilities"].values()) == pytest.approx(1)
    expected = tiny_predictor.predict([mixed / "a.png", mixed / "deeper" / "b.png"])
    np.testing.assert_allclose(
        [list(a["probabilities"].values()) for a in (answers[0], answers[3])],
        [e.probabilities for e in expected],
        atol=1e-5,
    )
    table = pd.read_csv("answers.csv")
    assert list(table["name"]) == [a["name"] for a in answers]
    assert set(table["notice"]) == {"Research use only."}
    assert table["error"].notna().tolist() == [False, True, True, False, True]
    np.testing.assert_allclose(table.loc[0, [f"probability_{c}" for c in tiny_run.classes]].astype(float).sum(), 1)
    assert table.loc[[1, 2, 4], [f"probability_{c}" for c in tiny_run.classes]].isna().all(axis=None)


def test_predict_says_it_in_words_and_exits_0_when_all_is_well(her2, tiny_run, mixed, tmp_path):
    Image.new("RGB", (64, 64), "white").save(tmp_path / "blank.png")
    code, out, _ = her2("predict", tiny_run.path, mixed / "a.png", tmp_path / "blank.png")
    assert code == 0
    doubt, good, blank, notice = (line for line in out.splitlines() if ": note: " not in line)
    assert doubt.startswith("Accuracy of this model: ")
    assert good.startswith(f"{mixed / 'a.png'}: ")
    assert all(f"{c} 0." in good for c in tiny_run.classes)
    assert "blank.png: No reliable answer: almost no tissue" in blank
    assert not any(c in blank.split("blank.png")[1] for c in tiny_run.classes)
    assert notice == "Research use only."


def test_predict_with_a_field_of_view_out_of_distribution_is_flagged(her2, tiny_run, mixed):
    for mpp, flagged in ((64 * 0.7 / 128, False), (0.05, True)):
        _, out, _ = her2("predict", tiny_run.path, mixed / "a.png", "--mpp", mpp, "--json")
        assert ("field_of_view" in strict_json(out)[0]["flags"]) is flagged


def test_an_empty_folder_is_said_and_not_answered_with_nothing(her2, tiny_run, tmp_path):
    (tmp_path / "empty").mkdir()
    code, out, _ = her2("predict", tiny_run.path, tmp_path / "empty", "--out", "answers.csv", "--json")
    assert code == 1
    assert "Expected at least one image, but got none" in strict_json(out)["error"]
    assert not Path("answers.csv").exists()


def test_explain_writes_a_picture(her2, tiny_run, tiny_predictor, mixed):
    code, out, err = her2(
        "explain", tiny_run.path, mixed / "a.png", "--target", "positive", "--out", "maps/map.png", "--json"
    )
    assert code == 0, err
    found = strict_json(out)
    assert (found["target"], found["notice"]) == ("positive", "Research use only.")
    np.testing.assert_allclose(
        found["grid"], tiny_predictor.explain(mixed / "a.png", target="positive").grid, atol=1e-5
    )
    assert read_image("maps/map.png").shape == (470, 448, 3)
    with Image.open("maps/map.png") as picture:
        assert picture.info == {}
    code, out, _ = her2("explain", tiny_run.path, mixed / "a.png", "--out", "map.png")
    assert (
        f"Grad-CAM for {tiny_predictor.predict([mixed / 'a.png'])[0].most_probable}, 4 x 4 cells. Research use only."
        in out
    )


@pytest.mark.parametrize(
    ("image", "target", "said"),
    [
        ("notes.png", "positive", "notes.png"),
        ("a.png", "maybe", "`target` to be one of 'negative', 'equivocal', 'positive'"),
    ],
)
def test_explain_refuses_and_writes_nothing(her2, tiny_run, mixed, image, target, said):
    code, out, _ = her2("explain", tiny_run.path, mixed / image, "--target", target, "--out", "map.png", "--json")
    assert code == 1
    assert said in strict_json(out)["error"]
    assert list(Path.cwd().rglob("*")) == []
