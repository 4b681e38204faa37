"""What has to be said of out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from her2core.data.split_units import known_split

_WITHOUT = {"patch_random": "this patch, but with others of its slide and patient"}


def out_of_fold_note(card: Mapping[str, Any]) -> str:
    """Describe the models of a run of out-of-fold predictions, and what its intervals leave out.

    Parameters
    ----------
    card : mapping
        Model card.

    Returns
    -------
    str
        Empty for a run of one model.

    References
    ----------
    Bengio & Grandvalet 2004, No unbiased estimator of the variance of k-fold cross-validation, J Mach Learn Res 5:1089.

    Examples
    --------
    >>> out_of_fold_note({}), out_of_fold_note({"out_of_fold": {"unit": "site", "folds": ["A", "B"]}})[:95]
    ('', 'Out-of-fold, 2 models: each patch was predicted by a model that was trained without its site, a')
    """
    models = card.get("out_of_fold")
    if not models:
        return ""
    unit = models["unit"]
    known = known_split(unit)
    apart = known is not None and known.separates_patients
    without = _WITHOUT.get(unit, f"its {unit}" if apart else f"its {unit}, perhaps with others of its patient")
    note = (
        f"Out-of-fold, {len(models['folds'])} models: each patch was predicted by a model that was trained without "
        f"{without}, and calibrated by that model's own temperature. The figures describe this way of training, not "
        "one model. Scores of several models are ranked together. Intervals are about other patients; the variance "
        "over other training data is not in them."
    )
    if (final := models.get("final")) is None:
        return note
    of = f" of {final['patients']:,} patients" if "patients" in final else ""
    return (
        f"{note} The model that is served was trained afterwards on all {final['patches']:,} patches{of} "
        f"({final['setting']}); it has not been tested itself."
    )
