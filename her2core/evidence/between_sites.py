"""Heterogeneity between sites: a test of homogeneity, a random-effects summary, and a prediction for a new site.

The unit is the patient, and the metrics are proportions of patients. Their log odds vary normally over sites, and the
counts of each site are binomial: no normal approximation of a site, whose variance goes with its proportion near 1
(Schwarzer et al. 2019, doi 10.1002/jrsm.1348). With few sites the variance between them is hardly known, so a weakly
informative prior takes part (half-normal with scale 1 on the log odds; Jeffreys' for the mean), and intervals are
credible intervals. benchmarks/between_sites.py simulates how often they hold. Homogeneity is tested by permuting
patients over sites, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit, logsumexp, ndtr

from her2core.errors import EvaluationError
from her2core.evidence.intervals import LEVEL
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.metrics.registry import metric_label
from her2core.evidence.notes import join_notes
from her2core.evidence.predictions import Predictions
from her2core.io.cells import UNKNOWN

#: Sites that a variance between them needs: our choice. Of two, nothing can be said.
MIN_SITES = 3
#: Patients that a site needs to count.
MIN_PATIENTS = 2
COLUMNS = (
    *("unit", "metric", "class", "value", "lower_95", "upper_95", "lower_prediction_95", "upper_prediction_95"),
    *("lowest", "highest", "tau", "p_value", "sites", "patients", "left_out", "note"),
)
NOT_NEW = "no prediction interval: the tested sites were trained on, so that nothing is known of a new one"
NOT_KNOWN = "no prediction interval: it is not known whether the tested sites were trained on"
#: Scale of the half-normal prior of the standard deviation between sites, on the log odds.
PRIOR_SCALE = 1.0
PERMUTATIONS = 2000
_MEANS, _SPREADS, _NODES = np.linspace(-8, 8, 161), np.linspace(0.0, 3.0, 25), 21


@dataclass(frozen=True)
class SiteModel:
    """Proportions of sites as draws from a normal distribution of log odds; made by ``site_model``.

    Parameters
    ----------
    value, low, high : float
        Proportion at the mean of the log odds: median and 95 % credible interval.
    low_new, high_new : float
        95 % prediction interval of the proportion of a new site.
    tau : float
        Standard deviation of the log odds between sites, median.
    """

    value: float
    low: float
    high: float
    low_new: float
    high_new: float
    tau: float


def site_model(hits: Floats, counts: Floats) -> SiteModel:
    """Fit a binomial-normal model to proportions of several sites, on a grid of its two parameters.

    Parameters
    ----------
    hits, counts : ndarray of float64, shape (K,)
        Successes and patients of each site, at least one patient each.

    Returns
    -------
    SiteModel

    References
    ----------
    Stijnen et al. 2010, doi 10.1002/sim.4040 (model); Röver et al. 2021, doi 10.1002/jrsm.1475 (priors with few
    studies); Higgins et al. 2009, doi 10.1111/j.1467-985X.2008.00552.x (prediction interval).

    Examples
    --------
    >>> found = site_model(np.array([40.0, 42.0, 38.0, 41.0]), np.full(4, 50.0))
    >>> round(found.value, 2), found.low_new < found.low < found.value < found.high < found.high_new
    (0.8, True)
    """
    log_p, log_q, log_weights, prior = _grid()
    log_likelihood = np.zeros(prior.shape)
    for hit, count in zip(hits, counts, strict=True):
        log_likelihood += logsumexp(hit * log_p + (count - hit) * log_q + log_weights, axis=2)
    posterior = np.exp(log_likelihood + prior - (log_likelihood + prior).max())
    posterior /= posterior.sum()
    tail = (1 - LEVEL) / 2
    of_mean, of_spread = posterior.sum(axis=1), posterior.sum(axis=0)
    low, middle, high = _quantiles(_MEANS, of_mean.cumsum() - of_mean / 2, (tail, 0.5, 1 - tail))
    width = np.maximum(_SPREADS, 1e-3)
    at = np.linspace(-12, 12, 481)
    new = np.array([(posterior * ndtr((x - _MEANS[:, None]) / width)).sum() for x in at])
    low_new, high_new = _quantiles(at, new, (tail, 1 - tail))
    tau = _quantiles(_SPREADS, of_spread.cumsum() - of_spread / 2, (0.5,))[0]
    ends = [float(expit(x)) for x in (middle, low, high, low_new, high_new)]
    return SiteModel(ends[0], ends[1], ends[2], ends[3], ends[4], float(tau))


def between_sites(patients: Predictions, *, new_sites: bool | None) -> pd.DataFrame:
    """Heterogeneity of metrics between sites.

    Parameters
    ----------
    patients : Predictions
        One row a patient, with ``site``.
    new_sites : bool or None
        Whether the tested sites were left out of training; None where that is not known.

    Returns
    -------
    DataFrame
        ``COLUMNS``: accuracy, and recall of each class. ``value`` with its interval is the summary over sites
        (``site_model``); the prediction interval is that of a new site, given only where the tested sites were new;
        ``lowest`` and ``highest`` are the observed values of single sites; ``p_value`` is of Pearson's chi-squared
        statistic under permutation of patients over sites; tau is on the log odds. Sites with fewer than
        ``MIN_PATIENTS`` patients of a class do not count in its recall and are named in ``left_out``.

    Raises
    ------
    EvaluationError
        For predictions of another unit, and fewer than ``MIN_SITES`` sites.

    Examples
    --------
    >>> from her2core.evidence.aggregate import aggregate
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"patient_id": [f"P{i}" for i in range(60)], "label": list("ab") * 30})
    >>> frame["site"] = ["x", "x", "y", "y", "z", "z"] * 10
    >>> frame["predicted"] = frame["label"].where((frame["site"] != "z") | (frame.index < 30), "a")
    >>> found = between_sites(aggregate(read_predictions(frame), "patient"), new_sites=True)
    >>> found[["metric", "sites", "lowest", "highest"]].head(1).values.tolist()
    [['accuracy', 3, 0.75, 1.0]]
    """
    if patients.unit != "patient":
        got, fix = f"one a {patients.unit}", "Aggregate them first."
        raise EvaluationError("one row a patient", got=got, where="between sites", fix=fix)
    sites = patients.frame["site"].astype("str").to_numpy()
    known = np.array([s not in (UNKNOWN, "", "nan") for s in sites])
    names = sorted(set(sites[known]))
    if len(names) < MIN_SITES:
        raise EvaluationError(
            f"at least {MIN_SITES} known sites in the test part",
            got=str(len(names)),
            where="between sites",
            fix="Of fewer sites nothing can be said about others: test patients of further ones.",
        )
    right = patients.predicted == patients.labels
    classes = patients.classes
    counts = np.array([[((sites == s) & (patients.labels == k)).sum() for k in range(len(classes))] for s in names])
    hits = np.array(
        [[(right & (sites == s) & (patients.labels == k)).sum() for k in range(len(classes))] for s in names]
    )
    rows = [_row("accuracy", "", hits.sum(axis=1), counts.sum(axis=1), names, new_sites)]
    rows += [_row("recall", c, hits[:, k], counts[:, k], names, new_sites) for k, c in enumerate(classes)]
    return pd.DataFrame(rows)[list(COLUMNS)]


def homogeneity(hits: np.ndarray, counts: np.ndarray, *, seed: int = 0) -> float:
    """Test whether all sites have one proportion, by permuting patients over sites.

    Parameters
    ----------
    hits, counts : ndarray of int, shape (K,)
    seed : int
        Of the ``PERMUTATIONS``.

    Returns
    -------
    float
        p value of Pearson's chi-squared statistic; 1 where all patients have one outcome.

    References
    ----------
    Phipson & Smyth 2010, doi 10.2202/1544-6115.1585.

    Examples
    --------
    >>> homogeneity(np.array([20, 2]), np.array([20, 20])) < 0.01
    True
    """
    p = hits.sum() / counts.sum()
    if p in (0, 1):
        return 1.0
    rng = np.random.default_rng(seed)
    drawn = rng.multivariate_hypergeometric(counts, int(hits.sum()), size=PERMUTATIONS)
    spread = ((np.vstack([hits, drawn]) - counts * p) ** 2 / (counts * p * (1 - p))).sum(axis=1)
    return float(((spread[1:] >= spread[0] - 1e-9).sum() + 1) / (PERMUTATIONS + 1))


def _row(
    metric: str, of: str, hits: np.ndarray, counts: np.ndarray, names: list[str], new_sites: bool | None
) -> dict[str, object]:
    enough = np.asarray(counts >= MIN_PATIENTS, bool)
    row: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
    row |= {"unit": "patient", "metric": metric, "class": of, "sites": int(enough.sum())}
    row |= {"patients": int(counts[enough].sum())}
    row["left_out"] = ", ".join(name for name, ok in zip(names, enough, strict=True) if not ok)
    if enough.sum() < MIN_SITES:
        what = f"patients of {of}" if of else "patients"
        row["note"] = f"not given: fewer than {MIN_SITES} sites have at least {MIN_PATIENTS} {what}"
        return row
    hits, counts = hits[enough], counts[enough]
    found, observed = site_model(hits.astype(float), counts.astype(float)), hits / counts
    row |= {"value": found.value, "lower_95": found.low, "upper_95": found.high, "tau": found.tau}
    row |= {"lowest": observed.min(), "highest": observed.max(), "p_value": homogeneity(hits, counts)}
    if new_sites:
        row |= {"lower_prediction_95": found.low_new, "upper_prediction_95": found.high_new}
    few = f"only {len(hits)} sites: the variance between sites follows mostly from its prior" if len(hits) < 5 else ""
    row["note"] = join_notes("" if new_sites else NOT_KNOWN if new_sites is None else NOT_NEW, few)
    return row


@cache
def _grid() -> tuple[Floats, Floats, Floats, Floats]:
    """Log probabilities of both outcomes (means, spreads, nodes), log weights of the nodes, and the log prior."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    theta = _MEANS[:, None, None] + _SPREADS[:, None] * nodes
    of_mean = 0.5 * (log_expit(_MEANS) + log_expit(-_MEANS))  # Jeffreys' prior of a proportion, on its log odds
    prior = of_mean[:, None] - 0.5 * (_SPREADS / PRIOR_SCALE) ** 2
    return log_expit(theta), log_expit(-theta), np.log(weights / weights.sum()), prior


def _quantiles(at: Floats, cumulative: Floats, levels: tuple[float, ...]) -> Floats:
    rising, first = np.unique(cumulative, return_index=True)
    return np.interp(levels, rising, at[first])


def between_sites_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    """What the accuracy says of sites.

    Parameters
    ----------
    table : DataFrame
        From ``between_sites``.

    Returns
    -------
    tuple of str
        One sentence a metric that has a summary.

    Examples
    --------
    >>> row = dict.fromkeys(COLUMNS, 0.5) | {"metric": "accuracy", "class": "", "sites": 6, "note": ""}
    >>> between_sites_sentences(pd.DataFrame([row]))[0][:87]
    'Accuracy by patient over 6 sites: 0.50 [0.50, 0.50]; single sites from 0.50 to 0.50; a '
    """
    found = []
    for row in table[(table["class"] == "") & table["value"].notna()].to_dict("records"):
        new = (
            ""
            if pd.isna(row["lower_prediction_95"])
            else f"; a new site {row['lower_prediction_95']:.2f} to {row['upper_prediction_95']:.2f} (95 % prediction)"
        )
        found.append(
            f"{metric_label(row['metric'])} by patient over {int(row['sites'])} sites: {row['value']:.2f} "
            f"[{row['lower_95']:.2f}, {row['upper_95']:.2f}]; single sites from {row['lowest']:.2f} to "
            f"{row['highest']:.2f}{new}; homogeneity p {row['p_value']:.2g}."
        )
    return tuple(found)
