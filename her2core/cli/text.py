"""Answers of the commands as text, plain values and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from her2core.notice import RESEARCH

if TYPE_CHECKING:
    pass


def write_answers(plain: list[dict], classes: tuple[str, ...], out: Path) -> None:
    """Predictions as CSV, one row an image, each with the research notice."""
    import pandas as pd

    from her2core.io.files import write_via_temporary

    rows = [
        {
            "name": p["name"],
            "label": p["label"],
            **{f"probability_{c}": p["probabilities"].get(c) for c in classes},
            "usable": p["usable"],
            "flags": " ".join(p["flags"]),
            "error": p["error"],
            "model": p["model"],
            "notice": RESEARCH,
        }
        for p in plain
    ]
    write_via_temporary(out, lambda t: pd.DataFrame(rows).to_csv(t, index=False))


def prediction_text(answer) -> str:
    """One image's answer as a line."""
    if answer.error:
        return f"{answer.name}: not read. {answer.error}"
    shares = ", ".join(f"{c} {p:.3f}" for c, p in zip(answer.classes, answer.probabilities, strict=True))
    notes = f" ({'; '.join(answer.notes)})" if answer.flags else ""
    return f"{answer.name}: {answer.label if answer.usable else 'not judged'} [{shares}]{notes}"


def manifest_facts(manifest, out: Path) -> dict:
    """What a manifest holds, JSON-ready."""
    counts = manifest.frame["label"].value_counts()
    return {
        "path": str(out),
        "patches": len(manifest),
        "patients": int(manifest.frame["patient_id"].nunique()) if manifest.patients_known else None,
        "classes": {c: int(counts.get(c, 0)) for c in manifest.classes},
        "hash": manifest.content_hash(),
        "facts": manifest.facts,
    }


def manifest_text(manifest, out: Path) -> str:
    """What a manifest holds, as a line."""
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


def run_text(run) -> str:
    """What a run is and what it cannot claim, as lines."""
    card = run.card
    lines = [f"{run.path}: {card['title']}", f"  classes: {', '.join(run.classes)}", f"  {card['intended_use']}"]
    return "\n".join(lines + [f"  limit: {limit}" for limit in card["limits"]])
