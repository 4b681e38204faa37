"""How do patches reach the training loop? Prepared patches in; tensors out, in an order fixed by seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from her2core.data.augment import Augment
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def to_tensor(images: np.ndarray, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Tensor:
    """uint8 (N, H, W, 3) or (H, W, 3) RGB -> float32 (N, 3, H, W) or (3, H, W), scaled to 0..1, then normalised."""
    scaled = torch.from_numpy(np.ascontiguousarray(images)).float().div_(255)
    scaled = scaled.sub_(torch.tensor(mean)).div_(torch.tensor(std))
    return scaled.movedim(-1, -3)


class PatchDataset(Dataset):
    """Patches and class numbers. Asked for ``(i, epoch)``, it augments by a generator seeded from both.

    ``images`` holds the prepared patches, uint8 (N, px, px, 3); None reads and prepares each patch when it is asked
    for, for data that do not fit in memory.
    """

    def __init__(
        self,
        manifest: Manifest,
        prepare: Prepare,
        *,
        images: np.ndarray | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ) -> None:
        index = {name: i for i, name in enumerate(manifest.classes)}
        self.targets = manifest.frame["label"].map(index).to_numpy().astype(np.int64)
        self.patch_ids = list(manifest.frame["patch_id"])
        self.images, self.augment, self.seed, self.mean, self.std = images, augment, seed, mean, std
        self._prepare, self._reader = prepare, PatchReader(manifest) if images is None else None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        i, epoch = key if isinstance(key, tuple) else (key, 0)
        image = self.images[i] if self.images is not None else self._prepare(self._reader(self.patch_ids[i])).image
        if self.augment is not None:
            image = self.augment(image, np.random.default_rng(np.random.SeedSequence([self.seed, epoch, i])))
        return to_tensor(image, self.mean, self.std), int(self.targets[i])

    def __getstate__(self):
        # Worker processes get the manifest through the reader; its lock and open images stay behind.
        state = self.__dict__.copy()
        if state["_reader"] is not None:
            state["_reader"] = self._reader.manifest
        return state

    def __setstate__(self, state):
        self.__dict__.update(state)
        if isinstance(state["_reader"], Manifest):
            self._reader = PatchReader(state["_reader"])


class EpochSampler(Sampler):
    """Shuffled ``(index, epoch)`` pairs, this process's share of them; the same for every resume of the same epoch.

    Every process gets equally many, whole batches of them: the surplus of an epoch waits for another epoch's order.
    """

    def __init__(self, length: int, *, seed: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.length, self.seed, self.rank, self.world_size, self.epoch = length, seed, rank, world_size, 0
        share = length // world_size
        self.share = share - share % batch_size if share >= batch_size else share

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.share

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng(np.random.SeedSequence([self.seed, self.epoch])).permutation(self.length)
        mine = order[self.rank :: self.world_size][: self.share]
        return iter([(int(i), self.epoch) for i in mine])
