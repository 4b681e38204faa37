"""Prediction for one patch as a result object, and the rule by which it is put into words.

The rule: a class is named only for a patch that can be assessed and is like the training patches, and whose prediction
set (where the run has them) contains the most probable class. Where the set contains several classes, all of them are
named; a set of nothing but the class that asks for an ISH test (equivocal, IHC 2+) is a referral and answers so. In all
other cases the answer is ``NO_ANSWER`` with the reasons, without a class and without a prediction set;
the probabilities remain as raw output of the network. Page, tables, reports and command line all read ``answer``,
``label``, ``reported_set`` and ``reasons``, so that they cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from her2core.data.prepare import FLAGS, UNUSABLE
from her2core.labels import referral_class

#: Answer for a patch that was not read, and for one without a reliable answer.
NOT_READ, NO_ANSWER = "Not read", "No reliable answer"
#: Answer where the only class is the one that asks for an ISH test.
REFER = "Refer for ISH ({})"
#: Flags of patches for which no class is named: without tissue, another kind of picture, another scale, or unlike the
#: training patches.
UNRELIABLE: tuple[str, ...] = (*UNUSABLE, "not_he", "field_of_view", "out_of_distribution")
#: The rule of this module, for people.
RULE = (
    "A class is named only where the patch can be assessed and is like the training patches, and where the prediction "
    "set contains the most probable class. Where the set contains several classes, all of them are named. "
    "Equivocal (IHC 2+) alone is a referral for ISH, not an answer."
)
#: With more classes than this in the prediction set, the answer counts them.
_NAMED = 3


@dataclass(frozen=True, repr=False)
class Prediction:
    """What a run predicts for one patch. Either ``probabilities`` or ``error`` is filled.

    Two predictions are equal, and have the same hash, if all but the arrays and the timing are equal.

    Parameters
    ----------
    name : str
        What the caller calls the patch.
    classes : tuple of str
        In the order of ``probabilities``.
    probabilities : tuple of float
        Calibrated, in 0..1, their sum 1; empty where there is an error.
    flags : tuple of str
        Keys of data.prepare.FLAGS.
    milliseconds : mapping of str to float
        Time spent by step.
    model : str
        The run's name and the first 12 digits of its weights' SHA-256.
    research_use_only : bool
        Always True.
    prediction_set : tuple of str, optional
        The classes that are credible at ``coverage``, may be empty; None where the run has no prediction sets.
    coverage : float, optional
        In 0..1.
    set_note : str, optional
        What must be known with the set, or why there is none.
    ood_score : float, optional
        Out-of-distribution score in units of the run's threshold: above 1 the flag "out_of_distribution" is set. None
        where the run has no detector or the patch no assessable tissue.
    error : str, optional
        Why there is no prediction.
    engine : str
        What computed the forward pass: library, version, precision and device; empty where there was none.
    image, raw : ndarray, optional
        uint8 (px, px, 3) RGB, the network's input and the same before stain normalisation.

    Examples
    --------
    >>> prediction = Prediction("a.png", ("negative", "positive"), (0.2, 0.8), (), {}, "demo@1a2b")
    >>> prediction
    Prediction(name='a.png', label='positive', probabilities=(negative=0.200, positive=0.800))
    >>> prediction.label, prediction.reliable, prediction.answer
    ('positive', True, 'positive')
    >>> unlike = Prediction("a.png", ("negative", "positive"), (0.2, 0.8), ("out_of_distribution",), {}, "demo@1a2b")
    >>> unlike.label, unlike.most_probable, unlike.reliable, unlike.answer
    (None, 'positive', False, 'No reliable answer')
    >>> prediction == Prediction("a.png", ("negative", "positive"), (0.2, 0.8), (), {"network": 7.0}, "demo@1a2b")
    True
    """

    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    flags: tuple[str, ...]
    milliseconds: Mapping[str, float] = field(compare=False)
    model: str
    research_use_only: bool = True
    prediction_set: tuple[str, ...] | None = None
    coverage: float | None = None
    set_note: str = ""
    ood_score: float | None = None
    error: str | None = None
    engine: str = ""
    image: np.ndarray | None = field(default=None, compare=False)
    raw: np.ndarray | None = field(default=None, compare=False)

    @property
    def most_probable(self) -> str | None:
        """The class of highest probability, reliable or not: raw output. None where there is an error."""
        return self.classes[int(np.argmax(self.probabilities))] if self.probabilities else None

    @property
    def label(self) -> str | None:
        """The most probable class of a reliable prediction; None where ``reliable`` is False."""
        return self.most_probable if self.reliable else None

    @property
    def usable(self) -> bool:
        """Whether the patch has assessable tissue; a usable patch may still have no reliable answer."""
        return self.error is None and not set(self.flags) & set(UNUSABLE)

    @property
    def reliable(self) -> bool:
        """Whether a class may be named, by the rule of this module; if not, ``reasons`` says why."""
        return not self.reasons

    @property
    def answer(self) -> str:
        """What to show first: a class, the classes of the prediction set, NO_ANSWER or NOT_READ.

        Examples
        --------
        >>> Prediction("a", ("negative", "positive"), (0.4, 0.6), (), {}, "demo",
        ...            prediction_set=("negative", "positive"), coverage=0.9).answer
        'negative or positive'
        """
        if self.error is not None:
            return NOT_READ
        return answer_text(self.label, self.reported_set, referral=referral_class(self.classes))

    @property
    def referred(self) -> bool:
        """Whether the answer names no class but sends for an ISH test: a lone equivocal.

        Examples
        --------
        >>> Prediction("a", ("negative", "equivocal", "positive"), (0.1, 0.8, 0.1), (), {}, "demo").referred
        True
        """
        return self.label is not None and self.answer == REFER.format(self.label)

    @property
    def reported_set(self) -> tuple[str, ...] | None:
        """The prediction set of a reliable prediction; None without sets, or where ``reliable`` is False."""
        return self.prediction_set if self.reliable else None

    @property
    def reasons(self) -> list[str]:
        """Why there is no reliable answer, as phrases for people; empty where there is one.

        Examples
        --------
        >>> Prediction("a", ("low", "high"), (0.4, 0.6), (), {}, "demo", prediction_set=("low",), coverage=0.9).reasons
        ['the most probable class is not in the prediction set at 90%: the two contradict each other']
        """
        if self.error is not None:
            return [self.error]
        found = [FLAGS[flag] for flag in self.flags if flag in UNRELIABLE]
        if found or self.prediction_set is None or self.most_probable in self.prediction_set:
            return found
        level = "" if self.coverage is None else f" at {self.coverage:.0%}"
        if not self.prediction_set:
            return [f"the prediction set{level} is empty: no class is as probable as on the validation patches"]
        return [f"the most probable class is not in the prediction set{level}: the two contradict each other"]

    @property
    def notes(self) -> list[str]:
        """The flags as phrases for people."""
        return [FLAGS[flag] for flag in self.flags]

    def as_dict(self) -> dict[str, Any]:
        """All but the arrays, JSON-ready; label and prediction set are None where ``reliable`` is False.

        Examples
        --------
        >>> Prediction("a.png", ("negative", "positive"), (0.2, 0.8), (), {}, "demo@1a2b").as_dict()["probabilities"]
        {'negative': 0.2, 'positive': 0.8}
        """
        return {
            "name": self.name,
            "answer": self.answer,
            "referred": self.referred,
            "label": self.label,
            "reliable": self.reliable,
            "reasons": self.reasons,
            "usable": self.usable,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=False)),
            "prediction_set": None if self.reported_set is None else list(self.reported_set),
            "coverage": self.coverage,
            "set_note": self.set_note,
            "ood_score": self.ood_score,
            "flags": list(self.flags),
            "error": self.error,
            "milliseconds": dict(self.milliseconds),
            "model": self.model,
            "engine": self.engine,
            "research_use_only": self.research_use_only,
        }

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Prediction(name={self.name!r}, error={self.error!r})"
        pairs = ", ".join(f"{c}={p:.3f}" for c, p in zip(self.classes, self.probabilities, strict=True))
        flags = f", flags={self.flags!r}" if self.flags else ""
        return f"Prediction(name={self.name!r}, label={self.label!r}, probabilities=({pairs}){flags})"

    def _repr_html_(self) -> str:
        """A small table for notebooks; raw probabilities are folded where there is no reliable answer."""
        rows = [("patch", self.name), ("answer", self.answer), *[("reason", reason) for reason in self.reasons]]
        raw = [(c, f"{p:.1%}") for c, p in zip(self.classes, self.probabilities, strict=False)]
        if self.reliable:
            rows += raw
        if self.reported_set is not None and self.coverage is not None:
            rows.append((f"prediction set at {self.coverage:.0%}", ", ".join(self.reported_set)))
        if self.ood_score is not None:
            rows.append(("out-of-distribution score", f"{self.ood_score:.2f} (threshold 1)"))
        rows += [("note", note) for note in self.notes if note not in self.reasons]
        rows.append(("model", self.model))
        table = f"<table><caption>Research use only</caption>{_cells(rows)}</table>"
        if self.reliable or not raw:
            return table
        summary = "Raw probabilities of the network, not an answer"
        return f"{table}<details><summary>{summary}</summary><table>{_cells(raw)}</table></details>"


def answer_text(label: str | None, prediction_set: tuple[str, ...] | None, *, referral: str = "") -> str:
    """The answer in words.

    Parameters
    ----------
    label : str or None
        The most probable class; None where there is no reliable answer.
    prediction_set : tuple of str or None
        Contains ``label``; None without sets.
    referral : str
        Class that asks for an ISH test (``labels.referral_class``); alone it is a referral and no answer.

    Returns
    -------
    str

    Examples
    --------
    >>> answer_text("equivocal", ("equivocal",), referral="equivocal")
    'Refer for ISH (equivocal)'
    >>> answer_text("low", ("low",)), answer_text("low", ("low", "high")), answer_text("low", tuple("abcd") + ("low",))
    ('low', 'low or high', 'one of 5 classes')
    >>> answer_text("low", None), answer_text(None, ("low",))
    ('low', 'No reliable answer')
    """
    if label is None:
        return NO_ANSWER
    if prediction_set is None or len(prediction_set) < 2:
        return REFER.format(label) if label == referral else label
    if len(prediction_set) > _NAMED:
        return f"one of {len(prediction_set)} classes"
    return f"{', '.join(prediction_set[:-1])} or {prediction_set[-1]}"


def _cells(rows: list[tuple[str, str]]) -> str:
    return "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
