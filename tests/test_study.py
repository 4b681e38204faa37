"""Studies of several trainings: failures, resumption, refusals, and figures recomputed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import yaml

from her2core.cli import cli
from her2core.errors import ConfigError, StudyError
from her2core.evidence.seeds import summarize_seeds
from her2core.runs.folder import open_run
from her2core.runs.listing import list_runs
from her2core.study.jobs import UNDER_WAY, Job, failed_jobs, finished, run_jobs
from her2core.study.leakage import LeakageConfig, leakage_figures, leakage_jobs, load_study, save_leakage
from her2core.training.config import make_config


@pytest.fixture(scope="module")
def plan(tiny_manifest):
    """Two splits, one seed, one epoch of a small network at 32 px: the machinery, not the figures."""
    return {
        "title": "tiny",
        "splits": ["patch_random", "patient"],
        "seeds": [0],
        "run": {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "input": {"px": 32},
            "network": {"name": "timm:mobilenetv3_small_050"},
            "train": {"epochs": 1, "batch_size": 8, "warmup_epochs": 0},
            "hardware": {"accelerator": "cpu"},
        },
    }


@pytest.fixture(scope="module")
def study(plan, tmp_path_factory, brief_cost):
    """That study, run by its command."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "leakage.yaml").write_text(yaml.safe_dump(plan))
    out = folder / "out"
    command = ["study", "leakage", "--config", str(folder / "leakage.yaml"), "--out", str(out), "--quiet", "--json"]
    cli.main(command, standalone_mode=False)
    return load_study(folder / "leakage.yaml"), out


def test_each_job_is_a_run_for_review_under_its_own_name(study):
    plan, out = study
    for job in leakage_jobs(plan):
        run = open_run(out / job.name)
        assert not run.has_weights
        assert not (run.path / "model.safetensors").exists()
        assert "ood" not in run.card
        assert run.card["data"]["split_unit"] == job.group
    runs, problems = list_runs(out.parent)
    assert (runs, problems) == ([], [])  # a folder of runs and tables is no broken run
    assert len(list_runs(out)[0]) == 2


def test_the_tables_are_the_figures_of_the_runs(study):
    plan, out = study
    groups = {}
    for job in leakage_jobs(plan):
        groups[job.group] = [open_run(out / job.name).test_predictions()]
    expected = summarize_seeds(groups, reference="patient").table
    stored = pd.read_csv(out / "leakage.csv")
    by_patch = stored[stored["unit"] == "patch"].reset_index(drop=True)
    pd.testing.assert_frame_equal(by_patch[["group", "metric"]], expected[["group", "metric"]])
    for column in ("value", "lower_95", "upper_95", "lowest", "highest"):
        assert by_patch[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-6, nan_ok=True)
    facts = json.loads((out / "study.json").read_text())
    assert facts["kind"] == "leakage"
    assert facts["data"]["facts"]["synthetic"] is True


def test_what_is_finished_is_not_trained_again(study, monkeypatch):
    plan, out = study
    monkeypatch.setattr("her2core.study.jobs.train", lambda *a, **k: pytest.fail("trained again"))
    assert run_jobs(leakage_jobs(plan), out) == {}


def test_a_changed_study_is_refused_and_nothing_is_lost(study, plan):
    _, out = study
    changed = LeakageConfig.model_validate({**plan, "run": {**plan["run"], "input": {"px": 64}}})
    with pytest.raises(StudyError, match="another one"):
        run_jobs(leakage_jobs(changed), out)
    assert (out / "patient-seed0" / "run.json").is_file()


def test_a_failing_job_is_recorded_and_the_next_one_runs(plan, tmp_path, monkeypatch, tiny_run):
    config = make_config({**plan["run"], "name": "jobs"})
    broken = make_config({**plan["run"], "name": "jobs", "network": {"name": "timm:mobilenetv9"}})
    hungry = make_config({**plan["run"], "name": "hungry"})
    mute = make_config({**plan["run"], "name": "jobs", "seed": 5})

    def train(config, root, progress, prepared):
        if config.name == "hungry":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        if config.seed == 5:
            raise AssertionError
        if config.network.name.endswith("v9"):
            from her2core.networks.registry import build_network

            build_network(config.network.name, 3)
        copy = shutil.copytree(tiny_run.path, root / "made")
        info = json.loads((copy / "run.json").read_text())
        (copy / "run.json").write_text(json.dumps({**info, "config_hash": config.content_hash()}))
        return open_run(copy)

    monkeypatch.setattr("her2core.study.jobs.train", train)
    jobs = [
        Job("broken", "a", 0, broken),
        Job("hungry", "b", 0, hungry),
        Job("mute", "b", 5, mute),
        Job("good", "c", 0, config),
    ]
    said = []
    failures = run_jobs(jobs, tmp_path, report=said.append)
    assert set(failures) == {"broken", "hungry", "mute"}
    assert failures["mute"].startswith("AssertionError")
    assert "Did you mean" in failures["broken"]
    assert "allocate memory" in failures["hungry"]
    assert finished(jobs[3], tmp_path) is not None
    with pytest.raises(StudyError, match="for review only"):
        finished(replace(jobs[3], weights=True), tmp_path)
    assert failed_jobs(tmp_path) == failures
    assert any(line.startswith("broken: failed.") for line in said)
    assert list((tmp_path / "good").glob("*.safetensors")) == []
    with pytest.raises(ConfigError, match="jobs out of"):
        run_jobs(jobs, tmp_path, only=["nothing"])


def test_a_job_that_was_killed_is_told_and_comes_last(plan, tmp_path, monkeypatch):
    """Killed from outside, as for want of memory, a process tells nothing: what it left behind does."""
    jobs = [Job(name, "a", 0, make_config({**plan["run"], "name": name})) for name in ("huge", "second", "third")]

    class Killed(BaseException):
        pass

    begun = []

    def killed(config, root, progress, prepared):
        begun.append(config.name)
        raise Killed

    monkeypatch.setattr("her2core.study.jobs.train", killed)
    with pytest.raises(Killed):
        run_jobs(jobs, tmp_path)
    assert failed_jobs(tmp_path) == {"huge": UNDER_WAY}

    def failing(config, root, progress, prepared):
        begun.append(config.name)
        raise RuntimeError("no")

    monkeypatch.setattr("her2core.study.jobs.train", failing)
    run_jobs(jobs, tmp_path, only=["third"])
    assert set(failed_jobs(tmp_path)) == {"huge", "third"}, "another process keeps what the first one left"
    assert set(run_jobs(jobs, tmp_path)) == {"huge", "second", "third"}
    assert begun == ["huge", "third", "second", "huge", "third"]


def test_over_several_devices_a_run_is_trained_by_itself(plan, tmp_path, monkeypatch):
    """Lightning starts the same command again for each further device: with many runs it would pick another one."""
    monkeypatch.setattr("her2core.study.jobs.train", lambda *a, **k: None)
    config = make_config({**plan["run"], "hardware": {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}})
    jobs = [Job(name, "a", 0, config) for name in ("one", "two")]
    with pytest.raises(StudyError, match="--only"):
        run_jobs(jobs, tmp_path)
    monkeypatch.setattr("her2core.study.jobs.first_process", lambda: False)
    begun = []
    monkeypatch.setattr("her2core.study.jobs._train", lambda job, *a, **k: begun.append(job.name))
    run_jobs(jobs, tmp_path, only=["two"])
    assert begun == ["two"]
    assert failed_jobs(tmp_path) == {}, "a helper process tells nothing"


def test_an_unfinished_study_has_no_figures(plan, tmp_path):
    with pytest.raises(StudyError, match="all 2 runs"):
        leakage_figures(LeakageConfig.model_validate(plan), tmp_path)


def test_runs_of_two_data_sets_never_stand_in_one_table(study, tmp_path):
    plan, out = study
    copy = shutil.copytree(out, tmp_path / "mixed")
    told = copy / "patient-seed0" / "run.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "manifest_hash": "another"}))
    with pytest.raises(StudyError, match="one data set"):
        save_leakage(plan, copy)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"splits": ["patch_random", "site"]}, "patient among them"),
        ({"splits": ["patient", "site", "site"]}, "splits that differ"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [0, 0]}, "seeds that differ"),
        ({"colour": "red"}, "colour"),
        ({"run": {"name": "tiny", "manifest": "x", "seed": 3}}, "`run` without seed"),
        ({"run": {"name": "tiny", "manifest": "x", "epochs": 3}}, "epochs"),
    ],
)
def test_a_broken_study_file_is_refused_before_anything_is_trained(plan, change, said, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**plan, **change}))
    with pytest.raises(ConfigError, match=said):
        load_study(tmp_path / "study.yaml")
