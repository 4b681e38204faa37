"""Final model after cross-validation: trained on all patients, evidence out-of-fold, never taken for tested itself."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression

from her2core import load_predictor, validate_external
from her2core.cli import cli
from her2core.data.dataset import to_tensor
from her2core.data.manifest import read_manifest
from her2core.data.patches import PatchReader
from her2core.errors import ConfigError, StudyError
from her2core.evidence.run_sets import out_of_fold_sets, refit_run_sets
from her2core.runs.folder import open_run
from her2core.study.crossval import load_study, manifest_of, repetitions
from her2core.study.crossval_tables import FOLDS
from her2core.study.final import most_frequent, train_final
from her2core.study.out_of_fold import StudyData
from her2core.training.artifacts import complete_run
from her2core.training.earlier_run import start_warnings


@pytest.fixture(scope="module")
def made(tiny_manifest, tmp_path_factory):
    """A study of two folds by patient, and the run that ``her2 study final`` made of it."""
    folder = tmp_path_factory.mktemp("final")
    plan = {
        "title": "tiny",
        "networks": [{"label": "lcnet", "name": "timm:lcnet_050", "frozen": {"head": "linear"}}],
        "designs": [{"unit": "patient", "folds": 2}],
        "seeds": [3],
        "run": {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "input": {"px": 32},
            "hardware": {"accelerator": "cpu"},
        },
    }
    config, root, out = folder / "cv.yaml", folder / "study", folder / "served"
    config.write_text(yaml.safe_dump(plan))
    assert cli.main(["study", "cv", "--config", str(config), "--out", str(root), "--quiet"], standalone_mode=False) == 0
    command = ["study", "final", "lcnet-patient", "--config", str(config), "--study", str(root), "--out", str(out)]
    cli.main([*command, "--json"], standalone_mode=False)
    return config, root, open_run(out)


def test_its_evidence_is_the_out_of_fold_run(made):
    _, root, run = made
    evidence = open_run(root / "lcnet-patient-seed3")
    assert run.has_weights
    assert run.trained_on_evaluated
    assert not evidence.trained_on_evaluated
    assert run.predictions.equals(evidence.predictions)
    assert run.table("metrics").equals(evidence.table("metrics"))
    assert run.warnings == evidence.warnings
    final = run.card["out_of_fold"]["final"]
    assert final["patches"] == len(run.dataset)
    assert final["patients"] == run.dataset["patient_id"].nunique()
    assert "has not been tested itself" in run.card["limits"][-1]
    assert sum(limit.startswith("Out-of-fold") for limit in run.card["limits"]) == 1


def test_its_layer_is_fitted_to_all_patches_with_the_setting_of_most_folds(made, tiny_manifest):
    _, root, run = made
    chosen = [open_run(root / FOLDS / f"lcnet-patient-seed3-fold{k}").info["chosen"] for k in (1, 2)]
    assert run.info["chosen"] == most_frequent(chosen)[0]
    model, cohort = load_predictor(run, device="cpu", engine="torch"), read_manifest(tiny_manifest)
    images = [PatchReader(cohort)(patch) for patch in cohort.frame["patch_id"]]
    tensor = to_tensor(np.stack([model.prepare(image).image for image in images]), *model.scaling)
    with torch.inference_mode():
        maps = model.network.features(tensor)
        features, given = model.network.embed(maps).numpy(), model.network.head(maps).numpy()
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6 * np.median(features.std(0)))
    fitted = LogisticRegression(C=run.info["chosen"], class_weight="balanced", max_iter=2000)
    expected = fitted.fit(scaled, cohort.frame["label"].map(run.classes.index)).decision_function(scaled)
    centred = [scores - scores.mean(1, keepdims=True) for scores in (given, expected)]
    np.testing.assert_allclose(*centred, atol=0.02)


def test_prediction_sets_are_measured_on_patients_apart(made):
    _, _, run = made
    test = run.test_predictions()
    sets, table = out_of_fold_sets(test, run.test_folds())
    assert run.card["prediction_sets"]["kind"] == sets["patch"].kind
    stored = run.table("prediction_sets")
    assert stored["set_coverage"].fillna(-1).to_numpy() == pytest.approx(table["set_coverage"].fillna(-1).to_numpy())


def test_nobody_can_take_its_patients_for_new_ones(made, tiny_manifest):
    _, _, run = made
    cohort = read_manifest(tiny_manifest)
    split = cohort.frame[["patch_id"]].assign(split="test")
    assert "are ids of training patients" in start_warnings(f"run:{run.path}", cohort, split)[0]


def test_it_is_validated_on_another_cohort(made, tiny_manifest, tmp_path):
    _, _, run = made
    other = validate_external(run.path, tiny_manifest, out=tmp_path / "external")
    assert "out_of_fold" not in other.card
    assert other.warnings[0].startswith("This is the data set that the run was trained on")
    assert set(other.predictions["split"]) == {"val", "test"}
    own = other.predictions[other.predictions["split"] == "val"]
    np.testing.assert_array_equal(own["temperature"], run.predictions["temperature"])
    served = other.predictions.loc[other.predictions["split"] == "test", "temperature"]
    assert set(served) == {run.card["temperature"]}


def test_its_artifacts_can_be_made_again(made, tmp_path):
    _, _, run = made
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    assert complete_run(copy).card == run.card
    assert refit_run_sets(copy).card["prediction_sets"] == run.card["prediction_sets"]


def test_what_cannot_be_made_is_refused_and_nothing_is_left(made, tmp_path):
    config, root, run = made
    plan = load_study(config)
    one, data = repetitions(plan)[0], StudyData(manifest_of(plan))
    with pytest.raises(ConfigError, match="does not exist yet"):
        train_final(one, root, run.path, data=data, title="t")
    with pytest.raises(StudyError, match="2 trained folds"):
        train_final(one, tmp_path / "elsewhere", tmp_path / "new", data=data, title="t")
    network = plan.networks[0].model_copy(update={"frozen": None})
    whole = repetitions(plan.model_copy(update={"networks": (network,)}))[0]
    with pytest.raises(StudyError, match="linear layer on frozen features"):
        train_final(whole, root, tmp_path / "new", data=data, title="t")
    assert not list(tmp_path.iterdir())
