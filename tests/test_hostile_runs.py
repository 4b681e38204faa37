"""Run folders from strangers: no code runs, nothing outside is read or copied, and one bad folder hides no other."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from her2core import load_predictor, open_run
from her2core.errors import Her2Error
from her2core.io.files import sha256_file
from her2core.runs.export import export_run
from her2core.runs.listing import list_runs


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
