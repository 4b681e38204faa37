"""Features of a manifest's patches by a frozen network, as a table that bag models and other tools read."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytorch_lightning as pl

from her2core.data.manifest import Manifest
from her2core.data.prepare import Prepare
from her2core.data.prepared import PreparedCohort
from her2core.features.extract import frozen_features
from her2core.features.table import FeatureTable
from her2core.networks.packaged import refuse_other_scaling
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network
from her2core.networks.weights import start_from
from her2core.stain.reference import StainReference
from her2core.training.config import RunConfig
from her2core.training.hardware import one_device


def tile_features(
    config: RunConfig,
    manifest: Manifest,
    *,
    prepared: PreparedCohort | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureTable:
    """Compute the features of every patch, prepared as for training.

    Parameters
    ----------
    config : RunConfig
        ``network``, ``input``, ``stain``, ``seed`` (of weights that ``network.init`` leaves random) and ``hardware``
        apply. Features computed before are read from ``hardware.features``.
    manifest : Manifest
    prepared : PreparedCohort, optional
        Patches that others prepared.
    progress : callable, optional
        Called with (done, total) while features are computed.

    Returns
    -------
    FeatureTable
        With the patches' places on their slides where the manifest has them in level-0 pixels.

    Raises
    ------
    Her2Error
        For a network that cannot be built, weights that cannot be read, and images that cannot be read.
    """
    network = frozen_network(config, len(manifest.classes))
    images = (prepared or PreparedCohort()).images(manifest, manifest, prepare_of(config))
    vectors = frozen_features(
        network,
        images,
        built=built_from(config),
        mean=config.input.mean,
        std=config.input.std,
        cache=config.hardware.features,
        device=one_device(config.hardware),
        progress=progress,
    )
    return feature_table(config, manifest, vectors)


def frozen_network(config: RunConfig, classes: int) -> PatchNetwork:
    """The network of a configuration with its first weights; random ones follow the seed.

    Parameters
    ----------
    config : RunConfig
    classes : int
        Of the last layer, which plays no part in features.

    Returns
    -------
    PatchNetwork

    Raises
    ------
    Her2Error
        For a network that cannot be built, and weights that cannot be read.
    """
    pl.seed_everything(config.seed, verbose=False)
    network = build_network(config.network.name, classes, **config.network.options)
    refuse_other_scaling(config.network.init, config.input.mean, config.input.std)
    start_from(network, config.network.init, name=config.network.name)
    return network


def prepare_of(config: RunConfig) -> Prepare:
    """How a configuration prepares patches.

    Parameters
    ----------
    config : RunConfig

    Returns
    -------
    Prepare
    """
    stain = None if config.stain.method == "none" else StainReference(white=config.stain.white)
    return Prepare(config.input.px, stain, method=config.stain.method)


def built_from(config: RunConfig) -> str:
    """Name and options of a configuration's network, for ``network_fingerprint``.

    Parameters
    ----------
    config : RunConfig

    Returns
    -------
    str
        JSON.
    """
    return json.dumps([config.network.name, config.network.options], sort_keys=True)


def feature_table(config: RunConfig, manifest: Manifest, vectors: np.ndarray) -> FeatureTable:
    """Vectors of a manifest's patches as a table.

    Parameters
    ----------
    config : RunConfig
        That made them.
    manifest : Manifest
    vectors : ndarray
        float (N, D), in the manifest's row order.

    Returns
    -------
    FeatureTable
        With places on the slides where the manifest has them.
    """
    frame = manifest.frame
    places = ["level0_x", "level0_y"]
    coords = frame[places].to_numpy(np.int64) if set(places) <= set(frame) else None
    named = f"{config.network.name}, {config.network.init}, {config.input.px} px"
    return FeatureTable(tuple(frame["patch_id"]), vectors.astype(np.float32), coords, named)
