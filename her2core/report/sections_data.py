"""Sections on the material in the run report: data, partition, model and training, model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from her2core.data.manifest import UNKNOWN
from her2core.data.split_units import PART_NAMES, known_split
from her2core.report.document import Block, Facts, Points, Section, Words
from her2core.report.run_report import RunReport
from her2core.report.run_tables import NONE, figures, plain_grid
from her2core.report.sections import section, text

#: Columns of ids, with their names for people.
_IDS = {"patient_id": "Patients", "slide_id": "Slides", "site": "Sites", "scanner": "Scanners"}


def data(r: RunReport) -> Section:
    """Sources, meaning of the labels, numbers of ids, and findings of the data checks.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> data(example_report()).title
    'Data'
    """
    if r.run is None:
        return section("data", Words(text("data", "of_table")), *_findings(r))
    source, scheme = r.card["data"], r.card["scheme"]
    facts = source.get("facts", {})
    spec = facts.get("spec")
    rows = [
        ("Data set", source.get("name")),
        ("Sources", source["sources"]),
        ("Licence", facts.get("licence")),
        ("Citation", facts.get("citation")),
        ("Labels", f"{scheme['meaning']} ({'' if scheme['is_her2'] else 'not '}a HER2 status)"),
        ("Classes, in order", r.classes),
        ("Permitted claim", facts.get("claim")),
        *([("Generated from", spec)] if isinstance(spec, Mapping) else []),
        *([] if r.dataset is None else _ids(r.dataset)),
        ("Manifest (SHA-256)", r.run.info.get("manifest_hash")),
    ]
    return section("data", _facts(rows), *_findings(r))


def partition(r: RunReport) -> Section:
    """Split unit, counts by class and partition, and ids shared between partitions.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> partition(example_report()).title
    'Partition'
    """
    p = r.partition
    unit, split = known_split(p.unit), r.config.get("split")
    rows: list[tuple[str, object]] = [("Split", None if unit is None else f"{unit.label}: {unit.description}")]
    if r.run is not None:
        if p.unit != "predefined":
            settings = split if isinstance(split, Mapping) else {}
            rows += [("Requested fractions", settings.get("fractions")), ("Seed", settings.get("seed"))]
        rows.append(("Split (SHA-256)", r.run.info.get("split_hash")))
    for what, n in p.shared.items():
        shared = text("partition", "unknown") if n is None else f"{n:,}"
        rows.append((f"{what.capitalize()}s in several partitions", shared))
    counts, total = p.counts.set_index(["class", "part"]), p.counts.groupby("part")["patches"].sum()
    body = [(name, *(_counted(counts.loc[(name, part)]) for part in p.parts)) for name in r.classes]
    grid = figures(
        "Patches / patients of each class and partition",
        ("Class", *(PART_NAMES[part] for part in p.parts)),
        [*body, ("all", *(f"{int(total[part]):,}" for part in p.parts))],
        notes=() if p.counts["patients"].notna().all() else (f"{NONE}: patient ids are unknown.",),
    )
    sentence = Words(p.sentence, "plain" if p.keeps_patients_apart else "note")
    return section("partition", sentence, _facts(rows), grid)


def model(r: RunReport) -> Section:
    """Network, initial weights, training settings, software and hardware.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> model(example_report()).title
    'Model and training'
    """
    if r.run is None:
        return section("model", Words(text("model", "of_table")))
    card, info = r.card, r.run.info
    network, inputs, stain = card["network"], card["input"], card["stain"]
    reference = ", to the reference of the card" if stain["reference"] else ""
    rows = [
        ("Network", f"{network['name']}, {_stated(network['options'])}" if network["options"] else network["name"]),
        ("Initial weights", _initial_weights(info.get("start", {}), network)),
        ("Input", f"{inputs['px']} x {inputs['px']} px, {_field(inputs)}"),
        ("Normalisation", f"mean {_numbers(inputs['mean'])}, standard deviation {_numbers(inputs['std'])}"),
        ("Stain", f"{_stated(stain.get('method'))}{reference}"),
        ("Output", f"softmax of the scores / {card['temperature']:.4f} (temperature, fitted on validation)"),
        ("Decision", card.get("decision")),
        ("Selected", r.run.selection),
        ("Weights (SHA-256)", card["weights_sha256"] if r.run.has_weights else "released without weights"),
        ("Seed", info.get("seed")),
        ("Command", info.get("command")),
        ("Run created", info.get("created")),
        ("Code", _code(info.get("git"))),
        ("Python", info.get("python")),
        ("Packages", info.get("packages")),
        ("Hardware", info.get("hardware")),
    ]
    blocks: list[Block] = [_facts(rows), *_cost(r.run.cost)]
    if settings := _flat({key: r.config[key] for key in ("train", "hardware") if key in r.config}):
        blocks += [Words("Training settings", "strong"), Facts(tuple(settings))]
    return section("model", *blocks)


def card(r: RunReport) -> Section:
    """The model card, field by field, limits first.

    Examples
    --------
    >>> from her2core.report.examples import example_report
    >>> card(example_report()).title
    'Model card'
    """
    if r.run is None:
        return section("card", Words(text("card", "of_table")))
    rows = _flat({key: value for key, value in r.card.items() if key != "limits"})
    limits = Points(tuple(map(str, r.card["limits"])))
    return section("card", Words("Limits", "strong"), limits, Facts(tuple(rows)))


def _cost(cost: Mapping[str, Any] | None) -> list[Block]:
    if not cost:
        return [Words(text("model", "no_cost"), "muted")]
    rows = [("Parameters", f"{cost['parameters']:,}"), ("FLOPs per patch", f"{cost['flops']:,}")]
    if "latency_ratio" in cost:
        rows.append(("Latency per patch", text("model", "latency", **{"precision": "", "threads": "", **cost})))
    return [Words("Cost", "strong"), _facts(rows)]


def _findings(r: RunReport) -> list[Block]:
    if r.checks is None:
        return [Words(text("data", "not_checked"), "muted")]
    if not r.checks:
        return [Words(text("data", "no_finding")), Points(r.checks.summary)]
    frame = pd.DataFrame([(f.title, f.severity, f.got, f.fix, f.count) for f in r.checks])
    frame.columns = ["Check", "Severity", "Finding", "Recommendation", "Rows"]
    caption, wide = "Findings of the checks of data and split", (1.3, 0.8, 2, 3, 0.6)
    return [plain_grid(frame, caption=caption, wide=wide, right=(4,)), Points(r.checks.summary)]


def _ids(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Numbers of patients, slides, sites and scanners in the run's data table."""
    lines = []
    for column, words in _IDS.items():
        if column in table:
            known = table[column].dropna().astype("str")
            known = known[known != UNKNOWN]
            without = f" ({len(table) - len(known):,} patches without)" if 0 < len(known) < len(table) else ""
            lines.append((words, "unknown" if known.empty else f"{known.nunique():,}{without}"))
    return lines


def _counted(row: pd.Series) -> str:
    patients = NONE if pd.isna(row["patients"]) else f"{int(row['patients']):,}"
    return f"{int(row['patches']):,} / {patients}"


def _initial_weights(start: Mapping[str, Any], network: Mapping[str, Any]) -> str:
    name = _stated(start.get("init", network.get("init")))
    if not {"tensors_filled", "tensors_fresh"} <= set(start):
        return name
    return f"{name} ({start['tensors_filled']} tensors loaded, {start['tensors_fresh']} initialised at random)"


def _code(git: object) -> str:
    stated = git if isinstance(git, Mapping) else {}
    changed = " with uncommitted changes" if stated.get("changed_files") else ""
    return f"commit {_stated(stated.get('commit'))}{changed}"


def _field(inputs: Mapping[str, Any]) -> str:
    if not inputs.get("field_um"):
        return "microns per pixel not stated"
    return f"{inputs['field_um']:g} microns across ({inputs['mpp']:g} microns per pixel)"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _facts(rows: Iterable[tuple[str, object]]) -> Facts:
    return Facts(tuple((name, _stated(value)) for name, value in rows))


def _stated(value: object, nothing: str = "not stated") -> str:
    """A value of a card or configuration in words; ``nothing`` where there is none."""
    if isinstance(value, Mapping):
        value = [f"{key} {of}" for key, of in value.items()]
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return nothing if value in (None, "") else str(value)


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{name}.")
        else:
            rows.append((name, _stated(value, "none")))
    return rows
