"""Speed from PNG files to calibrated probabilities beside TIAToolbox's PatchPredictor, as ratios in one run.

HER2_PEERS=/tmp/peers/bin/python OMP_NUM_THREADS=1 python benchmarks/peers.py    as benchmarks/README.md describes;
                                                          needs the extra int8 and ../shared/data/tcga_brca

The same PATCHES real patches of 224 px for all. her2core: the network released as tissue12 (modified ResNet50, output
stride 16) at 224 px, with quality flags, Macenko normalisation, out-of-distribution score, calibration and prediction
set, by each engine that this processor has natively, and in 8 bits (what these cost in accuracy: int8.json).
TIAToolbox: its own plain ResNet50 (output stride 32, random weights, as its weights cannot be downloaded here), alone
and with its own Macenko normaliser, batches of 16. Processor time of one thread a process, in turns, each round in the
other order.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from two_sides import in_two_processes, other_version, serve

SIZE, PATCHES, BATCH, ROUNDS = 224, 32, 16, 5
HOME = Path(__file__).resolve().parents[1]
FIELDS = HOME.parent / "shared" / "data" / "tcga_brca"


def ours(files: list[Path]) -> dict[str, Callable[[], Any]]:
    """Calls of her2core by name."""
    from dataclasses import replace

    from her2core.inference.int8 import int8_engine, quantised_models
    from her2core.inference.predictor import load_predictor
    from her2core.io.images import read_image
    from her2core.networks.bfloat16 import native_bfloat16
    from her2core.runs.folder import open_run

    run = open_run(HOME / "models" / "tissue12")
    run = replace(run, card={**run.card, "input": {**run.card["input"], "px": SIZE}})
    names = ("torch", "openvino", *(("openvino-bf16",) if native_bfloat16() else ()))
    served = {f"her2core, {name}": load_predictor(run, engine=name) for name in names}
    right = served["her2core, torch"]
    engine = int8_engine(*quantised_models(right, [read_image(file) for file in files]))
    served["her2core, openvino-int8"] = right.with_engine(lambda _: engine)
    return {name: lambda p=p: p.predict(files, batch=BATCH) for name, p in served.items()}  # type: ignore[misc]


def tiatoolbox(files: list[Path]) -> dict[str, Callable[[], Any]]:
    """Calls of TIAToolbox by name."""
    import numpy as np
    from PIL import Image
    from tiatoolbox.models.architecture.vanilla import CNNModel
    from tiatoolbox.models.engine.io_config import IOPatchPredictorConfig
    from tiatoolbox.models.engine.patch_predictor import PatchPredictor
    from tiatoolbox.tools.stainnorm import MacenkoNormalizer

    settings = IOPatchPredictorConfig(
        patch_input_shape=[SIZE, SIZE],
        stride_shape=[SIZE, SIZE],
        input_resolutions=[{"resolution": 1.0, "units": "baseline"}],
    )

    def call(preparation: Callable[[Any], Any] | None) -> Callable[[], Any]:
        model = CNNModel("resnet50", num_classes=3)
        if preparation is not None:
            model.preproc_func = preparation
        engine = PatchPredictor(model=model, batch_size=BATCH, num_workers=0, device="cpu", verbose=False)
        return lambda: engine.run(images=files, patch_mode=True, ioconfig=settings, output_type="dict", device="cpu")

    normaliser = MacenkoNormalizer()
    normaliser.fit(np.array(Image.open(files[0]).convert("RGB")))
    return {"TIAToolbox": call(None), "TIAToolbox with its Macenko": call(lambda image: normaliser.transform(image))}


def patches_in(folder: Path) -> None:
    """Write PATCHES real patches as PNG: the centres of the fields, spread over the patients."""
    import numpy as np

    from her2core.io.images import encode_png, read_image

    files = sorted(FIELDS.rglob("*.png"))
    for i, file in enumerate(files[:: len(files) // PATCHES][:PATCHES]):
        image = read_image(file)
        y, x = ((side - SIZE) // 2 for side in image.shape[:2])
        crop = np.ascontiguousarray(image[y : y + SIZE, x : x + SIZE])
        (folder / f"{i:03d}.png").write_bytes(encode_png(crop))


def main() -> None:
    import numpy as np
    from ratios import summary, write_result

    with tempfile.TemporaryDirectory() as name:
        patches_in(Path(name))
        spent = in_two_processes(__file__, name, rounds=ROUNDS)
    found = {
        f"{theirs} over {own}": summary(spent[theirs] / spent[own])
        for theirs in spent
        if theirs.startswith("TIA")
        for own in spent
        if own.startswith("her2core")
    }
    result = {
        "patches": PATCHES,
        "px": SIZE,
        "rounds": ROUNDS,
        "processor_milliseconds_a_patch": {n: round(1e3 * float(np.median(t)) / PATCHES, 2) for n, t in spent.items()},
        "ratios": found,
        "tiatoolbox": other_version("tiatoolbox"),
        "load_of_the_machine": round(os.getloadavg()[0], 1),
        "note": "The ranges of the 8-bit network are of the timed patches; its accuracy at 112 px is in int8.json.",
    }
    write_result("peers", result, packages=("torch", "openvino"))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        files = sorted(Path(sys.argv[2]).glob("*.png"))
        serve(lambda: {"ours": ours, "theirs": tiatoolbox}[sys.argv[1]](files))
    else:
        main()
