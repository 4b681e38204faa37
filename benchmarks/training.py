"""Speed of the training loop beside a plain PyTorch loop on ready tensors, as ratios in one run.

OMP_NUM_THREADS=1 python benchmarks/training.py

The same network, optimiser, loss and number of batches for all, one thread, float32, processor time, in turns. "plain"
is a loop of six lines on ready tensors, channels last. "pipeline" is the same loop fed by the training's own loader:
prepared patches from memory, flips, crop and stain augmentation by a generator for each patch, conversion to tensors.
"her2core" is Lightning's loop with the training's own module and loader. Preparation itself (decoding, size, Macenko)
happens once before the first epoch; its time is given as the share of an epoch that it would add to the first one.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from ratios import in_turns, summary, write_result
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from her2core.data.augment import Augment
from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.data.manifest import build_manifest
from her2core.data.prepare import Prepare
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.images import encode_png
from her2core.networks.registry import build_network
from her2core.stain.reference import StainReference
from her2core.training.config import TrainConfig
from her2core.training.module import PatchClassifier

CLASSES = ("negative", "equivocal", "positive")
BATCH, BATCHES, ROUNDS = 16, 3, 5
#: Networks and the side of their patches: the paper's, and a quick one, where the input weighs more.
NETWORKS = (("her2_resnet50", 64), ("her2_resnet50", 112), ("timm:tf_efficientnet_lite0", 112))


def measure(name: str, px: int) -> dict[str, Any]:
    """Figures of one network at one size."""
    number = BATCH * BATCHES
    images = [render_patch(CohortSpec(px=px, mpp=0.5), 7 * i).image for i in range(number)]
    files = [encode_png(image) for image in images]
    prepare = Prepare(px, StainReference())
    began = time.process_time()
    prepared = np.stack([prepare(cv2.imdecode(np.frombuffer(f, np.uint8), 1)[..., ::-1].copy()).image for f in files])
    preparing = time.process_time() - began
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(number)], "label": np.resize(CLASSES, number)})
    dataset = PatchDataset(build_manifest(rows, root="."), prepare, images=prepared, augment=Augment())
    loader = DataLoader(dataset, BATCH, sampler=EpochSampler(number, seed=0, batch_size=BATCH))
    tensors = torch.stack([dataset[i][0] for i in range(number)])
    ready = TensorDataset(tensors.to(memory_format=torch.channels_last), torch.tensor(dataset.targets))
    network = build_network(name, len(CLASSES)).to(memory_format=torch.channels_last).train()
    settings = TrainConfig(batch_size=BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), settings.lr, weight_decay=settings.weight_decay)

    def loop(batches: Iterator[tuple[Tensor, Tensor]]) -> None:
        for images, targets in batches:
            optimiser.zero_grad()
            F.cross_entropy(network(images.to(memory_format=torch.channels_last)), targets).backward()
            optimiser.step()

    def own() -> None:
        module = PatchClassifier(network, settings, class_counts=[16, 16, 16], steps_per_epoch=BATCHES, seed=0)
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False, num_sanity_val_steps=0,
        )  # fmt: skip
        trainer.fit(module, loader)

    calls = {
        "plain": lambda: loop(iter(DataLoader(ready, BATCH))),
        "pipeline": lambda: loop(iter(loader)),
        "her2core": own,
    }
    spent = in_turns(calls, rounds=ROUNDS)
    of = f"{name}, {px} px"
    return {
        "processor_milliseconds_a_patch": {
            f"{what}, {of}": round(1e3 * float(np.median(t)) / number, 2) for what, t in spent.items()
        },
        "ratios": {
            f"plain over pipeline, {of}": summary(spent["plain"] / spent["pipeline"]),
            f"plain over her2core, {of}": summary(spent["plain"] / spent["her2core"]),
        },
        "preparation_over_an_epoch": {of: round(preparing / float(np.median(spent["her2core"])), 3)},
    }


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    result: dict[str, Any] = {"batch": BATCH, "batches": BATCHES, "rounds": ROUNDS}
    for name, px in NETWORKS:
        for key, found in measure(name, px).items():
            result.setdefault(key, {}).update(found)
    write_result("training", result, packages=("torch", "pytorch-lightning", "numpy", "opencv-python-headless"))


if __name__ == "__main__":
    main()
