"""External validation: a finished run predicts another cohort, and the result is a run for review.

Weights, temperature, thresholds and prediction sets are those of the run; nothing is fitted to the new cohort. The new
run has the development data as training and validation part and the new cohort as test part, so that every table, page
and report that a run has is one of the external validation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from her2core.data.baseline_features import baseline_features, table_features
from her2core.data.checks import check_manifest
from her2core.data.checks.contents import Contents, read_contents
from her2core.data.image_properties import PROPERTIES, image_properties
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.patches import PatchReader
from her2core.data.tensors import to_tensor
from her2core.errors import ConfigError
from her2core.evidence.baselines import BaselineData
from her2core.evidence.class_order import missing_class_order
from her2core.evidence.drift import drift_table
from her2core.evidence.external import external_table
from her2core.evidence.predictions import Predictions, calibrated_predictions
from her2core.evidence.run_sets import run_coverage, sets_of_card
from her2core.inference.predictor import load_predictor
from her2core.ood.descriptor import patch_descriptors
from her2core.runs.folder import Run, open_run
from her2core.training.artifacts import CHECKED_CONTENTS
from her2core.training.external_card import DEVELOPMENT, external_card, external_warnings
from her2core.training.review_run import ReviewRun, write_review_run

_BATCH = 32
IDS = ("patient_id", "slide_id", "site")


def validate_external(
    run: Run | str | os.PathLike[str],
    manifest: Manifest | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Run:
    """Evaluate a finished run on another cohort.

    Parameters
    ----------
    run : Run or path
        With its weights.
    manifest : Manifest or path
        The other cohort, with labels of the run's classes; all its patches are tested.
    out : path
        Folder of the new run, which does not exist yet.
    device : str
        Where the network runs, as for ``load_predictor``.
    progress : callable, optional
        Called with (done, total) patches.

    Returns
    -------
    Run
        For review, with the tables external (``evidence.external``) and drift (``evidence.drift``) beside those of
        every run.

    Raises
    ------
    ConfigError
        Where ``out`` exists, or the cohort has a class that the run does not know.
    Her2Error
        For a run without weights, and a manifest or images that cannot be read.

    Examples
    --------
    >>> validate_external("models/demo", "data/other.parquet", out="runs/demo-on-other")  # doctest: +SKIP
    """
    run = run if isinstance(run, Run) else open_run(run)
    name = "the cohort" if isinstance(manifest, Manifest) else cohort_name(manifest)
    cohort = manifest if isinstance(manifest, Manifest) else read_manifest(manifest)
    _refuse(run, cohort, Path(out))
    checks = check_manifest(cohort)
    checks.raise_errors(where=name)
    logits, facts = _predict(run, cohort, device=device, progress=progress)
    contents = read_contents(cohort) if len(cohort) <= CHECKED_CONTENTS else None
    checks = check_manifest(cohort, contents=contents or False)

    own, validation = _development(run)
    rows = cohort.data_table(pd.DataFrame({"patch_id": cohort.frame["patch_id"], "split": "test"}))
    rows = pd.concat([rows, facts.drop(columns="flags")], axis=1)
    dataset = pd.concat([own, rows], ignore_index=True)
    table = _table(run, cohort, logits, validation)
    card = external_card(run, cohort, dataset, name=name)
    baselines, properties = _baselines(run, cohort, own, contents)
    warnings = external_warnings(run, cohort, facts)
    test = calibrated_predictions(table, card).part("test")
    tables = {
        "external": external_table(run.test_predictions(), test, no_order=missing_class_order(card)),
        "drift": _drift(run, test, properties),
    }
    if (entry := card.get("prediction_sets")) is not None:
        tables["prediction_sets"] = run_coverage(sets_of_card(entry, run_classes=run.classes), test)
    content = ReviewRun(
        card=card,
        config=(run.path / "config.yaml").read_text(encoding="utf-8"),
        predictions=table,
        splits=dataset[["patch_id", "split"]],
        dataset=dataset,
        checks=checks,
        baselines=baselines,
        warnings=warnings,
        facts={
            **{key: run.info[key] for key in ("parameters",) if key in run.info},
            "config_hash": run.info["config_hash"],
            "manifest_hash": cohort.content_hash(),
            "seed": run.info.get("seed", 0),
        },
        tables=tables,
    )
    return write_review_run(content, out)


def cohort_name(manifest: str | os.PathLike[str]) -> str:
    """Name of a cohort, from its manifest's file, or its folder where the file is called manifest.

    Parameters
    ----------
    manifest : path

    Returns
    -------
    str

    Examples
    --------
    >>> cohort_name("data/warwick.parquet"), cohort_name("data/warwick/manifest.csv")
    ('warwick', 'warwick')
    """
    path = Path(manifest).resolve()
    return path.parent.name if path.stem.casefold() == "manifest" and path.parent.name else path.stem


def _refuse(run: Run, cohort: Manifest, out: Path) -> None:
    if out.exists():
        raise ConfigError("a folder that does not exist yet", got="one that does", where=str(out), fix="Name another.")
    known = ", ".join(run.classes)
    if foreign := sorted(set(cohort.frame["label"]) - set(run.classes)):
        raise ConfigError(
            f"labels out of {known}, the classes of {run.name}",
            got=", ".join(foreign[:5]),
            where="cohort",
            fix="Import the cohort by a scheme with these classes.",
        )


@torch.inference_mode()
def _predict(
    run: Run, cohort: Manifest, *, device: str, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, pd.DataFrame]:
    """Logits (N, K), and of each patch whether it is out of distribution and which flags it has."""
    predictor = load_predictor(run, device=device)
    network, (mean, std) = predictor.network, predictor.scaling
    detector = predictor.detector
    reader, frame = PatchReader(cohort), cohort.frame
    ids, mpp = list(frame["patch_id"]), frame["mpp"].astype(float).to_numpy()
    logits, outside, flags = [], [], []
    for start in range(0, len(ids), _BATCH):
        batch = range(start, min(start + _BATCH, len(ids)))
        prepared = [predictor.prepare(reader(ids[i]), mpp=None if np.isnan(mpp[i]) else float(mpp[i])) for i in batch]
        tensor = to_tensor(np.stack([p.image for p in prepared]), mean, std).to(device)
        features = network.features(tensor)
        logits.append(network.head(features).float().cpu().numpy())
        if detector is not None:
            found = detector.is_out_of_distribution(patch_descriptors(network, features, prepared, tensor))
            outside += ["yes" if far else "no" for far in found]
        flags += [" ".join(p.flags) for p in prepared]
        if progress:
            progress(batch.stop, len(ids))
    facts = pd.DataFrame({"flags": flags}, dtype="str")
    if detector is not None:
        facts["out_of_distribution"] = pd.Series(outside, dtype="str")
    return np.concatenate(logits), facts


def _table(run: Run, cohort: Manifest, logits: np.ndarray, validation: pd.DataFrame) -> pd.DataFrame:
    """Content of predictions.parquet: the run's own validation part, and the cohort as test part."""
    test = cohort.frame[["patch_id", *IDS]].assign(split="test", label=cohort.frame["label"])
    test = test.assign(**{f"logit_{c}": logits[:, k] for k, c in enumerate(run.classes)})
    if "temperature" in validation:  # of the model that predicted the row
        test["temperature"] = float(run.card["temperature"])
    return pd.concat([validation[list(test)], test], ignore_index=True)


def _development(run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Data table of the run's training and validation part, and predictions of the latter.

    A final model was trained on all rows, and its out-of-fold predictions take the place of those of validation.
    """
    rows, predictions = _with_prefix(run.dataset), _with_prefix(run.predictions)
    if run.trained_on_evaluated:
        return rows.assign(split="train"), predictions.assign(split="val")
    return rows[rows["split"].isin(("train", "val"))], predictions[predictions["split"] == "val"]


def _with_prefix(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the development data, whose patch ids may be those of the cohort too."""
    return frame.assign(patch_id=DEVELOPMENT + frame["patch_id"].astype("str"))


def _baselines(
    run: Run, cohort: Manifest, own: pd.DataFrame, contents: Contents | None
) -> tuple[BaselineData, pd.DataFrame | None]:
    """Baselines fitted to the run's training part; and the properties of the cohort's images."""
    split = pd.DataFrame({"patch_id": cohort.frame["patch_id"], "split": "test"})
    rows, features = baseline_features(cohort, split, contents=contents)
    joined = pd.concat([own[own["split"] == "train"], rows], ignore_index=True)
    found, properties = table_features(joined), image_properties(features)
    stored = run.image_properties
    if stored is None:
        reason = "the run does not hold the properties of its training images (her2 runs complete adds them)"
        found |= {"colour": reason, "file_properties": reason}
    else:
        stored = _with_prefix(stored).set_index("patch_id")
        for name in ("colour", "file_properties"):
            of = features[name]
            if not isinstance(of, str):
                kept = stored.reindex(columns=list(of)).loc[stored.index.isin(joined["patch_id"])]
                of = pd.concat([kept, of])
            found[name] = of
    return BaselineData(joined, found), properties


def _drift(run: Run, test: Predictions, properties: pd.DataFrame | None) -> pd.DataFrame:
    own, stored = run.dataset, run.image_properties
    own = own.merge(_scores(run.test_predictions()), on="patch_id", how="left")
    other = test.frame[["patch_id", "patient_id"]].merge(_scores(test), on="patch_id")
    other["label"] = np.array(run.classes)[test.labels]
    kinds: dict[str, str] = {}
    for name in run.classes:
        for frame in (own, other):
            frame[f"labelled {name}"] = (frame["label"] == name).astype(float)
        kinds[f"labelled {name}"] = "class share"
    kinds |= dict.fromkeys(
        [*(f"probability of {c}" for c in run.classes), "highest probability"], "predicted probability"
    )
    if stored is not None and properties is not None:
        own, other = (
            own.merge(stored, on="patch_id", how="left", suffixes=("_table", "")),
            other.merge(properties, on="patch_id", how="left"),
        )
        kinds |= PROPERTIES
    return drift_table(own, other, kinds=pd.Series(kinds))


def _scores(p: Predictions) -> pd.DataFrame:
    table = pd.DataFrame(p.probs, columns=[f"probability of {c}" for c in p.classes])
    return table.assign(patch_id=p.frame["patch_id"].to_numpy(), **{"highest probability": p.probs.max(axis=1)})
