"""Tables on groups of patients and on the labels for ``her2 evaluate``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from her2core.cli.text import records
from her2core.evidence.between_sites import between_sites_sentences
from her2core.evidence.evaluation import Source, read_source
from her2core.evidence.inputs import EvaluationInputs, inputs_from_folder, inputs_from_predictions
from her2core.evidence.label_noise import label_noise_sentence, label_noise_table
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import MADE_WHEN_ABSENT, ResultTable, result_table
from her2core.evidence.weak_slices import weak_slices_sentence
from her2core.runs.folder import Run

NAMES = ("subgroups", *MADE_WHEN_ABSENT)


class LabelTables:
    """Subgroups, differences between them, weak slices, sites, discordance, label noise and suspected labels.

    Parameters
    ----------
    source : Run, Predictions or anything that ``evaluate`` reads
    label_error : float, optional
        Share of wrong labels that is assumed; those of ``label_noise.LABEL_ERRORS`` when left out.
    """

    def __init__(self, source: Source, *, run: Run | None = None, label_error: float | None = None) -> None:
        inputs = _inputs(source, run)
        self.tables: dict[str, ResultTable] = {name: result_table(inputs, name) for name in NAMES}
        self.stated = pd.DataFrame()
        if label_error is not None:
            units = self.tables["label_noise"].frame["unit"].unique()
            rows = [label_noise_table(inputs.at(unit), label_errors=(label_error,)) for unit in units]
            self.stated = pd.concat(rows, ignore_index=True)

    def as_dict(self) -> dict[str, Any]:
        """All tables, JSON-ready, and what could not be given."""
        found: dict[str, Any] = {name: records(table.frame) for name, table in self.tables.items()}
        if len(self.stated):
            found["label_noise"] = records(self.stated)
        missing = pd.concat([table.missing for table in self.tables.values()], ignore_index=True)
        return found | {"tables_not_available": records(missing)}

    @property
    def lines(self) -> list[str]:
        """Differences between groups that are shown, sites, discordance, weak slices, and label noise where stated."""
        lines = []
        differences = self.tables["group_differences"].frame
        for row in differences[differences["statement"] == "differs"].to_dict("records"):
            of = f" of {row['class']}" if row["class"] else ""
            lines.append(
                f"{row['by']} by {row['unit']}: {row['metric']}{of} of {row['group']} less {row['reference']} "
                f"{row['difference']:+.3f}  [{row['lower_simultaneous']:+.3f}, {row['upper_simultaneous']:+.3f}], "
                f"corrected for {int(row['comparisons'])} comparisons"
            )
        lines += between_sites_sentences(self.tables["between_sites"].frame)
        cells = self.tables["discordance"].frame
        cells = cells[(cells["part"] == "all") & (cells["ish"] != "unknown") & (cells["n"] > 0)]
        for row in cells[cells["ish"] == "positive"].itertuples():
            lines.append(
                f"IHC {row.her2_ihc}: {int(row.count)} of {int(row.n)} patients with an ISH result positive  "
                f"[{row.lower_95:.3f}, {row.upper_95:.3f}]"
            )
        slices = self.tables["weak_slices"].frame
        lines += [f"by {unit}: {weak_slices_sentence(of)}" for unit, of in slices.groupby("unit", sort=False)]
        lines += [label_noise_sentence(row) for _, row in self.stated.iterrows()]
        return lines


def _inputs(source: Source, run: Run | None) -> EvaluationInputs:
    if run is not None:
        return inputs_from_folder(run.path, run.card)
    predictions = source if isinstance(source, Predictions) else read_source(source)[0]
    return inputs_from_predictions(predictions)
