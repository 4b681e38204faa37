"""Time that a training under way still needs, from the progress that it reports, and durations in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

#: Last epochs whose mean duration stands for those to come.
_RECENT = 3


def seconds_left(progress: Mapping[str, Any], history: pd.DataFrame, *, batch_size: int | None = None) -> float | None:
    """Estimate the time to the end of the last epoch, where the training does not stop early.

    Parameters
    ----------
    progress : mapping
        progress.json, as ``runs.drafts`` checks it.
    history : DataFrame
        One row an epoch; ``seconds`` (of an epoch with its validation) where it was measured.
    batch_size : int, optional
        Patches a step over all processes; with it the first epoch has an estimate too, without validation.

    Returns
    -------
    float or None
        Seconds; None while patches are prepared, where nothing was measured yet, and during the evaluation.

    Examples
    --------
    >>> progress = {"phase": "training", "epoch": 2, "epochs": 4, "step": 5, "steps": 10, "patches_per_second": 8.0}
    >>> seconds_left(progress, pd.DataFrame({"epoch": [0, 1], "seconds": [40.0, 60.0]}))
    75.0
    >>> seconds_left(progress, pd.DataFrame(), batch_size=16)
    30.0
    """
    if progress["phase"] != "training" or not progress["steps"]:
        return None
    epochs = max(progress["epochs"] - progress["epoch"] - progress["step"] / progress["steps"], 0.0)
    if "seconds" in history and history["seconds"].notna().any():
        return float(history["seconds"].dropna().tail(_RECENT).mean() * epochs)
    rate = progress.get("patches_per_second")
    if not rate or batch_size is None:
        return None
    return float(epochs * progress["steps"] * batch_size / rate)


def duration_text(seconds: float) -> str:
    """A duration as people say it.

    Parameters
    ----------
    seconds : float
        0 or more.

    Returns
    -------
    str

    Examples
    --------
    >>> [duration_text(s) for s in (0.2, 8.4, 80, 3000, 7500, 200_000)]
    ['less than 1 s', '8 s', '80 s', '50 min', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 1:
        return "less than 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
