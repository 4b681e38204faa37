"""Class-activation maps of out-of-fold models against the annotated cells of TCGA fields.

python benchmarks/maps_cells.py [CONFIG] [GROUP] [SEED]        from the folder of the study's manifest

CONFIG is a cross-validation of fields (configs/study/her2-tcga.yaml), GROUP a network and design of it
(lite0-linear-patient). Its folds are trained again with their weights kept. Each window is explained by the model of
the fold that tests its patient, for the class that this model predicts (Grad-CAM).

results/maps_cells.csv has, for tumour, lymphocyte and stromal cells, the share of the
map's energy within 10 microns of them and the pointing game, beside a uniform map, the same network's map with random
weights and a map of stain density, each with the difference of Grad-CAM from it; intervals are percentile bootstraps
over patients.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from her2core.data.importers.tcga_windows import CELLS, cell_counts
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare
from her2core.data.tensors import to_tensor
from her2core.io.files import write_csv, write_json
from her2core.maps.cam import class_map
from her2core.maps.cells import RADIUS_UM, UNIFORM, agreement, agreement_table, near_cells, stain_density_map
from her2core.maps.metrics import with_random_weights
from her2core.networks.from_card import network_from_card
from her2core.runs.folder import WEIGHTS, Run
from her2core.study.crossval import load_study, manifest_of, repetitions
from her2core.training.fit import train

RESULTS = Path(__file__).parent / "results"


def main(config: str = "configs/study/her2-tcga.yaml", group: str = "lite0-linear-patient", seed: int = 0) -> None:
    """Measure all windows, and write the table."""
    study = load_study(config)
    chosen = next(one for one in repetitions(study) if (one.group, one.seed) == (group, seed))
    fields, rows = manifest_of(study), []
    with tempfile.TemporaryDirectory() as folder:
        for job in chosen.jobs:
            run = train(job.config.model_copy(update={"serving": True}), root=folder, progress=False)
            if run is not None:
                rows += of_fold(run, fields)
    measured = pd.DataFrame(rows)
    table = agreement_table(measured)
    write_csv(RESULTS / "maps_cells.csv", table, float_format="%.4f")
    tumour = table[(table["cells"] == "tumour_cells") & (table["measure"] == "energy")].set_index("map")
    write_json(
        RESULTS / "maps_cells.json",
        {
            "what": "Grad-CAM of out-of-fold models on TCGA fields against annotated cells; research use only",
            "command": f"python benchmarks/maps_cells.py {config} {group} {seed}",
            "folds": len(chosen.jobs),
            "windows": int(measured["patch"].nunique()),
            "patients": int(measured["patient"].nunique()),
            "radius_um": RADIUS_UM,
            "energy_near_tumour_cells": {
                name: row[["value", "lower_95", "upper_95"]].astype(float).round(4).tolist()
                for name, row in tumour.iterrows()
            },
            "table": "maps_cells.csv",
        },
    )


def of_fold(run: Run, fields: Manifest) -> list[dict[str, object]]:
    """Rows of all windows that a fold tests."""
    network = network_from_card(run.card, run.path / WEIGHTS).eval()
    untrained = with_random_weights(network, seed=0)
    prepare, scaling = Prepare.from_card(run.card), (run.card["input"]["mean"], run.card["input"]["std"])
    test = run.predictions[run.predictions["split"] == "test"]
    logits = test[[f"logit_{c}" for c in run.classes]].to_numpy()
    frame, read = fields.frame.set_index("patch_id"), PatchReader(fields)
    rows: list[dict[str, object]] = []
    for patch, index in zip(test["patch_id"], logits.argmax(axis=1), strict=True):
        window = frame.loc[patch]
        prepared = prepare(read(patch)).image
        batch = to_tensor(prepared[None], *scaling)
        with torch.no_grad():
            features = [of.features(batch) for of in (network, untrained)]
        trained, random = (
            class_map(of, f, int(index), name="", method="gradcam")
            for of, f in zip((network, untrained), features, strict=True)
        )
        maps = {
            "gradcam": trained.scaled(prepare.px),
            "random_weights": random.scaled(prepare.px),
            "stain_density": stain_density_map(prepared, trained.grid.shape[0]),
            UNIFORM: np.ones((prepare.px, prepare.px)),
        }
        for kind, near in masks_of(window, fields.root, prepare.px).items():
            facts = {"patch": patch, "patient": window["patient_id"], "cells": kind}
            rows += [{**facts, "map": name, **agreement(heat, near)} for name, heat in maps.items()]
    return rows


def masks_of(window: pd.Series, root: Path, px: int) -> dict[str, np.ndarray]:
    """Pixels near the cells of each kind, in a prepared window."""
    cells = cell_counts(root / "cells" / f"{window['field_id']}_gt_class_coords.txt")
    if cells is None:
        return {}
    scale = px / window["width"]
    row, column, kind = cells.table.T
    centres = np.stack([row - window["y"] + 0.5, column - window["x"] + 0.5], axis=1) * scale
    radius = RADIUS_UM / window["mpp"] * scale
    return {name: near_cells(centres[kind == number], px=px, radius=radius) for name, number in CELLS.items()}


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
