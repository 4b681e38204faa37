"""Prediction for one patch as a result object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from her2core.data.prepare import FLAGS, UNUSABLE


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
    ood_score : float, optional
        Out-of-distribution score in units of the run's threshold: above 1 the flag "out_of_distribution" is set. None
        where the run has no detector or the patch no assessable tissue.
    error : str, optional
        Why there is no prediction.
    image, raw : ndarray, optional
        uint8 (px, px, 3) RGB, the network's input and the same before stain normalisation.

    Examples
    --------
    >>> prediction = Prediction("a.png", ("negative", "positive"), (0.2, 0.8), (), {}, "demo@1a2b")
    >>> prediction
    Prediction(name='a.png', label='positive', probabilities=(negative=0.200, positive=0.800))
    >>> prediction.label, prediction.usable
    ('positive', True)
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
    ood_score: float | None = None
    error: str | None = None
    image: np.ndarray | None = field(default=None, compare=False)
    raw: np.ndarray | None = field(default=None, compare=False)

    @property
    def label(self) -> str | None:
        """The most probable class; None where there is an error."""
        return self.classes[int(np.argmax(self.probabilities))] if self.probabilities else None

    @property
    def usable(self) -> bool:
        """Whether the patch has assessable tissue; if not, the probabilities must not be shown as a finding."""
        return self.error is None and not set(self.flags) & set(UNUSABLE)

    @property
    def notes(self) -> list[str]:
        """The flags as phrases for people."""
        return [FLAGS[flag] for flag in self.flags]

    def as_dict(self) -> dict[str, Any]:
        """All but the arrays, JSON-ready.

        Examples
        --------
        >>> Prediction("a.png", ("negative", "positive"), (0.2, 0.8), (), {}, "demo@1a2b").as_dict()["probabilities"]
        {'negative': 0.2, 'positive': 0.8}
        """
        return {
            "name": self.name,
            "label": self.label,
            "usable": self.usable,
            "probabilities": dict(zip(self.classes, self.probabilities, strict=False)),
            "prediction_set": None if self.prediction_set is None else list(self.prediction_set),
            "coverage": self.coverage,
            "ood_score": self.ood_score,
            "flags": list(self.flags),
            "error": self.error,
            "milliseconds": dict(self.milliseconds),
            "model": self.model,
            "research_use_only": self.research_use_only,
        }

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Prediction(name={self.name!r}, error={self.error!r})"
        pairs = ", ".join(f"{c}={p:.3f}" for c, p in zip(self.classes, self.probabilities, strict=True))
        flags = f", flags={self.flags!r}" if self.flags else ""
        return f"Prediction(name={self.name!r}, label={self.label!r}, probabilities=({pairs}){flags})"

    def _repr_html_(self) -> str:
        """A small table for notebooks."""
        rows = [("patch", self.name)]
        if self.error is not None:
            rows.append(("error", self.error))
        else:
            rows.append(("predicted class", self.label or "" if self.usable else "not assessable"))
            rows += [(c, f"{p:.1%}") for c, p in zip(self.classes, self.probabilities, strict=True)]
        if self.prediction_set is not None and self.coverage is not None:
            rows.append((f"prediction set at {self.coverage:.0%}", ", ".join(self.prediction_set) or "none"))
        if self.ood_score is not None:
            rows.append(("out-of-distribution score", f"{self.ood_score:.2f} (threshold 1)"))
        rows += [("note", note) for note in self.notes]
        rows.append(("model", self.model))
        cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
        return f"<table><caption>Research use only</caption>{cells}</table>"
