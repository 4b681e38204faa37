"""Measures of class-activation maps: definitions, and discrimination of an uninformative map."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from her2core.errors import EvaluationError, RunError
from her2core.maps.evaluation import CHANCE, MEASURES, evaluate_maps
from her2core.maps.metrics import (
    deletion_and_insertion,
    energy_pointing_game,
    overlap,
    pointing_game,
    random_map,
    rank_correlation,
    road,
    with_random_weights,
)

SIZE = 64


def disc(x: int, y: int, radius: int = 8) -> np.ndarray:
    at = np.mgrid[:SIZE, :SIZE]
    return (at[0] - y) ** 2 + (at[1] - x) ** 2 <= radius**2


def predict_proba(seen: np.ndarray) -> np.ndarray:
    """A network that sees class 1 exactly as far as the disc at (20, 20) still differs from its blurred self."""
    left = seen[:, disc(20, 20)].std(axis=(1, 2)) / 128
    return np.stack([1 - left, left], axis=1)


@pytest.fixture
def patch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)


def test_the_pointing_game_has_a_tolerance():
    heat = np.zeros((SIZE, SIZE))
    heat[20, 20] = 1
    assert pointing_game(heat, disc(20, 20)) == 1
    assert pointing_game(heat, disc(20 + 8 + 3, 20)) == 1  # 3 px off; 15 of 224 are 4 of 64
    assert pointing_game(heat, disc(20 + 8 + 6, 20)) == 0
    assert np.isnan(pointing_game(heat, np.zeros((SIZE, SIZE), bool)))
    assert np.isnan(pointing_game(np.zeros((SIZE, SIZE)), disc(20, 20)))


def test_energy_pointing_game_and_overlap_at_their_extremes_and_at_chance():
    truth = disc(20, 20)
    assert energy_pointing_game(truth.astype(float), truth) == 1
    assert overlap(truth.astype(float), truth) == 1
    assert energy_pointing_game((~truth).astype(float), truth) == 0
    assert overlap((~truth).astype(float), truth) == 0
    assert energy_pointing_game(np.ones((SIZE, SIZE)), truth) == pytest.approx(truth.mean())
    half = np.zeros((SIZE, SIZE))
    half[truth] = np.arange(truth.sum()) < truth.sum() // 2
    assert 0.3 < overlap(half + 1e-9 * ~truth, truth) < 0.4  # half of the truth, and as much beside it


def test_deletion_and_insertion_separate_the_right_map_from_a_wrong_one(patch):
    right = disc(20, 20).astype(float)
    wrong = disc(44, 44).astype(float)
    (low, high), (low_wrong, high_wrong) = (
        deletion_and_insertion(patch, heat, predict_proba, index=1) for heat in (right, wrong)
    )
    assert low < low_wrong
    assert high > high_wrong
    whole = predict_proba(patch[None])[0, 1]
    assert low < whole
    assert low_wrong <= whole + 1e-9


class Spot(torch.nn.Module):
    """Class 1 as far as the place around (20, 20) is bright."""

    def forward(self, batch):
        x = batch[:, :, 12:28, 12:28].mean(dim=(1, 2, 3))
        return torch.stack([-4 * x, 4 * x], dim=1)


def test_road_rewards_the_map_that_marks_the_location():
    image = torch.zeros(1, 3, SIZE, SIZE)
    image[:, :, 12:28, 12:28] = 1
    right = np.zeros((1, SIZE, SIZE), np.float32)
    right[:, 12:28, 12:28] = 1
    good = road(Spot(), image, right, indices=[1])
    bad = road(Spot(), image, 1 - right, indices=[1])
    assert good[0] > 0.1 > -0.1 > bad[0]


def test_random_weights_differ_and_are_reproducible_by_seed(tiny_predictor):
    before = {k: v.clone() for k, v in tiny_predictor.network.state_dict().items()}
    one, again, other = (with_random_weights(tiny_predictor.network, seed=s) for s in (0, 0, 1))
    name = next(k for k, v in before.items() if v.ndim == 4)
    assert not torch.equal(one.state_dict()[name], before[name])
    assert torch.equal(one.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(one.state_dict()[name], other.state_dict()[name])
    assert all(torch.equal(v, tiny_predictor.network.state_dict()[k]) for k, v in before.items())
    assert not one.training


def test_rank_correlation_and_random_map():
    grid = np.arange(49.0).reshape(7, 7)
    assert rank_correlation(grid, 2 * grid + 1) == pytest.approx(1)
    assert rank_correlation(grid, -grid) == pytest.approx(-1)
    assert np.isnan(rank_correlation(grid, np.ones((7, 7))))
    a, b = random_map((7, 7), SIZE, seed=1), random_map((7, 7), SIZE, seed=1)
    assert np.array_equal(a, b)
    assert a.shape == (SIZE, SIZE)
    assert 0 <= a.min() < a.max() <= 1


def test_the_maps_of_a_run_are_evaluated_into_a_complete_table(tiny_run):
    table = evaluate_maps(tiny_run, patches=2, methods=("layercam",), resamples=100)
    assert set(table["method"]) == {"layercam", CHANCE}
    assert set(table["measure"]) == set(MEASURES)
    known = table[table["n"] > 0]
    shares = known[known["measure"].isin(("pointing_game", "energy_pointing_game", "overlap", "deletion", "insertion"))]
    assert shares["value"].between(0, 1).all()
    assert known["note"].str.startswith("no interval").all(), "two patients carry no interval"


def test_a_run_whose_maps_cannot_be_evaluated_names_the_reason(tiny_run, tmp_path):
    from her2core.runs.export import export_run

    light = export_run(tiny_run.path, tmp_path / "light", weights=False)
    with pytest.raises(RunError, match="a run with its weights"):
        evaluate_maps(light)
    away = export_run(tiny_run.path, tmp_path / "away")
    card = json.loads((away.path / "model.card.json").read_text())
    card["data"]["facts"]["synthetic"] = False
    (away.path / "model.card.json").write_text(json.dumps(card))
    config = (away.path / "config.yaml").read_text()
    (away.path / "config.yaml").write_text(config.replace("manifest:", "manifest: /nowhere/m.parquet #"))
    with pytest.raises(EvaluationError, match="the images of the run's patches"):
        evaluate_maps(away.path)
