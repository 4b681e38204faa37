"""What is this, how is each number made, and what can it not claim? The card of the run in use and the method out."""

from __future__ import annotations

import json

import streamlit as st

from dashboard import HOME
from dashboard.choice import run_in_use
from dashboard.parts import NOTICE, download, heading
from dashboard.words import sentence
from her2core.runs.folder import Run


def show_card(run: Run) -> None:
    card = run.card
    st.markdown(f"**Intended use.** {sentence(card['intended_use'])}")
    st.markdown("**Limits**")
    for limit in card["limits"] or ["none stated"]:
        st.markdown(f"- {sentence(limit)}")
    network, size, data = card["network"], card["input"], card["data"]
    options = ", ".join(f"{k} {v}" for k, v in network["options"].items()) or "as by default"
    sets, known = card.get("prediction_sets"), card.get("ood")
    field = f"; a patch of {size['field_um']:.0f} microns" if size.get("field_um") else ""
    familiar = f"threshold from {known['validation_patches']} validation patches" if known else "not assessed"
    split = data["split_unit"].replace("_", " ")
    facts = {
        "Network": f"{network['name']} ({options}), started from {network.get('init', 'none')}",
        "Classes": f"{', '.join(run.classes)}: {card['scheme']['meaning']}",
        "Input": f"{size['px']} x {size['px']} px{field}",
        "Stain": "Macenko, to the reference in the card" if card["stain"]["reference"] else "as it is",
        "Temperature": f"{card['temperature']:.3f}",
        "Prediction sets": f"{sets['coverage']:.0%}, class-conditional" if sets else "none",
        "Unlike the training data": familiar,
        "Decision": card.get("decision", "the class of highest probability"),
        "Data": f"{data.get('name', '')}; sources {', '.join(data['sources'])}; split by {split}",
        "Weights": f"sha256 {card['weights_sha256'][:16]}..." if run.has_weights else "not released",
        "Made": f"{run.info.get('created', '')} at commit {(run.info.get('git') or {}).get('commit', 'unknown')[:12]}",
    }
    st.table([{"what": k, "is": sentence(v)} for k, v in facts.items()])
    download(
        "Whole card (JSON)", lambda: json.dumps(card, indent=2), name=f"{run.name}-card.json", mime="application/json"
    )


run = run_in_use()
heading("About", run)
card_tab, method_tab = st.tabs(["Model card of the run in use", "Method"])
with card_tab:
    if run is None:
        st.info("No run is in use: choose one in the sidebar to read its card.")
    else:
        show_card(run)
with method_tab:
    st.markdown((HOME / "docs" / "method.md").read_text(encoding="utf-8"))
st.caption(NOTICE)
