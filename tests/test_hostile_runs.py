"""Run folders from strangers: no code runs, nothing outside is read or copied, and one bad folder hides no other."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from app_steps import errors, visit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from benchmarks.run_damage import all_damages, study_damages
from benchmarks.run_fuzz import damaged_copy, interface_faults, page_faults, study_faults
from her2core import load_predictor, open_run
from her2core.data.manifest import read_manifest
from her2core.errors import Her2Error, RunError, StudyError
from her2core.io.files import sha256_file
from her2core.io.tables import read_table
from her2core.runs.export import export_run
from her2core.runs.listing import list_runs
from her2core.runs.patch_images import patch_images
from her2core.study.tables import read_study_tables

DAMAGES, ROOT = all_damages(), Path(__file__).resolve().parents[1]


class Marker:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def copy_of(run, target: Path) -> Path:
    return Path(shutil.copytree(run.path, target, copy_function=os.link))


def rewrite(path: Path, content: str | bytes) -> None:
    path.unlink()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def with_network(run, target: Path, **network) -> Path:
    """A copy whose card names another network."""
    copy = copy_of(run, target)
    card = json.loads((copy / "model.card.json").read_text())
    card["network"] = {**card["network"], **network}
    rewrite(copy / "model.card.json", json.dumps(card))
    return copy


def opened(path: Path) -> None:
    run = open_run(path)
    load_predictor(run).predict(np.full((64, 64, 3), 200, np.uint8))


def everything(path: Path) -> None:
    opened(path)
    assert len(open_run(path).predictions)


OPTIONS = [
    {"checkpoint_path": "{pickle}"},
    {"pretrained": True},
    {"pretrained_cfg": {"file": "{pickle}"}},
    {"pretrained_cfg_overlay": {"file": "{pickle}"}},
    {"pretrained_cfg_overlay": {"url": "file://{pickle}"}},
    {"cache_dir": "{pickle}"},
    {"features_only": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: next(iter(o)))
def test_options_of_a_card_make_no_code_run(tiny_run, tmp_path, options):
    marker, planted = tmp_path / "marker", tmp_path / "weights.pth"
    planted.write_bytes(pickle.dumps(Marker(marker)))
    options = json.loads(json.dumps(options).replace("{pickle}", str(planted)))
    for name in ("timm:mobilenetv3_small_050", tiny_run.card["network"]["name"]):
        path = with_network(tiny_run, tmp_path / name.replace(":", "-"), name=name, options=options)
        with pytest.raises(Her2Error):
            opened(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["timm:local-dir:{folder}", "timm:hf-hub:a/b", "timm:../x", "hub:../../x", "timm:file:{folder}", "x.y"]
)
def test_names_of_a_card_reach_no_folder_and_no_network(tiny_run, tmp_path, name, monkeypatch):
    def refused(*args, **kwargs):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr("socket.socket.connect", refused)
    path = with_network(tiny_run, tmp_path / "run", name=name.replace("{folder}", str(tmp_path)), options={})
    with pytest.raises(Her2Error):
        opened(path)


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_pickled_weights_are_refused_unread(tiny_run, tmp_path, kind):
    marker, path = tmp_path / "marker", copy_of(tiny_run, tmp_path / "run")
    if kind == "zip":
        torch.save(Marker(marker), tmp_path / "w")
        content = (tmp_path / "w").read_bytes()
    else:
        content = pickle.dumps(Marker(marker))
    rewrite(path / "model.safetensors", content)
    card = json.loads((path / "model.card.json").read_text()) | {
        "weights_sha256": sha256_file(path / "model.safetensors")
    }
    rewrite(path / "model.card.json", json.dumps(card))
    with pytest.raises(Her2Error):
        opened(path)
    assert not marker.exists()


def test_weights_that_are_not_finite_give_no_class(tiny_run, tmp_path):
    path = copy_of(tiny_run, tmp_path / "run")
    state = load_file(path / "model.safetensors")
    name = next(name for name, value in state.items() if value.is_floating_point())
    state[name] = torch.full_like(state[name], float("nan"))
    (path / "model.safetensors").unlink()
    save_file(state, path / "model.safetensors")
    card = json.loads((path / "model.card.json").read_text()) | {
        "weights_sha256": sha256_file(path / "model.safetensors")
    }
    rewrite(path / "model.card.json", json.dumps(card))
    with pytest.raises(Her2Error, match="finite"):
        opened(path)


DAMAGE = {
    "deep": ("model.card.json", "[" * 100_000),
    "deep object": ("run.json", '{"a":' * 50_000),
    "not UTF-8": ("run.json", b"\xff\xfe\x00"),
    "a list": ("model.card.json", "[]"),
    "a number": ("run.json", "7"),
    "infinite": ("model.card.json", '{"temperature": Infinity}'),
    "huge number": ("run.json", '{"schema_version": 1' + "0" * 6000 + "}"),
    "NUL": ("model.card.json", "\0" * 100),
    "empty": ("run.json", ""),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_one_damaged_folder_is_named_and_the_others_are_listed(tiny_run, tmp_path, kind):
    copy_of(tiny_run, tmp_path / "good")
    name, content = DAMAGE[kind]
    rewrite(copy_of(tiny_run, tmp_path / "bad") / name, content)
    runs, problems = list_runs(tmp_path)
    assert [run.name for run in runs] == ["good"]
    (problem,) = problems
    assert "bad" in problem
    assert "\n" not in problem


def test_a_folder_that_may_not_be_read_is_named_and_the_others_are_listed(tiny_run, tmp_path, monkeypatch):
    copy_of(tiny_run, tmp_path / "good")
    copy_of(tiny_run, tmp_path / "closed")
    real = os.open

    def denied(path, *args, **kwargs):
        if "closed" in os.fspath(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", denied)
    runs, problems = list_runs(tmp_path)
    assert [run.name for run in runs] == ["good"]
    assert len(problems) == 1
    assert "closed" in problems[0]


@pytest.mark.parametrize("name", ["model.card.json", "run.json", "predictions.parquet", "model.safetensors"])
def test_a_link_in_a_run_is_not_followed(tiny_run, tmp_path, name):
    path = copy_of(tiny_run, tmp_path / "run")
    (path / name).rename(tmp_path / "outside")
    (path / name).symlink_to(tmp_path / "outside")
    with pytest.raises(Her2Error, match="link"):
        everything(path)


def test_export_copies_nothing_that_a_link_leads_to(tiny_run, tmp_path):
    path = copy_of(tiny_run, tmp_path / "run")
    (tmp_path / "secret.txt").write_text("secret")
    (path / "notes.txt").symlink_to(tmp_path / "secret.txt")
    (path / "evaluation" / "more.csv").symlink_to(tmp_path / "secret.txt")
    (path / "folder").symlink_to(tmp_path)
    made = export_run(path, tmp_path / "made")
    names = {p.name for p in made.path.rglob("*")}
    assert not names & {"notes.txt", "more.csv", "folder", "secret.txt"}
    assert "predictions.parquet" in names


# Damage of benchmarks/run_damage.py; benchmarks/run_fuzz.py does all of it, on every page


@given(name=st.sampled_from(sorted(DAMAGES)))
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_refused_or_does_no_harm_on_the_interface(tiny_run, tmp_path, name):
    damaged_copy(tiny_run.path, tmp_path / "models" / "demo", DAMAGES[name])
    quick = ("repr", "predictions", "history", "dataset", "checks", "cost", "splits", "table metrics", "pictures")
    assert interface_faults(tmp_path / "models" / "demo", quick.__contains__)[1] == []


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("training", "run.json: hardware gone"),
        ("training", "run.json: packages {}"),
        ("about", 'run.json: git {"commit": null}'),
        ("performance", "evaluation/metrics.csv: the last row lacks"),
    ],
)
def test_damage_is_a_sentence_on_pages(models, tiny_run, page, name):
    damaged_copy(tiny_run.path, models / "demo", DAMAGES[name])
    assert page_faults(models, [page]) == []


@pytest.mark.parametrize(
    "name",
    [
        *("study.seeds 3", "scheme gone", "a huge integer", "a link out", "leakage.csv: one row"),
        *("gaps.csv: text for numbers", "leakage.csv: no numbers", "gaps.csv: a folder"),
    ],
)
def test_a_damaged_study_is_refused_by_file_and_field(tmp_path, name):
    file, _, _ = name.partition(": ")
    damage = next(d for n, d in study_damages().items() if n.startswith("study/leakage/") and n.endswith(name))
    folder = tmp_path / "study"
    shutil.copytree(ROOT / "models/study/leakage", folder, ignore=lambda path, names: [n for n in names if "seed" in n])
    assert read_study_tables(folder, "leakage").figures["seeds"].eq(3).all()
    damage(folder)
    with pytest.raises(StudyError) as refused:
        read_study_tables(folder, "leakage")
    assert (file if file.endswith(".csv") else "study.json") in refused.value.where


def test_a_damaged_study_is_a_sentence_on_its_page(models, demo):
    damage = study_damages()["study/leakage/leakage.csv: one row"]
    assert study_faults(models, "leakage", damage) == []


def test_damaged_weights_are_refused_on_the_errors_page_as_on_the_patch_page(demo):
    weights = bytearray((demo / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    rewrite(demo / "model.safetensors", bytes(weights))
    card = json.loads((demo / "model.card.json").read_text())
    at = visit("errors", unit="patch")
    on_patch_page = errors(visit("patch"))
    assert errors(at) == on_patch_page
    assert "model.safetensors" in on_patch_page[0]
    assert card["weights_sha256"][:12] in on_patch_page[0]
    assert at.dataframe


# What a run names and a library would open


@pytest.mark.parametrize(
    "named", ["/etc/passwd", "../../../../../etc/passwd", "{outside}/m.parquet", "linked/m.parquet"]
)
def test_a_run_chooses_no_manifest_outside_the_folders_of_the_server(tiny_run, tmp_path, monkeypatch, named):
    base, outside = tmp_path / "base", tmp_path / "outside"
    base.mkdir()
    outside.mkdir()
    (base / "linked").symlink_to(outside)
    path = copy_of(tiny_run, base / "run")
    rewrite(path / "config.yaml", json.dumps({"manifest": named.replace("{outside}", str(outside))}))
    card = json.loads((path / "model.card.json").read_text())
    card["data"]["facts"] = {"synthetic": False}
    rewrite(path / "model.card.json", json.dumps(card))
    monkeypatch.setattr("her2core.runs.patch_images.read_manifest", lambda path: pytest.fail(f"{path} was opened"))
    found = patch_images(open_run(path), base=base, within=(base,))
    assert found.read is None
    assert "HER2_FOLDERS" in found.why_not
    assert str(outside) not in found.why_not


@pytest.mark.parametrize(
    "config", [{"manifest": "a\0b"}, {"manifest": ["/etc/passwd"]}, {"manifest": "m", "split": {"fractions": 5}}, {}]
)
def test_a_configuration_of_other_kinds_is_refused(tiny_run, tmp_path, config):
    path = copy_of(tiny_run, tmp_path / "run")
    rewrite(path / "config.yaml", json.dumps(config))
    with pytest.raises(RunError, match="config.yaml"):
        _ = open_run(path).config


def parquet(table: pa.Table) -> bytes:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    return buffer.getvalue().to_pybytes()


def test_metadata_of_parquet_makes_no_code_run_and_is_refused_or_ignored(tmp_path):
    marker = tmp_path / "marker"
    pickled = pickle.dumps(Marker(marker))
    plain = pa.array(["a", "b"])
    about = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled}
    field = pa.field("label", pa.string(), metadata=about)
    for metadata in (None, {b"pandas": b"{"}, {b"pandas": pickled}):
        table = pa.table([plain], schema=pa.schema([field], metadata=metadata))
        assert read_table(parquet(table), name="t.parquet").frame["label"].tolist() == ["a", "b"]
    assert not marker.exists()
    extended = pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "a", "b"), plain)
    for column in (extended, pa.array([b"a", b"b"]), pa.array([[1], [2]])):
        with pytest.raises(Her2Error, match="numbers or text"):
            read_table(parquet(pa.table({"label": column})), name="t.parquet")
    for table in (
        pa.table({"label": plain}).replace_schema_metadata({b"\xff": b"\xff"}),
        pa.table({"label": plain}).replace_schema_metadata({b"ARROW:schema": pickled}),
        pa.table({"when": pa.array([1, 2], pa.timestamp("s", "../../etc/passwd"))}),
    ):
        with pytest.raises(Her2Error, match="complete Parquet"):
            read_table(parquet(table), name="t.parquet")
    assert not marker.exists()


@pytest.mark.parametrize(
    "meta",
    [
        *("[]", "{", '{"classes": 5}', '{"classes": [1, 2]}', '{"root": "a\\u0000"}', '{"root": 5}'),
        *('{"facts": [1]}', '{"scheme": []}', '{"a":' * 20_000),
    ],
    ids=range(9),
)
def test_metadata_of_a_manifest_of_other_kinds_is_refused(tmp_path, meta):
    table = pa.Table.from_pandas(pd.DataFrame({"path": ["1.png", "2.png"], "label": ["a", "b"]}))
    path = tmp_path / "m.parquet"
    path.write_bytes(parquet(table.replace_schema_metadata({b"her2core": meta.encode()})))
    with pytest.raises(Her2Error, match="m.parquet"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.pkl", "a.csv", "a.parquet"])
def test_arrays_of_objects_are_never_unpickled(tmp_path, name):
    marker, content = tmp_path / "marker", tmp_path / "content"
    with content.open("wb") as file:
        save = np.savez if name == "a.npz" else np.save
        save(file, np.array([Marker(marker)], dtype=object), allow_pickle=True)
    with pytest.raises(Her2Error):
        read_table(content.read_bytes(), name=name)
    assert not marker.exists()
