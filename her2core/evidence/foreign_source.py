"""How is any tool's table read where nobody is asked? The file's bytes and named columns in; Predictions out.

The dashboard lets a person correct the guess; the command line names what the guess gets wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from her2core.errors import EvaluationError
from her2core.evidence.foreign import IDS, adopt, guess_columns, read_predictions_bytes
from her2core.evidence.predictions import Predictions


def predictions_of_table(
    data: bytes, *, name: str, columns: Mapping[str, str] | None = None, classes: Sequence[str] | None = None
) -> Predictions:
    """The predictions in a table (CSV, TSV or Parquet, of any tool); ``name`` is the file's.

    Columns are guessed by their names (``foreign.guess_columns``); ``columns`` says label, patch_id, patient_id,
    slide_id, site or split where the guess is wrong. ``classes``: their order, that of the columns when left out.

    Raises EvaluationError, one sentence, for bytes that are no such table or could be read in two ways.
    """
    table = read_predictions_bytes(data, name=name)
    chosen = dict(columns or {})
    unknown = [role for role in chosen if role not in ("label", *IDS)]
    if unknown:
        raise EvaluationError(
            f"a role out of label, {', '.join(IDS)}",
            got=repr(unknown[0])[:80],
            where="columns",
            fix="Scores are found by their names: prob_<class> or logit_<class>.",
        )
    return adopt(table, replace(guess_columns(table), **chosen), classes=classes)
