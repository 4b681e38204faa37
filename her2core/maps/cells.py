"""Agreement of class-activation maps with annotated cells, beside maps that know nothing of the classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import distance_transform_edt

from her2core.errors import ConfigError
from her2core.evidence.intervals import interval_row
from her2core.evidence.resampling import resampled_means
from her2core.io.images import RGBImage, resize_rgb
from her2core.maps.metrics import energy_pointing_game
from her2core.stain.density import density_table

#: Microns around the centre of a cell that count as the cell and its surroundings; our choice.
RADIUS_UM = 10.0
#: The map that is the same everywhere: its share of energy is the share of the area.
UNIFORM = "uniform"
MEASURES = ("energy", "pointing_game")


def near_cells(centres: npt.NDArray[np.float64], *, px: int, radius: float) -> npt.NDArray[np.bool_]:
    """Pixels of a patch within a radius of a cell's centre.

    Parameters
    ----------
    centres : ndarray of float64, shape (N, 2)
        Row and column in pixels of the patch; centres outside of it count as far as they reach in.
    px : int
        Side of the patch in pixels.
    radius : float
        In pixels, above 0.

    Returns
    -------
    ndarray of bool, shape (px, px)

    Raises
    ------
    ConfigError
        For a radius of 0 or less.

    Examples
    --------
    >>> near_cells(np.array([[1.0, 1.0]]), px=4, radius=1.0).astype(int).tolist()
    [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    """
    if not radius > 0:
        raise ConfigError("argument `radius` to be above 0", got=f"{radius:g}", fix="Give it in pixels.")
    margin = int(np.ceil(radius)) + 1
    side = px + 2 * margin
    places = np.floor(np.asarray(centres, np.float64).reshape(-1, 2)).astype(np.int64) + margin
    inside = ((places >= 0) & (places < side)).all(axis=1)
    if not inside.any():
        return np.zeros((px, px), bool)
    free = np.ones((side, side), bool)
    free[tuple(places[inside].T)] = False
    return (distance_transform_edt(free) <= radius)[margin:-margin, margin:-margin]


def stain_density_map(image: RGBImage, grid: int, *, white: float = 255.0) -> npt.NDArray[np.float64]:
    """Mean optical density of a patch on the grid of a map: where the stain is dense, whatever the class.

    Parameters
    ----------
    image : ndarray
        uint8 (S, S, 3) RGB.
    grid : int
        Side of the map's grid, in its cells.
    white : float
        Grey level of the background.

    Returns
    -------
    ndarray of float64, shape (S, S)
        0 and up.

    Examples
    --------
    >>> float(stain_density_map(np.full((8, 8, 3), 255, np.uint8), 2).max())
    0.0
    """
    side = len(image)
    coarse = resize_rgb(resize_rgb(image, grid), side)
    return np.maximum(density_table(white)[coarse].mean(axis=2), 0.0).astype(np.float64)


def agreement(heat: npt.NDArray[np.floating], near: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Share of a map's energy near cells, and whether its maximum lies there.

    Parameters
    ----------
    heat : ndarray of float, shape (S, S)
        0 and up.
    near : ndarray of bool, shape (S, S)
        As from ``near_cells``.

    Returns
    -------
    dict of str to float
        ``energy`` in 0..1 and ``pointing_game``, 0 or 1 (the share of maxima, where several pixels are equal). Both NaN
        without cells or for a map that is zero everywhere.

    References
    ----------
    Zhang et al. 2018, doi 10.1007/s11263-017-1059-x; Wang et al. 2020, doi 10.1109/CVPRW50498.2020.00020.

    Examples
    --------
    >>> agreement(np.array([[3.0, 1.0]]), np.array([[True, False]]))
    {'energy': 0.75, 'pointing_game': 1.0}
    >>> agreement(np.ones((1, 2)), np.array([[True, False]]))["pointing_game"]
    0.5
    """
    if not near.any() or not heat.max() > 0:
        return dict.fromkeys(MEASURES, float("nan"))
    return {"energy": energy_pointing_game(heat, near), "pointing_game": float(near[heat == heat.max()].mean())}


def agreement_table(measured: pd.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Means over patches with intervals over patients, and differences of each map from the others.

    Parameters
    ----------
    measured : DataFrame
        One row a patch, map and kind of cell: patient, patch, map, cells, and ``MEASURES``; ``gradcam`` is compared.
    resamples, seed : int
        Of the bootstrap over patients.

    Returns
    -------
    DataFrame
        map, cells, measure, value, lower_95, upper_95, difference (gradcam less this map), difference_lower_95,
        difference_upper_95, n (patches), n_clusters (patients).

    Examples
    --------
    >>> rows = [(p, 0, m, "tumour_cells", v, v) for p in "abcdef" for m, v in (("gradcam", 0.6), ("uniform", 0.4))]
    >>> measured = pd.DataFrame(rows, columns=["patient", "patch", "map", "cells", *MEASURES])
    >>> agreement_table(measured)[["map", "value", "difference"]].round(1).values.tolist()[:2]
    [['gradcam', 0.6, 0.0], ['uniform', 0.4, 0.2]]
    """
    rows = []
    for cells, of in measured.groupby("cells", sort=False):
        for measure in MEASURES:
            wide = of.pivot(index=["patient", "patch"], columns="map", values=measure)
            wide = wide[list(dict.fromkeys(of["map"]))].dropna()  # patches that all maps are defined on
            if wide.empty:
                continue
            patients, names = pd.factorize(wide.index.get_level_values("patient"))
            found = {
                name: resampled_means(wide[name].to_numpy(np.float64), patients, resamples=resamples, seed=seed)
                for name in wide
            }
            reference, reference_draws = found["gradcam"]
            for name, (value, draws) in found.items():
                interval = interval_row(measure, "", value, draws)
                change = interval_row(measure, "", reference - value, reference_draws - draws)
                rows.append(
                    {"map": name, "cells": cells, "measure": measure}
                    | {key: interval[key] for key in ("value", "lower_95", "upper_95")}
                    | {"difference": change["value"]}
                    | {f"difference_{key}": change[key] for key in ("lower_95", "upper_95")}
                    | {"n": len(wide), "n_clusters": len(names)}
                )
    return pd.DataFrame(rows)
