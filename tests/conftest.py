"""Shared fixtures: real tissue, a tiny cohort, and one tiny trained run for the whole session."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: what CI saw can be seen again.
settings.register_profile("same", derandomize=True)
settings.load_profile("same")

# The reference engine, whatever is installed: no conversion for each tiny run. tests/test_engines.py has the others.
os.environ["HER2_ENGINE"] = "torch"

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real tissue, or a skip with the reason."""
    if not REAL.is_dir():
        pytest.skip(f"real tissue is not here: {REAL}")
    return REAL


@pytest.fixture(scope="session")
def brief_cost():
    """Trainings and studies of this process time a network in 2 rounds, not in 30; tests/test_cost.py has the rest."""
    from her2core.networks.cost import network_cost

    def brief(network, px, *, rounds=30):
        return network_cost(network, px, rounds=2)

    patch = pytest.MonkeyPatch()
    for module in ("her2core.training.artifacts", "her2core.study.costs"):
        patch.setattr(f"{module}.network_cost", brief)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny_manifest(tmp_path_factory) -> Path:
    """A synthetic cohort of 18 patients with 2 patches of 64 px each, on disk."""
    from her2core import import_dataset

    root = tmp_path_factory.mktemp("cohort")
    manifest = import_dataset("demo", root, patients=18, patches_per_patient=2, px=64, seed=3, workers=1)
    return manifest.write(root / "manifest.parquet")


@pytest.fixture(scope="session")
def tiny_config(tiny_manifest):
    """Two epochs of a ResNet with ten layers at 64 px on that cohort; its feature map has 4 x 4 cells."""
    from her2core.training.config import make_config

    return make_config(
        {
            "name": "tiny",
            "manifest": str(tiny_manifest),
            "input": {"px": 64},
            "network": {"name": "timm:resnet10t", "options": {"output_stride": 16}},
            "train": {"epochs": 2, "batch_size": 8, "warmup_epochs": 0},
            "hardware": {"accelerator": "cpu"},
        }
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_config, tmp_path_factory, brief_cost):
    """A finished run of that configuration. Never write into it: copy it first."""
    from her2core import train

    return train(tiny_config, root=tmp_path_factory.mktemp("runs"), progress=False)


@pytest.fixture(scope="session")
def tiny_predictor(tiny_run):
    from her2core import load_predictor

    return load_predictor(tiny_run)


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """The only folder in which the dashboard looks for runs; empty, and nothing remembered of another test."""
    import streamlit as st

    from dashboard import cache

    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(cache, "ROOTS", (folder, tmp_path / "runs"))
    st.cache_data.clear()
    st.cache_resource.clear()
    yield folder
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def demo(models, tiny_run) -> Path:
    """The tiny run as ``demo``. Its files are the fixture's own: replace them, never write into them."""
    return shutil.copytree(tiny_run.path, models / "demo", copy_function=os.link)


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, or a skip with the reason; nothing is installed behind the user's back.

    One for all tests: Playwright's client takes the thread's event loop for as long as it runs, so there is no second.
    """
    from benchmarks.browser import ARGUMENTS, CHROMIUM

    api = pytest.importorskip("playwright.sync_api", reason="Playwright's Python client is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def run_of_64_microns(tiny_run, tmp_path_factory) -> Path:
    """The tiny run, with a field of view of 64 microns: 128 px of the slides of ``slide_files``."""
    folder = shutil.copytree(tiny_run.path, tmp_path_factory.mktemp("run") / "tiny")
    card = json.loads((folder / "model.card.json").read_text())
    card["input"] |= {"field_um": 64.0, "mpp": 1.0}
    (folder / "model.card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def her2(monkeypatch, capsys, tmp_path):
    """Type a command in an empty folder; get (exit code, stdout, stderr)."""
    from her2core.cli import main

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def call(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["her2", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return call


@pytest.fixture
def mixed(tmp_path) -> Path:
    """A folder with two good patches, a truncated one, a text named .png, and something that is no image at all."""
    from cli_steps import SPEC
    from PIL import Image

    from her2core.data.synthetic import render_patch

    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    for i, name in enumerate(("a.png", "deeper/b.png")):
        Image.fromarray(render_patch(SPEC, i).image).save(folder / name)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:900])
    (folder / "notes.png").write_text("these are notes")
    (folder / "readme.txt").write_text("not looked at")
    return folder
