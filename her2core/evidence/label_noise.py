"""Label noise: what an accuracy against imperfect labels says about the accuracy against the truth.

Labels are read by people from stained tissue, and some are wrong. Accuracy is agreement with the labels; that with the
truth differs from it by at most the share of wrong labels, whatever they have to do with the errors of the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from her2core.errors import ConfigError
from her2core.evidence.arguments import check_predictions
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions

#: Shares of wrong labels for which tables are made. 0.2 is "approximately 20 % of current HER2 testing may be
#: inaccurate" (Wolff et al. 2007, doi 10.1200/JCO.2006.09.2775); the others are our choice.
LABEL_ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2)
WOLFF = "Wolff et al. 2007 (doi 10.1200/JCO.2006.09.2775): about 20 % of HER2 testing may be inaccurate"


@dataclass(frozen=True)
class TrueAccuracy:
    """Accuracy against the truth under an assumed share of wrong labels; made by ``true_accuracy``.

    Parameters
    ----------
    lowest, highest : float
        Bounds, whatever the errors have in common.
    independent : float
        Where labels and network err independently and all wrong classes are equally likely; NaN where the accuracy is
        below what chance gives then.
    perfect : float
        Accuracy that a network without any error would have against these labels.
    """

    lowest: float
    highest: float
    independent: float
    perfect: float


def true_accuracy(accuracy: float, *, label_error: float, classes: int) -> TrueAccuracy:
    """Bounds of the accuracy against the truth.

    A case counts as right against the labels and wrong against the truth, or the reverse, only where its label is
    wrong: the two accuracies differ by at most the share of wrong labels.

    Parameters
    ----------
    accuracy : float
        Against the labels, 0 to 1.
    label_error : float
        Assumed share of wrong labels, 0 to below 0.5.
    classes : int
        Number of classes, at least 2.

    Returns
    -------
    TrueAccuracy

    Raises
    ------
    ConfigError
        For arguments out of range.

    References
    ----------
    Gart & Buck 1966, doi 10.1093/oxfordjournals.aje.a120610 (independent errors); Frenay & Verleysen 2014,
    doi 10.1109/TNNLS.2013.2292894.

    Examples
    --------
    >>> found = true_accuracy(0.98, label_error=0.05, classes=2)
    >>> round(found.lowest, 2), round(found.highest, 2), round(found.perfect, 2)
    (0.93, 1.0, 0.95)
    """
    if not 0 <= accuracy <= 1 or classes < 2:
        raise ConfigError(
            "an accuracy from 0 to 1 and two classes or more", got=f"{accuracy}, {classes}", fix="Check them."
        )
    check_label_error(label_error)
    other = label_error / (classes - 1)
    independent = (accuracy - other) / (1 - label_error - other) if 1 - label_error > other else np.nan
    return TrueAccuracy(
        max(0.0, accuracy - label_error),
        min(1.0, accuracy + label_error),
        float(min(1.0, independent)) if independent >= 0 else float("nan"),
        1 - label_error,
    )


def check_label_error(label_error: float) -> None:
    """Refuse a share of wrong labels out of range.

    Parameters
    ----------
    label_error : float

    Raises
    ------
    ConfigError
        Unless it is from 0 to below 0.5.
    """
    if not 0 <= label_error < 0.5:
        raise ConfigError(
            "argument `label_error` to be from 0 to below 0.5", got=str(label_error), fix="Use 0.05 for one in twenty."
        )


def label_error_from_agreement(agreement: float, *, classes: int = 2) -> float:
    """Share of wrong labels of one observer, from the agreement of two.

    Assumes that both err equally often, independently, and that all wrong classes are equally likely. Observers who
    share an error agree on it: the true share of errors may be higher.

    Parameters
    ----------
    agreement : float
        Share of cases on which two observers agree.
    classes : int
        Number of classes, at least 2.

    Returns
    -------
    float

    Raises
    ------
    ConfigError
        For an agreement at or below that of two observers who guess, or above 1.

    References
    ----------
    Frenay & Verleysen 2014, doi 10.1109/TNNLS.2013.2292894 (uniform label noise).

    Examples
    --------
    >>> round(label_error_from_agreement(0.905, classes=2), 3)
    0.05
    """
    if not 1 / classes < agreement <= 1:
        raise ConfigError(
            f"argument `agreement` to be above {1 / classes:.2f}, that of guessing, and at most 1",
            got=str(agreement),
            fix="Give the share of cases on which two observers agree.",
        )
    return float((classes - 1) / classes * (1 - np.sqrt((classes * agreement - 1) / (classes - 1))))


def label_noise_table(predictions: Predictions, *, label_errors: tuple[float, ...] = LABEL_ERRORS) -> pd.DataFrame:
    """Accuracy with its interval, and what it says of the truth for several shares of wrong labels.

    Parameters
    ----------
    predictions : Predictions
    label_errors : tuple of float
        Assumed shares of wrong labels.

    Returns
    -------
    DataFrame
        Columns of ``metric_table`` for accuracy, and label_error, true_lowest, true_highest (bounds that add the
        share of wrong labels to the interval of the accuracy, or to the accuracy where it has none),
        true_if_independent and perfect_network.

    Raises
    ------
    ConfigError
        For a share out of range.

    Examples
    --------
    >>> from her2core.evidence.predictions import read_predictions
    >>> p = read_predictions(pd.DataFrame({"label": list("ab") * 50, "predicted": list("ab") * 48 + list("aaaa")}))
    >>> label_noise_table(p, label_errors=(0.05,))[["value", "true_if_independent"]].round(3).values.tolist()
    [[0.98, 1.0]]
    """
    check_predictions(predictions, "label noise")
    row = metric_table(predictions, metrics=["accuracy"]).iloc[0]
    low, high = (row["value"] if np.isnan(row[b]) else row[b] for b in ("lower_95", "upper_95"))
    rows = []
    for share in label_errors:
        found = true_accuracy(float(row["value"]), label_error=share, classes=len(predictions.classes))
        rows.append(
            {
                **row.to_dict(),
                "label_error": share,
                "true_lowest": max(0.0, low - share),
                "true_highest": min(1.0, high + share),
                "true_if_independent": found.independent,
                "perfect_network": found.perfect,
            }
        )
    return pd.DataFrame(rows)


def label_noise_sentence(row: pd.Series) -> str:
    """What one row of ``label_noise_table`` says, in words.

    Parameters
    ----------
    row : Series

    Returns
    -------
    str

    Examples
    --------
    >>> names = ["unit", "value", "label_error", "true_lowest", "true_highest", "perfect_network"]
    >>> label_noise_sentence(pd.Series(["patient", 0.98, 0.05, 0.91, 1.0, 0.95], names))[:92]
    'With 5 % of the labels wrong, an accuracy of 98.0 % by patient means 91.0 % to 100.0 % again'
    """
    text = (
        f"With {100 * row['label_error']:.3g} % of the labels wrong, an accuracy of {100 * row['value']:.1f} % by "
        f"{row['unit']} means {100 * row['true_lowest']:.1f} % to {100 * row['true_highest']:.1f} % against the truth"
    )
    if row["value"] > row["perfect_network"]:
        return (
            f"{text}. It is above the {100 * row['perfect_network']:.1f} % that a network without any error would "
            "reach: it repeats errors of the labels, or fewer labels are wrong."
        )
    return f"{text}."
