"""What stands in the case report of a patch? A prediction, its pictures and its run's card in; one page of words out.

``CaseReport`` holds the results, ``page_of`` says them; case_html and case_pdf only lay the same words out. Text from
outside is cleaned and bounded here, so that one A4 page is always enough and both documents say the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from her2core.errors import EvaluationError, ImageError
from her2core.io.text import clean_text

if TYPE_CHECKING:
    from her2core.inference.predictor import Prediction

SYNTHETIC = "Synthetic patch: drawn by a program. It shows no tissue and belongs to no patient."
PACKAGES = ("her2core", "torch", "timm", "numpy", "pillow")

# What one page holds (our choice): characters of a name, a caption, a sentence; rows, pictures, sentences of a kind.
_NAME, _CLASS, _CAPTION, _SENTENCE = 90, 32, 80, 240
_ROWS, _PICTURES, _SENTENCES = 12, 14, 7

Picture = tuple[str, str, np.ndarray]


@dataclass(frozen=True)
class CaseReport:
    """The results that one case report is made of.

    ``name``: the file's, cleaned by whoever took it in. ``created``: when, with its zone where known. ``label`` is
    None when the patch was not judged; ``reason`` then says why and no class, bar or map is shown. ``probabilities``:
    calibrated, 0-1, in the order of ``classes``. ``prediction_set``: the classes that are credible at ``coverage``
    (0-1); both None where the run has none. ``notes``, ``limits``: sentences about the patch and about the run.
    ``method``: the map method's name. ``pictures``: (caption, alternative text, uint8 (H, W, 3) RGB): the patch, the
    stain normalised, then a map a class. ``input_px``: side of the network's input. ``mpp``: the patch's microns per
    pixel, None when not stated. ``software``: versions by package.

    Raises EvaluationError or ImageError for parts that do not fit together.
    """

    name: str
    created: datetime
    model_id: str
    run_title: str
    label: str | None
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    prediction_set: tuple[str, ...] | None
    coverage: float | None
    notes: tuple[str, ...]
    limits: tuple[str, ...]
    synthetic: bool
    method: str
    pictures: tuple[Picture, ...] = field(repr=False, compare=False)
    temperature: float
    input_px: int
    mpp: float | None = None
    reason: str | None = None
    software: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label is None:
            _check(bool(self.reason), "a reason when there is no class", "none", "Say why the patch was not judged.")
        else:
            _check(self.label in self.classes, f"a class out of {', '.join(self.classes)}", repr(self.label))
            got = f"{len(self.probabilities)} for {len(self.classes)} classes"
            _check(len(self.probabilities) == len(self.classes), "one probability a class", got)
            right = all(math.isfinite(p) and 0 <= p <= 1 for p in self.probabilities)
            _check(right, "probabilities from 0 to 1", repr(self.probabilities))
        if self.prediction_set is not None:
            _check(set(self.prediction_set) <= set(self.classes), "a set of known classes", repr(self.prediction_set))
            right = self.coverage is not None and 0 < self.coverage < 1
            _check(right, "a coverage above 0 and below 1 with a prediction set", repr(self.coverage))
        for caption, _, image in self.pictures:
            array = isinstance(image, np.ndarray)
            if not array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ImageError(
                    "a uint8 (H, W, 3) RGB array with pixels",
                    got=f"{image.dtype} {image.shape}" if array else type(image).__name__,
                    where=f"case report, {clean_text(caption, _CAPTION)}",
                    fix="Pass what read_image, Prepare or overlay return.",
                )


@dataclass(frozen=True)
class Bar:
    """One row of the table of probabilities. ``share`` 0-1; ``text`` the same to read; ``in_set`` None without sets."""

    name: str
    share: float
    text: str
    in_set: bool | None
    top: bool


@dataclass(frozen=True)
class CasePage:
    """A case report in words, ready to be laid out: clean, bounded, nothing left to decide.

    ``verdict`` the class, or that there is none; ``sentences`` what follows it; ``bars`` empty when not judged;
    ``facts`` (what, value); ``banner`` empty unless synthetic.
    """

    name: str
    banner: str
    judged: bool
    verdict: str
    sentences: tuple[str, ...]
    bars: tuple[Bar, ...]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    limits: tuple[str, ...]
    pictures: tuple[Picture, ...]
    software: str

    @property
    def title(self) -> str:
        return f"Case report: {self.name}" + (" (synthetic)" if self.banner else "")


def case_report(
    prediction: Prediction,
    *,
    card: Mapping[str, Any],
    created: datetime,
    pictures: Sequence[Picture],
    method: str,
    synthetic: bool,
    mpp: float | None = None,
    software: Mapping[str, str] | None = None,
) -> CaseReport:
    """The report of one Prediction; ``card`` is the run's (``run.card``), the rest as in CaseReport.

    A patch that could not be read or holds nothing to judge gets its reason and no class. ``software`` is what is
    installed here when left out. Raises as CaseReport does.
    """
    judged = prediction.usable
    sets = prediction.prediction_set if judged else None
    limits = list(card["limits"])
    if not card["scheme"]["is_her2"]:
        limits.insert(0, f"The classes of this run are not a HER2 status: {card['scheme']['meaning']}")
    reason, notes = None, list(prediction.notes)
    if not judged:
        from her2core.data.prepare import FLAGS, UNUSABLE  # brings scipy in, so only where it is needed

        found = [FLAGS[flag] for flag in prediction.flags if flag in UNUSABLE]
        reason = prediction.error or " ".join(map(_sentence, found))
        notes = [note for note in notes if note not in found]
    return CaseReport(
        name=prediction.name,
        created=created,
        model_id=prediction.model,
        run_title=card["title"],
        label=prediction.label if judged else None,
        classes=tuple(prediction.classes),
        probabilities=tuple(prediction.probabilities) if judged else (),
        prediction_set=None if sets is None else tuple(sets),
        coverage=None if sets is None else prediction.coverage,
        notes=tuple(map(_sentence, notes)),
        limits=tuple(map(_sentence, limits)),
        synthetic=synthetic,
        method=method,
        pictures=tuple(pictures),
        temperature=float(card["temperature"]),
        input_px=int(card["input"]["px"]),
        mpp=mpp,
        reason=reason,
        software=software_versions() if software is None else dict(software),
    )


def software_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The installed version of each package; those that are not installed are left out."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def page_of(report: CaseReport) -> CasePage:
    """The report in words."""
    judged = report.label is not None
    facts = [
        ("Created", _when(report.created)),
        ("Run", clean_text(report.run_title, 140)),
        ("Model", clean_text(report.model_id, 90)),
        ("Network input", f"{report.input_px} x {report.input_px} px"),
        ("Microns per pixel", "not stated" if report.mpp is None else f"{report.mpp:.4g} (patch, as stated)"),
    ]
    if judged:
        facts += [("Temperature", f"{report.temperature:.3f}"), ("Map method", clean_text(report.method, 60))]
    # Beyond the patch and what the network saw, pictures are maps of classes: not for a patch that was not judged.
    pictures = report.pictures[: _PICTURES if judged else 2]
    return CasePage(
        name=clean_text(report.name, _NAME) or "unnamed",
        banner=SYNTHETIC if report.synthetic else "",
        judged=judged,
        verdict=clean_text(report.label, 60) if judged else "Not judged",
        sentences=_said(report) if judged else (clean_text(report.reason, _SENTENCE), "So no class is given."),
        bars=_bars(report) if judged else (),
        facts=tuple(facts),
        notes=_bounded(report.notes, "notes; the patch page lists all."),
        limits=_bounded(report.limits, "limits; the run's card lists all."),
        pictures=tuple(
            (_unbroken(clean_text(c, _CAPTION)), clean_text(alt, _SENTENCE), image) for c, alt, image in pictures
        ),
        software=", ".join(f"{clean_text(k, 30)} {clean_text(v, 30)}" for k, v in list(report.software.items())[:10]),
    )


def percent(share: float) -> str:
    """A probability 0-1 as text with one decimal; never 0 or 100 % where it is neither; unbroken."""
    if 0 < share < 0.0005:
        return "<0.1\u00a0%"
    if 0.9995 <= share < 1:
        return ">99.9\u00a0%"
    return f"{100 * share:.1f}\u00a0%"


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """uint8 (H, W, 3) RGB, made smaller where its longer side is over ``side`` px (antialiased, aspect kept)."""
    from PIL import Image

    longest = max(image.shape[:2])
    if longest <= side:
        return image
    height, width = (max(1, round(n * side / longest)) for n in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def columns(pictures: int) -> int:
    """How many pictures stand in a row: at most seven, and never so few that they grow out of the page."""
    return max(4, math.ceil(pictures / math.ceil(pictures / 7))) if pictures else 4


def _said(report: CaseReport) -> tuple[str, ...]:
    if report.prediction_set is None:
        return ("This run has no prediction sets: the probabilities stand without a guarantee.",)
    level = _unbroken(f"{100 * report.coverage:g} %")
    meaning = (
        f"What the set means: at least {level} of patches of each class keep their class in the set, on patches "
        "exchangeable with the validation patches."
    )
    names = ", ".join(clean_text(name, _CLASS) for name in report.prediction_set)
    if not names:
        return (f"Prediction set at {level}: empty; no class is credible at this level.", meaning)
    several = " The patch alone cannot tell these apart." if len(report.prediction_set) > 1 else ""
    return (f"Prediction set at {level}: {names}.{several}", meaning)


def _bars(report: CaseReport) -> tuple[Bar, ...]:
    """A row a class in the order of the scheme; beyond twelve the least probable are summed in the last row."""
    sets = report.prediction_set
    order = sorted(range(len(report.classes)), key=lambda i: -report.probabilities[i])
    few = order if len(order) <= _ROWS else order[: _ROWS - 1]
    rows = [
        Bar(
            name=clean_text(report.classes[i], _CLASS),
            share=report.probabilities[i],
            text=percent(report.probabilities[i]),
            in_set=None if sets is None else report.classes[i] in sets,
            top=report.classes[i] == report.label,
        )
        for i in sorted(few)
    ]
    if rest := order[len(few) :]:
        share = min(1.0, sum(report.probabilities[i] for i in rest))
        inside = None if sets is None else any(report.classes[i] in sets for i in rest)
        rows.append(Bar(f"{len(rest)} further classes together", share, percent(share), inside, False))
    return tuple(rows)


def _bounded(sentences: Sequence[str], rest: str) -> tuple[str, ...]:
    said = [clean_text(s, _SENTENCE) for s in sentences]
    if len(said) <= _SENTENCES:
        return tuple(said)
    return (*said[: _SENTENCES - 1], f"And {len(said) - _SENTENCES + 1} further {rest}")


def _unbroken(text: str) -> str:
    """Sizes and percentages stay on one line: "7 x 7", "90 %"."""
    return re.sub(r"(?<=\d) (x) (?=\d)|(?<=\d) (?=%)", lambda m: m[0].replace(" ", "\u00a0"), text)


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _when(moment: datetime) -> str:
    zone = moment.strftime("%Z") if moment.tzinfo else "local time, zone not stated"
    return f"{moment:%Y-%m-%d %H:%M} {zone}"


def _check(right: bool, expected: str, got: str, fix: str = "Build the report from one prediction.") -> None:
    if not right:
        raise EvaluationError(expected, got=got[:200], where="case report", fix=fix)
