"""Registry entries of the metrics of predictions: those of ``intervals.metric_table``, with intervals everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from her2core.evidence.metrics.confusion import accuracy, balanced_accuracy, macro_f1, matthews_correlation
from her2core.evidence.metrics.metric import Metric
from her2core.evidence.metrics.ordinal import quadratic_kappa
from her2core.evidence.metrics.per_class import (
    f1,
    negative_predictive_value,
    one_vs_rest_accuracy,
    precision,
    recall,
    specificity,
)
from her2core.evidence.metrics.probabilistic import SMALLEST, negative_log_likelihood
from her2core.evidence.metrics.ranking import auroc, average_precision

if TYPE_CHECKING:
    from her2core.evidence.predictions import Predictions

_SOKOLOVA = "Sokolova & Lapalme 2009, doi 10.1016/j.ipm.2009.03.002"
_ALTMAN_1 = "Altman & Bland 1994, doi 10.1136/bmj.308.6943.1552"
_ALTMAN_2 = "Altman & Bland 1994, doi 10.1136/bmj.309.6947.102"
_HANLEY = "Hanley & McNeil 1982, doi 10.1148/radiology.143.1.7063747"
_DAVIS = "Davis & Goadrich 2006, doi 10.1145/1143844.1143874"


def _class_order(predictions: Predictions) -> str:
    classes = predictions.classes
    return f"classes in the order {', '.join(classes)}" if len(classes) > 2 else ""


def _absent_classes(predictions: Predictions) -> str:
    absent = predictions.absent_classes
    return f"over the other classes: no {predictions.unit} is truly {' or '.join(absent)}" if absent else ""


def _zero_probabilities(predictions: Predictions) -> str:
    zero = int((predictions.probs[np.arange(len(predictions)), predictions.labels] < SMALLEST).sum())
    return f"{zero} with probability 0 of the true class, taken as {SMALLEST:.1g}" if zero else ""


OVERALL = (
    Metric(
        name="accuracy",
        label="Accuracy",
        help="Proportion of cases whose predicted class is the true class.",
        range=(0.0, 1.0),
        direction="higher",
        function=accuracy,
        input="confusion",
        denominator="all",
        binomial=True,
        headline=True,
        reference=_SOKOLOVA,
    ),
    Metric(
        name="balanced_accuracy",
        label="Balanced accuracy",
        help="Mean sensitivity of the classes: every class counts the same, however frequent.",
        range=(0.0, 1.0),
        direction="higher",
        function=balanced_accuracy,
        input="confusion",
        denominator="true",
        of_class=recall,
        note=_absent_classes,
        headline=True,
        reference="Brodersen et al. 2010, doi 10.1109/ICPR.2010.764",
    ),
    Metric(
        name="macro_f1",
        label="Macro F1",
        help="Mean F1 of the classes.",
        range=(0.0, 1.0),
        direction="higher",
        function=macro_f1,
        input="confusion",
        denominator="true",
        of_class=f1,
        note=_absent_classes,
        headline=True,
        reference=_SOKOLOVA,
    ),
    Metric(
        name="macro_auroc",
        label="Macro AUROC",
        help="Mean one-vs-rest area under the ROC curve of the classes; 0.5 is chance.",
        range=(0.0, 1.0),
        direction="higher",
        function=auroc,
        input="one_vs_rest",
        denominator="both",
        needs_scores=True,
        headline=True,
        reference="Fawcett 2006, doi 10.1016/j.patrec.2005.10.010",
    ),
    Metric(
        name="macro_average_precision",
        label="Macro average precision",
        help="Mean one-vs-rest average precision of the classes; chance is the mean prevalence.",
        range=(0.0, 1.0),
        direction="higher",
        function=average_precision,
        input="one_vs_rest",
        denominator="both",
        needs_scores=True,
        row_wise=True,
        reference=_DAVIS,
    ),
    Metric(
        name="quadratic_kappa",
        label="Quadratic kappa",
        help="Agreement beyond chance of ordered classes; an error of two steps costs four times one of one step.",
        range=(-1.0, 1.0),
        direction="higher",
        function=quadratic_kappa,
        input="confusion",
        denominator="true",
        needs_order=True,
        undefined="one class is all that is true and predicted",
        note=_class_order,
        reference="Cohen 1968, doi 10.1037/h0026256",
    ),
    Metric(
        name="matthews_correlation",
        label="Matthews correlation",
        help="Correlation of predicted and true class; 0 is chance.",
        range=(-1.0, 1.0),
        direction="higher",
        function=matthews_correlation,
        input="confusion",
        denominator="true",
        undefined="only one class is true, or only one predicted",
        reference="Gorodkin 2004, doi 10.1016/j.compbiolchem.2004.09.006",
    ),
    Metric(
        name="negative_log_likelihood",
        label="Negative log-likelihood (nats)",
        help="Mean negative logarithm of the probability of the true class (log loss).",
        range=(0.0, float("inf")),
        direction="lower",
        function=negative_log_likelihood,
        input="rows",
        needs_scores=True,
        note=_zero_probabilities,
        reference="Gneiting & Raftery 2007, doi 10.1198/016214506000001437",
    ),
)
PER_CLASS = (
    Metric(
        name="recall",
        label="Sensitivity (recall)",
        help="Proportion of the cases of the class that are predicted as it.",
        range=(0.0, 1.0),
        direction="higher",
        function=recall,
        input="confusion",
        per_class=True,
        denominator="true",
        binomial=True,
        reference=_ALTMAN_1,
    ),
    Metric(
        name="specificity",
        label="Specificity",
        help="Proportion of the other cases that are not predicted as the class.",
        range=(0.0, 1.0),
        direction="higher",
        function=specificity,
        input="confusion",
        per_class=True,
        denominator="not_true",
        binomial=True,
        reference=_ALTMAN_1,
    ),
    Metric(
        name="precision",
        label="PPV (precision)",
        help="Positive predictive value: proportion of the predictions of the class that are right.",
        range=(0.0, 1.0),
        direction="higher",
        function=precision,
        input="confusion",
        per_class=True,
        denominator="predicted",
        binomial=True,
        reference=_ALTMAN_2,
    ),
    Metric(
        name="npv",
        label="NPV",
        help="Negative predictive value: of the cases not predicted as the class, the proportion that are not it.",
        range=(0.0, 1.0),
        direction="higher",
        function=negative_predictive_value,
        input="confusion",
        per_class=True,
        denominator="not_predicted",
        binomial=True,
        reference=_ALTMAN_2,
    ),
    Metric(
        name="one_vs_rest_accuracy",
        label="One-vs-rest accuracy",
        help="Proportion of all cases that are right about the class: predicted as it and it, or neither.",
        range=(0.0, 1.0),
        direction="higher",
        function=one_vs_rest_accuracy,
        input="confusion",
        per_class=True,
        denominator="all",
        binomial=True,
        reference=_SOKOLOVA,
    ),
    Metric(
        name="f1",
        label="F1",
        help="Harmonic mean of sensitivity and positive predictive value of the class.",
        range=(0.0, 1.0),
        direction="higher",
        function=f1,
        input="confusion",
        per_class=True,
        denominator="true",
        reference=_SOKOLOVA,
    ),
    Metric(
        name="auroc",
        label="AUROC",
        help="Area under the ROC curve of the class against the rest; 0.5 is chance.",
        range=(0.0, 1.0),
        direction="higher",
        function=auroc,
        input="one_vs_rest",
        per_class=True,
        denominator="both",
        needs_scores=True,
        reference=_HANLEY,
    ),
    Metric(
        name="average_precision",
        label="Average precision",
        help="Area under the precision-recall curve of the class, not interpolated; chance is its prevalence.",
        range=(0.0, 1.0),
        direction="higher",
        function=average_precision,
        input="one_vs_rest",
        denominator="both",
        per_class=True,
        needs_scores=True,
        row_wise=True,
        reference=_DAVIS,
    ),
)
