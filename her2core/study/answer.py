"""Answer of a study of networks: which is highest, whether its difference from the reference is shown, what it costs.

Only the primary metric says which network is better, as in ``evidence.seeds``: of many metrics some differ by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from her2core.evidence.metrics.registry import metric_label
from her2core.study.tables import StudyTables

#: Network of Joshi et al. 2025 by its name in the registry.
PAPER = "her2_resnet50"


@dataclass(frozen=True)
class StudyAnswer:
    """What a study says by one unit and metric.

    Attributes
    ----------
    best : str
        Network with the highest mean over its seeds.
    reference : str
        Network that the others are compared with.
    value, lower, upper : float
        Mean of ``best`` and its 95 % interval; NaN bounds where there is none.
    difference : pandas.Series or None
        Row of ``best`` in the study's differences; None where it is the reference.
    sentence : str
        Whether the difference is shown, as a sentence.
    lower_ones, higher_ones, undecided : int
        Networks shown to be lower or higher than the reference in the primary metric by this unit, and the others.
    cost : pandas.Series or None
        Row of ``best`` in the study's costs; None where they were not measured.
    """

    best: str
    reference: str
    value: float
    lower: float
    upper: float
    difference: pd.Series | None
    sentence: str
    lower_ones: int
    higher_ones: int
    undecided: int
    cost: pd.Series | None

    @property
    def compared(self) -> int:
        """Number of networks compared with the reference in the primary metric by this unit."""
        return self.lower_ones + self.higher_ones + self.undecided


def study_answer(study: StudyTables, *, unit: str, metric: str) -> StudyAnswer | None:
    """Answer the three questions of a backbone study.

    Parameters
    ----------
    study : StudyTables
        Of a backbone study.
    unit : {"patch", "slide", "patient"}
        Unit of analysis.
    metric : str
        One of ``STUDY_METRICS``.

    Returns
    -------
    StudyAnswer or None
        None where no network has the metric by this unit.

    Examples
    --------
    >>> from pathlib import Path
    >>> from her2core.study.tables import read_study_tables
    >>> study = read_study_tables(Path("models/study/backbones-demo"), "backbones")
    >>> found = study_answer(study, unit="patient", metric="balanced_accuracy")
    >>> found.best, found.sentence
    ('densenet121', 'No difference from her2-resnet50 can be shown.')
    """
    of, reference = study.figures, study.facts["study"]["reference"]
    rows = of[(of["unit"] == unit) & (of["metric"] == metric) & (of["class"] == "") & of["value"].notna()]
    if rows.empty:
        return None
    best = rows.loc[rows["value"].idxmax()]
    changes = study.differences[(study.differences["unit"] == unit) & (study.differences["metric"] == metric)]
    own = changes[changes["group"] == best["group"]]
    statements = changes.loc[changes["role"] == "primary", "statement"].astype(object).fillna("").astype(str)
    lower, higher = (int(statements.str.startswith(word).sum()) for word in ("lower", "higher"))
    costs = study.costs[(study.costs["network"] == best["group"]) & study.costs["flops"].notna()]
    return StudyAnswer(
        str(best["group"]),
        str(reference),
        value=float(best["value"]),
        lower=float(best["lower_95"]),
        upper=float(best["upper_95"]),
        difference=None if own.empty else own.iloc[0],
        sentence=_sentence(str(best["group"]), str(reference), own, metric, lower),
        lower_ones=lower,
        higher_ones=higher,
        undecided=len(statements) - lower - higher,
        cost=None if costs.empty else costs.iloc[0],
    )


def paper_network(study: StudyTables) -> str:
    """Name in the study of the network of Joshi et al. 2025; empty where it has none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from her2core.study.tables import read_study_tables
    >>> paper_network(read_study_tables(Path("models/study/backbones-demo"), "backbones"))
    'her2-resnet50'
    """
    found = study.networks.loc[study.networks["name"] == PAPER, "network"]
    return str(found.iloc[0]) if len(found) else ""


def _sentence(best: str, reference: str, own: pd.DataFrame, metric: str, lower: int) -> str:
    if best == reference:
        shown = f"{lower} of the others are shown to be lower" if lower else "no other is shown to be lower"
        return f"It is the reference; {shown}."
    if own.empty:
        return f"It was not compared with {reference}."
    row = own.iloc[0]
    statement = row["statement"] if isinstance(row["statement"], str) else ""
    if row["role"] != "primary" or not statement:
        return f"Descriptive only: {metric_label(metric)} by this unit is not the primary metric of the study."
    if statement == "no difference can be shown":
        return f"No difference from {reference} can be shown."
    return f"{statement[0].upper()}{statement[1:]} (Holm-adjusted)."
