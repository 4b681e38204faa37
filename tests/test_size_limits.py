"""Small files that ask for huge memory, and sizes that only a finished run would be refused for: refused unread."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from her2core import load_config, load_predictor, open_run
from her2core.data.manifest import build_manifest
from her2core.errors import ConfigError, ManifestError, RunError, TableError, WeightsError
from her2core.io import delimited, parquet, uploads
from her2core.io.documents import parse_yaml
from her2core.io.limits import UPLOADED_TABLE
from her2core.io.tables import read_table
from her2core.networks.weight_files import read_weights
from her2core.ood import read_ood_detector
from her2core.runs.drafts import list_drafts
from her2core.runs.patch_images import synthetic_cohort
from her2core.study.config import read_study
from her2core.study.leakage import LeakageConfig
from her2core.training.config import make_config
from her2core.training.fit import train

BOMB = "a: &a [x, x]\n" + "\n".join(f"{c}: &{c} [*{b}, *{b}]" for b, c in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.fixture
def copy(tiny_run, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_run.path, tmp_path / "run", copy_function=os.link))


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def unread(*args, **kwargs):
    raise AssertionError("it was read")


def sparse_weights(path: Path, gib: int) -> None:
    """A whole safetensors file of one tensor of zeros that takes no place on the disk."""
    size = gib * 2**30
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)


def test_a_cohort_of_9999_times_9999_is_refused_before_it_is_planned(copy, monkeypatch):
    card = json.loads((copy / "model.card.json").read_text())
    card["data"]["facts"]["spec"] |= {"patients": 9999, "patches_per_patient": 9999}
    rewrite(copy / "model.card.json", json.dumps(card).encode())
    monkeypatch.setattr("her2core.runs.patch_images.plan_cohort", unread)
    with pytest.raises(RunError, match="at most 500,000 patches, but got 99,980,001"):
        synthetic_cohort(open_run(copy))


def test_a_network_input_of_4096_px_is_refused_on_opening(copy):
    card = json.loads((copy / "model.card.json").read_text())
    card["input"]["px"] = 4096
    rewrite(copy / "model.card.json", json.dumps(card).encode())
    with pytest.raises(RunError, match=r"'input.px' of 4096"):
        open_run(copy)


def test_a_small_parquet_of_millions_of_rows_is_refused_by_what_it_states(copy, monkeypatch):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"patch_id": np.zeros(6_000_000, np.int8)}), buffer)
    assert buffer.tell() < 100_000
    rewrite(copy / "predictions.parquet", buffer.getvalue())
    monkeypatch.setattr(parquet, "_read", unread)
    with pytest.raises(RunError, match=r"at most 5,000,000 rows, but got 6,000,000 \(.*predictions.parquet"):
        _ = open_run(copy).predictions


@pytest.mark.parametrize(
    "content", [b"epoch\n" + b"1\n" * 5_000_001, b"a," * 2_001 + b"b\n1\n"], ids=["rows", "columns"]
)
def test_a_csv_beyond_the_limits_is_not_parsed(copy, monkeypatch, content):
    rewrite(copy / "history.csv", content)
    monkeypatch.setattr(pd, "read_csv", unread)
    with pytest.raises(RunError, match="history.csv"):
        _ = open_run(copy).history


def test_an_uploaded_csv_of_too_many_rows_is_not_parsed(monkeypatch):
    monkeypatch.setattr(delimited, "_parse", unread)
    with pytest.raises(TableError, match="at most 2,000,000 rows"):
        read_table(b"a,b\n" + b"0,1\n" * 2_000_001, name="t.csv", limits=UPLOADED_TABLE)


def test_weights_of_4_gb_are_refused_by_their_header(copy, monkeypatch):
    sparse_weights(copy / "model.safetensors", 4)
    monkeypatch.setattr("hashlib.file_digest", unread)
    with pytest.raises(WeightsError):
        load_predictor(open_run(copy))


@pytest.mark.parametrize("read", [read_weights, read_ood_detector])
def test_a_file_of_weights_beyond_its_limit_is_not_hashed(tmp_path, monkeypatch, read):
    path = tmp_path / "w.safetensors"
    sparse_weights(path, 17)
    monkeypatch.setattr("hashlib.file_digest", unread)
    with pytest.raises(WeightsError, match="above the limit"):
        read(path, sha256="0" * 64)


def test_yaml_whose_aliases_multiply_is_refused_everywhere(copy, tmp_path):
    rewrite(copy / "config.yaml", BOMB.encode())
    with pytest.raises(RunError, match="an alias"):
        _ = open_run(copy).config
    with pytest.raises(ConfigError, match="an alias"):
        load_config(copy / "config.yaml")
    with pytest.raises(ConfigError, match="an alias"):
        read_study(copy / "config.yaml", LeakageConfig, example="x.yaml")
    draft = tmp_path / "runs" / ".work" / "draft"
    draft.mkdir(parents=True)
    (draft / "config.yaml").write_text(BOMB)
    assert "config.yaml: expected fields and values." in list_drafts(tmp_path / "runs")[0].problem


def test_images_beyond_the_pixels_of_a_session_are_not_decoded(monkeypatch):
    class Sent:
        def __init__(self, name: str, side: int) -> None:
            buffer = io.BytesIO()
            Image.new("RGB", (side, side), "pink").save(buffer, "PNG")
            self.name, self.getvalue = name, buffer.getvalue

    decoded, real = [], uploads._decode
    monkeypatch.setattr(uploads, "MAX_PIXELS_TOTAL", 2 * 64 * 64)
    monkeypatch.setattr(
        uploads, "_decode", lambda data, name, **limits: decoded.append(name) or real(data, name, **limits)
    )
    taken = uploads.read_uploads([Sent("a.png", 64), Sent("large.png", 128), Sent("b.png", 64), Sent("c.png", 64)])
    assert [upload.image is None for upload in taken] == [False, True, False, True]
    assert decoded == ["a.png", "b.png"]
    assert "8,192 px are read together" in taken[1].error


def test_more_classes_than_a_run_may_have_are_refused_before_training(tmp_path):
    def trained(classes: int) -> None:
        table = pd.DataFrame(
            {"path": [f"{i}.png" for i in range(classes)], "label": [f"c{i:03}" for i in range(classes)]}
        )
        path = build_manifest(table, root=tmp_path).write(tmp_path / f"{classes}.parquet")
        train(make_config({"name": "many", "manifest": str(path)}), root=tmp_path / "runs", progress=False)

    with pytest.raises(ManifestError, match="at most 100 classes, but got 101"):
        trained(101)
    with pytest.raises(ManifestError, match="missing files"):
        trained(100)
    assert not (tmp_path / "runs").exists()


def test_a_title_that_no_card_can_hold_is_refused_before_training(tiny_config, tmp_path):
    long = tiny_config.model_copy(update={"title": "x" * 2_001})
    with pytest.raises(RunError, match="'title'"):
        train(long, root=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "content", ["!!bool x", "!!timestamp x", "!!int ''", "!!float x", "!!binary x", "? [a]\n: b", "<<: 5"]
)
def test_yaml_whose_tags_do_not_fit_is_refused(content):
    with pytest.raises(ValueError, match="."):
        parse_yaml(f"a: 1\n{content}" if content.startswith(("?", "<")) else f"a: {content}")
