"""Metrics of predictions in every resample of a cluster bootstrap and a delete-one jackknife.

Whatever the metric, the same clusters are drawn for a seed, so that classes and networks can be compared resample by
resample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from her2core.evidence.metrics.arrays import ratio
from her2core.evidence.metrics.confusion import confusion_matrix
from her2core.evidence.metrics.metric import Floats, Metric
from her2core.evidence.predictions import Predictions
from her2core.evidence.resampling import (
    Clusters,
    affordable_resamples,
    bootstrap_counts,
    group_weights,
    jackknife_counts,
)
from her2core.evidence.sample_size import OfClasses, SampleSize, mean_over_classes, of_pairs, sample_size


@dataclass(frozen=True)
class Estimate:
    """A metric, and its bootstrap and jackknife distributions.

    Parameters
    ----------
    value : ndarray of float64, shape () or (K,)
        From all rows; K values for a metric per class.
    draws : ndarray of float64, shape (B,) or (B, K)
        In every resample.
    jackknife : ndarray of float64, shape (J,) or (J, K)
        With one cluster after another left out.
    """

    value: Floats
    draws: Floats
    jackknife: Floats

    def of(self, position: int) -> Estimate:
        """Estimate of one class.

        Parameters
        ----------
        position : int
            Position of the class.

        Returns
        -------
        Estimate
        """
        return Estimate(self.value[position], self.draws[:, position], self.jackknife[:, position])

    def __sub__(self, other: Estimate) -> Estimate:
        """Difference, resample by resample, to an estimate made from the same draws."""
        return Estimate(self.value - other.value, self.draws - other.draws, self.jackknife - other.jackknife)


class ResampledMetrics:
    """Metrics of predictions under the resamples of their clusters.

    Parameters
    ----------
    predictions : Predictions
    group : Clusters
        What is resampled.
    resamples, seed : int
        Of the bootstrap.
    confusion : tuple of ndarray, optional
        Confusion matrices ``(K, K)``, ``(resamples, K, K)`` and ``(J, K, K)``, where they are known already.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.metrics.registry import METRICS
    >>> from her2core.evidence.predictions import read_predictions
    >>> from her2core.evidence.resampling import clusters
    >>> frame = pd.DataFrame({"label": list("aabb"), "probability_a": [0.9, 0.4, 0.3, 0.2]})
    >>> p = read_predictions(frame.assign(probability_b=1 - frame["probability_a"]))
    >>> estimate = ResampledMetrics(p, clusters(p), resamples=100, seed=0).estimate(METRICS["recall"])
    >>> estimate.value, estimate.draws.shape
    (array([0.5, 1. ]), (100, 2))
    """

    def __init__(
        self,
        predictions: Predictions,
        group: Clusters,
        *,
        resamples: int,
        seed: int,
        confusion: tuple[Floats, Floats, Floats] | None = None,
    ) -> None:
        self.predictions, self.group, self.resamples, self.seed = predictions, group, resamples, seed
        self._given_confusion = confusion
        self._one_vs_rest_found: dict[object, tuple[Floats, int]] = {}

    def estimate(self, metric: Metric) -> Estimate:
        """Compute a metric in all resamples.

        Parameters
        ----------
        metric : Metric
            Of the metric table.

        Returns
        -------
        Estimate
        """
        if metric.input == "confusion":
            return Estimate(*(metric.function(counts) for counts in self._confusion))
        if metric.input == "rows":
            return self._mean_of_rows(metric)
        values, used = self._one_vs_rest(metric)
        return _split(values if metric.per_class else values.mean(axis=1), used)

    def of_classes(self, metric: Metric) -> OfClasses | None:
        """Values of the classes whose mean a metric is.

        Parameters
        ----------
        metric : Metric

        Returns
        -------
        OfClasses or None
            None for a metric that is no mean of proportions over classes.
        """
        over_classes = not metric.per_class and (metric.input == "one_vs_rest" or metric.of_class is not None)
        if not over_classes or not metric.is_proportion:
            return None
        if metric.of_class:
            found = Estimate(*(metric.of_class(counts) for counts in self._confusion))
        else:
            found = _split(*self._one_vs_rest(metric))
        effective = np.array([size.effective for size in self._sizes_of_classes(metric)])
        return OfClasses(found.value, found.jackknife, effective)

    def note(self, metric: Metric) -> str:
        """Remark that accompanies a metric: its own, and that there are fewer resamples.

        Parameters
        ----------
        metric : Metric

        Returns
        -------
        str
        """
        own = "" if metric.note is None else metric.note(self.predictions)
        return "; ".join(filter(None, (own, self._affordable(metric)[1])))

    def sample_size(self, metric: Metric, position: int | None) -> SampleSize:
        """What a metric rests on: its denominator, by rows and clusters.

        Parameters
        ----------
        metric : Metric
        position : int or None
            Position of the class; None for a metric over all classes.

        Returns
        -------
        SampleSize
        """
        whole, kind = self._sizes["all"][0], metric.denominator or "all"
        if kind == "all":
            return replace(whole, binomial=metric.binomial)
        sizes = self._sizes_of_classes(metric)
        if position is None:
            return mean_over_classes(whole, sizes)
        return sizes[position] if kind == "both" else replace(sizes[position], binomial=metric.binomial)

    def undefined(self, metric: Metric, position: int | None) -> str:
        """Why a metric has no value, in words.

        Parameters
        ----------
        metric : Metric
        position : int or None
            Position of the class; None for a metric over all classes.

        Returns
        -------
        str
        """
        if metric.undefined:
            return metric.undefined
        places = range(len(self.predictions.classes)) if position is None else [position]
        kind = "both" if metric.input == "one_vs_rest" else metric.denominator
        reasons = [self._reason(kind, i) for i in places]
        return "; ".join(filter(None, reasons)) or "undefined for these rows"

    def _sizes_of_classes(self, metric: Metric) -> list[SampleSize]:
        kind = metric.denominator or "all"
        if kind == "all":
            return self._sizes[kind] * len(self.predictions.classes)
        if kind != "both":
            return self._sizes[kind]
        both = zip(self._sizes["true"], self._sizes["not_true"], strict=True)
        return [of_pairs(self._sizes["all"][0], *sizes) for sizes in both]

    def _reason(self, denominator: str | None, position: int) -> str:
        p, name = self.predictions, self.predictions.classes[position]
        true, predicted = p.labels == position, p.predicted == position
        found = {
            "true": (not true.any(), f"no {p.unit} is truly {name}"),
            "not_true": (true.all(), f"every {p.unit} is truly {name}"),
            "predicted": (not predicted.any(), f"no {p.unit} is predicted as {name}"),
            "not_predicted": (predicted.all(), f"every {p.unit} is predicted as {name}"),
        }
        asked = ("true", "not_true") if denominator == "both" else (denominator,)
        return next((found[key][1] for key in asked if key in found and found[key][0]), "")

    @cached_property
    def _confusion(self) -> tuple[Floats, Floats, Floats]:
        if self._given_confusion is not None:
            return self._given_confusion
        p, k = self.predictions, len(self.predictions.classes)
        cells = p.labels * k + p.predicted
        counts = bootstrap_counts(self.group, cells=cells, kinds=k * k, resamples=self.resamples, seed=self.seed)
        left = jackknife_counts(self.group, cells=cells, kinds=k * k)
        matrix = confusion_matrix(p.labels, predicted=p.predicted, classes=k).astype(np.float64)
        return matrix, counts.reshape(-1, k, k), left.reshape(-1, k, k)

    @cached_property
    def _weights(self) -> tuple[np.ndarray, Floats, Floats]:
        return group_weights(self.group, resamples=self.resamples, seed=self.seed)

    @cached_property
    def _sizes(self) -> dict[str, list[SampleSize]]:
        p, names = self.predictions, self.predictions.classes

        def sizes(of: NDArray[np.int64], *, inside: bool, said: str) -> list[SampleSize]:
            return [sample_size(self.group, (of == i) == inside, of=said.format(name)) for i, name in enumerate(names)]

        return {
            "all": [sample_size(self.group, np.ones(len(p), bool))],
            "true": sizes(p.labels, inside=True, said="{}"),
            "not_true": sizes(p.labels, inside=False, said="not {}"),
            "predicted": sizes(p.predicted, inside=True, said="predicted as {}"),
            "not_predicted": sizes(p.predicted, inside=False, said="not predicted as {}"),
        }

    def _affordable(self, metric: Metric) -> tuple[int, str]:
        if not metric.row_wise:
            return self.resamples, ""
        return affordable_resamples(self.resamples, len(self.predictions))

    def _mean_of_rows(self, metric: Metric) -> Estimate:
        codes, *stacks = self._weights
        rows = metric.function(self.predictions.probs, labels=self.predictions.labels)
        count = stacks[0].shape[1]
        columns = rows[:, None] if rows.ndim == 1 else rows
        sums = np.stack([np.bincount(codes, column, minlength=count) for column in columns.T], axis=1)
        sizes = np.bincount(codes, minlength=count).astype(np.float64)
        draws, jackknife = (ratio(weights @ sums, (weights @ sizes)[:, None]) for weights in stacks)
        found = Estimate(columns.mean(axis=0), draws, jackknife)
        return found if rows.ndim == 2 else found.of(0)

    def _one_vs_rest(self, metric: Metric) -> tuple[Floats, int]:
        """(1 + B + J, K) and B; kept, as the metric per class and its mean need the same."""
        if metric.function not in self._one_vs_rest_found:
            codes, bootstrap, jackknife = self._weights
            used = self._affordable(metric)[0]
            weights = np.concatenate([np.ones((1, bootstrap.shape[1])), bootstrap[:used], jackknife])
            p = self.predictions
            values = [
                metric.function(p.probs[:, i], positive=p.labels == i, groups=codes, weights=weights)
                for i in range(len(p.classes))
            ]
            self._one_vs_rest_found[metric.function] = np.stack(values, axis=1), used
        return self._one_vs_rest_found[metric.function]


def _split(values: Floats, resamples: int) -> Estimate:
    return Estimate(values[0], values[1 : 1 + resamples], values[1 + resamples :])
