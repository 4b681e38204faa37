"""Released runs: every figure is recomputed from files in the repository."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core import load_predictor, open_run
from her2core.evidence.calibration import fit_temperature
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.evaluation import TABLES, missing_baselines
from her2core.evidence.evaluation import evaluate as evaluate_run
from her2core.evidence.inputs import inputs_from_folder
from her2core.evidence.result_tables import MADE_WHEN_ABSENT, all_missing, all_result_tables
from her2core.evidence.result_tables import TABLES as RESULT_TABLES
from her2core.evidence.run_sets import fit_run_sets, out_of_fold_sets, run_coverage, sets_entry
from her2core.io.files import sha256_file
from her2core.study import backbone_tables, backbones, crossval
from her2core.study.figures import study_figures
from her2core.study.leakage import leakage_figures, load_study

HOME = Path(__file__).resolve().parents[1]
NAMES = ("demo", "tissue12", "tissue12-lite2", "her2st-erbb2", "her2-tcga")
ALONE = [HOME / "models" / "study" / name for name in ("demo-resnet50", "tissue12-taught", "tissue12-untaught")]
STUDIED = [*ALONE, *sorted((HOME / "models" / "study").glob("*/*-seed*"))]
CROSS_VALIDATED = ("her2-tcga", "her2-tcga-networks", "her2-tcga-positive", "her2-tcga-positive-a8")
#: Of a cross-validation, the first run alone: figures of the others are those of its tables, which are recomputed.
FIRST = {path.parent: path for path in reversed(STUDIED)}.values()
STUDIED = [p for p in STUDIED if p in FIRST or p.parent.name not in CROSS_VALIDATED]
#: Columns that depend on the number of resamples.
RESAMPLED = frozenset({"lower_95", "upper_95", "interval_method", "note", "p_value"})
BACKBONES = sorted((HOME / "configs" / "study").glob("backbones-*.yaml"))


@pytest.fixture(scope="module", params=NAMES)
def run(request):
    return open_run(HOME / "models" / request.param)


def _assert_saved(run, name: str, fresh: pd.DataFrame, *, left_out: frozenset[str] = frozenset()) -> None:
    """The table in the run folder is ``fresh``, column by column, to the six decimals that are written."""
    saved, fresh = run.table(name), fresh.reset_index(drop=True)
    assert list(saved.columns) == list(fresh.columns), name
    assert len(saved) == len(fresh), name
    for column in saved.columns.difference(left_out, sort=False):
        if pd.api.types.is_float_dtype(saved[column]) and saved[column].notna().any():
            told, expected = saved[column], fresh[column].astype("Float64").astype(float)
            np.testing.assert_allclose(told, expected, atol=1e-6, err_msg=f"{name}.{column}")
        else:
            told, expected = (t[column].astype(object).fillna("").astype(str).tolist() for t in (saved, fresh))
            assert told == expected, f"{name}.{column}"


def _assert_whole_evidence(run, *, resamples: int = 2000) -> None:
    left_out = frozenset() if resamples == 2000 else RESAMPLED
    found = evaluate_run(run)
    for name in TABLES:
        _assert_saved(run, name, getattr(found, name))
    result_tables = all_result_tables(inputs_from_folder(run.path, run.card), resamples=resamples)
    # A run that is older than such a table shows it all the same: it is made whenever it is asked for.
    later = {name for name in MADE_WHEN_ABSENT if not (run.path / "evaluation" / f"{name}.csv").exists()}
    saved = {name: found for name, found in result_tables.items() if name not in later}
    for name, result_table in saved.items():
        if left_out and name == "weak_slices":  # which subsets stand there, and in which order, follows from p values
            continue
        _assert_saved(run, name, result_table.frame, left_out=left_out)
    if not left_out:
        computed = pd.concat([all_missing(saved), missing_baselines(run.path)], ignore_index=True)
        _assert_saved(run, "missing", computed)  # baselines need the images


def test_every_figure_follows_from_the_predictions(run):
    _assert_whole_evidence(run)


@pytest.mark.parametrize("path", STUDIED, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_every_figure_of_a_study_s_run_follows_too(path):
    """Bootstrap intervals are recomputed for the first run of each study; of the others everything else is."""
    _assert_whole_evidence(open_run(path), resamples=2000 if path in FIRST else 20)


def test_the_leakage_study_follows_from_its_runs():
    folder = HOME / "models" / "study" / "leakage"
    study = load_study(HOME / "configs" / "study" / "leakage.yaml")
    assert json.loads((folder / "study.json").read_text())["study"] == study.model_dump(mode="json")
    found = leakage_figures(study, folder)
    for name, fresh in (("leakage", found.table), ("gaps", found.differences)):
        saved = pd.read_csv(folder / f"{name}.csv")
        numbers = fresh.select_dtypes("number").columns
        np.testing.assert_allclose(saved[numbers], fresh[numbers], atol=1e-6, err_msg=name)
        words = [c for c in fresh if c not in numbers]
        assert (saved[words].astype(object).fillna("") == fresh[words]).all(axis=None)


@pytest.mark.parametrize("name", CROSS_VALIDATED)
def test_a_cross_validated_study_follows_from_its_runs(name):
    folder = HOME / "models" / "study" / name
    study = crossval.load_study(HOME / "configs" / "study" / f"{name}.yaml")
    assert json.loads((folder / "study.json").read_text())["study"] == study.model_dump(mode="json")
    runs = {group: [open_run(path) for path in sorted(folder.glob(f"{group}-seed?"))] for group in study.groups}
    assert all(len(of) >= 2 for of in runs.values())
    assert len(runs[study.reference]) == len(study.seeds)
    first = runs[study.reference][0]
    assert all(run.card["out_of_fold"] and not run.has_weights for of in runs.values() for run in of)
    assert all(set(run.predictions["patch_id"]) == set(first.dataset["patch_id"]) for of in runs.values() for run in of)
    found, _ = study_figures(
        {group: [run.test_predictions() for run in of] for group, of in runs.items()},
        reference=study.pairs,
        primary=study.primary,
        ordered=not missing_class_order(first.card),
        by_site=[group for group in study.groups if group.endswith("-site")],
    )
    for table, fresh in (("cv", found.table), ("differences", found.differences)):
        saved = pd.read_csv(folder / f"{table}.csv")
        numbers = fresh.select_dtypes("number").columns
        np.testing.assert_allclose(saved[numbers], fresh[numbers], atol=1e-6, err_msg=table)
        words = [c for c in fresh if c not in numbers]
        assert (saved[words].astype(object).fillna("") == fresh[words]).all(axis=None)
    held = pd.read_csv(folder / "folds.csv").groupby("group")["patients"].sum()
    patients = first.dataset["patient_id"].nunique()
    assert (held.filter(like="-patient") == patients * len(study.seeds)).all()


@pytest.mark.parametrize("config", BACKBONES, ids=lambda p: p.stem)
def test_a_study_of_networks_follows_from_its_runs(config, tmp_path):
    """Every table but costs.csv, which needs a clock; each of these studies is released whole."""
    folder = HOME / "models" / "study" / config.stem
    study = backbones.load_study(config)
    told = json.loads((folder / "study.json").read_text())
    assert told["study"] == study.model_dump(mode="json")
    copy = shutil.copytree(folder, tmp_path / config.stem, copy_function=os.link)
    for name in ("backbones.csv", "differences.csv", "networks.csv", "study.json"):
        (copy / name).unlink()  # a link: the released file stays
    backbone_tables.save_backbones(study, copy)
    for name in ("backbones", "differences", "networks"):
        saved, fresh = (pd.read_csv(f / f"{name}.csv") for f in (folder, copy))
        pd.testing.assert_frame_equal(saved, fresh, atol=1e-6)
    networks = pd.read_csv(folder / "networks.csv")
    assert (networks["state"] == "finished").all()
    costs = pd.read_csv(folder / "costs.csv")
    assert list(costs["network"]) == list(networks["network"])
    assert not backbone_tables.costs_are_due(study, folder)
    assert costs["latency_ratio"].gt(0).all()


@pytest.mark.parametrize("path", [p for p in STUDIED if (p / "model.safetensors").is_file()], ids=lambda p: p.name)
def test_a_study_s_run_with_weights_is_served(path):
    from her2core.data.synthetic import CohortSpec, render_patch

    run = open_run(path)
    answer, maps = load_predictor(run).predict_and_explain(render_patch(CohortSpec(), 5).image)
    assert sum(answer.probabilities) == pytest.approx(1)
    assert set(maps) == set(run.classes)


def flat(entry, before=()):
    """Values of nested mappings by the keys that lead to them."""
    if not isinstance(entry, dict):
        return {before: entry}
    return {k: v for name, inner in entry.items() for k, v in flat(inner, (*before, name)).items()}


def test_prediction_sets_and_their_coverage_follow_from_validation_and_test(run):
    val, test = run.validation_predictions(), run.test_predictions()
    if run.trained_on_evaluated:
        sets, coverage = out_of_fold_sets(test, run.test_folds())
    else:
        sets = fit_run_sets(val)
        coverage = run_coverage(sets, test)
    fresh, saved = (flat(entry) for entry in (sets_entry(sets), run.card["prediction_sets"]))
    assert fresh == {k: pytest.approx(v, abs=1e-9) if isinstance(v, float) else v for k, v in saved.items()}
    _assert_saved(run, "prediction_sets", coverage)


def test_every_table_of_the_evaluation_is_recomputed_here_or_measured(run):
    """maps.csv needs the weights, baselines.csv the images and cost.json a clock; no other table may slip in."""
    known = {*TABLES, *RESULT_TABLES, "missing", "prediction_sets", "maps", "baselines"}
    assert {p.stem for p in (run.path / "evaluation").glob("*.csv")} <= known
    assert {*TABLES, *RESULT_TABLES, "missing"} - {*MADE_WHEN_ABSENT} <= {
        p.stem for p in (run.path / "evaluation").glob("*.csv")
    }


def test_temperature_follows_from_validation(run):
    val = run.predictions[run.predictions["split"] == ("test" if run.trained_on_evaluated else "val")]
    scores = val[[f"logit_{c}" for c in run.classes]].to_numpy()
    labels = val["label"].map({c: i for i, c in enumerate(run.classes)}).to_numpy()
    assert fit_temperature(scores, labels=labels) == pytest.approx(run.card["temperature"], rel=1e-4)


def test_weights_are_the_cards_and_answer(run):
    assert sha256_file(run.path / "model.safetensors") == run.card["weights_sha256"]
    predictor = load_predictor(run)
    assert min(run.card["map_grid"]) >= 5
    from her2core.data.synthetic import CohortSpec, render_patch

    answer, maps = predictor.predict_and_explain(render_patch(CohortSpec(), 5).image)
    assert answer.usable
    assert maps[answer.most_probable].grid.shape == tuple(run.card["map_grid"])


def test_card_says_what_the_run_is_and_cannot_claim(run):
    card = run.card
    assert "Research use only" in card["intended_use"]
    assert card["limits"]
    assert card["data"]["split_unit"] in ("patient", "patch_random", "predefined")
    if card["data"]["split_unit"] != "patient":
        assert run.warnings
        assert set(run.warnings) <= set(card["limits"])
    if not card["scheme"]["is_her2"]:
        assert any("not" in limit.lower() and "HER2 status" in limit for limit in card["limits"])


def test_saved_split_keeps_its_unit(run):
    joined = run.predictions.merge(run.splits, on="patch_id", suffixes=("", "_saved"))
    assert len(joined) == len(run.predictions) == (run.splits["split"] != "train").sum()
    assert (joined["split"] == joined["split_saved"]).all()
    if run.card["data"]["split_unit"] == "patient":
        assert (run.predictions.groupby("patient_id")["split"].nunique() == 1).all()


def test_scores_are_those_of_the_weights_on_fresh_synthetic_patches():
    """The demo's patches can be drawn anew anywhere: the stored scores must come out again."""
    from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch

    run = open_run(HOME / "models" / "demo")
    spec = CohortSpec(**run.card["data"]["facts"]["spec"])
    plan = plan_cohort(spec)
    rows = run.predictions[run.predictions["split"] == "test"].iloc[::75]
    places = {p: i for i, p in enumerate(plan["patch_id"])}
    answers = load_predictor(run).predict([render_patch(spec, places[p]).image for p in rows["patch_id"]])
    scores = rows[[f"logit_{c}" for c in run.classes]].to_numpy(np.float64) / run.card["temperature"]
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose([a.probabilities for a in answers], expected, atol=2e-3)


def test_the_results_page_contains_exactly_the_tables_of_the_results(monkeypatch):
    """``python benchmarks/results_page.py --write`` brings the page up to date."""
    monkeypatch.syspath_prepend(HOME / "benchmarks")
    spec = importlib.util.spec_from_file_location("results_page", HOME / "benchmarks" / "results_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (HOME / "docs" / "results.md").read_text(encoding="utf-8")
    for name in module.BLOCKS:
        assert "\n".join(module.block(name)) in page, name


def test_models_fit_the_repository():
    size = sum(p.stat().st_size for p in (HOME / "models").rglob("*") if p.is_file())
    assert size < 260e6


def test_no_image_of_the_real_data_is_in_the_repository(real_data):
    """Every picture tracked by git is none of the files there (whole copies; crops are a matter of review)."""
    import hashlib
    import subprocess

    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=HOME, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    pictures = [
        n for n in names if n.lower().endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".webp", ".bmp"))
    ]
    ours = {hashlib.sha256((HOME / n).read_bytes()).hexdigest() for n in pictures}
    theirs = {hashlib.sha256(p.read_bytes()).hexdigest() for p in real_data.rglob("*") if p.is_file()}
    assert not ours & theirs
