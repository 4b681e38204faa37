"""Features of a manifest's patches slide by slide, so that many processes or machines share the work.

Memory holds CHUNK patches and one slide's features, whatever the number of slides; each slide is computed in the same
batches whoever does it, so that the result does not depend on the number of workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from her2core.data.manifest import Manifest
from her2core.data.patches import prepare_all
from her2core.data.tensors import to_tensor
from her2core.errors import ImageError, ManifestError, TableError
from her2core.features.extract import embed_batch, network_fingerprint, refuse_changed_embedding
from her2core.features.table import FeatureTable, read_features
from her2core.io.cells import UNKNOWN
from her2core.io.shards import file_version
from her2core.io.text import printable_path
from her2core.networks.protocol import PatchNetwork
from her2core.parallel.stages import stage
from her2core.slide.jobs import SlideJob
from her2core.slide.work import finish, finished, slide_folder, unfinished
from her2core.training.config import RunConfig
from her2core.training.hardware import one_device
from her2core.training.tile_features import built_from, feature_table, frozen_network, prepare_of

#: Patches prepared at a time, and those of a forward pass.
CHUNK, BATCH = 512, 32
#: File of a slide's features in its folder.
FEATURES = "features.safetensors"


@dataclass(frozen=True)
class FeatureJob(SlideJob):
    """The patches of one slide.

    Parameters
    ----------
    part : Manifest
        Its rows.

    Examples
    --------
    >>> FeatureJob(Path("a.png"), "S1").slide_id
    'S1'
    """

    part: Manifest | None = field(default=None, compare=False, repr=False)


def feature_jobs(manifest: Manifest) -> list[FeatureJob]:
    """A job for each slide of a manifest.

    Parameters
    ----------
    manifest : Manifest

    Returns
    -------
    list of FeatureJob
        By first appearance.

    Raises
    ------
    ManifestError
        Rows without ``slide_id``.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.data.manifest import build_manifest
    >>> table = pd.DataFrame({"path": ["1.png", "2.png", "3.png"], "label": ["low", "high", "low"]})
    >>> jobs = feature_jobs(build_manifest(table.assign(slide_id=["S1", "S2", "S1"]), root="."))
    >>> [(job.slide_id, len(job.part)) for job in jobs]
    [('S1', 2), ('S2', 1)]
    """
    frame = manifest.frame
    if (without := int((frame["slide_id"] == UNKNOWN).sum())) > 0:
        raise ManifestError(
            "the slide of every patch, as work is shared by slide",
            got=f"{without:,} rows without slide_id",
            where="slide_id",
            fix="State them, or leave out --workers and --cluster.",
        )
    jobs = []
    for slide_id, rows in frame.groupby("slide_id", sort=False):
        part = replace(manifest, frame=rows.reset_index(drop=True), findings=manifest.findings.iloc[:0])
        facts = {"patient_id": str(rows["patient_id"].iloc[0])}
        jobs.append(FeatureJob(manifest.file(rows["path"].iloc[0]), str(slide_id), facts=facts, part=part))
    return jobs


@dataclass(frozen=True)
class SlideFeatures:
    """Computes the features of one slide; pickles, and builds its network once in each process.

    Parameters
    ----------
    config : RunConfig
        As for ``tile_features``.
    out : Path
        Folder of all slides.
    """

    config: RunConfig
    out: Path

    def __call__(self, job: FeatureJob) -> tuple[dict[str, Any], bool]:
        """Compute, unless the same work is there already.

        Parameters
        ----------
        job : FeatureJob

        Returns
        -------
        about : dict
            Content of slide.json.
        reused : bool
            Whether it was there.

        Raises
        ------
        Her2Error
            Images that cannot be read; a network that cannot give features.
        """
        part = job.part
        assert part is not None  # of a job that feature_jobs made
        config, scaling = self.config, {"mean": self.config.input.mean, "std": self.config.input.std}
        with stage("load"):
            network, fingerprint = _network(config.model_dump_json(), len(part.classes))
        key = _key(part, fingerprint, config)
        if (about := finished(self.out, job, key)) is not None:
            return about, True
        folder = unfinished(self.out, job, key)
        prepare, device = prepare_of(config), one_device(config.hardware)
        vectors: list[np.ndarray] = []
        for start in range(0, len(part), CHUNK):
            with stage("prepare"):
                rows = replace(part, frame=part.frame.iloc[start : start + CHUNK].reset_index(drop=True))
                images, _ = prepare_all(rows, prepare, threads=1)
            with stage("network"):
                if not start:
                    refuse_changed_embedding(network, to_tensor(images[:2], **scaling).to(device))
                for first in range(0, len(images), BATCH):
                    few = images[first : first + BATCH]
                    vectors.append(embed_batch(network, few, **scaling, device=device))
        table = feature_table(config, part, np.concatenate(vectors))
        with stage("write"):
            table.write(folder / FEATURES)
        about = {
            "key": key,
            "slide_id": job.slide_id,
            "patient_id": job.patient_id,
            "tiles": len(part),
            "length": table.vectors.shape[1],
            "network": table.network,
        }
        finish(self.out, job, folder, about)
        return about, False


@lru_cache(maxsize=1)
def _network(config: str, classes: int) -> tuple[PatchNetwork, str]:
    stated = RunConfig.model_validate_json(config)
    network = frozen_network(stated, classes).eval().to(one_device(stated.hardware))
    return network, network_fingerprint(network, built_from(stated), stated.input.mean, stated.input.std)


def _key(part: Manifest, fingerprint: str, config: RunConfig) -> str:
    """Of weights, preparation, rows and files; a changed file has another size or time."""
    files = []
    for path in part.frame["path"].unique():
        try:
            files.append([path, *file_version(part.file(path))])
        except (OSError, ImageError):  # prepare_all names it
            files.append([path, -1, -1])
    preparation = [config.input.px, config.stain.model_dump(mode="json")]
    described = json.dumps([fingerprint, preparation, part.content_hash(), files], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def join_features(out: Path, jobs: Sequence[FeatureJob], manifest: Manifest) -> FeatureTable:
    """Join the features of all slides, in the manifest's row order.

    Parameters
    ----------
    out : Path
        Folder of all slides.
    jobs : sequence of FeatureJob
        All finished.
    manifest : Manifest

    Returns
    -------
    FeatureTable

    Raises
    ------
    TableError
        For a slide's file that is damaged or missing, or slides whose features differ in length.
    """
    row_of = {name: row for row, name in enumerate(manifest.frame["patch_id"])}
    vectors = coords = None
    network = ""
    for job in jobs:
        path = slide_folder(out, job) / FEATURES
        one = read_features(path)
        rows = [row_of[name] for name in one.patch_ids]
        if vectors is None:
            vectors = np.empty((len(manifest), one.vectors.shape[1]), np.float32)
            coords = None if one.coords is None else np.empty((len(manifest), 2), np.int64)
        if one.vectors.shape[1] != vectors.shape[1]:
            raise TableError(
                f"{vectors.shape[1]:,} features a patch, as of the other slides",
                got=f"{one.vectors.shape[1]:,}",
                where=printable_path(path),
                fix="Remove the slide's folder and give the command again.",
            )
        vectors[rows], network = one.vectors, one.network
        if coords is not None and one.coords is not None:
            coords[rows] = one.coords
    assert vectors is not None  # a manifest has at least one row
    return FeatureTable(tuple(manifest.frame["patch_id"]), vectors, coords, network)
