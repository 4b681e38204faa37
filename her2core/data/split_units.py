"""The registry of split units: what is kept together when patches are divided into training, validation and test.

The unit decides what the test figures may claim: patches of one slide or patient resemble each other, and figures are
inflated where they are in training and test (Bussola et al. 2021, doi 10.1007/978-3-030-68763-2_13). Configuration,
command line, studies, reports and pages take names, labels and claims from here. A further unit is one member of `Unit`
and one entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from her2core.errors import SplitError

Unit = Literal["patient", "slide", "field", "site", "patch_random", "predefined"]
#: Parts of a split, in their order.
PARTS = ("train", "val", "test")
#: What the parts are called in text for people.
PART_NAMES: Mapping[str, str] = MappingProxyType({"train": "training", "val": "validation", "test": "test"})


@dataclass(frozen=True)
class SplitUnit:
    """One way to divide a data set.

    Parameters
    ----------
    name : str
        As in configurations, on the command line and in the model card.
    label : str
        Adverbial phrase for people: "The data were split <label>."
    description : str
        One clause on what the unit does.
    column : str or None
        Column of the manifest whose values stay together; None where single patches are assigned, or where the data
        set brings its own split.
    claim : str
        What figures of the test part describe, as a noun phrase.
    separates_patients : bool
        Whether no patient is in several parts, provided that the ids are right.

    Examples
    --------
    >>> SPLIT_UNITS["patient"].column
    'patient_id'
    >>> SPLIT_UNITS["patch_random"].separates_patients
    False
    """

    name: Unit | Literal["external"]
    label: str
    description: str
    column: str | None
    claim: str
    separates_patients: bool


_ALL = (
    SplitUnit(
        "patient",
        "by patient",
        "all patches of a patient are in one part",
        "patient_id",
        "performance on new patients from the same sites",
        True,
    ),
    SplitUnit(
        "slide",
        "by slide",
        "all patches of a slide are in one part; slides of one patient may be in several",
        "slide_id",
        "performance on new slides, possibly of patients seen in training",
        False,
    ),
    SplitUnit(
        "field",
        "by field",
        "all windows of a field are in one part; fields of one slide may be in several",
        "field_id",
        "performance on new fields, possibly of patients seen in training",
        False,
    ),
    SplitUnit(
        "site",
        "by site",
        "all patches of a site are in one part",
        "site",
        "performance on new patients from new sites",
        True,
    ),
    SplitUnit(
        "patch_random",
        "by random patches",
        "single patches are assigned at random; neighbouring patches of one slide are in several parts",
        None,
        "recognition of slides seen in training; inflated as a claim about new patients",
        False,
    ),
    SplitUnit(
        "predefined",
        "as predefined by the data set",
        "the column `split` of the manifest is used as it is",
        None,
        "whatever the ids of its parts allow",
        False,
    ),
)
#: Every split unit by its name, in the order in which they are offered.
SPLIT_UNITS: Mapping[str, SplitUnit] = MappingProxyType({unit.name: unit for unit in _ALL})
#: Of an external validation; no split that can be asked for.
EXTERNAL = SplitUnit(
    "external",
    "by data set",
    "the test part is another data set than training and validation",
    None,
    "performance on that data set",
    True,
)
#: Labels alone, for figures and tables.
SPLIT_LABELS: Mapping[str, str] = MappingProxyType({unit.name: unit.label for unit in _ALL})
UNIT_NAMES: tuple[Unit, ...] = get_args(Unit)
#: Name of the design that leaves out one site after another.
EACH_SITE = "each-site"
#: Labels of the designs of a cross-validation, by ``design_name``.
DESIGN_LABELS: Mapping[str, str] = MappingProxyType(
    {name.replace("_", "-"): label for name, label in SPLIT_LABELS.items()}
    | {EACH_SITE: "by site, each left out in turn"}
)


def design_name(unit: str, *, each: bool = False) -> str:
    """Name of a validation design, as in groups and folders of a cross-validation.

    Parameters
    ----------
    unit : str
        Name of the split unit.
    each : bool
        Whether one site after another is left out.

    Returns
    -------
    str

    Examples
    --------
    >>> design_name("patch_random"), design_name("site", each=True)
    ('patch-random', 'each-site')
    """
    return EACH_SITE if each else unit.replace("_", "-")


def split_unit(name: str) -> SplitUnit:
    """Look up a split unit.

    Parameters
    ----------
    name : str

    Returns
    -------
    SplitUnit

    Raises
    ------
    SplitError
        For an unknown name.

    Examples
    --------
    >>> split_unit("site").label
    'by site'
    """
    if name not in SPLIT_UNITS:
        raise SplitError(
            f"argument `unit` to be one of {', '.join(SPLIT_UNITS)}", got=repr(name), fix="Choose one of them."
        )
    return SPLIT_UNITS[name]


def known_split(name: str | None) -> SplitUnit | None:
    """How a run's data were split, as far as its card says.

    Parameters
    ----------
    name : str or None
        ``split_unit`` of a card.

    Returns
    -------
    SplitUnit or None
        None for a name that is not known.

    Examples
    --------
    >>> known_split("external").label, known_split("tile")
    ('by data set', None)
    """
    return EXTERNAL if name == EXTERNAL.name else SPLIT_UNITS.get(name or "")


def split_label(name: str | None) -> str:
    """How the data were split, for people, whatever a file says.

    Parameters
    ----------
    name : str or None
        A name of the registry; other names are shown as they are, and None is "in an unknown way".

    Returns
    -------
    str

    Examples
    --------
    >>> split_label("patch_random"), split_label("tile"), split_label(None)
    ('by random patches', 'by tile', 'in an unknown way')
    """
    if name is None:
        return "in an unknown way"
    known = known_split(name)
    return known.label if known else f"by {name.replace('_', ' ')}"


def markdown_table() -> str:
    """The registry as a Markdown table.

    Returns
    -------
    str
        One row per unit: name, what it does, what test figures describe.

    Examples
    --------
    >>> print(markdown_table().splitlines()[2])
    | patient | all patches of a patient are in one part | performance on new patients from the same sites |
    """
    rows = [f"| {u.name} | {u.description} | {u.claim} |" for u in SPLIT_UNITS.values()]
    return "\n".join(["| unit | what it does | what test figures describe |", "|---|---|---|", *rows])
