"""Titles and limits of a configuration: those of other data are never inherited."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from her2core.data.manifest import read_manifest
from her2core.errors import ConfigError
from her2core.training.config import load_config, make_config
from her2core.training.config_errors import refuse_synthetic_claims
from her2core.training.fit import train

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def test_the_neutral_configuration_says_nothing_of_the_demo(tmp_path):
    config = load_config(CONFIGS / "own.yaml", ["name=mine", "manifest=mine.parquet"])
    assert (config.title, config.limits, config.network.init, config.split.unit) == ("", (), "none", "patient")
    assert "demo" not in config.to_yaml()


@pytest.mark.parametrize(
    "override", ["name=mine", "manifest=mine.parquet", "network.name=resnet50", "split.unit=patch_random"]
)
def test_a_title_of_another_run_is_not_inherited(override):
    demo = load_config(CONFIGS / "demo.yaml")
    mine = load_config(CONFIGS / "demo.yaml", [override])
    assert demo.title
    assert demo.limits
    assert mine.title == ""
    assert (mine.limits == ()) is override.startswith("manifest")
    assert load_config(CONFIGS / "demo.yaml", [override, "title=Mine"]).title == "Mine"


@pytest.mark.parametrize("name", ["demo", "tissue12", "her2st-erbb2"])
def test_an_edited_copy_for_other_data_drops_title_and_limits_with_a_sentence(name, tmp_path, caplog):
    text = (CONFIGS / f"{name}.yaml").read_text()
    released = load_config(CONFIGS / f"{name}.yaml")
    assert released.title
    assert released.limits
    assert caplog.text == ""
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(f"\nmanifest: {released.manifest}", "\nmanifest: data/mine.parquet"))
    mine = load_config(path)
    assert str(mine.manifest) == "data/mine.parquet"
    assert (mine.title, mine.limits) == ("", ())
    assert f"mine.yaml: title and limits are about {released.manifest}, not data/mine.parquet" in caplog.text
    assert load_config(path, ["title=Mine"]).title == "Mine"


@pytest.mark.parametrize(
    "claim",
    [
        {"title": "Synthetic demo cohort, modified ResNet50 started from tissue12, patient split"},
        {
            "limits": [
                "Its classes were learned from synthetic patches only; its answers about real tissue mean nothing."
            ]
        },
    ],
)
def test_claims_about_a_synthetic_cohort_are_refused_for_other_data(tiny_manifest, tmp_path, claim):
    made = read_manifest(tiny_manifest)
    other = replace(made, facts={}).write(tmp_path / "other.parquet")
    with pytest.raises(
        ConfigError, match=r"not synthetic, but got .*[Ss]ynthetic.*Write a title and limits of your own"
    ):
        train(make_config({"name": "own", "manifest": str(other), **claim}), root=tmp_path / "runs", progress=False)
    assert not (tmp_path / "runs").exists()
    refuse_synthetic_claims(claim.get("title", ""), claim.get("limits", ()), made.facts, where="m")


@pytest.mark.parametrize(
    ("title", "limits"), [("Real tissue, after synthetic patches", ()), ("", ("Started from synthetic patches.",))]
)
def test_other_mentions_of_synthetic_patches_are_allowed(title, limits):
    refuse_synthetic_claims(title, limits, {}, where="m")
