"""Check of a split's completeness: absent parts, rows without a part, patches in several parts."""

from __future__ import annotations

from her2core.data.checks.inputs import CheckInputs
from her2core.data.checks.outcome import Found, Result, Severity
from her2core.data.split_units import PART_NAMES, PARTS


def incomplete_split(inputs: CheckInputs) -> Result:
    """Find absent parts, and patches that have no part, an unknown one, or several.

    Rows of the split that the manifest lacks are ignored: a split may have been made of more data. Only the validation
    part being absent is information: a split into training and test is common.

    Examples
    --------
    >>> from her2core.data.checks.inputs import example_inputs
    >>> incomplete_split(example_inputs(split=["train", "test", "", "val"])).got
    '1 patch without a part'
    >>> incomplete_split(example_inputs(split=["train", "val"])).got
    'no patch in the test part'
    """
    if inputs.split is None:
        raise RuntimeError("the check uses the split without requiring it in the registry")
    split = inputs.split[["patch_id", "split"]]
    known = split["patch_id"].isin(inputs.frame["patch_id"])
    given = split[known & split["split"].isin(PARTS)]
    several = given.groupby("patch_id")["split"].nunique()
    several = several.index[several > 1]
    held = set(given["patch_id"])
    blank = [p for p in inputs.frame["patch_id"] if p not in held]
    absent = [PART_NAMES[part] for part in PARTS if not (given["split"] == part).any()]
    faults = [f"no patch in the {part} part" for part in absent]
    faults += [f"{_patches(len(blank))} without a part"] if blank else []
    faults += [f"{_patches(len(several))} in several parts"] if len(several) else []
    if not faults:
        return None
    mild = faults == ["no patch in the validation part"]
    severity: Severity | None = "info" if mild else None
    return Found(
        "every patch in one part of training, validation and test",
        "; ".join(faults),
        [*blank, *several],
        severity=severity,
    )


def _patches(count: int) -> str:
    return "1 patch" if count == 1 else f"{count:,} patches"
