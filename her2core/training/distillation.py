"""Distillation: a student learns the embedding of a pretrained teacher on patches whose labels are not used.

configuration -> patches -> teacher's embeddings of augmented views -> the student's optimisation -> a folder of
weights, with a card that says who was taught what by whom, and a table of the patches. The folder serves as first
weights (``network.init: run:<folder>``) of every network with the student's trunk.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from her2core.data.augment import Augment
from her2core.data.patches import prepare_all
from her2core.data.prepare import Prepare
from her2core.data.splits import split_hash
from her2core.errors import ConfigError
from her2core.features.extract import network_fingerprint
from her2core.io.files import write_json, write_parquet
from her2core.networks.heads import last_layer
from her2core.networks.packaged import refuse_other_scaling
from her2core.networks.protocol import PatchNetwork
from her2core.networks.registry import build_network, output_grid, parameter_count
from her2core.networks.weights import save_weights, start_from
from her2core.notice import NOTICE
from her2core.runs.folder import DISTILLED, PATCHES, WEIGHTS
from her2core.runs.provenance import provenance
from her2core.runs.writer import RunWriter
from her2core.stain.reference import StainReference
from her2core.training.callbacks import ProgressCallback
from her2core.training.config import InputConfig, NetworkConfig
from her2core.training.distil_config import DistilConfig
from her2core.training.distil_module import StudentModule, ViewDataset, embed_views
from her2core.training.distil_patches import LEFT_OUT, TRAIN, VAL, TaughtPatches, read_patches
from her2core.training.hardware import first_process, machine, one_device
from her2core.training.interrupts import end_with_parent
from her2core.training.loop import LoopSettings, optimise

_REQUIRED = (DISTILLED, "config.yaml", PATCHES, "history.csv", WEIGHTS, "model.card.json")


def distill(
    config: DistilConfig, *, root: str | Path = "weights", fresh: bool = False, progress: bool = True
) -> Path | None:
    """Teach a student; an interrupted distillation resumes when the same configuration is given again.

    Parameters
    ----------
    config : DistilConfig
        The whole configuration.
    root : str or Path, optional
        Folder for finished weights; the unfinished ones are below ``<root>/.work``.
    fresh : bool, optional
        Start over instead of resuming.
    progress : bool, optional
        Show Lightning's progress bar.

    Returns
    -------
    Path or None
        The folder of weights; None in the helper processes of several devices.

    Raises
    ------
    Her2Error
        For anything wrong with patches, teacher, student or weights, before teaching starts.
    RunError
        As ``training.fit.train``.

    Examples
    --------
    >>> from her2core.training.distil_config import load_distillation
    >>> distill(load_distillation("configs/distil-resnet50.yaml"))  # doctest: +SKIP
    """
    origin = provenance()
    patches = read_patches(config)
    teacher, taught_by = _network(config.teacher.network, config.teacher.input, 2, seed=config.seed)
    dimension = last_layer(teacher).in_features
    student, start = _network(config.student, config.input, dimension, seed=config.seed)
    last_layer(student)
    if not first_process():
        end_with_parent()
    key = _key(config, patches)
    with RunWriter(Path(root), key, name=config.name, record=DISTILLED, required=_REQUIRED) as writer:
        resume = writer.open(fresh=fresh) if first_process() else writer.has_checkpoint()
        if writer.published:
            return writer.published
        if first_process():
            writer.write_config(config.to_yaml())
            writer.event("resumed" if resume else "started", git=origin["git"], command=origin["command"])
        watch = ProgressCallback(writer, epochs=config.train.epochs, first=first_process())
        datasets = _datasets(config, patches, watch)
        fingerprint = network_fingerprint(
            teacher, _built(config.teacher.network), config.teacher.input.mean, config.teacher.input.std
        )
        embed_views(
            teacher,
            list(datasets.values()),
            built=_built(config.teacher.network),
            scaling=config.teacher.input,
            cache=config.hardware.features,
            device=one_device(config.hardware),
            progress=watch.extracting,
        )
        del teacher

        def module(steps: int) -> StudentModule:
            return StudentModule(student, config.train, steps_per_epoch=steps, seed=config.seed, loss=config.loss)

        settings = LoopSettings(config.train, config.hardware, config.seed, "val_loss")
        fitted = optimise(module, settings, writer, datasets, watch, resume=resume, progress=progress)
        if fitted is None:
            return None
        sha256 = save_weights(student, writer.path / WEIGHTS, last=False)
        write_parquet(writer.path / PATCHES, patches.table)
        card = _card(config, patches, sha256=sha256, teacher=fingerprint, dimension=dimension)
        write_json(writer.path / "model.card.json", card)
        info = {
            **origin,
            "config_hash": config.content_hash(),
            "data_hashes": patches.hashes,
            "seed": config.seed,
            "start": {"teacher": taught_by, "student": start},
            "parameters": parameter_count(student) - parameter_count(last_layer(student)),
            **fitted.facts,
        }
        return writer.finish(info)


def _network(
    entry: NetworkConfig, image: InputConfig, classes: int, *, seed: int
) -> tuple[PatchNetwork, dict[str, Any]]:
    """A network with its first weights, that takes patches of this size, and where the weights are from."""
    pl.seed_everything(seed, verbose=False)
    network = build_network(entry.name, classes, **entry.options)
    refuse_other_scaling(entry.init, image.mean, image.std)
    start = start_from(network, entry.init, name=entry.name)
    output_grid(network, image.px)
    return network, start


def _built(entry: NetworkConfig) -> str:
    return json.dumps([entry.name, entry.options], sort_keys=True)


def _key(config: DistilConfig, patches: TaughtPatches) -> str:
    here = json.dumps([machine(config.hardware), patches.hashes], sort_keys=True)
    ids = split_hash(patches.table[["patch_id", "part"]])
    content = hashlib.sha256((config.content_hash() + here + ids).encode()).hexdigest()
    return f"{config.student.name.replace(':', '-').replace('/', '-')}_{config.name}_{content[:8]}"


def _datasets(config: DistilConfig, patches: TaughtPatches, watch: ProgressCallback) -> dict[str, ViewDataset]:
    """Training patches in augmented views, and the patches held out as they are."""
    stain = None if config.stain.method == "none" else StainReference(white=config.stain.white)
    prepare = Prepare(max(config.input.px, config.teacher.input.px), stain, method=config.stain.method)
    number = sum(map(len, patches.sources))
    if (size := number * prepare.px**2 * 3 / 1e9) > config.hardware.cache_gb:
        raise ConfigError(
            f"patches that fit into `hardware.cache_gb` ({config.hardware.cache_gb:g} GB)",
            got=f"{number} patches of {size:.1f} GB",
            where="distillation",
            fix="Raise hardware.cache_gb, or name fewer patches.",
        )
    images = np.concatenate([prepare_all(m, prepare, progress=watch.preparing)[0] for m in patches.sources])
    settings = config.train.augment
    augment = Augment(settings.flips, settings.min_crop, settings.stain)
    return {
        TRAIN: ViewDataset(
            images[patches.rows(TRAIN)], student=config.input, augment=augment, seed=config.seed, views=config.views
        ),
        VAL: ViewDataset(images[patches.rows(VAL)], student=config.input, augment=None, seed=config.seed, views=1),
    }


def _card(config: DistilConfig, patches: TaughtPatches, *, sha256: str, teacher: str, dimension: int) -> dict[str, Any]:
    """What these weights are, JSON-ready."""
    taught = config.teacher
    student, by = config.student.name, taught.network.name
    learned = [
        f"The {role}'s first weights ({init}) were trained earlier; what labels they saw is on their own card."
        for role, init in (("teacher", taught.network.init), ("student", config.student.init))
        if init.startswith(("run:", "file:"))
    ]
    counts = patches.table.groupby(["source", "part"]).size()
    return {
        "kind": "distilled weights",
        "title": config.title or f"{student} taught by {by}",
        "intended_use": NOTICE,
        "limits": ["First weights only: they give no class.", *config.limits, *learned],
        "labels": "none: no label of any patch was used by the distillation",
        "network": {"name": student, "options": dict(config.student.options), "init": config.student.init},
        "input": config.input.model_dump(mode="json"),
        "stain": config.stain.model_dump(mode="json"),
        "teacher": {
            "name": by,
            "options": dict(taught.network.options),
            "init": taught.network.init,
            "input": taught.input.model_dump(mode="json"),
            "dimension": dimension,
            "sha256": teacher,
        },
        "loss": {"squared": "squared error", "cosine": "cosine distance"}[config.loss]
        + " to the teacher's embedding, standardised over the training views",
        "views": config.views,
        "weights_sha256": sha256,
        "data": {
            "hashes": patches.hashes,
            "patches": {part: int((patches.table["part"] == part).sum()) for part in (TRAIN, VAL, LEFT_OUT)},
            "sources": {f"{source}, {part}": int(n) for (source, part), n in counts.items()},
        },
    }
