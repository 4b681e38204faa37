"""Projection of features to two dimensions: principal components, and t-SNE after them.

A picture of neighbourhoods and nothing else: distances, sizes and densities of groups in a projection cannot be read,
t-SNE's least of all (Wattenberg et al. 2016, doi 10.23915/distill.00002). The same features and seed give the same
picture on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from her2core.errors import EvaluationError
from her2core.evidence.arguments import check_choice, check_resampling
from her2core.evidence.metrics.metric import Floats

METHODS = {"pca": "Principal components", "tsne": "t-SNE"}
#: Principal components that t-SNE starts from (van der Maaten & Hinton 2008, section 4: 30).
COMPONENTS = 30
#: Rows that are projected at most; t-SNE takes about 10 s for so many on one core.
MOST_ROWS = 2000
#: Effective number of neighbours of t-SNE; less where there are few rows.
PERPLEXITY = 30.0


@dataclass(frozen=True, eq=False)
class Projection:
    """Places of rows in a plane; made by ``project``.

    Parameters
    ----------
    places : ndarray of float64, shape (N, 2)
    explained : float
        Share of the variance in the two principal components; NaN for t-SNE.
    description : str
        How it was made: method, parameters and seed.
    """

    places: Floats
    explained: float
    description: str


def project(features: ArrayLike, *, method: str = "pca", seed: int = 0) -> Projection:
    """Project features to a plane.

    Parameters
    ----------
    features : array_like of float, shape (N, D)
        3 to ``MOST_ROWS`` rows. Each column is standardised; a constant one, or one with a missing value, is left out.
    method : {'pca', 'tsne'}
    seed : int
        Of t-SNE.

    Returns
    -------
    Projection
        Centred, with the sign of each axis such that its largest deviation is positive.

    Raises
    ------
    ConfigError
        For an unknown method, or a seed out of range.
    EvaluationError
        For too few or too many rows, or fewer than two columns that vary.

    References
    ----------
    van der Maaten & Hinton 2008, JMLR 9:2579; Kobak & Berens 2019, doi 10.1038/s41467-019-13056-x (start from
    principal components).

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(20, 3)) * [5, 1, 1] + np.repeat([[0], [50]], 10, axis=0)
    >>> found = project(features)
    >>> found.places.shape, found.description
    ((20, 2), 'principal components of 3 standardised features')
    """
    check_choice("method", method, METHODS)
    check_resampling(1, seed)
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or not 3 <= len(values) <= MOST_ROWS:
        raise EvaluationError(
            f"features of shape (N, D) with 3 to {MOST_ROWS:,} rows",
            got=str(values.shape),
            where="projection",
            fix="Choose some of the rows.",
        )
    spread = values.std(axis=0)
    kept = np.isfinite(values).all(axis=0) & (spread > 1e-12 * (1 + np.abs(values).max(axis=0)))
    if kept.sum() < 2:
        raise EvaluationError(
            "two features that vary", got=str(int(kept.sum())), where="projection", fix="Choose other features."
        )
    scaled = (values[:, kept] - values[:, kept].mean(axis=0)) / spread[kept]
    left, strengths, _ = np.linalg.svd(scaled, full_matrices=False)
    places, explained = left * strengths, float((strengths[:2] ** 2).sum() / (strengths**2).sum())
    description = f"principal components of {int(kept.sum())} standardised features"
    if method == "tsne":
        from sklearn.manifold import TSNE  # imported where it is used: it takes half a second

        perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
        start = places[:, :2] / places[:, 0].std() * 1e-4
        model = TSNE(2, perplexity=perplexity, init=start, random_state=seed, method="barnes_hut", n_jobs=1)
        places, explained = model.fit_transform(places[:, :COMPONENTS].astype(np.float32)), float("nan")
        count = min(COMPONENTS, len(strengths))
        description = f"t-SNE (perplexity {perplexity:.0f}, seed {seed}) of the first {count} {description}"
    places = np.asarray(places[:, :2], np.float64) - places[:, :2].mean(axis=0)
    largest = np.abs(places).argmax(axis=0)
    return Projection(places * np.sign(places[largest, [0, 1]]), explained, description)
