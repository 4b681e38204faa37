"""Label-shift correction: class shares of a new site, estimated without its labels, and probabilities for these shares.

A network's probabilities are those of the class shares it was trained with. Where only these shares differ at a new
site (the cases of a class are the same kind of cases), the shares there and the corrected probabilities follow by
expectation maximisation. The correction assumes calibrated probabilities; where scanner, stain or patients differ too
it can make matters worse. It is therefore offered and never made silently: corrected predictions say so in their notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from her2core.errors import ConfigError, EvaluationError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.metrics.metric import Floats
from her2core.evidence.predictions import Predictions

#: Largest change of a share in the last step, and most steps.
TOLERANCE, STEPS = 1e-9, 20_000


@dataclass(frozen=True, eq=False)
class LabelShift:
    """Class shares of a new site and what follows; made by ``saerens``.

    Parameters
    ----------
    trained : ndarray of float64, shape (K,)
        Class shares of the training data.
    shares : ndarray of float64, shape (K,)
        Estimated class shares of the new data.
    probs : ndarray of float64, shape (N, K)
        Probabilities for these shares.
    steps : int
        Steps until the shares no longer changed.
    """

    trained: Floats
    shares: Floats
    probs: Floats
    steps: int


def saerens(probs: ArrayLike, *, trained: ArrayLike) -> LabelShift:
    """Estimate the class shares of new data, and correct its probabilities, by expectation maximisation.

    Parameters
    ----------
    probs : array_like of float, shape (N, K)
        Calibrated probabilities, of a classifier that was trained with the shares ``trained``.
    trained : array_like of float, shape (K,)
        Class shares of the training data, each above 0; they are scaled to sum to one.

    Returns
    -------
    LabelShift

    Raises
    ------
    ConfigError
        For shares that are not above 0, or not one for each class.
    EvaluationError
        Without rows.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, doi 10.1162/089976602753284446.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> positive = rng.random(20_000) < 0.1
    >>> x = rng.normal(size=20_000) + 2 * positive
    >>> p = 1 / (1 + np.exp(2 - 2 * x))
    >>> saerens(np.stack([1 - p, p], axis=1), trained=[0.5, 0.5]).shares.round(2)
    array([0.9, 0.1])
    """
    values, prior = np.asarray(probs, np.float64), np.asarray(trained, np.float64)
    if values.ndim != 2 or not len(values):
        raise EvaluationError(
            "rows of probabilities", got=f"shape {values.shape}", where="label shift", fix="Give some."
        )
    if prior.shape != values.shape[1:] or not (np.isfinite(prior) & (prior > 0)).all():
        raise ConfigError(
            f"argument `trained` to be {values.shape[1]} shares above 0",
            got=str(prior.tolist())[:80],
            fix="Give the share of each class in the training data.",
        )
    prior = prior / prior.sum()
    shares, corrected, steps = prior, values, 0
    changed = np.inf
    while changed >= TOLERANCE and steps < STEPS:
        corrected = values * (shares / prior)
        corrected /= corrected.sum(axis=1, keepdims=True)
        before, shares = shares, corrected.mean(axis=0)
        changed, steps = float(np.abs(shares - before).max()), steps + 1
    return LabelShift(prior, shares, corrected, steps)


def corrected_for_shift(predictions: Predictions, *, trained: Mapping[str, float]) -> Predictions:
    """Correct predictions for a change of the class shares; true labels are not used.

    Parameters
    ----------
    predictions : Predictions
        With probabilities. Every part of the split is corrected by its own shares, as validation and test may differ.
    trained : mapping of str to float
        Share of each class in the training data.

    Returns
    -------
    Predictions
        With a note that states the correction, the shares and what is assumed.

    Raises
    ------
    ConfigError
        For shares that do not fit the classes.
    EvaluationError
        Without rows or probabilities.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, doi 10.1162/089976602753284446.

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> frame = pd.DataFrame({"label": list("aab"), "probability_a": [0.9, 0.7, 0.4], "probability_b": [0.1, 0.3, 0.6]})
    >>> found = corrected_for_shift(read_predictions(frame), trained={"a": 0.5, "b": 0.5})
    >>> found.notes[-1].split(":")[0]
    'Corrected for label shift (Saerens et al. 2002), as asked'
    """
    check_predictions(predictions, "label-shift correction", scores=True)
    if set(trained) != set(predictions.classes):
        raise ConfigError(
            f"a share in training for each of {', '.join(predictions.classes)}",
            got=", ".join(f"{k}={v:g}" for k, v in trained.items())[:80] or "none",
            fix="Name every class once, for example positive=0.15.",
        )
    prior = [trained[c] for c in predictions.classes]
    probs, said = predictions.probs.copy(), []
    for part in dict.fromkeys(predictions.frame["split"]):
        rows = (predictions.frame["split"] == part).to_numpy()
        found = saerens(probs[rows], trained=prior)
        probs[rows] = found.probs
        said.append(f"{part} {_listed(predictions.classes, found.shares)}")
    scaled = _listed(predictions.classes, np.asarray(prior) / np.sum(prior))
    note = (
        f"Corrected for label shift (Saerens et al. 2002), as asked: shares in training {scaled}; estimated "
        f"without labels here: {'; '.join(said)}. This assumes calibrated probabilities, and that "
        "nothing but the shares differs."
    )
    return replace(predictions, probabilities=probs, notes=(*predictions.notes, note))


def read_shares(text: str) -> dict[str, float]:
    """Read class shares as a person writes them.

    Parameters
    ----------
    text : str
        CLASS=SHARE, separated by commas or semicolons.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ConfigError
        For anything else.

    Examples
    --------
    >>> read_shares("negative=0.8, positive = 0.2")
    {'negative': 0.8, 'positive': 0.2}
    """
    shares: dict[str, float] = {}
    for word in text.replace(";", ",").split(","):
        name, _, share = word.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ConfigError(
                "class shares such as negative=0.8, positive=0.2",
                got=repr(text)[:80] if text.strip() else "none",
                where="class shares of the training data",
                fix="Name every class once, with its share.",
            ) from None
    return shares


def training_shares(card: Mapping[str, Any]) -> dict[str, float]:
    """Class shares of the training data of a run.

    Parameters
    ----------
    card : mapping
        Model card.

    Returns
    -------
    dict of str to float

    Raises
    ------
    EvaluationError
        Where the card does not state patches of every class.

    Examples
    --------
    >>> training_shares({"classes": ["a", "b"], "data": {"patches": {"train": {"a": 30, "b": 10}}}})
    {'a': 0.75, 'b': 0.25}
    """
    counts = card["data"]["patches"].get("train", {})
    if not all(counts.get(c, 0) > 0 for c in card["classes"]):
        raise EvaluationError(
            "training patches of every class on the model card",
            got=", ".join(f"{c} {counts.get(c, 0)}" for c in card["classes"])[:80],
            where="label-shift correction",
            fix="State the class shares of the training data yourself.",
        )
    total = sum(counts[c] for c in card["classes"])
    return {c: counts[c] / total for c in card["classes"]}


def _listed(classes: tuple[str, ...], shares: Floats) -> str:
    return ", ".join(f"{c} {s:.1%}" for c, s in zip(classes, shares, strict=True))
