"""Training from the dashboard: the form, its refusals, and a training that is started, stopped and resumed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
import yaml
from app_steps import ROOT, errors, figure, numbers, said, visit

from dashboard import access, cache
from dashboard.views import training_form, training_live
from dashboard.views.training_form import NEW, VIEW
from her2core.data.manifest import read_manifest
from her2core.runs.drafts import list_drafts
from her2core.runs.folder import open_run
from her2core.runs.lock import process_start
from her2core.training import queue
from her2core.training.config import RunConfig, make_config
from her2core.training.estimate import Estimate
from her2core.training.plan import TrainingPlan, configurations

LONG = 240


@pytest.fixture
def on(models, tiny_manifest, monkeypatch):
    """Training is switched on, and the tiny cohort's folder is the allowed one; the folder of runs."""
    monkeypatch.setenv(access.TRAINING, "1")
    monkeypatch.setenv("HER2_FOLDERS", str(tiny_manifest.parent))
    monkeypatch.setattr(type(access.st.context), "ip_address", property(lambda self: None))  # a mock without a browser
    return cache.ROOTS[-1]


def form(**values):
    """The form with these values in its fields."""
    at = visit("training", **{VIEW: NEW})
    for name, value in values.items():
        key = f"plan_{name}"
        box = next(w for kind in ("selectbox", "multiselect", "number_input") for w in at.get(kind) if w.key == key)
        box.set_value(value)
    return at.run() if values else at


def button(at, label: str):
    return next((b for b in at.main.button if b.label.startswith(label)), None)


def written(at) -> RunConfig:
    """The configuration that the form shows."""
    (shown,) = [c.value for c in at.main.code if c.language == "yaml"]
    return make_config(yaml.safe_load(shown))


def test_the_form_writes_the_configuration_that_is_asked_for(on, tiny_manifest):
    at = form(unit="site", networks=["timm:resnet10t"], epochs=3, px=64, batch=8)
    assert errors(at)  # two sites are too few for a split by site
    assert button(at, "Start").disabled
    at.selectbox(key="plan_unit").set_value("patch_random").run()
    assert errors(at) == []
    config = written(at)
    assert (config.network.name, config.split.unit, config.input.px) == ("timm:resnet10t", "patch_random", 64)
    assert (config.train.epochs, config.train.batch_size) == (3, 8)
    assert config.manifest == tiny_manifest
    assert f"her2 train {config.name}.yaml" in said(at.main.code)
    warnings = said(at.main.warning)
    assert "Random patch split" in warnings
    assert "Few patients" in warnings  # of the check, as her2 data check has it
    assert not button(at, "Start 1 training").disabled
    at.multiselect(key="plan_networks").set_value(["timm:resnet10x"]).run()
    assert "timm:resnet10t" in " ".join(errors(at))
    at.multiselect(key="plan_networks").set_value(["resnet50", "timm:lcnet_050"]).run()
    assert button(at, "Start 2 trainings") is not None


@pytest.mark.parametrize("variable", ["", "1"])
def test_off_is_said_in_a_sentence_and_starts_nothing(on, monkeypatch, variable):
    """Off without the variable; with it where the server listens to other machines."""
    monkeypatch.setenv(access.TRAINING, variable)
    if variable:
        monkeypatch.setattr(access, "LOOPBACK", ())
    at = form()
    assert errors(at) == []
    (sentence,) = [i.value for i in at.main.info]
    assert "HER2_TRAINING=1" in sentence
    assert ("listens to other machines" in sentence) == bool(variable)
    config = written(at)  # the file is there all the same
    assert button(at, "Start").disabled
    assert button(at, "Estimate").disabled
    with monkeypatch.context() as nothing:  # what a browser can send all the same
        nothing.setattr(training_form, "Job", None)
        nothing.setattr(queue, "new_queue", None)
        training_form._measure([config])
        training_form._start([config], False)
        training_live._act("resume", on / queue.FOLDER / "one")


def test_a_server_behind_other_names_or_for_other_visitors_trains_nothing(on, monkeypatch):
    assert access.why_no_training() == ""
    options = {"server.address": "127.0.0.1", "server.allowedHosts": ["her2.example.org"]}
    monkeypatch.setattr(access.st, "get_option", options.get)
    assert "reached from other machines" in access.why_no_training()
    options["server.allowedHosts"] = ["localhost"]
    assert access.why_no_training() == ""
    monkeypatch.setattr(type(access.st.context), "ip_address", property(lambda self: "192.0.2.7"))
    assert "reached from other machines" in access.why_no_training()


def test_images_outside_of_the_allowed_folders_and_missing_ones_block(on, tmp_path, tiny_manifest, monkeypatch):
    allowed = tmp_path / "allowed"
    manifest = read_manifest(tiny_manifest)
    manifest.write(allowed / "far.csv")
    monkeypatch.setenv("HER2_FOLDERS", str(allowed))
    at = form()
    (sentence,) = errors(at)
    assert "36 outside of them" in sentence
    assert button(at, "Start").disabled
    training_form._start([written(at)], True)
    assert queue.list_queues(on) == []
    for file in ("far.csv", "far.meta.json"):
        (allowed / file).unlink()
    assert errors(form())  # the list of manifests is kept for a while
    training_form._manifests.clear()
    type(manifest)(manifest.frame, manifest.scheme, allowed, manifest.facts).write(allowed / "none.csv")
    assert "Missing image files" in " ".join(errors(form()))
    (allowed / "none.csv").unlink()
    training_form._manifests.clear()
    assert "her2 data import" in said(form().main.info)


def test_the_time_is_that_of_measured_steps(on, monkeypatch):
    measured = Estimate(10.0, 2.0, 30, 40.0, 1, 4, 36, "resnet50", 8, 64, "cpu", 2, "32-true")

    def one(configs):
        return lambda cancelled: iter([([measured], n + 1, len(configs)) for n in range(len(configs))])

    monkeypatch.setattr("dashboard.views.training_form.measured_estimates", one)
    at = form(networks=["resnet50"], epochs=6)
    button(at, "Estimate").click().run()
    assert at.session_state["estimate_job"].wait(LONG)
    at.run()
    assert f"about {round((10 + 6 * 100) / 60)} min" in said(at.main.markdown)
    at.number_input(key="plan_epochs").set_value(60).run()  # not measured again
    assert button(at, "Estimate") is None
    assert "1 h 40 min" in said(at.main.markdown)
    at.number_input(key="plan_px").set_value(64).run()
    assert button(at, "Estimate") is not None


def waited(root, condition):
    """The only queue, once the condition holds of it."""
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        (found,) = queue.list_queues(root)
        if condition(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{found}\n{queue.log_end(found.trainings[0])}")


def test_progress_time_left_and_curves_are_those_of_the_files(on, models):
    """Another session sees the queue in its files: one network trains, the next one waits."""
    shutil.copytree(ROOT / "models" / "demo", models / "demo", copy_function=os.link)
    path = queue.new_queue(configurations(TrainingPlan("own", "own.parquet", ("resnet50", "resnet50_se"))), on)
    work = on / ".work" / "resnet50_own-resnet50_01234567"
    work.mkdir(parents=True)
    shutil.copy(min(path.glob("*.yaml")), work / "config.yaml")
    facts = {"phase": "training", "epoch": 2, "epochs": 4, "step": 5, "steps": 10, "loss": 0.5}
    (work / "progress.json").write_text(json.dumps({**facts, "patches_per_second": 8.0}))
    head = "epoch,train_loss,val_loss,val_balanced_accuracy,seconds"
    (work / "history.csv").write_text(f"{head}\n0,1.0,1.1,0.4,400\n1,0.8,0.9,0.6,400\n")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        claim = {"host": socket.gethostname(), "pid": process.pid, "started": process_start(process.pid)}
        for folder in (path, work):
            (folder / "lock.json").write_text(json.dumps(claim))
        at = visit("training")
        at.multiselect(key="overlaid").set_value(["demo"]).run()
        assert errors(at) == []
        (bar,) = at.get("progress")
        assert "epoch 3 of 4, step 5 of 10; at most about 10 min" in bar.proto.text
        assert bar.proto.value == 62
        assert "**own-resnet50-se** · waiting" in said(at.main.markdown)
        curves = {t["name"]: numbers(t["y"]) for t in figure(at)["data"] if t["showlegend"]}
        assert curves["own-resnet50"].tolist() == [1.0, 0.8]
        assert curves["demo"].tolist() == open_run(models / "demo").history["train_loss"].tolist()
        assert button(visit("training", **{VIEW: NEW}), "Start").disabled  # one queue at a time
        process.kill()
    assert "**own-resnet50** · stopped, can be resumed" in said(at.run().main.markdown)


def test_a_training_is_started_stopped_and_resumed_from_the_page(on):
    at = form(networks=["timm:test_resnet"], epochs=40, px=32, batch=8)
    button(at, "Start 1 training").click().run()
    assert errors(at) == []
    assert button(at, "Start") is None  # the page has turned to what is under way
    waited(on, lambda q: q.trainings[0].draft is not None and len(q.trainings[0].draft.history) > 0)
    button(at, "Stop").click().run()
    assert errors(at) == []
    stopped = waited(on, lambda q: not q.running)
    assert stopped.trainings[0].state == "unfinished"
    assert [d.running for d in list_drafts(on)] == [False]
    at.run()
    assert "can be resumed" in said(at.main.markdown)
    button(at, "Resume").click().run()
    finished = waited(on, lambda q: q.finished and not q.running)
    run = open_run(finished.trainings[0].run)
    events = [json.loads(line)["event"] for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert events[0] == "started"
    assert "resumed" in events
    cache.run_names.clear()
    at = visit("training")
    assert "finished" in said(at.main.markdown)
    curve = next(numbers(t["y"]) for t in figure(at)["data"])
    assert curve.tolist() == run.history["train_loss"].tolist()
    button(at, "Remove from this list").click().run()
    assert queue.list_queues(on) == []
    assert run.path.is_dir()
