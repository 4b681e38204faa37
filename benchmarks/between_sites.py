"""Coverage of the summary over sites and of the prediction interval for a new site, and false heterogeneity.

OMP_NUM_THREADS=1 python benchmarks/between_sites.py [COHORTS]

Sites of equal sizes or lognormal ones (2 to 200 patients, median 12); the log odds of a right answer vary over sites
with the standard deviation tau around a mean. ``summary`` is the proportion of cohorts whose interval covers the
proportion at that mean, ``prediction`` that of new sites whose own proportion is in the prediction interval,
``p_below`` that of cohorts where the p value of homogeneity is below 0.05 (a false statement where tau is 0),
``pooled`` that of cohorts whose Wilson interval of all patients together covers, as is usually reported.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from her2core.evidence.between_sites import homogeneity, site_model
from her2core.evidence.jackknife import wilson_interval
from her2core.io.files import write_csv, write_json

RESULTS = Path(__file__).parent / "results"
SITES, ACCURACIES, TAUS, SIZES = (3, 5, 10, 20), (0.75, 0.92, 0.99), (0.0, 0.5, 1.0), ("equal", "lognormal")


def main(cohorts: int = 300) -> None:
    """Simulate all designs and write the results."""
    rows = []
    for number, (k, accuracy, tau, sizes) in enumerate(itertools.product(SITES, ACCURACIES, TAUS, SIZES)):
        rng = np.random.default_rng([number, 11])
        rows.append(
            {"sites": k, "accuracy": accuracy, "tau": tau, "sizes": sizes}
            | design(rng, cohorts, k, accuracy, tau, sizes)
        )
    table = pd.DataFrame(rows)
    write_csv(RESULTS / "between_sites.csv", table, float_format="%.4f")
    write_json(
        RESULTS / "between_sites.json",
        {
            "command": f"OMP_NUM_THREADS=1 python benchmarks/between_sites.py {cohorts}",
            "cohorts": cohorts,
            "table": "between_sites.csv",
            "summary": bounds(table["summary"]),
            "prediction": bounds(table["prediction"]),
            "pooled_where_sites_differ": bounds(table.loc[table["tau"] > 0, "pooled"]),
            "false_heterogeneity": bounds(table.loc[table["tau"] == 0, "p_below"]),
            "summary_out_of_0.925_to_0.975": int((~table["summary"].between(0.925, 0.975)).sum()),
            "designs": len(table),
        },
    )


def design(rng: np.random.Generator, cohorts: int, k: int, accuracy: float, tau: float, sizes: str) -> dict[str, float]:
    """Proportions over the cohorts of one design."""
    summary, prediction, pooled, below = [], [], [], []
    for _ in range(cohorts):
        n = (
            np.full(k, 15)
            if sizes == "equal"
            else np.clip(rng.lognormal(np.log(12), 0.9, k).round(), 2, 200).astype(int)
        )
        p = expit(logit(accuracy) + tau * rng.normal(size=k))
        hits = rng.binomial(n, p)
        found = site_model(hits.astype(float), n.astype(float))
        new = expit(logit(accuracy) + tau * rng.normal())
        low, high = wilson_interval(hits.sum() / n.sum(), float(n.sum()))
        summary.append(found.low <= accuracy <= found.high)
        prediction.append(found.low_new <= new <= found.high_new)
        pooled.append(low <= accuracy <= high)
        below.append(homogeneity(hits, n) < 0.05)
    table = {"summary": summary, "prediction": prediction, "pooled": pooled, "p_below": below}
    return {name: float(np.mean(values)) for name, values in table.items()}


def bounds(values: pd.Series) -> list[float]:
    """Lowest, median and highest."""
    return [round(float(v), 4) for v in (values.min(), values.median(), values.max())]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
