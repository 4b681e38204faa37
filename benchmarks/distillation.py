"""What first weights taught without labels are worth: the twelve tissue classes from them and from random weights.

python benchmarks/distillation.py    after, with the extra package and the manifests of configs/distil-resnet50.yaml:

    her2 distill configs/distil-resnet50.yaml
    her2 train configs/tissue12-taught.yaml
    her2 train configs/tissue12-taught.yaml --set network.init=none --name tissue12-untaught

The last two differ in their first weights alone; they are released for review as models/study/tissue12-taught and
-untaught, the taught weights are not (47 MB; the commands make them again). Differences are paired over the patches of
the test part, as ``her2 compare`` computes them; the tiles name no patient, so that every interval is too narrow. The
released tissue12 was trained from random weights for sixteen epochs, with weighted classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ratios import RESULTS, write_result

from her2core.evidence.compare import compare_runs
from her2core.io.documents import parse_json
from her2core.io.tables import read_table
from her2core.runs.folder import open_run

HOME = RESULTS.parents[1]
WEIGHTS = HOME / "weights" / "resnet50-taught"
RUNS = {
    "taught, 6 epochs": HOME / "models" / "study" / "tissue12-taught",
    "random weights, 6 epochs": HOME / "models" / "study" / "tissue12-untaught",
    "tissue12: random weights, 16 epochs": HOME / "models" / "tissue12",
}
METRICS = ("accuracy", "balanced_accuracy", "macro_auroc")


def figures(path: Path) -> dict[str, list[float]]:
    """Value and 95 % interval of each metric on the test patches."""
    rows = open_run(path).table("metrics")
    of = rows[(rows["unit"] == "patch") & (rows["class"] == "")].set_index("metric")
    return {m: [round(float(of.at[m, c]), 4) for c in ("value", "lower_95", "upper_95")] for m in METRICS}


def main() -> None:
    card = parse_json((WEIGHTS / "model.card.json").read_bytes())
    history = read_table(WEIGHTS / "history.csv").frame
    taught, *others = RUNS
    compared: dict[str, Any] = {}
    for name in others:
        found = compare_runs(RUNS[name], RUNS[taught], unit="patch", primary="accuracy", names=(name, taught))
        primary = found.primary
        compared[f"{taught}, less {name}"] = {
            "accuracy": [round(float(primary[c]), 4) for c in ("difference", "lower_95", "upper_95")],
            "statement": found.statement,
        }
    result = {
        "teacher": card["teacher"]["name"],
        "student": card["network"],
        "labels": card["labels"],
        "weights_sha256": card["weights_sha256"],
        "patches": card["data"]["patches"],
        "loss": card["loss"],
        "held_out_loss_by_epoch": [round(float(v), 4) for v in history["val_loss"]],
        "held_out_cosine_by_epoch": [round(float(v), 4) for v in history["val_cosine"]],
        "test_patches": {name: figures(path) for name, path in RUNS.items()},
        "differences": compared,
        "note": "Random patch split of tiles without patient ids: every figure is inflated by an unknown amount.",
    }
    write_result("distillation", result, packages=("torch", "timm"))


if __name__ == "__main__":
    main()
