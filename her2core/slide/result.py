"""Answer for a slide or a patient from its tiles, by the run's rule of aggregation, with its uncertainty.

The interval states how much the answer depends on which part of the tissue was seen: blocks of BLOCK of tissue are
drawn with replacement (block bootstrap; Lahiri 2003, doi 10.1007/978-1-4757-3803-2), because neighbouring tiles are
alike and not independent. It holds neither the error of the network nor that of its training. The rule for a reliable
answer is that of fields (``inference.tiles``); where the most probable class depends on the tissue seen, the answer
names all classes that are the most probable in at least NAMED of the resamples; and it names all that the
prediction set of a patch with its probabilities would hold (``inference.tiles.credible_classes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from her2core.errors import Her2Error
from her2core.evidence.aggregation_rules import DEFAULT_RULE, combine
from her2core.inference.prediction import answer_text
from her2core.inference.tiles import credible_classes, left_out_notes, tile_reasons
from her2core.labels import referral_class
from her2core.notice import RESEARCH
from her2core.runs.folder import Run
from her2core.slide.units import Microns

#: Side of a block, fewest blocks for an interval, and resamples (our choice).
BLOCK, MIN_BLOCKS, RESAMPLES = Microns(1000.0), 6, 500
LEVEL = 0.95
#: Share of the resamples in which a class must be the most probable to be named (our choice).
NAMED = 0.05


@dataclass(frozen=True)
class UnitPrediction:
    """What a run predicts for one slide or patient.

    Parameters
    ----------
    unit : {'slide', 'patient'}
    name : str
    slides, tiles, tissue, counted : int
        Slides; tiles predicted, those with assessable tissue, and those that the answer is made of.
    classes : tuple of str
    probabilities : tuple of float
        By ``rule`` over the tiles that count; empty where none does.
    lower, upper : tuple of float
        Bounds of each class's 95 % interval over blocks of tissue; empty where there is none.
    agreement : tuple of float
        Share of the resamples in which each class is the most probable; empty without an interval.
    blocks : int
        Blocks of tissue.
    rule, rule_reason : str
        Of aggregation, and why this one.
    reasons, notes : tuple of str
        Why there is no reliable answer; what else must be known.
    model : str
    credible : tuple of str
        From ``inference.tiles.credible_classes``.

    Examples
    --------
    >>> counts, none = (1, 4, 4, 4), ()
    >>> rest = (("low", "high"), (0.2, 0.8), none, none, none, 1, "mean", "", none, none, "model")
    >>> UnitPrediction("slide", "S1", *counts, *rest).answer
    'high'
    """

    unit: str
    name: str
    slides: int
    tiles: int
    tissue: int
    counted: int
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    agreement: tuple[float, ...]
    blocks: int
    rule: str
    rule_reason: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    model: str
    credible: tuple[str, ...] = ()

    @property
    def most_probable(self) -> str | None:
        """The class of highest probability, reliable or not; None where no tile counts."""
        return self.classes[int(np.argmax(self.probabilities))] if self.probabilities else None

    @property
    def label(self) -> str | None:
        """The most probable class of a reliable answer; None otherwise."""
        return None if self.reasons else self.most_probable

    @property
    def named(self) -> tuple[str, ...]:
        """The label, classes that are the most probable in at least NAMED of the resamples, and credible ones."""
        if self.label is None:
            return ()
        shares = self.agreement or (0.0,) * len(self.classes)
        also = {self.label, *self.credible}
        return tuple(c for c, s in zip(self.classes, shares, strict=True) if s >= NAMED or c in also)

    @property
    def answer(self) -> str:
        """What to show first: a class, all of ``named``, a referral for ISH, or NO_ANSWER."""
        return answer_text(self.label, self.named, referral=referral_class(self.classes))

    def as_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**plain, "answer": self.answer, "label": self.label, "named": list(self.named), "notice": RESEARCH}

    def row(self) -> dict[str, Any]:
        """One row of a table."""
        numbers: dict[str, Any] = {}
        for i, name in enumerate(self.classes):
            numbers[f"probability_{name}"] = self.probabilities[i] if self.probabilities else None
            numbers[f"lower_95_{name}"] = self.lower[i] if self.lower else None
            numbers[f"upper_95_{name}"] = self.upper[i] if self.upper else None
        counts = {k: getattr(self, k) for k in ("slides", "tiles", "tissue", "counted", "blocks", "rule")}
        words = {"reasons": "; ".join(self.reasons), "notes": "; ".join(self.notes)}
        head = {
            f"{self.unit}_id": self.name,
            "answer": self.answer,
            "label": self.label,
            "named": ", ".join(self.named),
        }
        return {**head, **numbers, **counts, **words, "model": self.model, "notice": RESEARCH}


def from_dict(plain: Mapping[str, Any]) -> UnitPrediction:
    """The answer that ``UnitPrediction.as_dict`` gave, perhaps through JSON.

    Parameters
    ----------
    plain : mapping

    Returns
    -------
    UnitPrediction

    Examples
    --------
    >>> tiles = pd.DataFrame({"slide_id": ["S1"], "x_um": [0.0], "y_um": [0.0], "flags": ["blank"], "tissue": [False],
    ...                       "counts": [False], "probability_low": [0.5], "probability_high": [0.5]})
    >>> found = predict_unit(tiles, ("low", "high"), unit="slide", name="S1", rule=("mean", ""), model="m")
    >>> from_dict(found.as_dict()) == found
    True
    """
    own: dict[str, Any] = {f.name: plain[f.name] for f in fields(UnitPrediction) if f.name != "credible"}
    own["credible"] = plain.get("credible", [])  # results of earlier versions have none
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in own.items()}
    return UnitPrediction(**values)


def run_rule(run: Run, unit: str, asked: str | None = None) -> tuple[str, str]:
    """The rule by which a run's evaluation aggregates patches to a unit.

    Parameters
    ----------
    run : Run
    unit : {'slide', 'patient'}
    asked : str, optional
        Another rule of ``evidence.aggregation_rules.RULES``.

    Returns
    -------
    rule, reason : str

    Examples
    --------
    >>> from her2core.inference.example import example_predictor
    >>> run_rule(example_predictor().run, "slide", "top_k")
    ('top_k', 'top_k: requested')
    """
    if asked is not None:
        return asked, f"{asked}: requested"
    try:
        units = run.table("units")
    except Her2Error:  # a run without this table was not evaluated by unit
        units = pd.DataFrame({"unit": [], "rule": []})
    found = units.loc[units["unit"] == unit, "rule"].dropna()
    if len(found) and found.iloc[0]:
        return str(found.iloc[0]), f"{found.iloc[0]}: the rule of the run's evaluation by {unit}"
    return DEFAULT_RULE, f"{DEFAULT_RULE}: the default, as the run was not evaluated by {unit}"


def predict_unit(
    tiles: pd.DataFrame,
    classes: tuple[str, ...],
    *,
    unit: str,
    name: str,
    rule: tuple[str, str],
    model: str,
    run: Run | None = None,
) -> UnitPrediction:
    """Answer for one slide or patient.

    Parameters
    ----------
    tiles : DataFrame
        The unit's tiles: ``slide_id, x_um, y_um`` and the columns of ``inference.tiles.tile_row``.
    classes : tuple of str
    unit : {'slide', 'patient'}
    name : str
        The slide or patient.
    rule : (str, str)
        From ``run_rule``.
    model : str
    run : Run, optional
        Whose prediction sets decide how many classes are named.

    Returns
    -------
    UnitPrediction

    Raises
    ------
    ConfigError
        For an unknown rule.

    Examples
    --------
    >>> tiles = pd.DataFrame({"slide_id": "S1", "x_um": np.arange(10) * 1000.0, "y_um": 0.0, "flags": ""})
    >>> tiles = tiles.assign(tissue=True, counts=True, probability_low=[0.2, 0.4] * 5)
    >>> tiles["probability_high"] = 1 - tiles["probability_low"]
    >>> found = predict_unit(tiles, ("low", "high"), unit="slide", name="S1", rule=("mean", ""), model="m")
    >>> found.answer, [round(p, 3) for p in found.probabilities], found.blocks, found.agreement
    ('high', [0.3, 0.7], 10, (0.0, 1.0))
    """
    counted = tiles[tiles["counts"].astype(bool)]
    probs = counted[[f"probability_{c}" for c in classes]].to_numpy(float)
    reasons = tile_reasons(tiles) if len(tiles) else ["no tile with tissue was found"]
    notes = left_out_notes(tiles) if len(tiles) else []
    place = [np.floor(counted[axis].to_numpy(float) / BLOCK.value).astype(int) for axis in ("x_um", "y_um")]
    keys = pd.MultiIndex.from_arrays([counted["slide_id"].astype(str), *place])
    codes, blocks = pd.factorize(keys)
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    agreement: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    if len(probs):
        mean = _floats(combine(probs, np.zeros(len(probs), int), rule=rule[0])[0])
        if len(blocks) < MIN_BLOCKS:
            notes.append(
                f"no interval: {len(blocks)} {'block' if len(blocks) == 1 else 'blocks'} of {BLOCK.value:,.0f} microns "
                f"with tiles that count, and {MIN_BLOCKS} are needed"
            )
        else:
            draws = _resample(probs, codes, len(blocks), rule[0])
            tail = (1 - LEVEL) / 2
            lower, upper = (_floats(np.quantile(draws, q, axis=0)) for q in (tail, 1 - tail))
            agreement = _floats(np.bincount(draws.argmax(axis=1), minlength=len(classes)) / len(draws))
    return UnitPrediction(
        unit=unit,
        name=name,
        slides=int(tiles["slide_id"].nunique()) if len(tiles) else 1,
        tiles=len(tiles),
        tissue=int(tiles["tissue"].sum()),
        counted=len(counted),
        classes=classes,
        probabilities=mean,
        lower=lower,
        upper=upper,
        agreement=agreement,
        blocks=len(blocks),
        rule=rule[0],
        rule_reason=rule[1],
        reasons=tuple(reasons),
        notes=tuple(notes),
        model=model,
        credible=() if run is None else credible_classes(run, mean),
    )


def _resample(probs: np.ndarray, codes: np.ndarray, blocks: int, rule: str) -> np.ndarray:
    """Aggregated probabilities, float (RESAMPLES, K), of blocks drawn with replacement; the seed is fixed."""
    members = [np.flatnonzero(codes == b) for b in range(blocks)]
    rng = np.random.default_rng(0)
    draws = []
    for chosen in rng.integers(0, blocks, (RESAMPLES, blocks)):
        rows = np.concatenate([members[b] for b in chosen])
        draws.append(combine(probs[rows], np.zeros(len(rows), int), rule=rule)[0])
    return np.array(draws)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
