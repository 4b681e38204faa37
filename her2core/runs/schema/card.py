"""Schema of model.card.json: what is needed to use a run's weights and to assess them."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from her2core.runs.schema.fields import Count, Hash, Number, Plain, Positive, Section, Share, Text, Words, check_fields

#: Sides of a network's input in pixels that a configuration or a card may ask for.
SMALLEST_PX, LARGEST_PX = 32, 1024
#: Most classes of a run: every page draws one row, map or curve for each.
MOST_CLASSES = 100
_Rgb = Annotated[list[Number], Field(min_length=3, max_length=3)]
_Spread = Annotated[list[Annotated[float, Field(gt=1e-6, le=1e6)]], Field(min_length=3, max_length=3)]
_Density = Annotated[list[Annotated[float, Field(ge=-10, le=10)]], Field(min_length=3, max_length=3)]
_Counts = dict[Words, dict[Words, Count]]


class Hub(Section):
    """Architecture of a hub's model."""

    architecture: Words
    model_args: dict[Words, Plain | Annotated[list[Plain], Field(max_length=64)]] = Field(default_factory=dict)


class Network(Section):
    """Name and options of the network; which of them it takes is decided by the registry of networks."""

    name: Words
    options: dict[Words, Plain | Annotated[list[Plain], Field(max_length=64)]]
    init: Words | None = None
    last_layer: dict[Words, Plain] | None = None
    hub: Hub | None = None


class Input(Section):
    """Size and scaling of the network's input."""

    px: Annotated[int, Field(ge=SMALLEST_PX, le=LARGEST_PX)]
    mean: _Rgb
    std: _Spread
    field_um: Annotated[float, Field(gt=0, le=1e6)] | None = None
    mpp: Positive | None = None


class StainValues(Section):
    """Stain to which patches are normalised."""

    vectors: Annotated[list[_Density], Field(min_length=2, max_length=2)]
    max_concentration: Annotated[list[Annotated[float, Field(gt=0, le=100)]], Field(min_length=2, max_length=2)]
    white: Annotated[float, Field(gt=0, le=255)]

    @model_validator(mode="after")
    def _independent(self) -> StainValues:
        (a, b, c), (d, e, f) = self.vectors
        if (b * f - c * e) ** 2 + (c * d - a * f) ** 2 + (a * e - b * d) ** 2 < 1e-8:
            raise ValueError("the two stain vectors should point in different directions")
        return self


class Stain(Section):
    """Stain normalisation."""

    method: Words = "macenko"
    reference: StainValues | None


class Scheme(Section):
    """Meaning of the classes."""

    name: Words | None = None
    meaning: Text
    is_her2: bool


class Facts(Section):
    """What is known of the data set; further facts are kept as they are."""

    synthetic: bool = False
    spec: dict[Words, Plain] | None = None
    licence: Text | None = None
    citation: Text | None = None

    @model_validator(mode="after")
    def _rendered(self) -> Facts:
        if self.synthetic and self.spec is None:
            raise ValueError("synthetic data should have a field 'spec'")
        return self


class Data(Section):
    """Data of training, validation and test."""

    name: Words | None = None
    facts: Facts = Facts()
    sources: Annotated[list[Text], Field(max_length=100_000)]
    patients_known: bool | None = None
    split_unit: Words
    patches: _Counts
    patients: _Counts | None = None


class _Sets(Section):
    """Thresholds of prediction sets, none where validation was too small for any."""

    coverage: Annotated[float, Field(gt=0, lt=1)]
    classes: list[Words]
    thresholds: dict[Words, Share]
    kind: Literal["class-conditional", "marginal", "none"] = "class-conditional"
    reason: Text = ""

    def _check(self, *counted: str) -> None:
        expected = set() if self.kind == "none" else set(self.classes)
        counts = [getattr(self, name) for name in counted if getattr(self, name) is not None]
        if set(self.thresholds) != expected or any(set(self.classes) != set(count) for count in counts):
            raise ValueError(f"thresholds and {counted[0]} should be given for each of the classes")


class PatientSets(_Sets):
    """Prediction sets of patients."""

    validation_patients: dict[Words, Count]
    rule: Words

    @model_validator(mode="after")
    def _complete(self) -> PatientSets:
        self._check("validation_patients")
        return self


class Sets(_Sets):
    """Prediction sets of patches, and within them those of patients."""

    validation_patches: dict[Words, Count]
    validation_patients: dict[Words, Count] | None = None
    of_patients: PatientSets | None = None

    @model_validator(mode="after")
    def _complete(self) -> Sets:
        self._check("validation_patches", "validation_patients")
        if self.of_patients is not None and self.of_patients.classes != self.classes:
            raise ValueError("of_patients.classes should be those of the sets of patches")
        return self


class Final(Section):
    """Model trained on all patients after cross-validation."""

    patches: Count
    patients: Count | None = None
    setting: Words


class OutOfFold(Section):
    """Models whose out-of-fold predictions these are."""

    unit: Words
    folds: Annotated[list[Words], Field(min_length=2, max_length=10_000)]
    temperatures: Annotated[list[Annotated[float, Field(ge=1e-3, le=1e3)]], Field(min_length=2, max_length=10_000)]
    weights_sha256: Annotated[list[Hash], Field(min_length=2, max_length=10_000)]
    final: Final | None = None

    @model_validator(mode="after")
    def _one_each(self) -> OutOfFold:
        if not len(self.folds) == len(self.temperatures) == len(self.weights_sha256):
            raise ValueError("temperatures and weights_sha256 should be given for each fold")
        return self


class External(Section):
    """Run that was evaluated on another cohort, and what its card says of its own data."""

    run: Words
    title: Words
    weights_sha256: Hash
    manifest_hash: Hash
    data: Data


class Detector(Section):
    """Out-of-distribution detector."""

    sha256: Hash
    validation_patches: Count
    training_patches: Count | None = None
    threshold: Number | None = None


class Card(Section):
    """The whole card.

    Examples
    --------
    >>> "temperature" in Card.model_fields
    True
    """

    title: Words
    intended_use: Text
    limits: Annotated[list[Text], Field(max_length=1_000)]
    classes: Annotated[list[Words], Field(min_length=2, max_length=MOST_CLASSES)]
    temperature: Annotated[float, Field(ge=1e-3, le=1e3)]
    weights_sha256: Hash
    network: Network
    input: Input
    stain: Stain
    scheme: Scheme
    data: Data
    decision: Text | None = None
    map_grid: Annotated[list[Count], Field(min_length=2, max_length=2)] | None = None
    prediction_sets: Sets | None = None
    ood: Detector | None = None
    out_of_fold: OutOfFold | None = None
    external: External | None = None

    @field_validator("classes")
    @classmethod
    def _names(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) < len(classes):
            raise ValueError("each class should be named once")
        if any(not name.strip() or not name.isprintable() or len(name) > 100 for name in classes):
            raise ValueError("names of classes should be visible text of at most 100 characters")
        return classes

    @model_validator(mode="after")
    def _same_classes(self) -> Card:
        if self.prediction_sets is not None and self.prediction_sets.classes != self.classes:
            raise ValueError("prediction_sets.classes should be the card's classes in their order")
        return self


def check_card(value: dict[str, Any], *, where: str | os.PathLike[str]) -> None:
    """Refuse a model card with a field that is missing, of another kind or out of range.

    Parameters
    ----------
    value : dict
        Content of model.card.json.
    where : path
        The file, for the message.

    Raises
    ------
    RunError
        Naming the field.

    Examples
    --------
    >>> check_card({"title": "x"}, where="model.card.json")
    Traceback (most recent call last):
        ...
    her2core.errors.RunError: Expected a model card with all its fields, but got no field 'intended_use' \
(model.card.json). Copy the run again from its source.
    """
    check_fields(Card, value, where=where, expected="a model card with all its fields")
