"""Trainings from a form: configurations, the queue's process and files, and the estimate of the time."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pandas as pd
import pytest

from her2core.data.manifest import read_manifest
from her2core.data.manifest_files import manifest_files, refuse_images_outside
from her2core.errors import ConfigError, ManifestError, RunError
from her2core.inference.background import Job
from her2core.runs.drafts import list_drafts
from her2core.runs.lock import LOCK, Claim
from her2core.training import estimate, queue
from her2core.training.config import load_config
from her2core.training.measured_steps import estimate_training
from her2core.training.plan import NAME_LENGTH, TrainingPlan, configurations, run_names
from her2core.training.queue_runner import QueueRunner

PLAN = TrainingPlan("own", "own.parquet", ("resnet50", "timm:tf_efficientnet_lite0", "timm:resnet10t"))

#: In place of Python: a training that fails where its configuration names resnet50, unless it has failed before.
STUB = """#!/bin/sh
echo "$4" >> "$(dirname "$4")/order"
if grep -q 'name: resnet50' "$4" && [ "$(grep -c resnet50 "$(dirname "$4")/order")" = 1 ]; then
    echo '{"error": "Expected more memory, but got too little."}'; exit 1
fi
echo '{"run": "'"$6/$(basename "$4" .yaml | cut -d- -f2-)"'"}'
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    script = tmp_path / "stub"
    script.write_text(STUB)
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))


def states(path) -> list[str]:
    return [t.state for t in queue.read_queue(path, []).trainings]


def test_each_network_is_one_configuration_that_its_file_gives_back(tmp_path):
    configs = configurations(PLAN)
    assert [c.network.init for c in configs] == ["none", "package:efficientnet-lite0", "none"]
    assert configs[1].input.mean == (0.5, 0.5, 0.5)
    path = queue.new_queue(configs, tmp_path)
    for config, file in zip(configs, sorted(path.glob("*.yaml")), strict=True):
        assert load_config(file) == config
        assert load_config(file).to_yaml() == file.read_text()  # by this an unfinished run is found
    assert [c.network.init for c in configurations(TrainingPlan(**{**vars(PLAN), "pretrained": False}))] == ["none"] * 3


@pytest.mark.parametrize("change", [{"networks": ()}, {"networks": ("a", "a")}, {"name": "../x"}, {"epochs": 0}])
def test_choices_that_make_no_configuration_are_refused(change):
    with pytest.raises(ConfigError):
        configurations(TrainingPlan(**{**vars(PLAN), **change}))


def test_names_of_several_runs_fit_and_differ():
    names = run_names("a-long-name-of-a-cohort", [f"timm:network_{n}" for n in range(12)])
    assert len(set(names)) == 12
    assert max(map(len, names)) <= NAME_LENGTH


def test_a_training_that_fails_does_not_end_the_queue_and_is_tried_again(tmp_path, stub):
    path = queue.new_queue(configurations(PLAN), tmp_path)
    assert states(path) == ["waiting"] * 3
    QueueRunner(path).run()
    first, *others = queue.read_queue(path, []).trainings
    assert (first.state, first.reason) == ("failed", "Expected more memory, but got too little.")
    assert [t.run for t in others] == [tmp_path / "own-tf-efficientnet-lite", tmp_path / "own-resnet10t"]
    QueueRunner(path).run()
    assert states(path) == ["finished"] * 3
    assert len((path / "order").read_text().splitlines()) == 4  # what had finished is not trained again


def test_a_stopped_queue_begins_no_further_training(tmp_path, stub):
    path = queue.new_queue(configurations(PLAN), tmp_path)
    runner = QueueRunner(path)
    runner.stop()
    runner.run()
    assert not list(path.glob("*.code"))
    assert len(list(path.glob("*.log"))) == 1
    assert "running" not in states(path)
    assert not (path / LOCK).exists()


def test_a_killed_training_says_so(tmp_path):
    path = queue.new_queue(configurations(PLAN), tmp_path)
    file = min(path.glob("*.yaml"))
    file.with_suffix(".code").write_text("-9")
    file.with_suffix(".json").write_text('{"ru')
    assert "signal 9" in queue.read_queue(path, []).trainings[0].reason


def test_one_queue_at_a_time_and_none_is_removed_while_it_runs(tmp_path):
    first, second = (queue.new_queue(configurations(PLAN), tmp_path) for _ in range(2))
    assert first != second
    claim = Claim(first / LOCK, guard=tmp_path / "guard")
    try:
        found = {q.path: q for q in queue.list_queues(tmp_path)}
        assert [t.state for t in found[first].trainings] == ["running", "waiting", "waiting"]
        assert not found[second].running
        for refused in (lambda: queue.start(second), lambda: queue.remove(first)):
            with pytest.raises(RunError):
                refused()
        with pytest.raises(RunError):  # this process's own claim: nothing else is sent a signal
            queue.stop(first)
    finally:
        claim.release()
    queue.remove(first)
    assert not first.exists()
    with pytest.raises(RunError):
        queue.remove(tmp_path)


def test_a_queue_from_elsewhere_is_not_resumed_with_other_files(tmp_path, tiny_manifest):
    inside = TrainingPlan("own", str(tiny_manifest), ("resnet50",))
    path = queue.new_queue(configurations(inside), tmp_path)
    roots = (tiny_manifest.parent.resolve(),)
    queue.refuse_outside(queue.read_queue(path, []), roots)
    with pytest.raises(ManifestError, match="allowed folders"):
        queue.refuse_outside(queue.read_queue(path, []), (tmp_path,))
    file = next(path.glob("*.yaml"))
    file.write_text(file.read_text().replace("init: none", "init: file:/etc/x.safetensors"))
    with pytest.raises(ConfigError):
        queue.refuse_outside(queue.read_queue(path, []), roots)


def test_manifests_are_found_and_their_images_must_be_below_the_folders(tmp_path, tiny_manifest):
    (tmp_path / "sub").mkdir()
    manifest = read_manifest(tiny_manifest)
    manifest.write(tmp_path / "sub" / "a.parquet")
    manifest.write(tmp_path / "b.csv")
    pd.DataFrame({"path": ["x"]}).to_parquet(tmp_path / "table.parquet")
    pd.DataFrame({"path": ["x"]}).to_csv(tmp_path / "table.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "link.parquet").symlink_to(tiny_manifest)
    assert manifest_files([tmp_path]) == [tmp_path / "b.csv", tmp_path / "sub" / "a.parquet"]
    refuse_images_outside(manifest, [tiny_manifest.parent.resolve()], where="m")
    with pytest.raises(ManifestError, match="36 outside"):
        refuse_images_outside(manifest, [tmp_path], where="m")


def test_the_estimate_is_of_the_steps_of_the_training(tiny_config):
    found = estimate_training(tiny_config)
    assert (found.steps, found.batch_size, found.px, found.patches, found.epochs) == (3, 8, 64, 36, 2)
    assert found.measured >= 1
    assert found.step_seconds > 0
    assert found.validation_seconds > 0
    assert found.seconds == pytest.approx(
        found.prepare_seconds + 2 * (3 * found.step_seconds + found.validation_seconds)
    )
    with pytest.raises(ConfigError):
        estimate_training(tiny_config.model_copy(update={"frozen": {"head": "linear"}}))


def test_a_measuring_process_gives_an_estimate_or_its_reason(tmp_path, monkeypatch, tiny_config):
    values = estimate.Estimate(1.0, 2.0, 3, 4.0, 5, 4, 36, "resnet50", 8, 64, "cpu", 1, "32-true")
    answer, script = tmp_path / "answer.json", tmp_path / "stub"
    script.write_text(f"#!/bin/sh\ncat {answer}\ngrep -q '\"error\"' {answer} && exit 1\nexit 0\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    answer.write_text(json.dumps(values.as_dict()))
    job = Job(estimate.measured_estimates([tiny_config, tiny_config]))
    assert job.wait(20)
    assert (job.results, job.error) == ([values, values], "")
    answer.write_text('{"error": "Expected a known network."}')
    job = Job(estimate.measured_estimates([tiny_config]))
    assert job.wait(20)
    assert "Expected a known network." in job.error


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_sigterm_reaches_the_training_under_way(tmp_path):
    """The process of a queue passes SIGTERM on, and the training that it ends is no failed one."""
    script, begun = tmp_path / "stub", tmp_path / "begun"
    script.write_text(f"#!/bin/sh\ntrap 'exit 143' TERM\ntouch {begun}\nwhile true; do sleep 0.05; done\n")
    script.chmod(0o755)
    path = queue.new_queue(configurations(PLAN), tmp_path)
    code = f"import sys; sys.executable = {str(script)!r}; from her2core.training.queue_runner import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    try:
        deadline = time.monotonic() + 60
        while not begun.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert states(path) == ["waiting"] * 3
    assert list_drafts(tmp_path) == []
