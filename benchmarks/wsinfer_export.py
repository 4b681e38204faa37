"""Difference between WSInfer exports and ``Predictor`` on real tissue.

Every sixth TCGA-BRCA field and every 170th tissue tile of ../shared/data, centre square at the size of the network;
predicted by the run and by its TorchScript as WSInfer calls it. Two minutes. Command:

    OMP_NUM_THREADS=1 python -m benchmarks.wsinfer_export
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from her2core import load_predictor
from her2core.data.prepare import centre_square
from her2core.inference.wsinfer_export import NETWORK, difference_from, export_wsinfer
from her2core.io.files import write_json
from her2core.io.images import read_image, resize_rgb

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RUNS = ("demo", "tissue12", "tissue12-lite2", "her2st-erbb2", "her2-tcga")


def main() -> None:
    files = sorted((DATA / "tcga_brca" / "fields").glob("*.png"))[::6]
    files += sorted((DATA / "tissue_tiles").glob("*/*.jpg"))[::170]
    rows = []
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            found = export_wsinfer(ROOT / "models" / name, Path(folder, "wsinfer"))
            size = Path(folder, "wsinfer", NETWORK).stat().st_size
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch deprecates what WSInfer loads models with
                network = torch.jit.load(str(Path(folder, "wsinfer", NETWORK)))
        predictor = load_predictor(ROOT / "models" / name, engine="torch")
        patches = [resize_rgb(np.ascontiguousarray(centre_square(read_image(f))), predictor.px) for f in files]
        each = sorted(difference_from(predictor, network, [patch])[0] for patch in patches)
        row = {
            "run": name,
            "synthetic_largest": float(f"{found['difference']:.2g}"),
            "synthetic_share_of_range": float(f"{found['share']:.2g}"),
            "real_patches": len(patches),
            "real_largest": float(f"{each[-1]:.2g}"),
            "real_median": float(f"{each[len(each) // 2]:.2g}"),
            "megabytes": round(size / 1e6, 1),
        }
        rows.append(row)
        print(row, flush=True)
    result = {
        "command": "OMP_NUM_THREADS=1 python -m benchmarks.wsinfer_export",
        "torch": torch.__version__,
        "measured": "largest difference of a probability between the exported TorchScript and Predictor, by patch",
        "rows": rows,
    }
    write_json(ROOT / "benchmarks" / "results" / "wsinfer_export.json", result)


if __name__ == "__main__":
    main()
