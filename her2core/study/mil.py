"""Cross-validation of bag models: out-of-fold predictions by patient, and their figures over seeds.

<root>/<group>-seed<s>.parquet             out-of-fold predictions, one row a patient; any table reader evaluates them
<root>/<group>-seed<s>.attention.parquet   weight of each tile by the model that did not see its patient
<root>/cv.csv, differences.csv, folds.csv  as of ``study.crossval_tables``
<root>/mil.json                            the study, its data and limits; written last

A group is an encoder, a bag model and a design. Features are computed once; folds differ in the bag model alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field, model_validator

from her2core.data import folds as folds_of_data
from her2core.data.folds import FoldAssignment, assign_folds, fold_split
from her2core.data.manifest import UNKNOWN, Manifest, read_manifest
from her2core.data.prepared import PreparedCohort
from her2core.errors import StudyError
from her2core.evidence.calibration import probabilities
from her2core.evidence.predictions import Predictions, read_predictions
from her2core.evidence.seeds import SeedSummary, summarize_seeds
from her2core.features.table import FeatureTable, read_features
from her2core.io.files import write_csv, write_json, write_parquet
from her2core.io.tables import read_table
from her2core.labels import find_scheme
from her2core.mil import bags as bag_files
from her2core.mil import fit, models
from her2core.mil.bags import Bags, patient_bags
from her2core.mil.fit import MilSettings, fit_mil
from her2core.runs.folder import MIL
from her2core.runs.provenance import provenance
from her2core.study.backbones import NetworkEntry, run_of_network
from her2core.study.config import StudyConfig, read_study
from her2core.study.crossval import Design
from her2core.training.config import RunConfig, make_config
from her2core.training.tile_features import tile_features

_EXAMPLE = "configs/study/mil-tcga.yaml"
_KEY = "her2core.mil"
WEIGHTS_NOTE = "The weight of a tile says where the model looked; it is no evidence of what is there."
_LABEL = r"^[a-z0-9][a-z0-9-]{0,39}$"


class BagEntry(MilSettings):
    """A bag model of the list.

    Attributes
    ----------
    label : str
        Its name in tables.

    Examples
    --------
    >>> BagEntry(label="attention").pool
    'attention'
    """

    label: str = Field(..., pattern=_LABEL, description="its name in tables")


class MilStudyConfig(StudyConfig):
    """Configuration of the study; ``run`` has manifest, input, hardware and limits. Other fields as in StudyConfig.

    Attributes
    ----------
    networks : tuple of NetworkEntry
        Encoders, whose features are computed.
    features : dict of str to str
        Encoders whose features exist: label -> file (her2 features), or folder of HDF5 files (TRIDENT, CLAM).
    models : tuple of BagEntry
        Bag models.
    designs : tuple of Design
        By patient or site. A seed is that of the folds too.
    reference : str
        Label of the bag model that others are compared with; the first where empty.

    Examples
    --------
    >>> load_mil("configs/study/mil-tcga.yaml").groups[:2]
    ('lite0-mean-patient', 'lite0-mean-each-site')
    """

    networks: tuple[NetworkEntry, ...] = Field((), description="encoders")
    features: dict[str, str] = Field(default_factory=dict, description="encoders whose features exist, by label")
    models: tuple[BagEntry, ...] = Field(..., min_length=1, description="bag models")
    designs: tuple[Design, ...] = Field((Design(),), min_length=1, description="by patient or site")
    reference: str = Field("", description="bag model that others are compared with; the first where empty")

    @model_validator(mode="after")
    def _plain(self) -> MilStudyConfig:
        if not self.encoders:
            raise ValueError("an encoder in `networks` or `features`", [])
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("encoders, models and designs that differ", list(self.groups))
        if unfit := [d.name for d in self.designs if d.unit not in ("patient", "site")]:
            raise ValueError("designs by patient or site: a bag holds all tiles of a patient", unfit)
        if self.reference and self.reference not in [m.label for m in self.models]:
            raise ValueError("`reference` to be the label of a model", self.reference)
        if self.primary.unit != "patient":
            raise ValueError("`primary.unit` to be patient", self.primary.unit)
        return self

    @property
    def encoders(self) -> tuple[str, ...]:
        """Labels of the encoders."""
        return (*(n.label for n in self.networks), *self.features)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every encoder with every bag model under every design."""
        return tuple(f"{e}-{m.label}-{d.name}" for e in self.encoders for m in self.models for d in self.designs)

    @property
    def pairs(self) -> dict[str, str]:
        """Reference of each group that has one.

        A bag model is compared with the reference model of the same encoder and design, the reference model under
        another design or encoder with that under the first.
        """
        model = self.reference or self.models[0].label
        first = f"{self.encoders[0]}-{model}-{self.designs[0].name}"
        found: dict[str, str] = {}
        for e in self.encoders:
            for d in self.designs:
                own = f"{e}-{model}-{d.name}"
                found |= {f"{e}-{m.label}-{d.name}": own for m in self.models if m.label != model}
                if own != first:
                    found[own] = first
        return found


@dataclass(frozen=True, eq=False)
class _Repetition:
    """All folds of one group and seed."""

    group: str
    settings: MilSettings
    design: Design
    assignment: FoldAssignment
    seed: int

    @property
    def name(self) -> str:
        """File of its predictions, without ending."""
        return f"{self.group}-seed{self.seed}"


def load_mil(path: str | os.PathLike[str]) -> MilStudyConfig:
    """Read the study's YAML.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    MilStudyConfig

    Raises
    ------
    ConfigError
        That names the field.

    Examples
    --------
    >>> load_mil("configs/study/mil-tcga.yaml").seeds
    (0, 1, 2)
    """
    study = read_study(path, MilStudyConfig, example=_EXAMPLE)
    for network in study.networks:
        _config(study, network, where=str(path))
    return study


def run_mil(
    study: MilStudyConfig, root: str | os.PathLike[str], *, report: Callable[[str], None] = lambda line: None
) -> SeedSummary:
    """Cross-validate every bag model and write the tables; what is finished is not computed again.

    Parameters
    ----------
    study : MilStudyConfig
    root : str or path
        The study's folder.
    report : callable, optional
        Called with a line before each repetition.

    Returns
    -------
    SeedSummary
        By patient.

    Raises
    ------
    Her2Error
        For a manifest, features or images that cannot be read, and designs that the data do not allow.
    """
    root, manifest = Path(root), read_manifest(_manifest_path(study))
    prepared = PreparedCohort()
    groups: dict[str, list[Predictions]] = {group: [] for group in study.groups}
    folds, facts, notes = [], {}, {}
    for encoder in study.encoders:
        bags = patient_bags(manifest, _features(study, encoder, manifest, prepared, report))
        known = manifest.subset(
            manifest.frame.loc[manifest.frame["patient_id"].isin(bags.frame["patient_id"]), "patch_id"]
        )
        facts[encoder] = {"features": bags.vectors.shape[1], "tiles": len(bags.vectors), "notes": list(bags.notes)}
        of_bags = hashlib.sha256(bags.vectors.tobytes() + "\n".join(bags.patch_ids).encode()).hexdigest()
        for seed in study.seeds:
            for design in study.designs:
                assignment = assign_folds(
                    known, design.unit, folds=design.folds, seed=seed, smallest_site=design.smallest_site
                )
                notes[design.name] = _note(design, len(assignment))
                for model in study.models:
                    one = _Repetition(f"{encoder}-{model.label}-{design.name}", model, design, assignment, seed)
                    table = _out_of_fold(one, known, bags, root, of_bags, report)
                    groups[one.group].append(read_predictions(table.drop(columns="fold"), classes=bags.classes))
                    folds.append(_fold_rows(one, table, bags))
    figures = summarize_seeds(
        groups,
        reference=study.pairs,
        unit="patient",
        primary=study.primary.metric,
        by_site=[
            f"{e}-{m.label}-{d.name}"
            for e in study.encoders
            for m in study.models
            for d in study.designs
            if d.unit == "site"
        ],
        ordered=find_scheme(manifest.classes) is not None,
    )
    tables = {"cv": figures.table, "differences": figures.differences, "folds": pd.concat(folds, ignore_index=True)}
    for name, table in tables.items():
        write_csv(root / f"{name}.csv", table, float_format="%.6f")
    write_json(
        root / MIL,
        {
            "study": study.model_dump(mode="json"),
            "classes": list(manifest.classes),
            "meaning": manifest.scheme.meaning,
            "manifest_hash": manifest.content_hash(),
            "facts": manifest.facts,
            "encoders": facts,
            "limits": list(study.run.get("limits") or ()),
            "notes": [*notes.values(), WEIGHTS_NOTE],
            "made": provenance(),
        },
    )
    return figures


def _note(design: Design, folds: int) -> str:
    without = "their site" if design.unit == "site" else "them"
    return (
        f"Out-of-fold, {folds} models a seed: each patient was predicted by a model trained without {without}, and "
        "calibrated by that model's own temperature. Scores of several models are ranked together. Intervals are "
        "about other patients (other sites, where these are left out); other training data are not in them."
    )


def _config(study: MilStudyConfig, network: NetworkEntry, *, where: str) -> RunConfig:
    return make_config(
        {**run_of_network(study.run, network, where=where), "title": study.title, "frozen": None}, where=where
    )


def _manifest_path(study: MilStudyConfig) -> Path:
    if not isinstance(study.run.get("manifest"), str):
        raise StudyError(
            "`run.manifest`, the path of a manifest", got="none", where="study", fix=f"{_EXAMPLE} is an example."
        )
    return Path(study.run["manifest"])


def _features(
    study: MilStudyConfig, encoder: str, manifest: Manifest, prepared: PreparedCohort, report: Callable[[str], None]
) -> FeatureTable | Path:
    if encoder in study.features:
        path = Path(study.features[encoder])
        return path if path.is_dir() else read_features(path)
    network = next(n for n in study.networks if n.label == encoder)
    report(f"{encoder}: features of {len(manifest):,} tiles")
    return tile_features(_config(study, network, where="study"), manifest, prepared=prepared)


def _out_of_fold(
    one: _Repetition, manifest: Manifest, bags: Bags, root: Path, of_bags: str, report: Callable[[str], None]
) -> pd.DataFrame:
    """Predictions of every patient by the model that did not see them."""
    settings = one.settings.model_dump(mode="json", exclude={"label"})
    content = [_code_hash(), settings, one.design.model_dump(mode="json"), one.seed, of_bags]
    key = hashlib.sha256(json.dumps([*content, list(bags.classes), bags.labels.tolist()]).encode()).hexdigest()
    path = root / f"{one.name}.parquet"
    if path.is_file():
        held = read_table(path, own=True)
        if held.metadata.get(_KEY) == key:
            return held.frame
    report(f"{one.name}: {len(one.assignment)} folds")
    parts, weights = [], []
    for fold in range(len(one.assignment)):
        split = fold_split(manifest, one.assignment, fold, validation=one.design.validation, seed=one.seed)
        rows = _rows(manifest, split, bags)
        fitted = fit_mil(bags, one.settings, train=rows["train"], val=rows["val"], seed=one.seed)
        parts.append(_table(bags, rows["test"], fitted.scores(bags, rows["test"]), fitted.temperature, fold))
        if one.settings.pool == "attention":
            weights += [_weights(bags, row, fitted.tile_weights(bags, int(row))) for row in rows["test"]]
    table = pd.concat(parts, ignore_index=True)
    if weights:
        write_parquet(root / f"{one.name}.attention.parquet", pd.concat(weights, ignore_index=True))
    write_parquet(path, table, {_KEY: key})
    return table


@cache
def _code_hash() -> str:
    """Hash of the code that decides a prediction besides settings and data."""
    code = [Path(models.__file__), Path(fit.__file__), Path(bag_files.__file__), Path(folds_of_data.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()


def _rows(manifest: Manifest, split: pd.DataFrame, bags: Bags) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of the bags in each part; a patient of several parts is refused."""
    part = pd.DataFrame({"patient": manifest.frame["patient_id"].to_numpy(), "part": split["split"].to_numpy()})
    of = part.drop_duplicates()
    if of["patient"].duplicated().any():
        raise StudyError(
            "each patient in one part",
            got=f"{of.loc[of['patient'].duplicated(), 'patient'].iloc[0]} in several",
            where="bags",
            fix="Give each patient one site.",
        )
    parts = of.set_index("patient")["part"].reindex(bags.frame["patient_id"]).to_numpy()
    return {name: np.flatnonzero(parts == name).astype(np.int64) for name in ("train", "val", "test")}


def _table(
    bags: Bags, rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], temperature: float, fold: int
) -> pd.DataFrame:
    frame = bags.frame.iloc[rows]
    table = pd.DataFrame(
        {
            "patch_id": frame["patient_id"],
            "patient_id": frame["patient_id"],
            "slide_id": UNKNOWN,
            "site": frame["site"],
            "split": "test",
            "label": frame["label"],
            "tiles": frame["tiles"],
        }
    )
    for name, column in zip(bags.classes, probabilities(scores, temperature).T, strict=True):
        table[f"probability_{name}"] = column
    return table.assign(fold=fold, temperature=temperature)


def _weights(bags: Bags, row: int, weights: npt.NDArray[np.float32]) -> pd.DataFrame:
    ids = bags.patch_ids[bags.starts[row] : bags.starts[row + 1]]
    return pd.DataFrame({"patient_id": bags.frame["patient_id"].iloc[row], "patch_id": ids, "weight": weights})


def _fold_rows(one: _Repetition, table: pd.DataFrame, bags: Bags) -> pd.DataFrame:
    rows = []
    for fold, name in enumerate(one.assignment.names):
        held = table[table["fold"] == fold]
        counts = {f"patients_{c}": int((held["label"] == c).sum()) for c in bags.classes}
        said: dict[str, Any] = {"group": one.group, "seed": one.seed, "fold": fold + 1, "held_out": name}
        rows.append(said | {"patients": len(held), **counts, "temperature": held["temperature"].mean()})
    return pd.DataFrame(rows)
