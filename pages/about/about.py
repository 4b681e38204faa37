"""About page: the model card and the method."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from dashboard.navigation import HOME
from dashboard.selection import selected_run
from dashboard.widgets import download, heading, markdown_sentence
from her2core.data.split_units import split_label
from her2core.evidence.conformal import CONDITIONAL, NONE
from her2core.runs.folder import Run


def set_facts(entry: dict[str, Any]) -> str:
    """Return level, kind and calibration of the prediction sets on a card, and why they are no better."""
    by = "patients" if entry.get("validation_patients") else "patches, taken as exchangeable"
    kind = entry.get("kind", CONDITIONAL)
    reason = entry.get("reason", "")
    return (
        reason
        if kind == NONE
        else f"{entry['coverage']:.0%}, {kind}, calibrated on {by}{f'; {reason}' if reason else ''}"
    )


def show_card(run: Run) -> None:
    """Draw the model card of a run."""
    card = run.card
    st.markdown(f"**Intended use.** {markdown_sentence(card['intended_use'])}")
    st.markdown("**Limits**")
    for limit in card["limits"] or ["none stated"]:
        st.markdown(f"- {markdown_sentence(limit)}")
    network, size, data = card["network"], card["input"], card["data"]
    options = ", ".join(f"{k} {v}" for k, v in network["options"].items()) or "default options"
    sets, ood = card.get("prediction_sets"), card.get("ood")
    field = f"; patches of {size['field_um']:.0f} microns" if size.get("field_um") else ""
    commit = ((run.info.get("git") or {}).get("commit") or "unknown")[:12]
    facts = {
        "Network": f"{network['name']} ({options}), initialised from {network.get('init', 'none')}",
        "Classes": f"{', '.join(run.classes)}: {card['scheme']['meaning']}",
        "Input": f"{size['px']} x {size['px']} px{field}",
        "Stain normalisation": "Macenko, to the reference in the card" if card["stain"]["reference"] else "none",
        "Temperature": f"{card['temperature']:.3f}",
        "Prediction sets": set_facts(sets) if sets else "none",
        "Out-of-distribution threshold": f"from {ood['validation_patches']} validation patches" if ood else "none",
        "Decision rule": card.get("decision", "the class of highest probability"),
        "Data": f"{data.get('name', '')}; sources {', '.join(data['sources'])}",
        "Split": split_label(data["split_unit"]),
        "Weights": f"sha256 {card['weights_sha256'][:16]}..." if run.has_weights else "not released",
        "Created": f"{run.info.get('created', '')} at commit {commit}",
    }
    st.table([{"property": name, "value": markdown_sentence(value)} for name, value in facts.items()])
    download("Model card (JSON)", json.dumps(card, indent=2), name=f"{run.name}-card.json", mime="application/json")


run = selected_run()
heading("About", run)
card_tab, method_tab = st.tabs(["Model card", "Method"])
with card_tab:
    if run is None:
        st.info("No model is selected: choose one in the sidebar to read its card.")
    else:
        show_card(run)
with method_tab:
    st.markdown((HOME / "docs" / "method.md").read_text(encoding="utf-8"))
