"""Patches as tensors for the training loop, in an order fixed by seed and epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from her2core.data.augment import Augment
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.data.prepare import Prepare
from her2core.data.tensors import IMAGENET_MEAN, IMAGENET_STD, to_tensor


class PatchDataset(Dataset[tuple[Tensor, int]]):
    """Patches and class numbers of one part of a manifest.

    Indexed by ``i`` or by ``(i, epoch)``, it gives the patch as a float32 tensor (3, px, px) and its class number. It
    augments by a generator seeded from ``seed``, epoch and ``i``, so that a patch does not depend on which worker
    process prepares it or on what was prepared before.

    Parameters
    ----------
    manifest : Manifest
        The patches; class numbers follow ``manifest.classes``.
    prepare : Prepare
        Size and stain.
    images : uint8 array (N, px, px, 3), optional
        The prepared patches in the manifest's row order. When left out, each patch is read and prepared when it is
        indexed, for data that do not fit in memory.
    augment : Augment, optional
        Random change of each patch; none when left out.
    seed : int, default 0
        Of augmentation.
    mean, std : sequence of three floats
        As in ``to_tensor``.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.data.manifest import build_manifest
    >>> rows = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["negative", "positive"]})
    >>> images = np.zeros((2, 8, 8, 3), np.uint8)
    >>> dataset = PatchDataset(build_manifest(rows, root="."), Prepare(8), images=images)
    >>> tensor, number = dataset[1]
    >>> len(dataset), tuple(tensor.shape), number
    (2, (3, 8, 8), 1)
    """

    def __init__(
        self,
        manifest: Manifest,
        prepare: Prepare,
        *,
        images: npt.NDArray[np.uint8] | None = None,
        augment: Augment | None = None,
        seed: int = 0,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        index = {name: i for i, name in enumerate(manifest.classes)}
        self.targets: npt.NDArray[np.int64] = manifest.frame["label"].map(index).to_numpy().astype(np.int64)
        self.patch_ids: list[str] = list(manifest.frame["patch_id"])
        self.images, self.augment, self.seed, self.mean, self.std = images, augment, seed, mean, std
        self._prepare, self._manifest, self._reader = prepare, manifest, PatchReader(manifest)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, int]:
        i, epoch = key if isinstance(key, tuple) else (key, 0)
        image = self.images[i] if self.images is not None else self._prepare(self._reader(self.patch_ids[i])).image
        if self.augment is not None:
            image = self.augment(image, np.random.default_rng(np.random.SeedSequence([self.seed, epoch, i])))
        return to_tensor(image, self.mean, self.std), int(self.targets[i])

    def __getstate__(self) -> dict[str, Any]:
        # The reader's lock cannot go to a worker process, and its decoded images need not.
        return {name: value for name, value in self.__dict__.items() if name != "_reader"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _reader=PatchReader(state["_manifest"]))


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled ``(index, epoch)`` pairs of one process, the same whenever the same epoch is resumed.

    Every process gets equally many, in whole batches; which patches are left over differs between epochs.

    Parameters
    ----------
    length : int
        Number of patches.
    seed : int
        Of the order.
    batch_size : int
        Patches in a batch of one process.
    rank, world_size : int
        This process and the number of processes.
    epoch : callable, optional
        Tells the epoch whenever an iterator is made; ``set_epoch`` decides where it is left out. Lightning makes the
        loader's iterator before it sets the epoch of a resumed training, and worker processes prepare ahead.

    Examples
    --------
    >>> sampler = EpochSampler(7, seed=0, batch_size=3)
    >>> sampler.set_epoch(2)
    >>> pairs = list(sampler)
    >>> len(pairs), {epoch for _, epoch in pairs}
    (6, {2})
    >>> again = EpochSampler(7, seed=0, batch_size=3)
    >>> again.set_epoch(2)
    >>> list(again) == pairs
    True
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        epoch: Callable[[], int] | None = None,
    ) -> None:
        self.length, self.seed, self.rank, self.world_size, self.epoch = length, seed, rank, world_size, 0
        self._told = epoch
        share = length // world_size
        self.share = share - share % batch_size if share >= batch_size else share

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next.

        Parameters
        ----------
        epoch : int
            0 and up.
        """
        self.epoch = epoch

    def __len__(self) -> int:
        return self.share

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch if self._told is None else self._told()
        order = np.random.default_rng(np.random.SeedSequence([self.seed, epoch])).permutation(self.length)
        mine = order[self.rank :: self.world_size][: self.share]
        return iter([(int(i), epoch) for i in mine])
