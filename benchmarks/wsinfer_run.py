"""WSInfer itself on an exported run and a real slide, compared with her2core on the same patches.

WSInfer 0.6.1 finds tissue, cuts patches, applies the transforms of config.json and runs the exported TorchScript;
her2core reads and predicts the same patches, and for comparison patches resampled bilinearly, as QuPath does. WSInfer
asks for packages that are not those here, so it gets an environment of its own that shares this one's packages; the
reader is OpenSlide, and tiffslide, which it imports, is an empty module:

    python3 -m venv /tmp/wsinfer && echo "$PWD/.venv/lib/python3.11/site-packages" \
        > /tmp/wsinfer/lib/python3.11/site-packages/shared.pth
    /tmp/wsinfer/bin/pip install --no-deps wsinfer==0.6.1 wsinfer-zoo==0.6.3 "zarr<3" "numcodecs<0.16" asciitree \
        fasteners deprecated wrapt
    mkdir -p /tmp/stub && echo "class TiffSlide: pass" > /tmp/stub/tiffslide.py
    PYTHONPATH=.:/tmp/stub OMP_NUM_THREADS=1 /tmp/wsinfer/bin/python -m benchmarks.wsinfer_run
"""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pandas as pd
import torch
from PIL import Image
from wsinfer.modellib.models import LocalModelTorchScript
from wsinfer.modellib.run_inference import run_inference
from wsinfer.patchlib import segment_and_patch_directory_of_slides
from wsinfer_zoo.client import ModelConfiguration

from her2core import load_predictor
from her2core.inference.wsinfer_export import CONFIG, NETWORK, export_wsinfer
from her2core.io.files import write_json
from her2core.slide.reader import open_slide

ROOT = Path(__file__).resolve().parents[1]
SLIDE = ROOT.parent / "shared" / "data" / "slides" / "cmu-1-small-region.svs"
RUNS = ("demo", "her2-tcga")


def by_wsinfer(exported: Path, folder: Path) -> tuple[pd.DataFrame, ModelConfiguration]:
    """WSInfer's own steps, as ``wsinfer run`` calls them; the command itself needs a network for its list of models."""
    config = ModelConfiguration.from_dict(json.loads((exported / CONFIG).read_text()))
    slides = folder / "slides"
    slides.mkdir()
    shutil.copy(SLIDE, slides)
    segment_and_patch_directory_of_slides(
        wsi_dir=slides,
        save_dir=folder / "results",
        patch_size_px=config.patch_size_pixels,
        patch_spacing_um_px=config.spacing_um_px,
        thumbsize=(2048, 2048),
        median_filter_size=7,
        binary_threshold=7,
        closing_kernel_size=6,
        min_object_size_um2=200**2,
        min_hole_size_um2=190**2,
    )
    model = LocalModelTorchScript(config=config, model_path=str(exported / NETWORK))
    run_inference(slides, folder / "results", model, batch_size=8)
    (table,) = (folder / "results").glob("model-outputs*/*.csv")
    return pd.read_csv(table), config


def compared(name: str) -> dict[str, Any]:
    """Figures of one run."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export_wsinfer(ROOT / "models" / name, folder / "export")
        found, config = by_wsinfer(folder / "export", folder)
    predictor = load_predictor(ROOT / "models" / name, engine="torch")
    theirs = found[[f"prob_{c}" for c in predictor.classes]].to_numpy()
    px = config.patch_size_pixels
    slide = openslide.OpenSlide(SLIDE)
    boxes = [(int(r.minx), int(r.miny), int(r.width), int(r.height)) for r in found.itertuples()]
    whole = [slide.read_region((x, y), 0, (w, h)).convert("RGB") for x, y, w, h in boxes]
    bilinear = [np.asarray(image.resize((px, px), Image.Resampling.BILINEAR)) for image in whole]
    with open_slide(SLIDE) as reader:
        own = [reader.read_tiles([(float(x), float(y), float(w))], px)[0][0] for x, y, w, _ in boxes]
    result: dict[str, Any] = {"run": name, "patches": len(found)}
    for key, images in (("her2core", own), ("her2core_bilinear", bilinear)):
        right = np.array([p.probabilities for p in predictor.predict(images)])
        difference = np.abs(theirs - right).max(axis=1)
        result[key] = {
            "largest": float(f"{difference.max():.2g}"),
            "median": float(f"{np.median(difference):.2g}"),
            "largest_share_of_range": float(f"{difference.max() / np.ptp(right, axis=0).max():.2g}"),
            "same_class": float(np.mean(theirs.argmax(axis=1) == right.argmax(axis=1))),
        }
    return result


def main() -> None:
    Image.MAX_IMAGE_PIXELS = None
    warnings.simplefilter("ignore")
    rows = []
    for name in RUNS:
        rows.append(compared(name))
        print(rows[-1], flush=True)
    result = {
        "command": "PYTHONPATH=.:/tmp/stub OMP_NUM_THREADS=1 /tmp/wsinfer/bin/python -m benchmarks.wsinfer_run",
        "slide": SLIDE.name,
        "versions": {"wsinfer": "0.6.1", "torch": torch.__version__, "openslide": openslide.__library_version__},
        "measured": "largest difference of a probability between WSInfer with the exported run and her2core, by patch",
        "rows": rows,
    }
    write_json(ROOT / "benchmarks" / "results" / "wsinfer_run.json", result)


if __name__ == "__main__":
    main()
