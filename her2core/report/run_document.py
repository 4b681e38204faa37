"""How is a run's evidence put into words? A RunReport in; the Document that HTML and PDF lay out, out."""

from __future__ import annotations

from datetime import datetime

from her2core.report.case import software_versions
from her2core.report.document import Document
from her2core.report.run_report import RunReport
from her2core.report.sections_data import data, model, partition, summary
from her2core.report.sections_end import card, checklists, failures, maps, methods, missing
from her2core.report.sections_figures import (
    abstention,
    calibration,
    decisions,
    operating_points,
    performance,
    subgroups,
)

SYNTHETIC = (
    "Synthetic data: every patch was drawn by a program. The figures say how the program works, nothing about tissue."
)
NOT_HER2 = "The classes of this run are not a HER2 status: {}."
_SECTIONS = (
    summary,
    data,
    partition,
    model,
    performance,
    operating_points,
    calibration,
    abstention,
    decisions,
    subgroups,
    failures,
    maps,
    missing,
    checklists,
    card,
    methods,
)

#: What every page of the PDF has to say beside the notice.
_FLAGS = (
    ("Synthetic data", lambda r: r.synthetic),
    ("Not a HER2 status", lambda r: r.run is not None and not r.card["scheme"]["is_her2"]),
    ("Random patch split", lambda r: r.partition.unit == "patch_random"),
    ("Patients on both sides", lambda r: r.partition.patients == "some"),
    ("Patients not shown to be on one side", lambda r: r.partition.patients == "unknown"),
    ("Intervals draw single patches", lambda r: not r.resamples_patients),
)


def document_of(report: RunReport) -> Document:
    """The whole report in words; the same for equal reports."""
    banners = [SYNTHETIC] if report.synthetic else []
    warnings = list(report.warnings)
    if report.run is not None:
        subject = f"Evaluation of a deep-learning classifier of patches: {report.card['title']}"
        if not report.card["scheme"]["is_her2"]:
            warnings.insert(0, NOT_HER2.format(report.card["scheme"]["meaning"]))
        warnings += [limit for limit in report.card["limits"] if limit not in warnings]
    else:
        subject = "Evaluation of a table of predictions that was brought along"
        warnings.append("Nothing is known of the model, its training data or their split beyond this table.")
    if not report.partition.keeps_patients_apart and report.partition.sentence not in warnings:
        warnings.append(report.partition.sentence)
    if not report.resamples_patients:
        warnings.append("Intervals do not draw patients at every unit; those that draw single patches are too narrow.")
    flags = [words for words, raised in _FLAGS if raised(report)]
    versions = software_versions(("her2core", "numpy", "scipy", "pandas"))
    return Document(
        name=report.name,
        subject=subject,
        banners=tuple(banners),
        warnings=tuple(warnings),
        sections=tuple(make(report) for make in _SECTIONS),
        made_with=", ".join(f"{package} {version}" for package, version in versions.items()),
        flags=tuple(flags),
        created=_created(report),
    )


def _created(report: RunReport) -> datetime | None:
    """When the run was made, as it says itself."""
    try:
        return datetime.fromisoformat(str(report.run.info.get("created"))) if report.run else None
    except ValueError:
        return None
