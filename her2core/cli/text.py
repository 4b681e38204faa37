"""Answers of the commands as text, plain values and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from her2core.data.manifest import Manifest
    from her2core.inference.field import FieldPrediction
    from her2core.inference.prediction import Prediction
    from her2core.runs.annotations import Annotation
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


def annotation_text(said: Annotation) -> str:
    """Write status and tags of a run in brackets, after a space; empty where there are none.

    Parameters
    ----------
    said : Annotation

    Returns
    -------
    str

    Examples
    --------
    >>> from her2core.runs.annotations import Annotation
    >>> annotation_text(Annotation("candidate", ("baseline", "site 2")))
    ' [candidate; baseline, site 2]'
    """
    words = "; ".join(filter(None, (said.status, ", ".join(said.tags))))
    return f" [{words}]" if words else ""


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


def figure_name(row: Mapping[Any, Any] | pd.Series) -> str:
    """Name a figure's metric and, where it is of one class, its class.

    Parameters
    ----------
    row : mapping
        ``metric`` and ``class``, empty for a metric over all classes.

    Returns
    -------
    str

    Examples
    --------
    >>> figure_name({"metric": "recall", "class": "positive"})
    'recall of positive'
    """
    return f"{row['metric']} of {row['class']}" if row["class"] else str(row["metric"])


def difference_text(difference: float, lower: float, upper: float, *, detectable: float, note: str) -> str:
    """Write a difference with its interval and the smallest difference that could have been shown.

    Parameters
    ----------
    difference, lower, upper, detectable : float
        NaN where there is none.
    note : str
        Remark at the end.

    Returns
    -------
    str

    Examples
    --------
    >>> difference_text(0.05, -0.01, 0.12, detectable=0.0931, note="")
    '+0.050  [-0.010, +0.120]  detectable with 80% power: 0.093'
    """
    parts = [interval(difference, lower, upper, signed=True)]
    parts += [f"detectable with 80% power: {detectable:.3f}"] if detectable == detectable else []
    return "  ".join([*parts, *filter(None, [note])])


def prediction_text(answer: Prediction | FieldPrediction, notes: Sequence[str] = ()) -> str:
    """Write one image's prediction as a line.

    Parameters
    ----------
    answer : Prediction or FieldPrediction
    notes : sequence of str, optional
        What must be known when the answer is read; each gets a line above it.

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
    above = "".join(f"{answer.name}: note: {note}\n" for note in notes)
    error = getattr(answer, "error", None)  # a field has no error: it is raised
    if error:
        return f"{answer.name}: not read. {error}"
    if not answer.reliable:
        return f"{above}{answer.name}: {answer.answer}: {'; '.join(dict.fromkeys([*answer.reasons, *answer.notes]))}"
    probabilities = ", ".join(f"{c} {p:.3f}" for c, p in zip(answer.classes, answer.probabilities, strict=True))
    behind = f" ({'; '.join(answer.notes)})" if answer.notes else ""
    sets, coverage = getattr(answer, "reported_set", None), getattr(answer, "coverage", None)  # a field has none
    held = "" if sets is None or coverage is None else f", prediction set at {coverage:.0%}: "
    note = getattr(answer, "set_note", "")
    said = f"; {note}" if note else ""
    return f"{above}{answer.name}: {answer.answer} [{probabilities}]{held}{', '.join(sets or ())}{said}{behind}"


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
    rows = _rows_text(manifest)
    lines = [f"{out}: {rows}, {patients}; {counts}"]
    held = manifest.facts
    lines += [f"  column {own!r} was read as {role}" for role, own in held.get("columns_read_as", {}).items()]
    lines += [f"  label {own!r} was read as {name}" for own, name in held.get("labels_read_as", {}).items()]
    lines += [f"  note: {note}" for note in held.get("table_notes", ())]
    lines += [f"  left out: {sentence}" for sentence in held.get("left_out", ())]
    lines += [f"  not read: {sentence}" for sentence in held.get("unreadable", ())]
    lines += [f"  note: {held['links']}"] if held.get("links") else []
    lines += [
        f"  conflict, {n:,} {'patient' if n == 1 else 'patients'}: {c}" for c, n in held.get("conflicts", {}).items()
    ]
    lines += [f"  found, {sentence}" for sentence in held.get("found", ())]
    lines += [f"  partial copy: {sentence}" for sentence in held.get("partial", ())]
    lines += [f"  more than published: {sentence}" for sentence in held.get("beyond", ())]
    lines += [f"  limit: {sentence}" for sentence in held.get("rules_out", ())]
    if held.get("terms"):
        lines += [f"  licence: {held.get('licence')}", f"  terms: {held['terms']}", f"  cite: {held.get('citation')}"]
    if missing := held.get("missing_at_import"):
        lines.append(f"  note: {missing:,} {'file was' if missing == 1 else 'files were'} missing at import")
    return "\n".join([*lines, f"  classes: {manifest.scheme.meaning}"])


def _rows_text(manifest: Manifest) -> str:
    """What the rows are: whole slides, by the importer's word or their files' endings, or patches."""
    from her2core.io.image_header import SLIDE_SUFFIXES

    if manifest.facts.get("whole_slides"):  # slides as plain images
        whole = len(manifest)
    else:
        whole = int(manifest.frame["path"].str.lower().str.endswith(SLIDE_SUFFIXES).sum())
    kinds = ((whole, "whole slide"), (len(manifest) - whole, "patch"))
    plural = {"whole slide": "whole slides", "patch": "patches"}
    return ", ".join(f"{n} {kind if n == 1 else plural[kind]}" for n, kind in kinds if n)


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
    '  patch   Accuracy           0.660  [0.530, 0.770]'
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
