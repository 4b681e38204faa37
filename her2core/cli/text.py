"""Answers of the commands as text, plain values and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from her2core.notice import RESEARCH

if TYPE_CHECKING:
    import pandas as pd

    from her2core.data.manifest import Manifest
    from her2core.inference.predictor import Prediction
    from her2core.runs.folder import Run


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert a table to JSON-ready rows; NaN becomes None.

    Parameters
    ----------
    frame : DataFrame

    Returns
    -------
    list of dict

    Examples
    --------
    >>> import pandas as pd
    >>> records(pd.DataFrame({"metric": ["recall"], "value": [float("nan")]}))
    [{'metric': 'recall', 'value': None}]
    """
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def interval(value: float, lower: float, upper: float, *, signed: bool = False) -> str:
    """Write a figure with its interval.

    Parameters
    ----------
    value, lower, upper : float
        NaN where there is none.
    signed : bool, optional
        Write a plus before what is above zero: for differences.

    Returns
    -------
    str

    Examples
    --------
    >>> interval(0.66, 0.538, 0.777)
    '0.660  [0.538, 0.777]'
    >>> interval(0.5, float("nan"), float("nan"))
    '0.500  [no interval]'
    >>> interval(0.05, -0.01, 0.12, signed=True)
    '+0.050  [-0.010, +0.120]'
    """
    if value != value:
        return "undefined"
    form = "+.3f" if signed else ".3f"
    bounds = f"{lower:{form}}, {upper:{form}}" if lower == lower else "no interval"
    return f"{value:{form}}  [{bounds}]"


def write_answers(plain: list[dict[str, Any]], classes: tuple[str, ...], out: Path) -> None:
    """Write predictions as CSV, one row an image, each with the research notice.

    The probabilities are raw output of the network; label and prediction set are empty where ``reliable`` is False.

    Parameters
    ----------
    plain : list of dict
        From ``Prediction.as_dict``.
    classes : tuple of str
        The order of the probability columns.
    out : Path
        The file.
    """
    import pandas as pd

    from her2core.io.files import write_csv

    rows = [
        {
            "name": p["name"],
            "answer": p["answer"],
            "label": p["label"],
            "prediction_set": None if p["prediction_set"] is None else ", ".join(p["prediction_set"]),
            "reliable": p["reliable"],
            **{f"probability_{c}": p["probabilities"].get(c) for c in classes},
            "usable": p["usable"],
            "flags": " ".join(p["flags"]),
            "reasons": "; ".join(p["reasons"]),
            "error": p["error"],
            "model": p["model"],
            "notice": RESEARCH,
        }
        for p in plain
    ]
    write_csv(out, pd.DataFrame(rows))


def prediction_text(answer: Prediction) -> str:
    """Write one image's prediction as a line.

    Parameters
    ----------
    answer : Prediction

    Returns
    -------
    str

    Examples
    --------
    >>> from her2core.inference.prediction import Prediction
    >>> prediction_text(Prediction("a.png", ("low", "high"), (0.1, 0.9), (), {}, "demo"))
    'a.png: high [low 0.100, high 0.900]'
    >>> prediction_text(Prediction("a.png", ("low", "high"), (0.1, 0.9), ("black",), {}, "demo"))
    'a.png: No reliable answer: the patch is black or nearly so: no light came through'
    """
    if answer.error:
        return f"{answer.name}: not read. {answer.error}"
    if not answer.reliable:
        return f"{answer.name}: {answer.answer}: {'; '.join(dict.fromkeys([*answer.reasons, *answer.notes]))}"
    probabilities = ", ".join(f"{c} {p:.3f}" for c, p in zip(answer.classes, answer.probabilities, strict=True))
    notes = f" ({'; '.join(answer.notes)})" if answer.flags else ""
    sets = answer.reported_set
    held = "" if sets is None or answer.coverage is None else f", prediction set at {answer.coverage:.0%}: "
    return f"{answer.name}: {answer.answer} [{probabilities}]{held}{', '.join(sets or ())}{notes}"


def manifest_facts(manifest: Manifest, out: Path) -> dict[str, Any]:
    """Describe a manifest, JSON-ready.

    Parameters
    ----------
    manifest : Manifest
    out : Path
        Where it was written.

    Returns
    -------
    dict
    """
    counts = manifest.frame["label"].value_counts()
    return {
        "path": str(out),
        "patches": len(manifest),
        "patients": int(manifest.frame["patient_id"].nunique()) if manifest.patients_known else None,
        "classes": {c: int(counts.get(c, 0)) for c in manifest.classes},
        "hash": manifest.content_hash(),
        "facts": manifest.facts,
    }


def manifest_text(manifest: Manifest, out: Path) -> str:
    """Describe a manifest in a line.

    Parameters
    ----------
    manifest : Manifest
    out : Path
        Where it was written.

    Returns
    -------
    str
    """
    facts = manifest_facts(manifest, out)
    patients = (
        f"{facts['patients']} patients" if facts["patients"] else "patients unknown: no patient-level claim possible"
    )
    counts = ", ".join(f"{n} {c}" for c, n in facts["classes"].items())
    lines = [f"{out}: {len(manifest)} patches, {patients}; {counts}"]
    held = manifest.facts
    lines += [f"  column {own!r} was read as {role}" for role, own in held.get("columns_read_as", {}).items()]
    lines += [f"  label {own!r} was read as {name}" for own, name in held.get("labels_read_as", {}).items()]
    lines += [f"  note: {note}" for note in held.get("table_notes", ())]
    return "\n".join([*lines, f"  classes: {manifest.scheme.meaning}"])


def run_text(run: Run) -> str:
    """Describe a run and its limits.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str

    Examples
    --------
    >>> from her2core import open_run
    >>> run_text(open_run("models/demo")).splitlines()[1]
    '  classes: negative, equivocal, positive'
    """
    card = run.card
    lines = [f"{run.path}: {card['title']}", f"  classes: {', '.join(run.classes)}", f"  {card['intended_use']}"]
    return "\n".join(lines + [f"  limit: {limit}" for limit in card["limits"]])


def headline_figures(run: Run) -> pd.DataFrame:
    """Select the headline metrics of a run's test part, by every unit that could be evaluated.

    Parameters
    ----------
    run : Run

    Returns
    -------
    DataFrame
        Rows of the run's table of metrics.

    Examples
    --------
    >>> from her2core import open_run
    >>> headline_figures(open_run("models/demo"))["metric"].head(2).tolist()
    ['accuracy', 'balanced_accuracy']
    """
    from her2core.evidence.metrics import headline_metrics

    table = run.table("metrics")
    return table[table["metric"].isin([m.name for m in headline_metrics()])].reset_index(drop=True)


def headline_text(run: Run) -> str:
    """Write the headline metrics of a run's test part with their 95 % intervals, a line each.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str

    Examples
    --------
    >>> from her2core import open_run
    >>> headline_text(open_run("models/demo")).splitlines()[1]
    '  patch   Accuracy           0.660  [0.538, 0.777]'
    """
    from her2core.evidence.metrics import metric_label

    figures = headline_figures(run)
    first = figures.iloc[0] if len(figures) else None
    units = "" if first is None else f", intervals over {first['n_clusters']} {_plural(str(first['resampling_unit']))}"
    lines = [f"Test part{units}:"]
    lines += [
        f"  {r.unit:8}{metric_label(r.metric):19}{interval(r.value, r.lower_95, r.upper_95)}"
        for r in figures.itertuples()
    ]
    return "\n".join(lines)


def _plural(unit: str) -> str:
    return "patches" if unit == "patch" else f"{unit}s"
