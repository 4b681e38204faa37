"""Does colour alone tell the class of patients not seen before? Colours of patches in; a finding, or none, out.

A linear classifier sees a few colour statistics of each patient, averaged over its patches, and answers for each
patient from all others (ridge regression, whose leave-one-out answers have a closed form: Allen 1974, Technometrics
16:125, doi 10.1080/00401706.1974.10489157). Its area under the ROC curve, of the class it tells best, is compared with
what it reaches after the labels are dealt out to the patients anew, again and again: a permutation test over patients
(Ojala and Garriga 2010, J Mach Learn Res 11:1833), so that neither few patients nor the many patches of one can
raise an alarm by themselves.

A warning says that colour goes with the class, not why: a difference of stain or scanner is an artefact, but more or
larger nuclei are bluer too. Colour that goes with the class in a curved way, or in few patches, is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from her2core.data.checks.finding import Finding, finding
from her2core.data.manifest import UNKNOWN, Manifest
from her2core.stain.macenko import density_table

if TYPE_CHECKING:
    from her2core.data.checks.contents import Contents

#: Fewest patients of a class for it to be judged, in at least two classes, and fewest in all: under these not even a
#: perfect classifier would be rarer than one deal in a thousand.
MIN_UNITS, MIN_ALL = 6, 15
#: A warning needs both: no more than one of a thousand random deals as good, and an area that matters (our choice).
CHANCE, MIN_AREA = 1e-3, 0.75
DEALS = 1999
#: Penalty of the ridge, a patient.
_RIDGE = 0.3
_PIXELS = 2048
_TISSUE = 0.15
_DENSITY = density_table(255.0)

#: What is taken of each patch, in optical density: of all pixels, and of tissue alone where there is any.
COLOURS = (
    *(f"{what} {channel}" for what in ("mean", "deviation", "lightest", "darkest") for channel in "RGB"),
    "red to green",
    "blue to green",
)


@dataclass(frozen=True)
class Evidence:
    """``area`` under the ROC curve of the class told best, ``label`` its number, and ``chance``: the share of random
    deals of the labels in which the class told best is told as well (1 added to both counts)."""

    area: float
    label: int
    chance: float


def colours(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> float32 (14,), the COLOURS, from some 2,000 pixels on a grid.

    Lightest and darkest are the 1st and 99th percentile; the ratios are of the tissue's mean densities (pixels whose
    mean density exceeds 0.15), of all pixels where under 1 % are tissue.
    """
    step = max(1, int(np.sqrt(image.shape[0] * image.shape[1] / _PIXELS)))
    pixels = image[::step, ::step].reshape(-1, 3)
    density = _DENSITY[pixels]
    tissue = density[density.mean(axis=1) > _TISSUE]
    red, green, blue = (tissue if len(tissue) > 0.01 * len(density) else density).mean(axis=0)
    ends = (len(pixels) // 100, len(pixels) - 1 - len(pixels) // 100)
    high, low = _DENSITY[np.partition(pixels, ends, axis=0)[list(ends)]]
    ratios = (red / max(green, 0.02), blue / max(green, 0.02))
    return np.concatenate([density.mean(axis=0), density.std(axis=0), low, high, ratios]).astype(np.float32)


def colour_confounded(manifest: Manifest, split: pd.DataFrame | None, seen: Contents) -> Finding | None:
    """A warning where colour tells the class across patients; information where that cannot be judged.

    Slides take the patients' place where patients are unknown and slides are not; the finding says so.
    """
    frame = manifest.frame[seen.read]
    if frame.empty:
        return None
    unit = next((c for c in ("patient_id", "slide_id") if not (frame[c] == UNKNOWN).any()), None)
    if unit is None:
        return _unjudged(
            frame.head(0),
            "unknown patients and slides",
            "Add patient ids. Until then a colour that tells the class cannot be told from a colour "
            "that tells the patient.",
        )
    name = unit.removesuffix("_id") + "s"
    labels = frame.groupby(unit)["label"].agg(["first", "nunique"])
    labels = labels.loc[labels["nunique"] == 1, "first"]
    counts = labels.value_counts()
    judged = [c for c in manifest.classes if counts.get(c, 0) >= MIN_UNITS]
    if len(judged) < 2 or sum(counts[c] for c in judged) < MIN_ALL:
        told = ", ".join(f"{counts.get(c, 0)} of {c}" for c in manifest.classes)
        return _unjudged(
            frame.head(0),
            f"{name} with one label: {told}",
            f"Add {name}; with so few, not even a colour that always tells the class can be told from chance.",
        )
    labels = labels[labels.isin(judged)]
    means = pd.DataFrame(seen.colours[seen.read]).groupby(frame[unit].to_numpy()).mean().loc[labels.index]
    told = colour_evidence(means.to_numpy(), labels.map(judged.index).to_numpy())
    if told.chance > CHANCE or told.area < MIN_AREA:
        return None
    caution = "" if unit == "patient_id" else " Slides of one patient share a stain: patient ids may explain this away."
    return finding(
        "colour-confounded",
        "warning",
        frame[frame["label"].isin(judged)],
        f"classes that colour alone does not tell across {name}",
        f"an AUROC of {told.area:.2f} for {judged[told.label]} against the rest, over {len(labels)} {name} "
        f"left out one by one (p = {told.chance:.4f})",
        "Look whether the classes were stained or scanned apart; normalise the stain, and report the "
        "colour-only figure beside the network's." + caution,
    )


def colour_evidence(features: np.ndarray, labels: np.ndarray, *, deals: int = DEALS, seed: int = 0) -> Evidence:
    """How well a linear classifier tells the class from ``features``, each row answered for from all others.

    Parameters
    ----------
    features : float (N, F), one row a patient. labels : int (N,), classes 0 to K - 1, each present at least twice.
    deals : how often the labels are dealt out anew, at most; it stops once 20 deals reached what was found, when no
        more could make the answer a rare one (Besag and Clifford 1991, Biometrika 78:301, doi 10.1093/biomet/78.2.301).
    seed : of the deals.
    """
    spread = features.std(axis=0)
    x = ((features - features.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)).astype(np.float64)
    x = np.column_stack([np.ones(len(x)), x])
    penalty = _RIDGE * len(x) * np.eye(x.shape[1])
    penalty[0, 0] = 0
    solve = np.linalg.solve(x.T @ x + penalty, x.T)
    own = (x * solve.T).sum(axis=1)[:, None]
    classes = np.arange(labels.max() + 1)
    rng = np.random.default_rng(seed)

    def areas(dealt: np.ndarray) -> np.ndarray:
        truth = (dealt[:, :, None] == classes).reshape(len(x), -1)
        answers = (x @ (solve @ truth) - own * truth) / (1 - own)
        return _areas(answers, truth).reshape(dealt.shape[1], -1)

    found = areas(labels[:, None])[0]
    batch = max(1, min(100, 1_000_000 // (len(x) * len(classes))))
    reached, done = 0, 0
    while done < deals and reached < 20:
        some = min(batch, deals - done)
        dealt = rng.permuted(np.tile(labels, (some, 1)), axis=1).T
        reached += int((areas(dealt).max(axis=1) >= found.max() - 1e-12).sum())
        done += some
    return Evidence(float(found.max()), int(found.argmax()), (1 + reached) / (1 + done))


def _areas(answers: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each column, from the ranks (Mann-Whitney); ties do not occur but in constants."""
    ranks = answers.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") + 1
    positive = truth.sum(axis=0)
    return ((ranks * truth).sum(axis=0) - positive * (positive + 1) / 2) / (positive * (len(answers) - positive))


def _unjudged(rows: pd.DataFrame, got: str, fix: str) -> Finding:
    expected = f"at least {MIN_UNITS} patients a class and {MIN_ALL} in all, to see whether colour tells the class"
    return finding("colour-unjudged", "info", rows, expected, got, fix)
