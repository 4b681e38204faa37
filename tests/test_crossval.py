"""Cross-validation: out-of-fold runs against their folds, tables against runs, resumption, refusals."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from her2core import evaluate
from her2core.cli import cli
from her2core.errors import ConfigError, StudyError
from her2core.evidence.seeds import summarize_seeds
from her2core.runs.folder import open_run
from her2core.study.crossval import CrossValidationConfig, load_study, repetitions
from her2core.study.crossval_tables import FOLDS, save_crossval, train_folds


@pytest.fixture(scope="module")
def plan(tiny_manifest):
    """The last layer of a small network under two designs, two folds, two seeds: the machinery, not the figures."""
    return {
        "title": "tiny",
        "networks": [{"label": "lcnet", "name": "timm:lcnet_050", "frozen": {"head": "linear"}}],
        "designs": [{"unit": "patient", "folds": 2}, {"unit": "patch_random", "folds": 2}],
        "seeds": [0, 1],
        "run": {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "input": {"px": 32},
            "hardware": {"accelerator": "cpu"},
        },
    }


@pytest.fixture(scope="module")
def study(plan, tmp_path_factory):
    """That study, run by its command."""
    folder = tmp_path_factory.mktemp("crossval")
    (folder / "cv.yaml").write_text(yaml.safe_dump(plan))
    out = folder / "out"
    command = ["study", "cv", "--config", str(folder / "cv.yaml"), "--out", str(out), "--quiet", "--json"]
    assert cli.main(command, standalone_mode=False) == 0
    return load_study(folder / "cv.yaml"), out


def fold_runs(out, name):
    return [open_run(out / FOLDS / f"{name}-fold{number}") for number in (1, 2)]


def test_an_out_of_fold_run_has_the_test_rows_of_its_folds(study):
    plan, out = study
    for one in repetitions(plan):
        run = open_run(out / one.name)
        stored = run.predictions.set_index("patch_id")
        assert sorted(stored.index) == sorted(run.dataset["patch_id"])
        for number, fold in enumerate(fold_runs(out, one.name)):
            tested = fold.predictions[fold.predictions["split"] == "test"].set_index("patch_id")
            rows = stored.loc[tested.index]
            assert set(rows["fold"]) == {number}
            assert rows["temperature"].to_numpy() == pytest.approx(fold.card["temperature"])
            logits = [f"logit_{c}" for c in run.classes]
            np.testing.assert_array_equal(rows[logits], tested[logits])
            known = set(fold.splits.loc[fold.splits["split"] != "test", "patch_id"])
            assert not known & set(tested.index)


def test_no_patient_is_trained_on_in_the_fold_that_tests_it(study):
    plan, out = study
    for one in repetitions(plan):
        for fold in fold_runs(out, one.name):
            rows = fold.predictions.merge(fold.splits, on="patch_id", suffixes=("_", ""))
            patients = open_run(out / one.name).dataset.set_index("patch_id")["patient_id"]
            of = {part: set(patients[of["patch_id"]]) for part, of in fold.splits.groupby("split")}
            apart = of["test"].isdisjoint(of["train"] | of["val"])
            assert apart == (one.design.unit == "patient"), rows


def test_the_evaluation_is_that_of_all_patches_with_the_temperature_of_their_own_model(study):
    _, out = study
    run = open_run(out / "lcnet-patient-seed0")
    table = run.predictions
    logits = table[[f"logit_{c}" for c in run.classes]].to_numpy() / table[["temperature"]].to_numpy()
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = table["label"].map({c: i for i, c in enumerate(run.classes)})
    found = evaluate(run)
    assert found.value("accuracy") == pytest.approx(accuracy_score(labels, probs.argmax(axis=1)))
    loss = -np.log(probs[np.arange(len(labels)), labels]).mean()
    assert found.value("negative_log_likelihood") == pytest.approx(loss, rel=1e-5)
    by_patient = pd.DataFrame(probs).groupby(table["patient_id"]).mean().to_numpy().argmax(axis=1)
    truth = labels.groupby(table["patient_id"]).first()
    assert found.value("balanced_accuracy", unit="patient") == pytest.approx(balanced_accuracy_score(truth, by_patient))
    assert found.notes[0].startswith("Out-of-fold, 2 models: each patch was predicted by a model that was trained")
    assert "without its patient" in found.notes[0]
    assert "with others of its slide and patient" in evaluate(out / "lcnet-patch-random-seed0").notes[0]


def test_a_random_split_carries_its_warning_and_one_by_patient_none(study):
    _, out = study
    assert any("Random patch split" in w for w in open_run(out / "lcnet-patch-random-seed0").warnings)
    assert not any("Random patch split" in w for w in open_run(out / "lcnet-patient-seed0").warnings)


def test_baselines_are_fitted_outside_of_each_fold(study):
    _, out = study
    run = open_run(out / "lcnet-patch-random-seed1")
    frame = run.predictions
    right = 0
    for fold in (0, 1):
        most = frame.loc[frame["fold"] != fold, "label"].value_counts()
        guess = min(most.index[most == most.max()], key=run.classes.index)
        right += (frame.loc[frame["fold"] == fold, "label"] == guess).sum()
    table = pd.read_csv(run.path / "evaluation" / "baselines.csv")
    row = table[(table["baseline"] == "prevalence") & (table["unit"] == "patch") & (table["metric"] == "accuracy")]
    assert row["value"].item() == pytest.approx(right / len(frame), abs=1e-6)


def test_the_tables_are_the_figures_of_the_runs(study):
    plan, out = study
    names = {group: [f"{group}-seed{seed}" for seed in (0, 1)] for group in plan.groups}
    groups = {group: [open_run(out / name).test_predictions() for name in of] for group, of in names.items()}
    expected = summarize_seeds(groups, reference="lcnet-patient", unit="patient")
    stored = pd.read_csv(out / "cv.csv")
    by_patient = stored[stored["unit"] == "patient"].reset_index(drop=True)
    for column in ("value", "lower_95", "upper_95"):
        assert by_patient[column].to_numpy() == pytest.approx(expected.table[column].to_numpy(), abs=1e-6, nan_ok=True)
    assert (stored["n_clusters"] == 18).all()  # the patients, not folds x seeds
    facts = json.loads((out / "study.json").read_text())
    assert (facts["kind"], facts["study"]["reference"]) == ("cv", "lcnet-patient")


def test_the_table_of_folds_counts_who_was_tested(study):
    _, out = study
    folds = pd.read_csv(out / "folds.csv")
    assert len(folds) == 8
    by_patient = folds[folds["group"] == "lcnet-patient"]
    assert (by_patient.groupby("seed")["patients"].sum() == 18).all()
    assert (by_patient["patients_negative"] == 3).all()
    run = open_run(out / "lcnet-patient-seed1")
    held = run.predictions[run.predictions["fold"] == 1]
    scores = held[[f"logit_{c}" for c in run.classes]].to_numpy()
    predicted = np.array(run.classes)[scores.argmax(axis=1)]
    row = by_patient[(by_patient["seed"] == 1) & (by_patient["fold"] == 2)]
    assert row["balanced_accuracy"].item() == pytest.approx(balanced_accuracy_score(held["label"], predicted), abs=1e-6)


def test_what_is_finished_is_not_trained_again(study, monkeypatch, tmp_path):
    plan, out = study
    monkeypatch.setattr("her2core.study.jobs.train", lambda *a, **k: pytest.fail("trained again"))
    shutil.copytree(out, tmp_path / "out")
    before = (out / "cv.csv").read_bytes()
    shutil.rmtree(tmp_path / "out" / FOLDS)  # the out-of-fold runs are enough
    assert train_folds(plan, tmp_path / "out", progress=False) == {}
    save_crossval(plan, tmp_path / "out")
    assert (tmp_path / "out" / "cv.csv").read_bytes() == before


def test_a_killed_study_puts_together_what_has_all_folds(study, tmp_path):
    plan, out = study
    shutil.copytree(out, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "lcnet-patient-seed1")
    shutil.rmtree(tmp_path / "out" / FOLDS / "lcnet-patient-seed1-fold2")
    found = save_crossval(plan, tmp_path / "out")
    assert found.table.groupby("group")["seeds"].first().to_dict() == {"lcnet-patient": 1, "lcnet-patch-random": 2}
    shutil.rmtree(tmp_path / "out" / "lcnet-patient-seed0")
    shutil.rmtree(tmp_path / "out" / FOLDS / "lcnet-patient-seed0-fold1")
    with pytest.raises(StudyError, match="a repetition of lcnet-patient, the reference, with all its folds"):
        save_crossval(plan, tmp_path / "out")


def test_a_changed_study_is_refused_and_nothing_is_lost(study, plan):
    _, out = study
    changed = CrossValidationConfig.model_validate({**plan, "run": {**plan["run"], "input": {"px": 64}}})
    with pytest.raises(StudyError, match="another one"):
        save_crossval(changed, out)
    assert open_run(out / "lcnet-patient-seed0").card["input"]["px"] == 32


def test_folds_can_be_listed_and_trained_apart(study, capsys):
    plan, out = study
    config = str(out.parent / "cv.yaml")
    cli.main(["study", "cv", "--config", config, "--list"], standalone_mode=False)
    names = capsys.readouterr().out.split()
    assert len(names) == 8
    assert names[0] == "lcnet-patient-seed0-fold1"
    with pytest.raises(ConfigError, match="folds of this study, but got lcnet-patient-seed0-fold9"):
        train_folds(plan, out, only=["lcnet-patient-seed0-fold9"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"designs": [{"unit": "patient", "folds": "each"}]}, "`each` for site alone"),
        ({"designs": [{"unit": "patient", "folds": 1}]}, "2 or more"),
        ({"designs": [{"unit": "patient"}, {"unit": "patient", "folds": 3}]}, "different names"),
        ({"reference": "other"}, "`reference` to be one of lcnet-patient"),
        ({"seeds": [1, 1]}, "seeds that differ"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(plan, tmp_path, change, sentence):
    (tmp_path / "cv.yaml").write_text(yaml.safe_dump({**plan, **change}))
    with pytest.raises(ConfigError, match=sentence):
        load_study(tmp_path / "cv.yaml")
    assert not (tmp_path / "out").exists()
