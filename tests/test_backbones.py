"""Backbone study: failures, one data set and split, paired differences, and cost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from her2core.cli import cli
from her2core.errors import ConfigError, StudyError
from her2core.evidence.seeds import summarize_seeds
from her2core.networks.registry import build_network
from her2core.runs.folder import open_run
from her2core.study.backbone_tables import costs_are_due, save_backbones, save_costs
from her2core.study.backbones import BackboneConfig, backbone_jobs, finished_runs, load_study


@pytest.fixture(scope="module")
def plan(tiny_manifest):
    """Two small networks at 32 px for one epoch, and one that does not exist: the machinery, not the figures."""
    return {
        "title": "tiny",
        "reference": "small",
        "seeds": [0],
        "networks": [
            {"label": "small", "name": "timm:mobilenetv3_small_050"},
            {"label": "unknown", "name": "timm:mobilenetv9"},
            {"label": "other", "name": "timm:lcnet_050", "weights": True},
        ],
        "run": {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "split": {"unit": "patient", "seed": 3},
            "input": {"px": 32},
            "train": {"epochs": 1, "batch_size": 8, "warmup_epochs": 0},
            "hardware": {"accelerator": "cpu"},
        },
    }


@pytest.fixture(scope="module")
def study(plan, tmp_path_factory, brief_cost):
    """That study, run by its command, which says that one failed."""
    folder = tmp_path_factory.mktemp("backbones")
    (folder / "study.yaml").write_text(yaml.safe_dump(plan))
    command = ["study", "backbones", "--config", str(folder / "study.yaml"), "--out", str(folder / "out"), "--quiet"]
    assert cli.main(command, standalone_mode=False) == 1
    return load_study(folder / "study.yaml"), folder / "out"


def test_a_network_that_fails_is_a_row_with_its_reason(study):
    _, out = study
    networks = pd.read_csv(out / "networks.csv").set_index("network")
    assert list(networks["state"]) == ["finished", "failed", "finished"]
    assert "Did you mean" in networks.loc["unknown", "reason"]
    assert networks.loc["small", "train_seconds"] > 0
    assert networks.loc["small", "epochs"] == 1
    assert json.loads((out / "study.json").read_text())["kind"] == "backbones"


def test_costs_are_measured_once_in_one_go(study, monkeypatch, capsys):
    plan, out = study
    costs = pd.read_csv(out / "costs.csv").set_index("network")
    assert costs.loc["small", "parameters"] > 500_000
    assert costs.loc["small", "memory_bytes"] > 4 * costs.loc["small", "parameters"]
    assert costs["latency_ratio"].dropna().gt(0).all()
    assert costs["throughput_ratio"].dropna().gt(1).all()
    assert "Did you mean" in costs.loc["unknown", "reason"]
    assert pd.isna(costs.loc["unknown", "flops"])
    assert not costs_are_due(plan, out)
    before = (out / "costs.csv").read_bytes()
    command = ["study", "backbones", "--config", str(out.parent / "study.yaml"), "--out", str(out), "--quiet"]
    cli.main([*command, "--table"], standalone_mode=False)
    assert (out / "costs.csv").read_bytes() == before
    cli.main([*command, "--table", "--costs"], standalone_mode=False)
    assert (out / "costs.csv").read_bytes() != before, "measured anew, at another time"
    held = pd.read_csv(out / "costs.csv")
    held[held["network"] != "other"].to_csv(out / "costs.csv", index=False)
    assert costs_are_due(plan, out), "of a network that joined later nothing is known"
    cli.main([*command, "--table"], standalone_mode=False)
    assert not costs_are_due(plan, out)
    with pytest.raises(StudyError, match="a finished run"):
        save_costs(plan, out / "nothing")


def test_the_runs_are_listed_for_a_cluster(study, capsys):
    _, out = study
    cli.main(["study", "backbones", "--config", str(out.parent / "study.yaml"), "--list"], standalone_mode=False)
    assert capsys.readouterr().out.split() == ["small-seed0", "unknown-seed0", "other-seed0"]


def test_frozen_features_are_compared_with_whole_trainings(plan, tmp_path, brief_cost):
    plan = {
        **plan,
        "networks": [
            {"label": "small", "name": "timm:mobilenetv3_small_050", "rates": {"lr": 0.0001}},
            {"label": "frozen", "name": "timm:mobilenetv3_small_050", "frozen": {"head": "knn"}},
        ],
        "run": {**plan["run"], "hardware": {"accelerator": "cpu", "features": str(tmp_path / "features")}},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plan))
    out = tmp_path / "out"
    command = ["study", "backbones", "--config", str(tmp_path / "study.yaml"), "--out", str(out), "--quiet"]
    assert cli.main(command, standalone_mode=False) == 0
    networks = pd.read_csv(out / "networks.csv").set_index("network")
    assert networks.loc["frozen", "frozen"] == "knn"
    assert pd.isna(networks.loc["frozen", "epochs"])
    assert networks.loc["small", "lr"] == 0.0001
    assert set(pd.read_csv(out / "differences.csv")["group"]) == {"frozen"}


def test_only_what_is_to_be_served_keeps_its_weights(study):
    _, out = study
    assert not open_run(out / "small-seed0").has_weights
    kept = open_run(out / "other-seed0")
    assert kept.has_weights
    assert "ood" in kept.card


def test_the_tables_are_the_figures_of_the_runs(study):
    plan, out = study
    groups = {}
    for label, (run,) in ((k, v) for k, v in finished_runs(plan, out).items() if v):
        groups[label] = [run.test_predictions()]
    for unit in ("patch", "patient"):
        expected = summarize_seeds(groups, reference="small", unit=unit)
        for name, table in (("backbones", expected.table), ("differences", expected.differences)):
            stored = pd.read_csv(out / f"{name}.csv").query("unit == @unit").reset_index(drop=True)
            numbers = table.select_dtypes("number").columns
            pd.testing.assert_frame_equal(stored[numbers], table[numbers], check_dtype=False, atol=1e-6)
            assert list(stored["group"]) == list(table["group"])


def test_runs_of_two_splits_never_stand_in_one_table(study, tmp_path):
    plan, out = study
    copy = shutil.copytree(out, tmp_path / "mixed")
    told = copy / "other-seed0" / "run.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "split_hash": "another"}))
    with pytest.raises(StudyError, match="runs of one split"):
        save_backbones(plan, copy)


def test_without_the_reference_there_is_no_table(plan, tmp_path):
    with pytest.raises(StudyError, match="a finished run of small"):
        save_backbones(BackboneConfig.model_validate(plan), tmp_path)


def test_one_run_alone_for_a_cluster(study, capsys):
    _, out = study
    config = out.parent / "study.yaml"
    command = ["study", "backbones", "--config", str(config), "--out", str(out), "--only", "small-seed0", "--json"]
    assert not cli.main(command, standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"finished": ["small-seed0"], "failed": {}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reference": "none"}, "reference among them"),
        ({"networks": [{"label": "a", "name": "resnet50"}]}, "networks"),
        ({"networks": [{"label": "a b", "name": "resnet50"}, {"label": "b", "name": "resnet50"}]}, "label"),
        ({"run": {"name": "tiny", "manifest": "x", "seed": 1}}, "`run` without seed"),
        ({"run": {"name": "tiny", "manifest": "x", "frozen": {}}}, "`run` without seed"),
        ({"seeds": [0, 0]}, "seeds that differ"),
        ({"run": {"name": "tiny", "manifest": "x", "input": None}}, "`run.input` to hold"),
        ({"run": {"name": "tiny", "manifest": "x", "train": [1]}}, "`run.train` to hold"),
        ({"run": {"name": "tiny", "manifest": "x", "input": {"std": [0, 0, 0]}}}, "std"),
        (
            {
                "networks": [
                    {"label": "small", "name": "resnet50", "options": {"classes": 3}},
                    {"label": "b", "name": "resnet50"},
                ]
            },
            "options` without classes",
        ),
        (
            {
                "networks": [
                    {"label": "small", "name": "resnet50", "rates": {"epochs": 9}},
                    {"label": "b", "name": "resnet50"},
                ]
            },
            "the budget is the same",
        ),
    ],
)
def test_a_broken_study_file_is_refused_before_anything_is_trained(plan, change, said, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**plan, **change}))
    with pytest.raises(ConfigError, match=said):
        load_study(tmp_path / "study.yaml")


def test_the_released_study_names_networks_that_exist():
    study = load_study(Path(__file__).parents[1] / "configs" / "study" / "backbones-demo.yaml")
    assert {"her2_resnet50", "resnet50", "resnet50_se", "resnet50_dsc", "her2_resnet50_swapped"} <= {
        n.name for n in study.networks
    }
    for network in study.networks:
        build_network(network.name, 3, **network.options)
    seeds = [job.config.split.seed for job in backbone_jobs(study)]
    assert len(set(seeds)) == 1
