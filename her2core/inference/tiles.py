"""Rules for the tiles of a field or a slide: which count, when no class is named, what is said of those left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from her2core.data.prepare import FLAGS, UNUSABLE
from her2core.evidence.conformal import PredictionSets
from her2core.inference.prediction import UNRELIABLE, Prediction
from her2core.runs.folder import Run

if TYPE_CHECKING:
    import pandas as pd

#: Share of the tiles with tissue that must count before a class is named.
MIN_SHARE = 0.5


def tile_row(found: Prediction) -> dict[str, Any]:
    """The prediction of a tile as a row.

    Parameters
    ----------
    found : Prediction

    Returns
    -------
    dict
        ``probability_<class>`` (NaN where there is an error), ``flags`` (keys of data.prepare.FLAGS, separated by
        spaces, or ``error``), ``tissue`` and ``counts`` (bool).

    Examples
    --------
    >>> tile_row(Prediction("a", ("low", "high"), (0.2, 0.8), ("out_of_distribution",), {}, "demo"))
    {'probability_low': 0.2, 'probability_high': 0.8, 'flags': 'out_of_distribution', 'tissue': True, 'counts': False}
    """
    probabilities = found.probabilities or (float("nan"),) * len(found.classes)
    return {
        **{f"probability_{c}": p for c, p in zip(found.classes, probabilities, strict=True)},
        "flags": "error" if found.error is not None else " ".join(found.flags),
        "tissue": found.error is None and not set(found.flags) & set(UNUSABLE),
        "counts": found.error is None and not set(found.flags) & set(UNRELIABLE),
    }


def tile_reasons(tiles: pd.DataFrame) -> list[str]:
    """Why tiles give no reliable answer, as phrases for people; empty where they give one.

    Parameters
    ----------
    tiles : DataFrame
        Rows of ``tile_row``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import pandas as pd
    >>> tile_reasons(pd.DataFrame({"tissue": [True, True, True], "counts": [True, False, False]}))
    ['only 1 of 3 tiles with tissue are like the training patches']
    """
    tissue, counted = int(tiles["tissue"].sum()), int(tiles["counts"].sum())
    if not tissue:
        return [f"none of the {len(tiles):,} tiles has assessable tissue"]
    if counted < MIN_SHARE * tissue:
        return [f"only {counted:,} of {tissue:,} tiles with tissue are like the training patches"]
    return []


def credible_classes(run: Run, probabilities: Sequence[float]) -> tuple[str, ...]:
    """The prediction set that a patch with these probabilities would have.

    Tiles that each leave several classes open do not name one by their mean: an answer from tiles names what such a
    patch's answer would. This is no prediction set of the field or slide, as coverage holds for single patches.

    Parameters
    ----------
    run : Run
    probabilities : sequence of float
        Of a field, slide or patient, in the order of the run's classes; may be empty.

    Returns
    -------
    tuple of str
        Empty where the run has no prediction sets, or for no probabilities.

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> credible_classes(example_predictor().run, ())
    ()
    """
    card = run.card.get("prediction_sets")
    if not card or not len(probabilities):
        return ()
    sets = PredictionSets.from_card(card, run_classes=run.classes)
    return sets.names(sets.sets(np.array([probabilities]))[0]) if sets.given else ()


def left_out_notes(tiles: pd.DataFrame) -> list[str]:
    """How many tiles do not count, by reason, as phrases for people.

    Parameters
    ----------
    tiles : DataFrame
        Rows of ``tile_row``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> import pandas as pd
    >>> left_out_notes(pd.DataFrame({"flags": ["blank", ""], "counts": [False, True]}))
    ['1 tile left out: almost no tissue: the patch is white or nearly so']
    """
    flags = tiles.loc[~tiles["counts"].astype(bool), "flags"]
    counts = Counter(flag for words in flags for flag in words.split() if flag in UNRELIABLE)
    return [f"{n:,} {'tile' if n == 1 else 'tiles'} left out: {FLAGS[flag]}" for flag, n in counts.most_common()]
