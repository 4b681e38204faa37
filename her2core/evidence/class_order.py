"""Whether the classes of a run have a clinical order, which ordinal metrics need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from her2core.labels import SCHEMES


def missing_class_order(card: Mapping[str, Any]) -> str:
    """Why the classes of a run have no order.

    Parameters
    ----------
    card : mapping
        Model card; its ``scheme`` names the label scheme.

    Returns
    -------
    str
        Empty where the scheme has an order, or the card does not name one.

    Examples
    --------
    >>> missing_class_order({"scheme": {"name": "paper3"}})
    ''
    >>> missing_class_order({"scheme": {"name": "folders"}})
    'not given: the label scheme folders declares no order of its classes'
    """
    name = card.get("scheme", {}).get("name")
    if name is None or name in SCHEMES:
        return ""
    return f"not given: the label scheme {name} declares no order of its classes"
