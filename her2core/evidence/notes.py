"""Remarks on a result, joined to one text."""

from __future__ import annotations


def join_notes(*notes: str) -> str:
    """Join remarks that are not empty.

    Parameters
    ----------
    *notes : str

    Returns
    -------
    str

    Examples
    --------
    >>> join_notes("only 4 patients", "", "no interval")
    'only 4 patients; no interval'
    """
    return "; ".join(filter(None, notes))
