"""Which column of a stranger's table means what? A table in; the label, score and id columns it seems to have out.

A guess only, from names: it is shown, and a person corrects it before ``foreign.adopt`` reads a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

#: What other tools call these columns, letters and digits only, the surest first.
_NAMES = {
    "patch_id": (
        "patchid",
        "patch",
        "patchname",
        "tileid",
        "tile",
        "tilename",
        "imageid",
        "image",
        "imagename",
        "filename",
        "filepath",
        "path",
        "file",
        "imagepath",
        "patchpath",
        "tilepath",
        "sampleid",
        "id",
    ),
    "patient_id": ("patientid", "patient", "caseid", "case", "subjectid", "subject", "pid", "patientcode"),
    "slide_id": ("slideid", "slide", "slidename", "wsiid", "wsi", "wsiname"),
    "site": ("site", "siteid", "centre", "center", "centreid", "centerid", "hospital", "institution", "cohort"),
    "split": ("split", "subset", "partition", "set", "dataset", "phase"),
    "label": (
        "label",
        "truelabel",
        "labeltrue",
        "ytrue",
        "true",
        "trueclass",
        "target",
        "targets",
        "groundtruth",
        "gt",
        "truth",
        "class",
        "her2",
        "her2status",
        "y",
        "labels",
    ),
}
ROLES = ("label", "patch_id", "patient_id", "slide_id", "site", "split")

_AFFIX = r"probability|probabilities|probs?|proba|p|scores?|logits?|softmax|confidence|conf|output"
_BEFORE = re.compile(
    rf"(?P<family>(?:(?:y|pred|predicted|model|test)[\s_.-]+)?(?:{_AFFIX}))(?:[\s_.:-]+|(?P<open>\s*[(\[]\s*))(?P<name>.+)",
    re.IGNORECASE | re.DOTALL,
)
_AFTER = re.compile(rf"(?P<name>.+?)[\s_.:-]+(?P<family>{_AFFIX})", re.IGNORECASE | re.DOTALL)
#: The only score of a table of two classes (no "pred": that may be an answer), and the class that it is of.
_SCORE = (
    "score",
    "yscore",
    "prob",
    "yprob",
    "proba",
    "yproba",
    "probability",
    "p",
    "ppos",
    "predictedprobability",
    "confidence",
    "logit",
    "ylogit",
)
_FOUND = ("1", "positive", "pos", "true", "yes", "her2positive", "her2pos", "case", "high")
_FILLER = re.compile(r"(?:class|of|for|label)[\s_.:-]+(?=.)", re.IGNORECASE)


@dataclass(frozen=True)
class ColumnMap:
    """Names of columns. ``scores`` gives for each class, in their order, the column of its probability or logit;
    ``labels`` which class a spelling in the label column means where it is not the class's own name; ``rest``, where
    there is one score only, the class that has none: it gets one minus the other's. None: there is no such column."""

    label: str | None = None
    scores: Mapping[str, str] = field(default_factory=dict)
    patch_id: str | None = None
    patient_id: str | None = None
    slide_id: str | None = None
    site: str | None = None
    split: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    rest: str | None = None


def guess_columns(frame: pd.DataFrame) -> ColumnMap:
    """The columns by the names other tools give them: ``prob_HER2+``, ``p_0``, ``negative_score``, ``logit_x``, or
    columns named as the labels themselves.

    Never raises and never decides for good: what is not recognised stays None or out of ``scores``.
    """
    names = [str(c) for c in frame.columns]
    roles = {role: _by_name(names, role) for role in ROLES}
    taken = {name for name in roles.values() if name is not None}
    truths = _values(frame, names, roles["label"])
    families: dict[tuple[str, str], dict[str, str]] = {}
    for place, name in enumerate(names):
        if name in taken or _squash(name) == "pvalue" or not _numeric(frame.iloc[:, place]):
            continue
        if name in truths:
            families.setdefault(("bare", ""), {}).setdefault(name, name)
        for side, pattern in (("before", _BEFORE), ("after", _AFTER)):
            if found := pattern.fullmatch(name.strip()):
                of = found["name"]
                if side == "before" and found["open"]:
                    of = of.rstrip(" )]")
                families.setdefault((side, re.sub(r"[\W_]+", "_", found["family"].lower())), {}).setdefault(of, name)
    best = max(families.items(), key=lambda item: _rank(item, truths), default=None)
    scores = best[1] if best is not None and len(best[1]) > 1 else {}
    short = {_FILLER.sub("", of, count=1) if _FILLER.match(of) else of: column for of, column in scores.items()}
    if len(short) == len(scores) and len(truths & set(short)) >= len(truths & set(scores)):
        scores = short
    if not scores and len(truths) == 2:
        alone = _single_score(frame, names, taken, families, truths)
        if alone is not None:
            return ColumnMap(scores={alone[0]: alone[1]}, rest=next(t for t in truths if t != alone[0]), **roles)
    return ColumnMap(scores=scores, **roles)


def _single_score(frame, names, taken, families, truths) -> tuple[str, str] | None:
    """Of two classes one has a score: that class and its column. A score named after neither class is that of the one
    that is found, as everywhere: positive, 1, yes ..."""
    if sum(bool(_BEFORE.fullmatch(n.strip()) or _AFTER.fullmatch(n.strip())) for n in names if n not in taken) > 1:
        return None  # the other one may be there and unreadable
    for of, column in ((of, c) for scores in families.values() for of, c in scores.items()):
        if (bare := _FILLER.sub("", of, count=1)) in truths:
            return bare, column
    found = next((t for t in sorted(truths) if _squash(t) in _FOUND or t.strip() == "her2+"), None)
    held = [n for i, n in enumerate(names) if n not in taken and _numeric(frame.iloc[:, i]) and _squash(n) in _SCORE]
    return (found, held[0]) if found is not None and len(held) == 1 else None


def label_values(frame: pd.DataFrame, columns: ColumnMap) -> list[str]:
    """The different cells of the label column as text, in order; empty without such a column."""
    return sorted(_values(frame, [str(c) for c in frame.columns], columns.label))


def suggest_labels(frame: pd.DataFrame, columns: ColumnMap) -> dict[str, str]:
    """Spellings in the label column that differ from one class only by case or blanks, with that class: for
    ``ColumnMap.labels``, once a person has agreed."""
    truths = _values(frame, [str(c) for c in frame.columns], columns.label)
    return nearly(truths, columns.scores)


def nearly(spellings, classes) -> dict[str, str]:
    """Of ``spellings`` those that are no class but equal one of ``classes`` up to case and blanks, with that class."""
    plain: dict[str, set[str]] = {}
    for name in classes:
        plain.setdefault(_squeezed(name), set()).add(name)
    near = {s: plain.get(_squeezed(s), set()) for s in sorted(spellings) if s not in classes}
    return {s: next(iter(found)) for s, found in near.items() if len(found) == 1}


def cell_text(value: object) -> str:
    """A cell as text, empty for a missing one; 2.0 (a whole number in a column with gaps) is 2. Blanks stay."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_text_by_name(name: str) -> bool:
    """Whether a column of that name holds ids or labels, whose cells are never numbers ("1.10" is not 1.1)."""
    return any(_squash(name) in known for known in _NAMES.values())


def _by_name(names: list[str], role: str) -> str | None:
    squashed = [_squash(name) for name in names]
    return next((names[squashed.index(known)] for known in _NAMES[role] if known in squashed), None)


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", str(name).casefold())


def _squeezed(name: str) -> str:
    return "".join(str(name).split()).casefold()


def _values(frame: pd.DataFrame, names: list[str], label: str | None) -> set[str]:
    if label is None or label not in names:
        return set()
    return {text for v in frame.iloc[:, names.index(label)].unique()[:10_000] if (text := cell_text(v)).strip()}


def _numeric(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return True
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        return False
    return bool(pd.to_numeric(column.head(200), errors="coerce").notna().any())


def _rank(item: tuple[tuple[str, str], dict[str, str]], truths: set[str]) -> tuple[int, int, int, int]:
    (side, family), scores = item
    bare = {_FILLER.sub("", of, count=1) for of in scores} | set(scores)
    return len(truths & bare), len(scores), int("prob" in family or family == "p"), int(side == "before")
