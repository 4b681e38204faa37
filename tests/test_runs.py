"""Run folders: opening with checks, listing, and writing with one rename at the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from her2core.errors import Her2Error, RunError
from her2core.io.files import write_json, write_parquet
from her2core.runs.folder import REQUIRED, SCHEMA_VERSION, open_run
from her2core.runs.listing import list_runs
from her2core.runs.schema.card import Card

CLASSES = ["negative", "positive"]


def card(**changes) -> dict:
    made = {
        "title": "hand made",
        "limits": ["none of it is real"],
        "classes": CLASSES,
        "temperature": 1.5,
        "weights_sha256": "0" * 64,
        "intended_use": "tests",
        "network": {"name": "her2_resnet50", "options": {}},
        "input": {"px": 64, "mean": [0.5] * 3, "std": [0.25] * 3, "mpp": None},
        "stain": {"reference": None},
        "scheme": {"name": "binary", "meaning": "two classes", "is_her2": True},
        "data": {"split_unit": "patient", "sources": ["tests"], "patches": {}},
    }
    return {k: v for k, v in (made | changes).items() if v is not None}


def fill(path: Path, model_card: dict | None = None) -> None:
    """Everything a run holds but run.json."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.yaml").write_text("name: hand\n")
    (path / "model.safetensors").write_bytes(b"never read here")
    write_json(path / "model.card.json", model_card or card())
    write_parquet(path / "splits.parquet", pd.DataFrame({"patch_id": ["q1", "q2"], "split": ["train", "test"]}))
    frame = pd.DataFrame({"patch_id": ["q1"], "label": ["positive"], "logit_negative": [0.1], "logit_positive": [2.0]})
    write_parquet(path / "predictions.parquet", frame)
    (path / "history.csv").write_text("epoch,train_loss,val_loss,val_balanced_accuracy\n0,1.5,1,0.5\n1,0.5,1,0.5\n")


def run(root: Path, name: str = "20260101-000000_net_data_abc", *, model_card: dict | None = None, **info) -> Path:
    path = root / name
    fill(path, model_card)
    write_json(
        path / "run.json", {"schema_version": SCHEMA_VERSION, "status": "finished", "warnings": ["careful"], **info}
    )
    return path


def test_a_finished_run_opens_with_its_tables(tmp_path):
    path = run(tmp_path, seed=7)
    opened = open_run(str(path))
    assert opened.name == path.name
    assert opened.classes == ("negative", "positive")
    assert opened.warnings == ("careful",)
    assert opened.info["seed"] == 7
    assert opened.card["temperature"] == 1.5
    assert list(opened.predictions["patch_id"]) == ["q1"]
    assert list(opened.splits["split"]) == ["train", "test"]
    assert list(opened.history["train_loss"]) == [1.5, 0.5]


def test_a_table_of_the_evaluation_is_read_or_the_command_that_makes_it_is_named(tmp_path):
    opened = open_run(run(tmp_path))
    with pytest.raises(RunError, match=r"evaluation/metrics.csv, but got no such file .* Run: her2 evaluate "):
        opened.table("metrics")
    (opened.path / "evaluation").mkdir()
    (opened.path / "evaluation" / "metrics.csv").write_text(
        "unit,metric,class,value,lower_95,upper_95,note,resampling_unit,n_clusters,n\n"
        "patch,accuracy,,0.5,,,,patch,1,1\npatch,recall,negative,0.25,,,,patch,1,1\npatch,recall,positive,1,,,,patch,1,1\n"
    )
    assert list(opened.table("metrics")["value"]) == [0.5, 0.25, 1]


def overwrite(name, data):
    return lambda path: (path / name).write_bytes(data)


def rewrite(name, **changes):
    def change(path):
        content = json.loads((path / name).read_text()) | changes
        write_json(path / name, {k: v for k, v in content.items() if v != "gone"})

    return change


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (shutil.rmtree, "Expected a run folder, but got no such folder.*her2 runs list"),
        (lambda p: (p / "run.json").unlink(), "Expected a run folder with run.json, but got none in it.*her2 train"),
        (overwrite("run.json", b"{"), "Expected valid JSON"),
        (overwrite("run.json", b"\xff\xfe\x00"), "Expected valid JSON"),
        (overwrite("run.json", b"[1]"), "Expected a JSON object, but got list"),
        (overwrite("run.json", b'{"runs": 3}'), "Expected a run of her2core, but got another program's run.json"),
        (overwrite("run.json", b'{"schema_version": "1"}'), "another program's run.json"),
        (
            rewrite("run.json", schema_version=SCHEMA_VERSION + 1),
            "of schema 1 or older, but got schema 2.*Update her2core",
        ),
        (rewrite("run.json", status="training"), "a finished run, but got status 'training'.*resumes"),
        (rewrite("run.json", status="gone"), "a finished run, but got status None"),
        (overwrite("model.card.json", b"{'a': 1}"), "Expected valid JSON"),
        (overwrite("model.card.json", b'"card"'), "Expected a JSON object, but got str"),
        (rewrite("model.card.json", classes=["one"]), "got field 'classes' of list with 1 entries"),
        (rewrite("model.card.json", classes=["one", "one"]), "field 'classes' .*each class should be named once"),
        (rewrite("model.card.json", classes=[0, 1]), r"field 'classes\.0' of 0"),
        (rewrite("model.card.json", classes="ab"), "field 'classes' of 'ab'"),
        (rewrite("model.card.json", temperature=0), "field 'temperature' of 0"),
        (rewrite("model.card.json", temperature="warm"), "field 'temperature' of 'warm'"),
        (rewrite("model.card.json", data="tissue"), "field 'data' of 'tissue'"),
    ],
)
def test_a_folder_that_is_no_complete_run_is_refused_by_name_with_the_fix(tmp_path, fault, message):
    path = run(tmp_path)
    fault(path)
    with pytest.raises(RunError, match=message) as refused:
        open_run(path)
    assert str(path) in str(refused.value)
    assert refused.value.fix.endswith(".")


@pytest.mark.parametrize("name", [n for n in REQUIRED if n != "run.json"])
def test_each_missing_file_is_named(tmp_path, name):
    path = run(tmp_path)
    (path / name).unlink()
    with pytest.raises(RunError, match=f"got no {name}.*Copy the run again from its source"):
        open_run(path)


@pytest.mark.parametrize("field", [n for n, f in Card.model_fields.items() if f.is_required()])
def test_each_field_that_a_card_lacks_is_named(tmp_path, field):
    path = run(tmp_path)
    rewrite("model.card.json", **{field: "gone"})(path)
    with pytest.raises(RunError, match=f"got no field '{field}'"):
        open_run(path)


def test_a_section_of_the_card_without_what_it_must_hold_is_named(tmp_path):
    path = run(tmp_path, model_card=card(input={"mean": [0.5] * 3, "std": [0.2] * 3}))
    with pytest.raises(RunError, match=r"got no field 'input\.px'"):
        open_run(path)


def test_a_cut_table_is_refused_when_it_is_read(tmp_path):
    path = run(tmp_path)
    (path / "predictions.parquet").write_bytes((path / "predictions.parquet").read_bytes()[:50])
    with pytest.raises(Her2Error, match=r"Expected a complete Parquet file"):
        _ = open_run(path).predictions


def test_the_list_holds_whole_runs_newest_first_and_a_sentence_for_each_other_folder(tmp_path):
    run(tmp_path, "20260101-000000_a")
    run(tmp_path, "20260301-000000_c")
    run(tmp_path, "20260201-000000_b")
    run(tmp_path, "20260401-000000_newer", schema_version=SCHEMA_VERSION + 1)
    run(tmp_path, ".work/net_data_abc")
    run(tmp_path, ".hidden")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    other = tmp_path.parent / f"{tmp_path.name}-models"
    run(other, "demo")
    runs, problems = list_runs(other, tmp_path, tmp_path / "nowhere")
    assert [r.name for r in runs] == ["demo", "20260301-000000_c", "20260201-000000_b", "20260101-000000_a"]
    assert len(problems) == 2
    assert sum("schema 2" in p for p in problems) == sum(str(tmp_path / "foreign") in p for p in problems) == 1


def test_a_folder_of_runs_is_skipped_and_is_a_root_of_its_own(tmp_path):
    run(tmp_path, "demo")
    run(tmp_path / "study", "one")
    run(tmp_path / "study", "two", schema_version=SCHEMA_VERSION + 1)
    (tmp_path / "study" / ".work").mkdir()
    assert [r.name for r in list_runs(tmp_path)[0]] == ["demo"]
    assert list_runs(tmp_path)[1] == []
    assert [r.name for r in list_runs(tmp_path, tmp_path / "study")[0]] == ["demo", "one"]
    assert len(list_runs(tmp_path / "study")[1]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda folder: (folder / "notes.txt").write_text("x"),
        lambda folder: shutil.rmtree(folder / "one"),
        lambda folder: (folder / "one" / "run.json").unlink(),
    ],
)
def test_a_folder_that_holds_more_than_runs_is_reported_as_no_run(tmp_path, fault):
    run(tmp_path / "study", "one")
    fault(tmp_path / "study")
    assert [str(tmp_path / "study") in p for p in list_runs(tmp_path)[1]] == [True]


def test_a_run_released_without_weights_opens(tmp_path):
    path = run(tmp_path, weights_released=False)
    (path / "model.safetensors").unlink()
    assert not open_run(path).has_weights
    (path / "predictions.parquet").unlink()
    with pytest.raises(RunError, match="got no predictions.parquet"):
        open_run(path)


@pytest.mark.parametrize("said", [None, 0, "no"])
def test_weights_were_left_out_or_not_and_nothing_else(tmp_path, said):
    with pytest.raises(RunError, match="field 'weights_released'"):
        open_run(run(tmp_path, weights_released=said))


def test_only_a_plain_false_says_that_weights_were_left_out(tmp_path):
    path = run(tmp_path, weights_released=True)
    assert open_run(path).has_weights
    (path / "model.safetensors").unlink()
    with pytest.raises(RunError, match="got no model.safetensors"):
        open_run(path)
