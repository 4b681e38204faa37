"""Released tables of the study of bag models on TCGA fields.

her2 study mil --config configs/study/mil-tcga.yaml --out runs/mil-tcga     # first; minutes on two cores
python benchmarks/mil_tcga.py [FOLDER]

results/mil_tcga.csv has the figures over seeds, mil_tcga_differences.csv those against mean pooling, and mil_tcga.json
the study with command, machine and versions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from her2core.io.documents import parse_json
from her2core.io.files import write_csv, write_json
from her2core.runs.folder import MIL

RESULTS = Path(__file__).parent / "results"


def main(folder: str = "runs/mil-tcga") -> None:
    """Copy the tables and state what they are."""
    about = parse_json((Path(folder) / MIL).read_bytes())
    for name, own in (("mil_tcga", "cv"), ("mil_tcga_differences", "differences")):
        write_csv(RESULTS / f"{name}.csv", pd.read_csv(Path(folder) / f"{own}.csv"), float_format="%.6f")
    figures = pd.read_csv(Path(folder) / "cv.csv")
    chosen = figures[figures["metric"].isin(["accuracy", "balanced_accuracy", "macro_auroc"]) & figures["class"].isna()]
    write_json(
        RESULTS / "mil_tcga.json",
        {
            "what": "bag models on TCGA fields, out-of-fold by patient and by site; research use only",
            "command": "her2 study mil --config configs/study/mil-tcga.yaml --out runs/mil-tcga",
            "by_patient": {
                group: {
                    row.metric: [None if v != v else round(v, 4) for v in (row.value, row.lower_95, row.upper_95)]
                    for row in rows.itertuples()
                }
                for group, rows in chosen.groupby("group", sort=False)
            },
            **{name: about[name] for name in ("study", "encoders", "manifest_hash", "limits", "notes", "made")},
            "tables": ["mil_tcga.csv", "mil_tcga_differences.csv"],
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
