"""The paper's own setting on one GPU: agreement with the CPU, training and inference rates, Macenko, one epoch.

python benchmarks/gpu.py                      about six minutes on one card; writes results/gpu.json
python benchmarks/gpu.py --device cpu --quick --out FILE      the same steps on a CPU, to try the script

Rates are patches a second at 224 px of the modified ResNet50 (output stride 16), by wall clock between two
synchronisations; each step stops after its share of the time. "of the card's limit" is the rate of floating-point
operations over that of a square matrix product of the same precision measured in the same run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from her2core import load_predictor, train
from her2core.data.augment import Augment
from her2core.data.dataset import EpochSampler, PatchDataset
from her2core.data.manifest import build_manifest
from her2core.data.prepare import Prepare
from her2core.data.synthetic import CohortSpec, render_patch
from her2core.io.files import write_json
from her2core.networks.registry import build_network
from her2core.runs.provenance import provenance
from her2core.stain.macenko import StainNormalizer
from her2core.stain.reference import StainReference
from her2core.stain.tensors import normalize_tensors
from her2core.training.config import RunConfig

HOME = Path(__file__).resolve().parents[1]
PX, CLASSES = 224, ("negative", "equivocal", "positive")


class Card:
    """The device, and the clock that waits for it."""

    def __init__(self, name: str, quick: bool) -> None:
        self.device, self.quick = torch.device(name), quick
        self.seconds = 0.5 if quick else 8.0
        self.batch = 2 if quick else 64

    def wait(self) -> None:
        """Until everything that was asked for is computed."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def rate(self, call: Callable[[], Any], number: int) -> float:
        """Patches a second of a call that takes ``number`` of them, after two calls that warm up."""
        for _ in range(1 if self.quick else 2):
            call()
        self.wait()
        began, calls = time.perf_counter(), 0
        while time.perf_counter() - began < self.seconds:
            call()
            self.wait()
            calls += 1
        return calls * number / (time.perf_counter() - began)


def agreement(card: Card) -> dict[str, Any]:
    """Largest differences of the released demo between this device and the CPU."""
    images = [render_patch(CohortSpec(px=PX, mpp=0.5), 11 * i).image for i in range(2 if card.quick else 16)]
    run = HOME / "models" / "demo"
    right = load_predictor(run, engine="torch").analyse(images)
    found: dict[str, Any] = {}
    for engine in ("torch", "torch-bf16", *(() if card.quick else ("torch-compiled",))):
        own = load_predictor(run, device=str(card.device), engine=engine).analyse(images)
        probabilities = [
            np.subtract(a.prediction.probabilities, b.prediction.probabilities) for a, b in zip(own, right, strict=True)
        ]
        maps = []
        for a, b in zip(own, right, strict=True):
            grids = a.class_map("positive").grid, b.class_map("positive").grid
            maps.append(float(np.abs(np.subtract(*grids)).max() / max(1e-6, np.abs(grids[1]).max())))
        found[engine] = {
            "largest_probability_difference": float(np.abs(probabilities).max()),
            "largest_map_difference_over_its_maximum": max(maps),
            "same_class": all(a.prediction.label == b.prediction.label for a, b in zip(own, right, strict=True)),
        }
    return found


def limits(card: Card) -> dict[str, float]:
    """Floating-point operations a second of a square matrix product in each precision."""
    side = 256 if card.quick else 8192
    found = {}
    for name, kind, tf32 in (
        ("fp32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(side, side, device=card.device, dtype=kind) for _ in range(2))
        found[name] = card.rate(lambda a=a, b=b: a @ b, 1) * 2 * side**3  # type: ignore[misc]
    return found


def rates(card: Card, peak: dict[str, float]) -> dict[str, Any]:
    """Training steps and inference in each precision, compiled or not, on ready tensors and by the loader."""
    network = build_network("her2_resnet50", len(CLASSES)).to(card.device, memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, PX, PX, device=card.device))
    operations = counter.get_total_flops()
    found: dict[str, Any] = {"operations_a_patch": operations, "batch": card.batch}
    ways = [("fp32", False), ("tf32", False), ("bf16", False), *(() if card.quick else (("bf16", True),))]
    for precision, compiled in ways:
        of = f"{precision}, compiled" if compiled else precision
        for what, patches in _speed(card, network, precision, compiled=compiled).items():
            times = 1 if what == "inference" else 3  # a backward pass takes twice the operations of a forward pass
            limit = float(f"{patches * times * operations / peak[precision]:.3g}")
            found[f"{what}, {of}"] = {"patches_a_second": round(patches, 1), "share_of_the_limit": limit}
    return found


def _speed(card: Card, network: Any, precision: str, *, compiled: bool) -> dict[str, float]:
    """Patches a second of training and inference."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    ready = torch.randn(card.batch, 3, PX, PX, device=card.device).to(memory_format=torch.channels_last)
    targets = torch.arange(card.batch, device=card.device) % len(CLASSES)
    passes = torch.compile(network) if compiled else network
    optimiser = torch.optim.AdamW(network.parameters(), 1e-5)

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(card.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return passes(images)

    def step(images: Tensor, labels: Tensor) -> None:
        optimiser.zero_grad()
        F.cross_entropy(forward(images).float(), labels).backward()
        optimiser.step()

    network.train()
    found = {"training": card.rate(lambda: step(ready, targets), card.batch)}
    if precision == "bf16":
        found["training by the loader"] = _by_loader(card, step)
    network.eval()
    with torch.no_grad():
        found["inference"] = card.rate(lambda: forward(ready), card.batch)
    return found


def _by_loader(card: Card, step: Callable[[Tensor, Tensor], None]) -> float:
    """Training steps a second fed by the training's loader with augmentation, in worker processes on a GPU."""
    import pandas as pd
    from torch.utils.data import DataLoader

    number = 4 * card.batch
    images = np.stack([render_patch(CohortSpec(px=PX, mpp=0.5), i).image for i in range(min(number, 64))])
    images = images[np.arange(number) % len(images)]
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(number)], "label": np.resize(CLASSES, number)})
    dataset = PatchDataset(build_manifest(rows, root="."), Prepare(PX), images=images, augment=Augment())
    workers = 0 if card.device.type == "cpu" else 14
    loader = DataLoader(
        dataset, card.batch, sampler=EpochSampler(number, seed=0, batch_size=card.batch), num_workers=workers,
        pin_memory=card.device.type == "cuda", persistent_workers=workers > 0,
    )  # fmt: skip

    def epoch() -> None:
        for batch, labels in loader:
            on_card = batch.to(card.device, non_blocking=True, memory_format=torch.channels_last)
            step(on_card, labels.to(card.device))

    return card.rate(epoch, number)


def macenko(card: Card) -> dict[str, Any]:
    """Macenko normalisation on this device beside ours on one thread of the CPU."""
    images = np.stack([render_patch(CohortSpec(px=PX, mpp=0.5), 3 * i).image for i in range(card.batch)])
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(card.device)
    ours = StainNormalizer()
    right = np.stack([ours.apply(image).image for image in images])
    found = normalize_tensors(tensors, StainReference()).images.permute(0, 2, 3, 1).cpu().numpy()
    here = card.rate(lambda: normalize_tensors(tensors), len(images))
    began = time.perf_counter()
    for image in images:
        ours.apply(image)
    cpu = len(images) / (time.perf_counter() - began)
    return {
        "patches_a_second": round(here, 1),
        "over_the_cpu": round(here / cpu, 2),
        "largest_difference_grey_levels": int(np.abs(found.astype(int) - right).max()),
    }


def epoch(card: Card) -> dict[str, Any]:
    """Wall seconds of one epoch of the demo at 224 px from random weights, everything a run does included."""
    size = {"patients": 15, "patches": 2} if card.quick else {"patients": 60, "patches": 20}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "demo")
        options = [word for name, value in size.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "her2core", "data", "demo", "--out", str(data), "--px", str(PX), *options]
        subprocess.run(command, cwd=HOME, check=True, capture_output=True)
        config = {
            "name": "gpu-demo",
            "manifest": str(data / "manifest.parquet"),
            "split": {"unit": "patient", "seed": 7},
            "input": {"px": 64 if card.quick else PX},
            "network": {"name": "her2_resnet50", "init": "none"},
            "train": {"epochs": 1, "batch_size": 8 if card.quick else 64},
            "hardware": {
                "accelerator": "gpu" if card.device.type == "cuda" else "cpu",
                "precision": "auto",
                "workers": 0,
            },
        }
        began = time.perf_counter()
        run = train(RunConfig.model_validate(config), root=Path(folder, "runs"), progress=False)
        spent = time.perf_counter() - began
        assert run is not None
        return {"seconds": round(spent, 1), "patches": len(run.dataset), "px": config["input"]["px"]}  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small batches and short times; figures mean nothing")
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "results" / "gpu.json")
    asked = parser.parse_args()
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("No CUDA device was found: use --device cpu --quick to try the script.")
    card = Card(asked.device, asked.quick)
    torch.manual_seed(0)
    here, began = provenance(), time.perf_counter()
    result: dict[str, Any] = {
        "command": "python benchmarks/gpu.py",
        "machine": here["hardware"],
        "card": torch.cuda.get_device_name() if card.device.type == "cuda" else "none",
        "versions": {p: metadata.version(p) for p in ("torch", "torchvision", "pytorch-lightning", "numpy")},
    }
    steps = (("agreement", agreement), ("macenko", macenko), ("epoch_of_the_demo", epoch))
    result["operations_a_second"] = peak = limits(card)
    result["rates"] = rates(card, peak)
    for name, step in steps:
        result[name] = step(card)
        write_json(asked.out, result)  # what was measured stays, whatever fails later
    result["seconds"] = round(time.perf_counter() - began, 1)
    write_json(asked.out, result)
    print(asked.out)


if __name__ == "__main__":
    main()
