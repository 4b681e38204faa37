"""The study pages and About show what the run folders hold, and compare only comparable runs."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from app_steps import ROOT, edit_json, errors, evaluate_again, figure, numbers, rewrite, said, unescaped, visit

from dashboard.widgets import format_difference, format_interval
from her2core.evidence.compare import compare_runs
from her2core.evidence.metrics.registry import metric_label
from her2core.runs.drafts import list_drafts
from her2core.runs.export import export_run
from her2core.runs.folder import open_run
from her2core.runs.lock import process_start
from her2core.study.tables import read_study_tables


def another(run, target, change=lambda frame: frame):
    """A copy of the run with other predictions."""
    shutil.copytree(run.path, target, copy_function=os.link)
    evaluate_again(target, change(run.predictions))
    os.link(run.path / "evaluation" / "cost.json", target / "evaluation" / "cost.json")
    return open_run(target)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    """The same patches, other answers."""
    logits = [c for c in frame if c.startswith("logit_")]
    return frame.assign(
        **dict(zip(logits, np.random.default_rng(0).permuted(frame[logits].to_numpy(), axis=0).T, strict=True))
    )


# Backbones


def test_one_run_alone_says_how_to_get_a_second(demo):
    at = visit("backbones")
    assert errors(at) == []
    assert len(at.dataframe) == 1
    assert "--set network.name=resnet50" in said(at.main.info)
    assert not at.get("plotly_chart")


def test_runs_on_the_same_patches_stand_side_by_side_and_others_with_their_reason(demo, models, tiny_run):
    second = another(tiny_run, models / "second", shuffled)
    another(tiny_run, models / "relabelled", lambda f: f.assign(label="negative"))
    another(tiny_run, models / "elsewhere", lambda f: f.assign(patch_id="other-" + f["patch_id"]))
    at = visit("backbones")
    assert errors(at) == []
    table, differences, others = (d.value for d in at.dataframe)
    assert list(table["run"]) == ["demo", "second"]
    for run, row in zip((tiny_run, second), table.to_dict("records"), strict=True):
        metrics = run.table("metrics").query("unit == 'patient'").set_index(["metric", "class"])
        assert row["Accuracy"] == format_interval(metrics.loc["accuracy"].iloc[0])
        assert row["Macro AUROC"] == format_interval(metrics.loc["macro_auroc"].iloc[0])
        assert row["Sensitivity (recall) of positive"] == format_interval(metrics.loc["recall", "positive"])
        assert row["parameters"] == f"{run.cost['parameters'] / 1e6:.1f} M"
        assert row["FLOPs per patch"] == f"{run.cost['flops'] / 1e9:.2f} G"
    assert set(others["run"]) == {"relabelled", "elsewhere"}
    assert "different true classes" in others.set_index("run").loc["relabelled", "reason"]
    assert "0 are shared" in others.set_index("run").loc["elsewhere", "reason"]
    expected = compare_runs(models / "demo", models / "second", unit="patient").table
    assert list(differences["metric"]) == [
        metric_label(m, of=c) for m, c in zip(expected["metric"], expected["class"], strict=True)
    ]
    accuracy = expected[expected["metric"] == "accuracy"].iloc[0]
    assert differences["difference"][0] == format_difference(accuracy)
    assert differences["demo"][0] == f"{100 * accuracy['first']:.1f}%"
    at_likelihood = list(expected["metric"]).index("negative_log_likelihood")  # no proportion: never in percent
    likelihood, shown = expected.iloc[at_likelihood], differences.iloc[at_likelihood]
    assert float(shown["demo"]) == pytest.approx(likelihood["first"], abs=5e-4)
    assert shown["difference"].startswith(f"{likelihood['difference']:+.3f} [")
    (points,) = [at.get("plotly_chart")[0]]
    assert "FLOPs" in points.proto.spec
    at.get("button_group")[1].set_value("parameters").run()
    assert errors(at) == []
    both = np.concatenate([numbers(t["x"]) for t in figure(at)["data"]])
    assert set(both) == {tiny_run.cost["parameters"]}


def test_more_than_two_runs_are_corrected_for_their_number(demo, models, tiny_run):
    for name in ("second", "third"):
        another(tiny_run, models / name, shuffled)
    at = visit("backbones", unit="patch")
    assert errors(at) == []
    table = at.dataframe[2].value
    assert set(table["run"]) == {"second", "third"}
    assert table["result (Holm-adjusted)"].str.startswith("cannot be compared: only 3 patients").all()
    assert table.columns.tolist()[-2:] == ["p", "p (Holm)"]
    assert "Holm 1979" in said(at.main.caption)


def test_a_run_is_never_compared_with_itself(demo, models, tiny_run):
    another(tiny_run, models / "second", shuffled)
    at = visit("backbones")
    at.selectbox(key="second").set_value("demo").run()
    assert errors(at) == []
    assert "Choose two different runs." in said(at.main.info)


def test_a_run_without_weights_can_be_reviewed_and_not_asked(demo, models, tiny_run):
    export_run(tiny_run.path, models / "light", weights=False)
    for page in ("performance", "errors", "backbones", "dataset", "training", "about"):
        at = visit(page, run="light")
        assert errors(at) == []
        assert at.sidebar.selectbox[0].value == "light"
    (sentence,) = errors(visit("patch", run="light"))
    assert "released for review only" in sentence


def test_a_released_study_answers_which_is_best_whether_it_is_shown_and_what_it_costs(demo, models):
    study = shutil.copytree(ROOT / "models" / "study" / "backbones-demo", models / "backbones-demo")
    at = visit("backbones", unit="patient")
    assert errors(at) == []
    found = read_study_tables(study, "backbones")
    rows = found.figures.query("unit == 'patient' and metric == 'balanced_accuracy'").set_index("group")
    best = rows["value"].idxmax()
    change = found.differences.query("unit == 'patient' and metric == 'balanced_accuracy' and group == @best").iloc[0]
    cost = found.costs.set_index("network").loc[best]
    shown = {unescaped(m.label): (m.value, m.delta) for m in at.metric}
    assert shown[f"Highest balanced accuracy: {best}"][0] == f"{rows.loc[best, 'value']:.1%}"
    assert shown["Difference from her2-resnet50, points"][0] == f"{100 * change['difference']:+.1f}"
    assert shown["Latency (plain ResNet50 = 1)"][0] == f"{cost['latency_ratio']:.2f}"
    assert "No difference from her2-resnet50 can be shown." in said(at.main.markdown)
    single = [open_run(study / f"{best}-seed{seed}").table("metrics") for seed in (0, 1, 2)]
    expected = [m.query("unit == 'patient' and metric == 'balanced_accuracy'")["value"].iloc[0] for m in single]
    points = next(t for t in figure(at)["data"] if t["y"] and t["y"][0] == best and len(t["y"]) == 3)
    np.testing.assert_allclose(numbers(points["x"]), expected)
    (star,) = [t for t in figure(at, 1)["data"] if t["marker"]["symbol"] == "star"]
    assert numbers(star["x"])[0] == found.costs.set_index("network").loc["her2-resnet50", "latency_ratio"]
    next(box for box in at.selectbox if box.label == "Compare").select_index(1).run()
    assert errors(at) == []
    assert "same patches with the same labels" in said(at.main.caption)


# Dataset


def test_composition_is_the_data_table_counted(demo, tiny_run):
    at = visit("dataset")
    assert errors(at) == []
    shown = {m.label: m.value for m in at.metric}
    assert shown == {"Patches": "36", "Patients": "18", "Slides": shown["Slides"], "Split": "by patient"}
    assert int(shown["Slides"]) == tiny_run.dataset["slide_id"].nunique()
    total = sum(numbers(trace["x"]).sum() for trace in figure(at)["data"])
    assert total == 36
    at.selectbox(key="counted").set_value("patients").run()
    assert sum(numbers(trace["x"]).sum() for trace in figure(at)["data"]) == 18
    at.selectbox(key="by").set_value("site").run()
    assert errors(at) == []


def test_every_outcome_of_the_checks_is_shown(demo, tiny_run):
    at = visit("dataset")
    shown = said([*at.main.error, *at.main.warning, *at.main.info])
    assert tiny_run.checks
    for finding in tiny_run.checks:
        assert finding.got in shown
        assert finding.title in shown
    (unanswered,) = [d.value for d in at.main.dataframe if "reason" in d.value]
    expected = {o.title: (o.status, o.reason) for o in tiny_run.checks.outcomes if o.reason}
    assert {r.check: (r.outcome, r.reason) for r in unanswered.itertuples()} == expected
    assert expected


def test_a_run_without_findings_says_so(demo, tiny_run):
    clean = [{**o, "status": "not found", "reason": "", "finding": None} for o in tiny_run.checks.as_dicts()]
    rewrite(demo / "checks.json", json.dumps(clean))
    at = visit("dataset")
    assert len(at.main.success) == 1
    assert f"{len(clean)} checks" in said(at.main.caption)


@pytest.mark.parametrize(
    ("page", "file"), [("dataset", "dataset.parquet"), ("dataset", "checks.json"), ("training", "history.csv")]
)
def test_a_run_that_lacks_a_companion_says_so(demo, page, file):
    (demo / file).unlink()
    (sentence,) = errors(visit(page))
    assert file in sentence


@pytest.mark.parametrize("content", ["", "{}", "[]", '[{"code": "x"}]', "[1]"])
def test_a_file_that_holds_no_outcomes_of_checks_is_refused(demo, content):
    rewrite(demo / "checks.json", content)
    (sentence,) = errors(visit("dataset"))
    assert ("check outcomes" if content else "valid JSON") in sentence


# Training


def test_curves_are_the_history(demo, tiny_run):
    at = visit("training")
    assert errors(at) == []
    assert "No training is under way." in said(at.main.markdown)
    lines = {trace["name"]: numbers(trace["y"]) for trace in figure(at)["data"]}
    history = tiny_run.history
    assert any(np.allclose(line, history["train_loss"]) for line in lines.values())
    assert any(np.allclose(line, history["val_balanced_accuracy"]) for line in lines.values())
    assert f"of {tiny_run.info['epochs_trained']}." in said(at.main.markdown)


@pytest.fixture
def draft(tmp_path):
    """A training of two epochs so far, claimed by a process that lives."""
    work = tmp_path / "runs" / ".work" / "resnet50_t_0123456789abcdef"
    work.mkdir(parents=True)
    progress = {
        "phase": "training",
        "epoch": 2,
        "epochs": 8,
        "step": 5,
        "steps": 10,
        "loss": 0.5,
        "patches_per_second": 12.5,
    }
    (work / "progress.json").write_text(json.dumps(progress))
    (work / "history.csv").write_text("epoch,train_loss,val_loss,val_balanced_accuracy\n0,1.0,1.1,0.4\n1,0.8,0.9,0.6\n")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        claim = {"host": socket.gethostname(), "pid": process.pid, "started": process_start(process.pid)}
        (work / "lock.json").write_text(json.dumps(claim))
        yield work
        process.kill()


def test_a_training_under_way_is_shown_and_can_be_stopped(demo, draft, tmp_path):
    (found,) = list_drafts(tmp_path / "runs")
    assert found.running
    at = visit("training")
    assert errors(at) == []
    assert draft.name in said(at.main.markdown)
    (bar,) = at.get("progress")
    assert bar.proto.text == "training: epoch 3 of 8, step 5 of 10"
    assert bar.proto.value == int(100 * 2.5 / 8)
    assert numbers(figure(at)["data"][0]["y"]).tolist() == [1.0, 0.8]
    next(b for b in at.main.button if b.label == "Stop this training").click().run()
    assert errors(at) == []
    assert (draft / "stop.request").is_file()
    assert "Stop requested" in said(at.main.caption)
    (draft / "lock.json").unlink()
    assert "Unfinished and not running" in said(at.run().main.markdown)


# About


def test_the_card_and_the_method_are_told(demo, tiny_run):
    edit_json(demo / "model.card.json", limits=["It knows nothing of **tissue**."])
    at = visit("about")
    assert errors(at) == []
    words = said(at.main.markdown)
    assert tiny_run.card["intended_use"] in words
    assert "It knows nothing of **tissue**." in words
    facts = at.main.table[0].value.set_index("property")["value"]
    assert "resnet10t" in facts["Network"]
    assert tiny_run.card["weights_sha256"][:16] in facts["Weights"]
    assert "bootstrap" in words
