"""First sections of the run report: summary, data, partition, model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import PART_NAMES, known_split
from her2core.errors import RunError
from her2core.evidence.metrics.registry import metric_label
from her2core.report.document import Block, Facts, Grid, Points, Section, Tone, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, Notes, cell, plain_grid
from her2core.report.sections import section, units

#: Figures of the summary: (table, metric).
HEADLINE = (
    ("metrics", "balanced_accuracy"),
    ("metrics", "macro_auroc"),
    ("metrics", "macro_f1"),
    ("metrics", "quadratic_kappa"),
    ("calibration", "ece_equal_mass"),
    ("risk_coverage", "aurc"),
)
_NOT_STATED = "not stated"
_NOT_BY_SLIDE = f"{NONE} by slide: calibration and abstention are computed by patch and patient."


def summary(r: RunReport) -> Section:
    """Headline figures at every unit of analysis, with the claim that the partition permits.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> summary(example_report()).title
    'Summary'
    """
    table_of_units = r.evaluation.units
    resampled = r.evaluation.metrics.drop_duplicates("unit").set_index("unit")
    lines = [
        f"Intervals by {u}: from {units(unit, int(n))}."
        for u, unit, n in resampled.loc[list(r.units), ["resampling_unit", "n_clusters"]].itertuples()
    ]
    absent = [f"Not by {row.unit}: {row.reason}" for row in table_of_units.itertuples() if not row.assessed]
    return section("summary", Words(r.partition.sentence, "strong"), headline_grid(r), Points((*lines, *absent)))


def headline_grid(r: RunReport, *units: str) -> Grid:
    """Table of the headline figures at these units of analysis, by default at all that were assessed.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> headline_grid(example_report()).head
    ('Figure', 'by patch', 'by patient')
    """
    shown = units or r.units
    found, notes = [], Notes(())
    for table, metric in HEADLINE:
        cells = []
        for unit in shown:
            rows = r.evaluation.metrics if table == "metrics" else r.result_tables[table]
            rows = rows[
                (rows["unit"] == unit) & (rows["metric"] == metric) & (rows["class"].astype(object).fillna("") == "")
            ]
            if "scores" in rows:
                rows = rows[rows["scores"] != "uncalibrated"]
            row = None if rows.empty else rows.iloc[0].to_dict()
            cells.append(cell(row, notes))
        found.append((metric_label(metric), *cells))
    rows_of = r.evaluation.units.set_index("unit")["n"]
    counted = tuple(f"{int(rows_of[unit]):,}" for unit in shown)
    return Grid(
        "Test partition, with 95 % intervals",
        ("Figure", *(f"by {u}" for u in shown)),
        (("Rows", *counted), *found),
        (1.6, *(1.0 for _ in shown)),
        tuple(range(1, len(shown) + 1)),
        (*notes.lines, *((_NOT_BY_SLIDE,) if "slide" in shown else ())),
    )


def data(r: RunReport) -> Section:
    """Sources, meaning of the labels, numbers of ids, and findings of the data checks.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> data(example_report()).title
    'Data'
    """
    if r.run is None:
        blocks: list[Block] = [
            Words("A table of predictions does not describe its data: source, site, labels and licence are not stated.")
        ]
    else:
        card, facts = r.card["data"], r.card["data"].get("facts", {})
        spec = facts.get("spec")
        rows = [
            ("Data set", card.get("name", _NOT_STATED)),
            ("Sources", ", ".join(map(str, card["sources"])) or _NOT_STATED),
            ("Licence", facts.get("licence", _NOT_STATED)),
            ("Citation", facts.get("citation", _NOT_STATED)),
            ("Labels", f"{r.card['scheme']['meaning']} ({'' if r.card['scheme']['is_her2'] else 'not '}a HER2 status)"),
            ("Classes, in order", ", ".join(r.classes)),
            ("Permitted claim", facts.get("claim", _NOT_STATED)),
            *([("Generated from", _listed(spec))] if isinstance(spec, Mapping) else []),
            *_ids(r),
            ("Manifest (SHA-256)", str(r.run.info.get("manifest_hash", _NOT_STATED))),
        ]
        blocks = [Facts(tuple((a, str(b)) for a, b in rows))]
    return section("data", *blocks, *_findings(r))


def partition(r: RunReport) -> Section:
    """Split unit, counts by class and partition, and ids shared between partitions.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> partition(example_report()).title
    'Partition'
    """
    p = r.partition
    counts = p.counts.pivot(index="class", columns="part", values=["patches", "patients"]).reindex(list(r.classes))
    rows = []
    for name in r.classes:
        lines = []
        for part in p.parts:
            n, patients = counts.loc[name, ("patches", part)], counts.loc[name, ("patients", part)]
            lines.append(f"{int(n):,} / {NONE if pd.isna(patients) else f'{int(patients):,}'}")
        rows.append((name, *lines))
    total = p.counts.groupby("part")["patches"].sum()
    rows.append(("all", *(f"{int(total[part]):,}" for part in p.parts)))
    grid = Grid(
        "Patches / patients of each class and partition",
        ("Class", *(PART_NAMES[x] for x in p.parts)),
        tuple(rows),
        (1.6, *(1.0 for _ in p.parts)),
        tuple(range(1, len(p.parts) + 1)),
        () if p.counts["patients"].notna().all() else (f"{NONE}: patient ids are unknown.",),
    )
    asked = [
        (
            f"{what.capitalize()}s in several partitions",
            "unknown: ids are missing, or a partition is not available" if n is None else f"{n:,}",
        )
        for what, n in p.shared.items()
    ]
    settings = r.config.get("split")
    split: Mapping[str, Any] = settings if isinstance(settings, Mapping) else {}
    unit = known_split(p.unit)
    facts = [("Split", _NOT_STATED if unit is None else f"{unit.label}: {unit.description}")]
    if r.run is not None and p.unit != "predefined":
        facts += [
            ("Requested fractions", ", ".join(map(str, split.get("fractions", []))) or _NOT_STATED),
            ("Seed", str(split.get("seed", _NOT_STATED))),
        ]
    if r.run is not None:
        facts.append(("Split (SHA-256)", str(r.run.info.get("split_hash", _NOT_STATED))))
    tone: Tone = "plain" if p.keeps_patients_apart else "note"
    return section("partition", Words(p.sentence, tone), Facts((*facts, *asked)), grid)


def model(r: RunReport) -> Section:
    """Network, initial weights, training settings, software and hardware.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> model(example_report()).title
    'Model and training'
    """
    if r.run is None:
        return section("model", Words("Unknown: a table of predictions does not describe its model."))
    card, info = r.card, r.run.info
    network, inputs, start = card["network"], card["input"], info.get("start", {})
    git = info.get("git", {}) if isinstance(info.get("git"), Mapping) else {}
    rows = [
        ("Network", network["name"] + (f", {_listed(network['options'])}" if network["options"] else "")),
        (
            "Initial weights",
            str(start.get("init", network.get("init", _NOT_STATED)))
            + (
                f" ({start['tensors_filled']} tensors loaded, {start['tensors_fresh']} initialised at random)"
                if {"tensors_filled", "tensors_fresh"} <= set(start)
                else ""
            ),
        ),
        ("Input", f"{inputs['px']} x {inputs['px']} px, {_field(inputs)}"),
        ("Normalisation", f"mean {_numbers(inputs['mean'])}, standard deviation {_numbers(inputs['std'])}"),
        (
            "Stain",
            str(card["stain"].get("method", _NOT_STATED))
            + (", to the reference of the card" if card["stain"]["reference"] else ""),
        ),
        ("Output", f"softmax of the scores / {card['temperature']:.4f} (temperature, fitted on validation)"),
        ("Decision", str(card.get("decision", _NOT_STATED))),
        ("Selected", r.run.selection or _NOT_STATED),
        ("Weights (SHA-256)", card["weights_sha256"] if r.run.has_weights else "released without weights"),
        ("Seed", str(info.get("seed", _NOT_STATED))),
        ("Command", str(info.get("command", _NOT_STATED))),
        ("Run created", str(info.get("created", _NOT_STATED))),
        (
            "Code",
            f"commit {git.get('commit', _NOT_STATED)}"
            + (" with uncommitted changes" if git.get("changed_files") else ""),
        ),
        ("Python", str(info.get("python", _NOT_STATED))),
        ("Packages", _listed(info.get("packages", {}))),
        ("Hardware", _listed(info.get("hardware", {}))),
    ]
    blocks: list[Block] = [Facts(tuple(rows)), *_cost(r.run.cost)]
    settings = tuple((f"{k}", v) for k, v in _flat({k: r.config[k] for k in ("train", "hardware") if k in r.config}))
    if settings:
        blocks.append(Words("Training settings", "strong"))
        blocks.append(Facts(settings))
    return section("model", *blocks)


def _cost(cost: Mapping[str, Any] | None) -> list[Block]:
    if not cost:
        return [Words("The computational cost was not measured.", "muted")]
    rows = [("Parameters", f"{cost['parameters']:,}"), ("FLOPs per patch", f"{cost['flops']:,}")]
    if "latency_ratio" in cost:
        rows += [
            (
                "Latency per patch",
                f"{cost['latency_ms']} ms; {cost['latency_ratio']} times a plain ResNet50 in "
                f"the same process ({cost.get('precision', '')}, {cost.get('threads', '')} threads)",
            )
        ]
    return [Words("Cost", "strong"), Facts(tuple(rows))]


def _findings(r: RunReport) -> list[Block]:
    if r.checks is None:
        return [Words("The outcomes of the data checks are not available.", "muted")]
    blocks: list[Block] = [Words("The checks of data and split (her2 data check) have no finding.")]
    if r.checks:
        frame = pd.DataFrame([(f.title, f.severity, f.got, f.fix, f.count) for f in r.checks])
        frame.columns = ["Check", "Severity", "Finding", "Recommendation", "Rows"]
        wide = (1.3, 0.8, 2, 3, 0.6)
        blocks = [plain_grid(frame, caption="Findings of the checks of data and split", wide=wide, right=(4,))]
    return [*blocks, Points(r.checks.summary)]


def _ids(r: RunReport) -> list[tuple[str, str]]:
    """Numbers of patients, slides, sites and scanners in the run's data table."""
    try:
        table = r.required_run.dataset
    except RunError:
        return []
    asked = (("patient_id", "Patients"), ("slide_id", "Slides"), ("site", "Sites"), ("scanner", "Scanners"))
    lines = []
    for column, words in asked:
        if column not in table:
            continue
        known = table[column].dropna().astype("str")
        known = known[known != UNKNOWN]
        without = f" ({len(table) - len(known):,} patches without)" if 0 < len(known) < len(table) else ""
        lines.append((words, "unknown" if known.empty else f"{known.nunique():,}{without}"))
    return lines


def _field(inputs: Mapping[str, Any]) -> str:
    if not inputs.get("field_um"):
        return "microns per pixel not stated"
    return f"{inputs['field_um']:g} microns across ({inputs['mpp']:g} microns per pixel)"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _listed(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, str(value))]
    return rows
