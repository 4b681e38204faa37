"""Validation designs of one network side by side: random patches, fields, patients, sites."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from her2core.data.split_units import DESIGN_LABELS, split_label
from her2core.study.tables import StudyTables


@dataclass(frozen=True)
class DesignComparison:
    """Figures of one network under several designs. Get them with ``design_comparisons``.

    Attributes
    ----------
    network : str
        Label of the network.
    labels : dict of str to str
        Group -> the design for people, in the order of the study.
    reference : str
        Group that the others are compared with.
    figures, differences : DataFrame
        Rows of these groups, as in ``her2core.evidence.seeds.SeedSummary``; differences of other groups from
        ``reference`` alone.
    """

    network: str
    labels: dict[str, str]
    reference: str
    figures: pd.DataFrame
    differences: pd.DataFrame


def design_comparisons(study: StudyTables) -> list[DesignComparison]:
    """Take a study of leakage or cross-validation apart by network.

    Parameters
    ----------
    study : StudyTables
        Of the kind leakage or cv.

    Returns
    -------
    list of DesignComparison
        One a network with figures under two designs or more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from her2core.study.tables import read_study_tables
    >>> (found,) = design_comparisons(read_study_tables(Path("models/study/leakage"), "leakage"))
    >>> found.network, list(found.labels.values())
    ('her2_resnet50', ['by random patches', 'by slide', 'by patient', 'by site'])
    """
    facts, present = study.facts, list(dict.fromkeys(study.figures["group"]))
    if facts["kind"] == "leakage":
        labels = {group: split_label(group) for group in present}
        return [_comparison(study, facts["network"]["name"], labels, "patient")]
    found = []
    for network in (entry["label"] for entry in facts["study"]["networks"]):
        own = {group: group.removeprefix(f"{network}-") for group in present if group.startswith(f"{network}-")}
        labels = {group: DESIGN_LABELS[design] for group, design in own.items() if design in DESIGN_LABELS}
        references = study.differences.loc[study.differences["group"].isin(labels), "reference"]
        reference = next((group for group in references if group in labels), None)
        if reference is not None:
            found.append(_comparison(study, network, labels, reference))
    return found


def _comparison(study: StudyTables, network: str, labels: dict[str, str], reference: str) -> DesignComparison:
    figures, changes = study.figures, study.differences
    within = changes["group"].isin(labels) & (changes["reference"] == reference)
    return DesignComparison(network, labels, reference, figures[figures["group"].isin(labels)], changes[within])
