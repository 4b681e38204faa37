"""Order of classes: putting predictions in another, and whether that of a run is clinical, as ordinal metrics need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from her2core.evidence.predictions import Predictions
from her2core.labels import SCHEMES


def in_class_order(predictions: Predictions, classes: tuple[str, ...]) -> Predictions:
    """Put the classes of predictions in another order.

    Parameters
    ----------
    predictions : Predictions
    classes : tuple of str
        The same classes.

    Returns
    -------
    Predictions

    Examples
    --------
    >>> import pandas as pd
    >>> from her2core.evidence.predictions import read_predictions
    >>> p = read_predictions(pd.DataFrame({"label": list("ab"), "predicted": list("aa")}))
    >>> in_class_order(p, ("b", "a")).labels.tolist()
    [1, 0]
    """
    if classes == predictions.classes:
        return predictions
    place = np.array([classes.index(name) for name in predictions.classes])  # from the old position to the new one
    old = np.argsort(place)
    return replace(
        predictions,
        classes=classes,
        labels=place[predictions.labels],
        probabilities=None if predictions.probabilities is None else predictions.probabilities[:, old],
        predicted_labels=None if predictions.predicted_labels is None else place[predictions.predicted_labels],
    )


def missing_class_order(card: Mapping[str, Any]) -> str:
    """Why the classes of a run have no order.

    Parameters
    ----------
    card : mapping
        Model card; its ``scheme`` names the label scheme.

    Returns
    -------
    str
        Empty where the scheme has an order, or the card does not name one.

    Examples
    --------
    >>> missing_class_order({"scheme": {"name": "paper3"}})
    ''
    >>> missing_class_order({"scheme": {"name": "folders"}})
    'not given: the label scheme folders declares no order of its classes'
    """
    name = card.get("scheme", {}).get("name")
    if name is None or name in SCHEMES:
        return ""
    return f"not given: the label scheme {name} declares no order of its classes"
