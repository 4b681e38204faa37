"""The verdict on a run or table: graded aspects, the answer that follows from them, and one sentence."""

from __future__ import annotations

from her2core.evidence.evaluation import Evaluation, Source, evaluate, read_source, source_name
from her2core.evidence.metrics.registry import metrics_of
from her2core.evidence.verdict.grading import aspects
from her2core.evidence.verdict.grading_figures import figures
from her2core.evidence.verdict.inputs import VerdictInputs, inputs_of_run, inputs_of_table
from her2core.evidence.verdict.result import Aspect, Figure, Unknown, Verdict, deciding, overall, percent
from her2core.evidence.verdict.rules import NOT_KNOWN, RULES, Answer
from her2core.runs.folder import Run, open_run

#: What never shows in one evaluation, and what would show it.
_OTHER_SITES = Unknown(
    "Performance at sites, scanners and stains that are not in these data.",
    "Predictions on patients of a site that was not trained on.",
)
_MODEL = Unknown(
    "Which model made the table, on which data it was trained, and how its settings were chosen.",
    "A run of this project, or the model's own documentation.",
)


def verdict(source: Source, *, evaluation: Evaluation | None = None, name: str = "") -> Verdict:
    """Answer whether the accuracy of a run, or of any tool's table of predictions, can be believed.

    Aspects are graded by the written rules of docs/verdict.md (``verdict.rules``), and the answer follows from the
    grades. There is no score.

    Parameters
    ----------
    source : Run, Predictions, DataFrame, bytes or path
        As for ``evaluate``.
    evaluation : Evaluation, optional
        Of the test part of the same source; computed when left out (of a run, read from its tables).
    name : str, optional
        What to call the source; its own name when left out.

    Returns
    -------
    Verdict

    Raises
    ------
    EvaluationError, TableError
        For predictions that cannot be used, or without a test part.
    RunError
        For a folder that is no finished run.

    Examples
    --------
    >>> import her2core
    >>> found = her2core.verdict("models/demo")
    >>> print(found.headline)
    Can this number be believed? Within limits.
    >>> print(found.figure("as_reported").text)
    66.0% [62.1%, 69.7%]
    """
    run = source if isinstance(source, Run) else None
    if run is None and not isinstance(source, bytes):
        run = _opened(source)
    if run is not None:
        inputs = inputs_of_run(run, evaluation or _evaluation_of(run))
    else:
        predictions, _ = read_source(source)
        computed = evaluation or evaluate(predictions, metrics=[m for m in metrics_of("metrics") if not m.row_wise])
        inputs = inputs_of_table(predictions, computed, name=name or source_name(source, "table"))
    return verdict_of(inputs)


def verdict_of(inputs: VerdictInputs) -> Verdict:
    """Grade what is known, and say what follows.

    Parameters
    ----------
    inputs : VerdictInputs

    Returns
    -------
    Verdict
    """
    found = figures(inputs)
    graded = aspects(inputs, found)
    answer = overall(graded)
    taken = {said for rule in RULES.values() for said in inputs.taken(rule)}
    unknowns = _unknowns(graded)
    unknowns += [] if inputs.partition.unit == "site" else [_OTHER_SITES]
    unknowns += [] if inputs.from_run else [_MODEL]
    return Verdict(
        inputs.name,
        answer,
        _sentence(inputs, answer, graded, {figure.name: figure for figure in found}),
        found,
        graded,
        tuple(unknowns),
        inputs.effective,
        tuple(note for note in inputs.evaluation.notes if note not in taken),
    )


def _sentence(inputs: VerdictInputs, answer: Answer, graded: tuple[Aspect, ...], found: dict[str, Figure]) -> str:
    usual, by_patient = found.get("as_reported"), found.get("by_patient")
    why = deciding(graded)
    leaked = answer == "No" and why[0].rule == "overlap" and "all_rows" in found
    claimed = found["all_rows"] if leaked else usual
    number = "The accuracy" if claimed is None else f"The accuracy of {percent(claimed.value)}"
    if answer == "No":
        of_classes = why[0].rule in ("baselines", "sample")
        as_what = "recognition of the classes" if of_classes else "performance on new patients"
        text = f"{number} cannot be believed as {as_what}: {why[0].reason}."
        if leaked and usual is not None:
            text += f" The test rows alone give {percent(usual.value)} of {usual.n:,} patches"
            text += ", of patients who were also trained on."
        return text
    if answer == "Not known":
        return f"{number} may or may not hold for new patients: {_joined([a.reason for a in why])}."
    honest = by_patient if by_patient is not None else found.get("by_patch", usual)
    by = "" if honest is None else f"; by {'patient' if honest is by_patient else 'patch'} it is {honest.text}"
    text = f"{number} can be believed as {inputs.claimed_for}{by}"
    if answer == "Yes":
        return f"{text}."
    return f"{text}, within limits: {why[0].reason}" + (
        f", and {len(why) - 1} further aspect{'s' if len(why) > 2 else ''}." if len(why) > 1 else "."
    )


def _unknowns(graded: tuple[Aspect, ...]) -> list[Unknown]:
    """Aspects that are not known, those together that the same would make known."""
    by_need: dict[str, list[str]] = {}
    for aspect in graded:
        if aspect.grade == NOT_KNOWN and aspect.needed:
            by_need.setdefault(aspect.needed, []).append(aspect.title)
    return [Unknown(f"{', '.join(titles)}.", needed) for needed, titles in by_need.items()]


def _joined(clauses: list[str]) -> str:
    return clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])}, and {clauses[-1]}"


def _opened(source: object) -> Run | None:
    from pathlib import Path

    return open_run(source) if isinstance(source, str | Path) and Path(source).is_dir() else None


def _evaluation_of(run: Run) -> Evaluation:
    tables = run.evaluation
    return Evaluation(
        tables["metrics"], tables["confusion"], tables["units"], run.warnings, run.calibrated_predictions.notes
    )
