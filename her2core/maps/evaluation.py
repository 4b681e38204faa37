"""Are the maps of this run to be believed? A run and some of its patches in; a table of measures by method out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from her2core.data.dataset import to_tensor
from her2core.data.prepare import UNUSABLE, centre_square
from her2core.data.synthetic import CohortSpec, plan_cohort, render_patch
from her2core.errors import EvaluationError
from her2core.evidence.intervals import interval_row
from her2core.evidence.resampling import bootstrap_weights
from her2core.inference.predictor import Predictor, load_predictor
from her2core.io.files import write_via_temporary
from her2core.io.images import resize_rgb
from her2core.maps.cam import class_map
from her2core.maps.metrics import (
    chance_map,
    deletion_and_insertion,
    energy_pointing_game,
    overlap,
    pointing_game,
    rank_correlation,
    road,
    with_random_weights,
)
from her2core.runs.folder import Run, open_run
from her2core.runs.patch_images import is_synthetic, patch_images

METHODS = ("gradcam", "gradcam_plusplus", "xgradcam", "layercam")
#: What a map of noise gets: the row every method must beat.
CHANCE = "chance"
#: Codes of the synthetic mask that bear on the class: tumour nuclei and mitoses.
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


@dataclass(frozen=True)
class _Patch:
    image: np.ndarray  # uint8 (px, px, 3), as the network sees it
    truth: np.ndarray | None  # bool (px, px)
    index: int  # the predicted class
    patient: str


class _Whole(nn.Module):
    """features and head in one call, as the grad-cam package asks for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.network.head(self.network.features(batch))


def map_trials(
    source: Run | str | Path,
    *,
    patches: int = 48,
    methods: tuple[str, ...] = METHODS,
    seed: int = 0,
    resamples: int = 2000,
    base: Path = Path(),
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """How good the maps of the predicted class are, on patches of the test part, spread over its patients.

    Returns one row a method (and ``chance``) and measure: method, measure, value, low, high (95 % percentile bootstrap
    over patients), n, clusters, note. pointing_game, energy_pointing_game and overlap are against the tumour nuclei
    of the synthetic
    truth and are missing for runs on real tissue. Deterministic from ``seed``.

    Raises EvaluationError where the run's patches are not at hand, RunError for a run without weights.
    """
    run = source if isinstance(source, Run) else open_run(source)
    model = load_predictor(run)
    chosen = list(_patches(run, model, patches, base))
    if not chosen:
        raise EvaluationError(
            "test patches that can be judged", got="none", where=run.name, fix="Check the run's test part."
        )
    noise = with_random_weights(model.network, seed=seed)
    rows: list[dict] = []
    for done, patch in enumerate(chosen):
        for method in (*methods, CHANCE):
            rows.append(
                {"method": method, "patient": patch.patient, **_trial(model, noise, patch, method, seed + done)}
            )
        if progress:
            progress(done + 1, len(chosen))
    return _summary(pd.DataFrame(rows), (*methods, CHANCE), resamples, seed)


def save_map_trials(run: Run, table: pd.DataFrame) -> Path:
    """Write the table to ``evaluation/maps.csv`` of the run."""
    path = run.path / "evaluation" / "maps.csv"
    write_via_temporary(path, lambda t: table.to_csv(t, index=False, float_format="%.6f"))
    return path


def _patches(run: Run, model: Predictor, wanted: int, base: Path) -> Iterator[_Patch]:
    """Test patches, patient after patient in turns, that are usable."""
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
        if set(prepared.flags) & set(UNUSABLE):
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
        spec = CohortSpec(**run.card["data"]["facts"]["spec"])
        place = {patch_id: i for i, patch_id in enumerate(plan_cohort(spec)["patch_id"])}

        def drawn(patch_id: str) -> tuple[np.ndarray, np.ndarray]:
            patch = render_patch(spec, place[patch_id])
            return patch.image, patch.mask

        return drawn
    found = patch_images(run, base=base)
    if found.read is None:
        raise EvaluationError(
            "the pictures of the run's patches", got="none at hand", where=run.name, fix=found.why_not
        )
    return lambda patch_id: (found.read(patch_id), None)


def _trial(model: Predictor, noise: nn.Module, patch: _Patch, method: str, seed: int) -> dict[str, float]:
    batch = to_tensor(patch.image[None], *model.scaling)
    if method == CHANCE:
        grid = None
        cells = class_map(model.network, _features(model.network, batch), patch.index, name="").grid.shape
        heat = chance_map(cells, model.px, seed=seed)
        alike = float("nan")
    else:
        grid = class_map(model.network, _features(model.network, batch), patch.index, name="", method=method)
        heat = grid.scaled(model.px)
        other = class_map(noise, _features(noise, batch), patch.index, name="", method=method)
        alike = rank_correlation(grid.grid, other.grid)
    found = {"rank_correlation_to_random_weights": alike}
    if patch.truth is not None:
        found |= {
            "pointing_game": pointing_game(heat, patch.truth),
            "energy_pointing_game": energy_pointing_game(heat, patch.truth),
            "overlap": overlap(heat, patch.truth),
        }
    if grid is None or not grid.empty:
        found["deletion"], found["insertion"] = deletion_and_insertion(
            patch.image, heat, model.predict_proba, index=patch.index
        )
        found["road"] = float(road(_Whole(model.network), batch, heat[None], indices=[patch.index])[0])
    return found


@torch.no_grad()
def _features(network: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return network.features(batch.contiguous(memory_format=torch.channels_last))


def _summary(trials: pd.DataFrame, methods: tuple[str, ...], resamples: int, seed: int) -> pd.DataFrame:
    rows = []
    for method in methods:
        own = trials[trials["method"] == method]
        for measure in MEASURES:
            if measure not in own:
                continue
            known = own[own[measure].notna()]
            codes, names = pd.factorize(known["patient"])
            sums = np.bincount(codes, weights=known[measure], minlength=len(names))
            counts = np.bincount(codes, minlength=len(names))
            row = {"method": method, "value": np.nan, "lower_95": np.nan, "upper_95": np.nan, "note": "not defined"}
            if len(known):
                weights = bootstrap_weights(len(names), resamples, seed)
                resampled = (weights @ sums) / (weights @ counts)
                row |= interval_row(measure, "", float(known[measure].mean()), resampled)
            if 0 < len(names) < 5:
                row |= {"lower_95": np.nan, "upper_95": np.nan, "note": f"no interval: {len(names)} patients"}
            rows.append({**row, "measure": measure, "n": len(known), "n_clusters": len(names)})
    return pd.DataFrame(rows)[["method", "measure", "value", "lower_95", "upper_95", "n", "n_clusters", "note"]]
