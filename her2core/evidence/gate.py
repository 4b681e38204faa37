"""Gate of a run: non-inferiority to a baseline run, and a lowest value, by rules fixed beforehand."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from her2core.errors import ConfigError
from her2core.evidence.compare import PRIMARY_METRIC, PRIMARY_UNIT, Source, compare_runs
from her2core.evidence.metrics.registry import METRICS
from her2core.evidence.statements import NO_DIFFERENCE, NOT_COMPARED


@dataclass(frozen=True)
class Gate:
    """Whether a run passes; made by ``gate``.

    Attributes
    ----------
    run, baseline : str
        Their names.
    metric, unit : str
        The metric and the unit of analysis.
    value, baseline_value : float
        Of run and baseline, on the same test part.
    difference, lower_95, upper_95 : float
        Run less baseline, with its 95 % interval over patients.
    passed : bool
        Whether every rule holds.
    reasons : tuple of str
        One phrase for each rule that does not hold.
    """

    run: str
    baseline: str
    metric: str
    unit: str
    value: float
    baseline_value: float
    difference: float
    lower_95: float
    upper_95: float
    passed: bool
    reasons: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready; a number that does not exist is None.

        Returns
        -------
        dict
        """
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def gate(
    run: Source,
    baseline: Source,
    *,
    margin: float,
    minimum: float | None = None,
    metric: str = PRIMARY_METRIC,
    unit: str = PRIMARY_UNIT,
) -> Gate:
    """Check a run against a baseline that was tested on the same patches.

    The run passes where it is not inferior: the lower bound of the 95 % interval of its difference from the baseline is
    not below ``-margin``. Where no statement can be made (patients unknown or too few, no interval), it does not pass,
    unless the probabilities are the same: that no answer differs among few patients excludes no loss among others.
    With ``minimum`` its value must reach that too.

    Parameters
    ----------
    run, baseline : Run, Predictions, DataFrame, bytes or path
        As for ``compare_runs``.
    margin : float
        Largest loss that is accepted, in units of the metric, 0 or more; choose it before the figures are seen.
    minimum : float, optional
        Lowest value of the run that is accepted.
    metric : str
        A metric over all classes of which more is better.
    unit : {'patient', 'slide', 'patch'}
        Unit of analysis.

    Returns
    -------
    Gate

    Raises
    ------
    ConfigError
        For a margin below 0, and a metric that is no proportion over all classes.
    EvaluationError
        As ``compare_runs``.

    References
    ----------
    Piaggio et al. 2012, "Reporting of noninferiority and equivalence randomized trials", doi 10.1001/jama.2012.87802.

    Examples
    --------
    >>> found = gate("models/demo", "models/demo", margin=0.05, minimum=0.99)
    >>> found.passed, found.difference, found.reasons
    (False, 0.0, ('balanced accuracy by patient is 0.708, below 0.99',))
    """
    if not margin >= 0:
        raise ConfigError("a margin of 0 or more", got=repr(margin), where="margin", fix="Such as 0.05.")
    known = METRICS.get(metric)
    if known is None or known.per_class or not known.is_proportion:
        names = ", ".join(name for name, m in METRICS.items() if m.is_proportion and not m.per_class)
        raise ConfigError(
            "a metric over all classes that is a proportion", got=repr(metric), where="metric", fix=f"One of {names}."
        )
    found = compare_runs(baseline, run, unit=unit, primary=metric, metrics=[metric])
    row = found.primary
    value, lower = float(row["second"]), float(row["lower_95"])
    called = f"{known.label.lower()} by {unit}"
    reasons = []
    if math.isnan(value):
        reasons.append(f"{called} is not computable")
    statement = str(row["statement"])
    # Runs of the same probabilities have a difference of 0 without an interval, and that is known exactly.
    same = row["difference"] == 0 and statement == NO_DIFFERENCE
    if statement.startswith(NOT_COMPARED):
        reasons.append(statement)
    elif math.isnan(lower) and not same:
        reasons.append("the difference from the baseline has no interval")
    elif lower < -margin:
        reasons.append(f"a loss of {-lower:.3g} in {called} is not excluded, more than {margin:g}")
    if minimum is not None and value < minimum:
        reasons.append(f"{called} is {value:.3g}, below {minimum:g}")
    return Gate(
        run=found.second,
        baseline=found.first,
        metric=metric,
        unit=unit,
        value=value,
        baseline_value=float(row["first"]),
        difference=float(row["difference"]),
        lower_95=lower,
        upper_95=float(row["upper_95"]),
        passed=not reasons,
        reasons=tuple(reasons),
    )
