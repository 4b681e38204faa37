"""Maps against annotated cells: discs by hand, agreement of known maps, intervals over patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from her2core.errors import ConfigError
from her2core.maps.cells import MEASURES, agreement, agreement_table, near_cells, stain_density_map


def test_pixels_near_a_cell_are_a_disc_and_cells_outside_reach_in():
    rows, columns = np.mgrid[:64, :64]
    centres = np.array([[20.5, 30.5], [-2.5, 10.5], [500.0, 10.0]])
    expected = ((rows - 20) ** 2 + (columns - 30) ** 2 <= 100) | ((rows + 3) ** 2 + (columns - 10) ** 2 <= 100)
    np.testing.assert_array_equal(near_cells(centres, px=64, radius=10.0), expected)
    assert not near_cells(np.empty((0, 2)), px=8, radius=2.0).any()
    with pytest.raises(ConfigError, match="`radius` to be above 0, but got 0"):
        near_cells(centres, px=64, radius=0)


def test_agreement_of_maps_whose_place_is_known():
    near = near_cells(np.array([[16.5, 16.5]]), px=64, radius=8.0)
    inside, outside = near.astype(float), (~near).astype(float)
    assert agreement(inside, near) == {"energy": 1.0, "pointing_game": 1.0}
    assert agreement(outside, near) == {"energy": 0.0, "pointing_game": 0.0}
    uniform = agreement(np.ones((64, 64)), near)
    assert uniform["energy"] == uniform["pointing_game"] == pytest.approx(near.mean())
    assert all(np.isnan(v) for v in agreement(np.zeros((64, 64)), near).values())
    assert all(np.isnan(v) for v in agreement(inside, np.zeros((64, 64), bool)).values())


def test_the_map_of_stain_density_follows_the_stain():
    image = np.full((64, 64, 3), 255, np.uint8)
    image[:32, :32] = (90, 40, 120)
    heat = stain_density_map(image, 8)
    assert heat[:24, :24].min() > 0.5
    assert heat[40:, 40:].max() == 0


def test_intervals_are_over_patients_and_differences_are_paired():
    rng = np.random.default_rng(0)
    rows = []
    for patient in range(30):
        shift = rng.normal(0, 0.1)
        for patch in range(rng.integers(1, 9)):
            base = 0.4 + shift + rng.normal(0, 0.02)
            for name, value in (("gradcam", base + 0.1), ("uniform", base)):
                rows.append([f"P{patient}", f"{patient}-{patch}", name, "tumour_cells", value, float(value > 0.45)])
    rows.append(["P0", "undefined", "gradcam", "tumour_cells", np.nan, np.nan])
    rows.append(["P0", "undefined", "uniform", "tumour_cells", 0.9, 1.0])
    measured = pd.DataFrame(rows, columns=["patient", "patch", "map", "cells", *MEASURES])
    table = agreement_table(measured, seed=1).set_index(["measure", "map"])
    known = measured[measured["patch"] != "undefined"]
    for name in ("gradcam", "uniform"):
        row = table.loc["energy", name]
        assert row["value"] == pytest.approx(known.loc[known["map"] == name, "energy"].mean())
        assert row["upper_95"] - row["lower_95"] > 0.04  # patients differ by 0.1: about 4 x 0.1 / sqrt(30)
        assert (row["n"], row["n_clusters"]) == (len(known) / 2, 30)
    change = table.loc["energy", "uniform"]
    assert change["difference"] == pytest.approx(0.1)
    assert change["difference_upper_95"] - change["difference_lower_95"] < 1e-6
