"""Card and warnings of an external validation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from her2core.data.manifest import UNKNOWN, Manifest
from her2core.data.prepare import UNUSABLE
from her2core.data.split_units import EXTERNAL
from her2core.evidence.out_of_fold import out_of_fold_note
from her2core.runs.folder import Run
from her2core.training.card import part_counts

#: Prefix of the patch ids of the development data.
DEVELOPMENT = "development/"


def external_card(run: Run, cohort: Manifest, dataset: pd.DataFrame, *, name: str) -> dict[str, Any]:
    """Model card of an external validation.

    Parameters
    ----------
    run : Run
        That was evaluated.
    cohort : Manifest
        On which.
    dataset : DataFrame
        Its data table: development data and cohort.
    name : str
        Of the cohort.

    Returns
    -------
    dict
        The run's card with the cohort's data, and under ``external`` what the run's own was.
    """
    known = cohort.patients_known and run.card["data"].get("patients") is not None
    said = (
        f"External validation of {run.name} (weights {run.card['weights_sha256'][:12]}) on {name}: weights, "
        "temperature, thresholds and prediction sets are those of the run; nothing was fitted to this cohort."
    )
    return {
        **{field: value for field, value in run.card.items() if field not in ("ood", "external", "out_of_fold")},
        "title": f"{run.card['title']}, on {name}"[:200],
        "limits": [said, *(limit for limit in run.card["limits"] if limit != out_of_fold_note(run.card))],
        "data": {
            "name": name,
            "facts": cohort.facts,
            "sources": sorted(set(cohort.frame["source"])),
            "patients_known": cohort.patients_known,
            "split_unit": EXTERNAL.name,
            "patches": part_counts(dataset, "patch_id"),
            "patients": part_counts(dataset, "patient_id") if known else None,
        },
        "external": {
            "run": run.name,
            "title": run.card["title"],
            "weights_sha256": run.card["weights_sha256"],
            "manifest_hash": run.info["manifest_hash"],
            "data": run.card["data"],
        },
    }


def external_warnings(run: Run, cohort: Manifest, facts: pd.DataFrame) -> list[str]:
    """Sentences that every figure of an external validation must carry.

    Parameters
    ----------
    run : Run
    cohort : Manifest
    facts : DataFrame
        Columns ``flags`` and perhaps ``out_of_distribution``, row for row with the cohort.

    Returns
    -------
    list of str
    """
    found = []
    own, frame = run.dataset, cohort.frame
    for what, column in (("patient", "patient_id"), ("slide", "slide_id")):
        shared = (set(own[column].astype("str")) & set(frame[column].astype("str"))) - {UNKNOWN}
        if shared:
            some = f"{len(shared):,} {what}{'s' if len(shared) > 1 else ''}"
            found.append(
                f"Not external for {some} (such as {min(shared)}): the same ids are in the development data, whose "
                "patients the model has seen. Leave them out, or rename them where they are other people."
            )
    if cohort.content_hash() == run.info.get("manifest_hash"):
        found.insert(0, "This is the data set that the run was trained on: the figures say nothing about other data.")
    meanings = cohort.scheme.meaning, run.card["scheme"]["meaning"]
    if meanings[0] != meanings[1]:
        found.append(
            f"The classes were defined differently. Development: {meanings[1]}. This cohort: {meanings[0]}. A part of "
            "any difference may come from that."
        )
    absent = [name for name in run.classes if not (frame["label"] == name).any()]
    if absent:
        found.append(f"This cohort has no patch of {' and '.join(absent)}: figures over all classes leave them out.")
    every = facts["flags"].str.split()
    for said, flags in (
        ("show a much larger or smaller piece of tissue than the training patches did", {"field_of_view"}),
        ("show no assessable tissue", set(UNUSABLE)),
    ):
        count = int(every.map(lambda of, wanted=flags: bool(wanted & set(of))).sum())
        if count:
            found.append(f"{count:,} of {len(facts):,} patches {said}; they are counted in every figure.")
    if "out_of_distribution" in facts and (count := int((facts["out_of_distribution"] == "yes").sum())):
        found.append(
            f"{count:,} of {len(facts):,} patches ({count / len(facts):.0%}) are out of distribution (of validation "
            "patches at most 1 % were). Their answers are marked unreliable when served; every figure counts them."
        )
    return found
