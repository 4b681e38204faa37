"""Model card of a run: what is needed to use its weights and to assess them."""

from __future__ import annotations

import json
import os
from typing import Any

import pandas as pd

from her2core.data.manifest import Manifest
from her2core.data.split_units import PARTS
from her2core.errors import ManifestError
from her2core.io.images import image_size
from her2core.notice import NOTICE
from her2core.runs.schema.card import MOST_CLASSES, Card
from her2core.runs.schema.fields import check_fields
from her2core.stain.reference import StainReference
from her2core.training.config import RunConfig


def refuse_classes(manifest: Manifest, where: str | os.PathLike[str]) -> None:
    """Refuse more classes than a run may have, before anything is prepared.

    Parameters
    ----------
    manifest : Manifest
    where : path
        The manifest's path, for the message.

    Raises
    ------
    ManifestError
        For more than ``runs.schema.card.MOST_CLASSES``.
    """
    if len(manifest.classes) > MOST_CLASSES:
        raise ManifestError(
            f"at most {MOST_CLASSES} classes",
            got=str(len(manifest.classes)),
            where=where,
            fix="Group rare classes under one label, or leave out their rows.",
        )


def refuse_card(
    config: RunConfig, manifest: Manifest, split: pd.DataFrame, warnings: list[str], *, grid: tuple[int, int]
) -> None:
    """Refuse, before training, what a finished run would be refused for when it is opened.

    Parameters
    ----------
    config, manifest, split, warnings, grid
        As for ``model_card``.

    Raises
    ------
    RunError
        Naming the field of the card, such as a class name or a title that is too long.
    """
    card = model_card(config, manifest, split, warnings, temperature=1.0, sha256="0" * 64, grid=grid, stain=None)
    check_fields(
        Card,
        json.loads(json.dumps(card)),
        where=config.manifest,
        expected="data and settings that a model card can state",
        fix="Correct the configuration or the manifest.",
    )


def model_card(
    config: RunConfig,
    manifest: Manifest,
    split: pd.DataFrame,
    warnings: list[str],
    *,
    temperature: float,
    sha256: str,
    grid: tuple[int, int],
    stain: StainReference | None,
    last_layer: dict[str, Any] | None = None,
    hub: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Compose the card, JSON-ready.

    Parameters
    ----------
    config : RunConfig
        The configuration that was trained.
    manifest : Manifest
        All patches.
    split : DataFrame
        Columns patch_id and split.
    warnings : list of str
        Limits that follow from the split.
    temperature : float
        Divides the logits before softmax.
    sha256 : str
        Hash of model.safetensors.
    grid : (int, int)
        Rows and columns of the feature map.
    stain : StainReference or None
        What patches are normalised to; None where they are not.
    last_layer : dict, optional
        Options of a last layer that is not the network's own (``networks.heads``).
    hub : dict, optional
        Architecture of a hub's model (``networks.foundation``), so that the run opens without a connection.

    Returns
    -------
    dict
        With the fields of ``runs.schema.card.Card``.
    """
    frame = manifest.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))
    field_um = _field(frame, manifest)
    return {
        "title": config.title or f"{config.network.name} on {config.name}",
        "intended_use": NOTICE,
        "limits": [*config.limits, *warnings],
        "classes": list(manifest.classes),
        "scheme": {
            "name": manifest.scheme.name,
            "meaning": manifest.scheme.meaning,
            "is_her2": manifest.scheme.is_her2,
        },
        "network": {
            "name": config.network.name,
            "options": dict(config.network.options),
            "init": config.network.init,
            **({"frozen": config.frozen.head} if config.frozen else {}),
            **({"last_layer": last_layer} if last_layer else {}),
            **({"hub": hub} if hub else {}),
        },
        "input": {
            "px": config.input.px,
            "mean": list(config.input.mean),
            "std": list(config.input.std),
            "field_um": field_um,
            "mpp": round(field_um / config.input.px, 4) if field_um else None,
        },
        "map_grid": list(grid),
        "stain": {"method": config.stain.method, "reference": stain.as_dict() if stain else None},
        "temperature": temperature,
        "decision": "the class of highest calibrated probability; no threshold is applied",
        "weights_sha256": sha256,
        "data": {
            "name": config.name,
            "facts": manifest.facts,
            "sources": sorted(set(frame["source"])),
            "patients_known": manifest.patients_known,
            "split_unit": config.split.unit,
            "patches": part_counts(frame, "patch_id"),
            "patients": part_counts(frame, "patient_id") if manifest.patients_known else None,
        },
    }


def part_counts(frame: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    """Different values of a column, by split part and class.

    Parameters
    ----------
    frame : DataFrame
        Columns ``split``, ``label`` and ``column``.
    column : str

    Returns
    -------
    dict of str to dict of str to int

    Examples
    --------
    >>> part_counts(pd.DataFrame({"split": ["test"] * 2, "label": ["a"] * 2, "patient_id": ["1", "1"]}), "patient_id")
    {'test': {'a': 1}}
    """
    table = frame.groupby(["split", "label"])[column].nunique()
    return {part: {str(k): int(v) for k, v in table[part].items()} for part in PARTS if part in table.index}


def _field(frame: pd.DataFrame, manifest: Manifest) -> float | None:
    """Median side of a training patch in microns; None when the manifest gives no microns per pixel."""
    known = frame[frame["mpp"].notna() & (frame["split"] == "train")]
    if known.empty:
        return None
    if "width" in known:
        sides = known["width"].astype(float) * known["mpp"]
    else:
        few = known.iloc[:: max(1, len(known) // 50)]
        sides = pd.Series([min(image_size(manifest.file(p))) for p in few["path"]], dtype=float) * few["mpp"].to_numpy()
    return round(float(sides.median()), 2)
