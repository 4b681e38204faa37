"""Evaluation of a run's class-activation maps on its test patches.

Against the truth masks of synthetic patches, by deletion and insertion, by ROAD, and against maps of the same network
with random weights; each next to a random map. Intervals are percentile bootstraps over patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from her2core.data.prepare import centre_square
from her2core.data.synthetic import plan_cohort, render_patch
from her2core.data.tensors import to_tensor
from her2core.errors import EvaluationError
from her2core.evidence.intervals import interval_row
from her2core.evidence.resampling import resampled_means
from her2core.inference.predictor import Predictor, load_predictor
from her2core.io.files import write_csv
from her2core.io.images import resize_rgb
from her2core.maps.cam import class_map
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
from her2core.networks.protocol import PatchNetwork
from her2core.runs.folder import Run, open_run
from her2core.runs.patch_images import is_synthetic, patch_images, synthetic_cohort

#: Methods evaluated by default.
EVALUATED = ("gradcam", "gradcam_plusplus", "xgradcam", "layercam")
#: Name of the random map in tables: the row that every method must exceed.
CHANCE = "chance"
#: Codes of the synthetic mask that decide the class: tumour nuclei and mitoses.
TUMOUR = (1, 2)
MEASURES = (
    "pointing_game",
    "energy_pointing_game",
    "overlap",
    "deletion",
    "insertion",
    "road",
    "rank_correlation_to_random_weights",
)


#: Fewest patients with which an interval is given.
_FEWEST_PATIENTS = 5


@dataclass(frozen=True)
class _Patch:
    image: np.ndarray  # uint8 (px, px, 3), the network's input
    truth: np.ndarray | None  # bool (px, px)
    index: int  # the predicted class
    patient: str


class _Forward(nn.Module):
    """Features and head in one call, as the grad-cam package asks for."""

    def __init__(self, network: PatchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.network.head(self.network.features(batch))


def evaluate_maps(
    source: Run | str | Path,
    *,
    patches: int = 48,
    methods: Sequence[str] = EVALUATED,
    seed: int = 0,
    resamples: int = 2000,
    base: Path = Path(),
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Measures of the maps of the predicted class, on test patches spread over the patients.

    Parameters
    ----------
    source : Run, str or Path
        A finished run with its weights, or its folder.
    patches : int, default 48
        Number of test patches with assessable tissue.
    methods : sequence of str
        Keys of maps.methods.METHODS.
    seed : int, default 0
        Decides random maps, random weights and resamples.
    resamples : int, default 2000
        Of the bootstrap over patients.
    base : Path
        Folder below which a manifest's relative path is looked up.
    progress : callable, optional
        Called with (done, total) after each patch.

    Returns
    -------
    DataFrame
        One row a method (and ``chance``, a random map) and measure: method, measure, value, lower_95, upper_95
        (percentile bootstrap), n, n_clusters, note. pointing_game, energy_pointing_game and overlap are against the
        tumour nuclei of synthetic truth masks and missing for runs on real tissue.

    Raises
    ------
    EvaluationError
        If the run's patches are not available.
    RunError
        For a run without weights.

    Examples
    --------
    >>> table = evaluate_maps("models/demo", patches=4)  # doctest: +SKIP
    >>> table.loc[table["measure"] == "pointing_game", ["method", "value"]]  # doctest: +SKIP
    """
    run = source if isinstance(source, Run) else open_run(source)
    model = load_predictor(run)
    chosen = list(_patches(run, model, patches, base))
    if not chosen:
        raise EvaluationError(
            "test patches with assessable tissue", got="none", where=run.name, fix="Check the run's test part."
        )
    untrained = with_random_weights(model.network, seed=seed)
    rows: list[dict[str, object]] = []
    for done, patch in enumerate(chosen):
        for method in (*methods, CHANCE):
            measured = _measures(model, untrained, patch, method, seed + done)
            rows.append({"method": method, "patient": patch.patient, **measured})
        if progress:
            progress(done + 1, len(chosen))
    return _summary(pd.DataFrame(rows), (*methods, CHANCE), resamples, seed)


def save_map_evaluation(run: Run, table: pd.DataFrame) -> Path:
    """Write the table to ``evaluation/maps.csv`` of a run.

    Parameters
    ----------
    run : Run
    table : DataFrame
        What `evaluate_maps` returned.

    Returns
    -------
    Path
        The file.
    """
    path = run.path / "evaluation" / "maps.csv"
    write_csv(path, table, float_format="%.6f")
    return path


def _patches(run: Run, model: Predictor, wanted: int, base: Path) -> Iterator[_Patch]:
    """Usable test patches, one of each patient in turn."""
    test = run.predictions[run.predictions["split"] == "test"]
    turn = test.groupby("patient_id").cumcount()
    ids = test.assign(turn=turn).sort_values(["turn", "patient_id", "patch_id"], kind="stable")
    read = _reader(run, base)
    taken = 0
    for row in ids.itertuples():
        if taken == wanted:
            return
        image, mask = read(row.patch_id)
        prepared = model.prepare(image)
        if not prepared.usable:
            continue
        truth = None
        if mask is not None:
            spread = np.repeat(np.isin(mask, TUMOUR).astype(np.uint8)[..., None] * 255, 3, axis=2)
            truth = resize_rgb(centre_square(spread), model.px)[..., 0] >= 128
        index = int(model.predict_proba(prepared.image[None])[0].argmax())
        yield _Patch(prepared.image, truth, index, str(row.patient_id))
        taken += 1


def _reader(run: Run, base: Path) -> Callable[[str], tuple[np.ndarray, np.ndarray | None]]:
    if is_synthetic(run):
        spec = synthetic_cohort(run)
        place = {patch_id: i for i, patch_id in enumerate(plan_cohort(spec)["patch_id"])}

        def render(patch_id: str) -> tuple[np.ndarray, np.ndarray | None]:
            patch = render_patch(spec, place[patch_id])
            return patch.image, patch.mask

        return render
    found = patch_images(run, base=base)
    read = found.read
    if read is None:
        raise EvaluationError("the images of the run's patches", got="none", where=run.name, fix=found.why_not)
    return lambda patch_id: (read(patch_id), None)


def _measures(model: Predictor, untrained: PatchNetwork, patch: _Patch, method: str, seed: int) -> Mapping[str, float]:
    batch = to_tensor(patch.image[None], *model.scaling)
    features = _features(model.network, batch)
    found: dict[str, float] = {}
    if method == CHANCE:
        cells = model.network.feature_map(features).shape[2:]
        heat = random_map(cells, model.px, seed=seed)
        found["rank_correlation_to_random_weights"] = float("nan")
    else:
        computed = class_map(model.network, features, patch.index, name="", method=method)
        other = class_map(untrained, _features(untrained, batch), patch.index, name="", method=method)
        heat = computed.scaled(model.px)
        found["rank_correlation_to_random_weights"] = rank_correlation(computed.grid, other.grid)
    if patch.truth is not None:
        found |= {
            "pointing_game": pointing_game(heat, patch.truth),
            "energy_pointing_game": energy_pointing_game(heat, patch.truth),
            "overlap": overlap(heat, patch.truth),
        }
    if method == CHANCE or not computed.empty:
        found["deletion"], found["insertion"] = deletion_and_insertion(
            patch.image, heat, model.predict_proba, index=patch.index
        )
        found["road"] = float(road(_Forward(model.network), batch, heat[None], indices=[patch.index])[0])
    return found


@torch.no_grad()
def _features(network: PatchNetwork, batch: torch.Tensor) -> torch.Tensor:
    return network.features(batch.contiguous(memory_format=torch.channels_last))


def _summary(measured: pd.DataFrame, methods: Sequence[str], resamples: int, seed: int) -> pd.DataFrame:
    rows = []
    for method in methods:
        own = measured[measured["method"] == method]
        for measure in MEASURES:
            if measure not in own:
                continue
            known = own[own[measure].notna()]
            codes, names = pd.factorize(known["patient"])
            row = {"method": method, "value": np.nan, "lower_95": np.nan, "upper_95": np.nan, "note": "not defined"}
            if len(known):
                values = known[measure].to_numpy(np.float64)
                row |= interval_row(measure, "", *resampled_means(values, codes, resamples=resamples, seed=seed))
            if 0 < len(names) < _FEWEST_PATIENTS:
                row |= {"lower_95": np.nan, "upper_95": np.nan, "note": f"no interval: {len(names)} patients"}
            rows.append({**row, "measure": measure, "n": len(known), "n_clusters": len(names)})
    return pd.DataFrame(rows)[["method", "measure", "value", "lower_95", "upper_95", "n", "n_clusters", "note"]]
