"""Schemas of the tables of a run: columns, kinds of values, and the rows that belong together.

Pages and reports read these tables without asking further: a column that is named here is there and of its kind, units
and classes are known ones, no row stands twice, and a metric that is given by class is given for every class.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Units of analysis.
UNITS = ("patch", "slide", "patient")
_KEYS = (
    "unit",
    "metric",
    "class",
    "true",
    "predicted",
    "baseline",
    "scores",
    "strategy",
    "policy",
    "rule",
    "by",
    "group",
    "method",
    "measure",
    "property",
)
_WORDS = (
    "kind",
    "role",
    "resampling_unit",
    "interval_method",
    "note",
    "left_out",
    "reason",
    "rule_reason",
    "table",
    "what",
    "measure",
)
_OF_LABELS = ("part", "id", "suggested", "published_source")
_OF_STUDIES = ("reference", "network", "held_out", "statement", "name", "init", "frozen", "state", "processor")
#: Columns of the tables of evaluations and studies that are text, even where a class is called 0.
TEXT_COLUMNS = (*_KEYS, *_WORDS, *_OF_STUDIES, *_OF_LABELS, "her2_ihc", "ish", "patient_id", "subset", "columns")
_COLUMNS = ("patch_id", "patient_id", "slide_id", "site", "scanner", "label", "source", "split", "her2_ihc", "ish")
#: The same, and those of the data.
TEXT = frozenset((*TEXT_COLUMNS, *_COLUMNS))
#: Of the columns that a schema names, these hold counts; the rest that are no text hold numbers.
WHOLE = frozenset(
    {
        "n",
        "n_clusters",
        "count",
        "bin",
        "patients",
        "validation_n",
        "validation_cases",
        "seeds",
        "runs",
        "asked",
        "epoch",
        "fold",
        "comparisons",
        "reference_patients",
        "suspected",
        "sites",
        "n_development",
        "n_external",
    }
)
_BASE = ("value", "lower_95", "upper_95", "note", "resampling_unit", "n_clusters", "n")


@dataclass(frozen=True)
class TableSchema:
    """Schema of one table.

    Parameters
    ----------
    columns : tuple of str
        Columns that must be there; further ones are kept.
    key : tuple of str
        Columns that name a row; none stands twice.
    rows : bool
        Whether it needs at least one row.
    optional : tuple of str
        Columns that may be absent, and are checked as the others where they are there.
    finite : tuple of str
        Columns whose numbers may not be missing.
    by_class : tuple of str
        Where not empty: within each group by these columns, what is given for one class is given for all.
    numbers : tuple of str
        Columns that hold numbers here and text in other tables.
    complete : tuple, optional
        Columns, a further column and its values: within each group by the columns, each of the values is given.

    Examples
    --------
    >>> EVALUATION_TABLES["confusion"].key
    ('unit', 'true', 'predicted')
    """

    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    rows: bool = False
    optional: tuple[str, ...] = field(default=(), kw_only=True)
    finite: tuple[str, ...] = ()
    by_class: tuple[str, ...] = field(default=())
    complete: tuple[tuple[str, ...], str, tuple[str, ...]] | None = None
    numbers: tuple[str, ...] = ()

    @property
    def text(self) -> tuple[str, ...]:
        """Columns that are read as text."""
        return tuple(name for name in TEXT_COLUMNS if name not in self.numbers)


_COUNTED = ("n", "n_clusters")
_CALIBRATION = (
    *("ece_equal_mass", "ece_equal_width", "classwise_ece", "brier"),
    *("brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins"),
    *("calibration_slope", "calibration_intercept", "calibration_in_the_large"),
)
_REFERRAL = ("coverage", "correct_rate", "referral_rate", "set_coverage", "selective_accuracy")
#: Tables of ``evaluation/`` by name.
EVALUATION_TABLES: dict[str, TableSchema] = {
    "metrics": TableSchema(
        ("unit", "metric", "class", *_BASE), ("unit", "metric", "class"), True, _COUNTED, ("unit", "metric")
    ),
    "confusion": TableSchema(
        ("unit", "true", "predicted", "count", "proportion_of_true"), ("unit", "true", "predicted"), True, ("count",)
    ),
    "units": TableSchema(("unit", "assessed", "n", "reason", "rule", "rule_reason"), ("unit",), True, ("n",)),
    "calibration": TableSchema(
        ("scores", "unit", "metric", "class", *_BASE),
        ("scores", "unit", "metric", "class"),
        finite=_COUNTED,
        by_class=("scores", "unit", "metric"),
        complete=(("unit", "scores"), "metric", _CALIBRATION),
    ),
    "reliability": TableSchema(
        ("unit", "metric", "class", "bin", "lowest", "highest", "mean_probability", *_BASE),
        ("unit", "metric", "class", "bin"),
        finite=(*_COUNTED, "bin", "lowest", "highest", "mean_probability", "value"),
    ),
    "risk_coverage": TableSchema(
        ("unit", "metric", "class", "coverage", "threshold", *_BASE),
        ("unit", "metric", "class", "coverage"),
        finite=(*_COUNTED, "value"),
        complete=(("unit",), "metric", ("risk", "aurc")),
    ),
    "referral": TableSchema(
        ("unit", "metric", "class", *_BASE, "nominal_coverage"),
        ("unit", "metric", "class"),
        finite=(*_COUNTED, "nominal_coverage"),
        by_class=("unit", "metric"),
        complete=(("unit", "class"), "metric", _REFERRAL),
    ),
    "decisions": TableSchema(
        ("unit", "metric", "class", "strategy", "threshold", *_BASE),
        ("unit", "metric", "class", "strategy", "threshold"),
        finite=(*_COUNTED, "threshold", "value"),
        complete=(("unit", "class"), "strategy", ("model", "treat all", "treat none")),
    ),
    "three_way": TableSchema(
        ("unit", "metric", "class", "strategy", "threshold", "harm", *_BASE),
        ("unit", "metric", "class", "strategy", "threshold", "harm"),
        finite=(*_COUNTED, "threshold", "harm", "value"),
        complete=(("unit", "threshold", "harm"), "strategy", ("model, three-way", "test every case")),
    ),
    "ish_referral": TableSchema(
        ("unit", "metric", "class", "policy", "prevalence", *_BASE),
        ("unit", "metric", "class", "policy"),
        finite=(*_COUNTED, "prevalence", "value"),
        complete=(("unit", "policy"), "metric", ("ish_tests", "ish_tests_saved", "positives_missed")),
    ),
    "operating_points": TableSchema(
        ("unit", "class", "rule", "threshold", "metric", *_BASE, "validation_n", "validation_cases"),
        ("unit", "class", "rule", "metric"),
        finite=(*_COUNTED, "threshold", "validation_n", "validation_cases"),
        complete=(("unit", "class", "rule"), "metric", ("recall", "specificity", "precision", "npv")),
    ),
    "subgroups": TableSchema(
        ("by", "group", "unit", "metric", "class", *_BASE, "patients"),
        ("by", "group", "unit", "metric", "class"),
        optional=("lower_simultaneous", "upper_simultaneous"),
        finite=(*_COUNTED, "patients"),
        complete=(("by", "group", "unit"), "metric", ("accuracy", "balanced_accuracy", "recall")),
    ),
    "group_differences": TableSchema(
        (
            *("by", "group", "reference", "unit", "metric", "class", "value", "reference_value", "difference"),
            *("lower_simultaneous", "upper_simultaneous", "comparisons", "statement", "note"),
            *("patients", "reference_patients"),
        ),
        ("by", "group", "unit", "metric", "class"),
        finite=("comparisons", "patients", "reference_patients"),
    ),
    "discordance": TableSchema(
        (
            *("part", "unit", "metric", "her2_ihc", "ish", "count", "value", "lower_95", "upper_95", "note", "n"),
            *("published_low", "published_high", "published_source"),
        ),
        ("part", "unit", "her2_ihc", "ish"),
        finite=("count", "n"),
    ),
    "label_noise": TableSchema(
        (
            *("unit", "metric", "class", "label_error", *_BASE),
            *("true_lowest", "true_highest", "true_if_independent", "perfect_network"),
        ),
        ("unit", "metric", "class", "label_error"),
        finite=(*_COUNTED, "label_error", "value", "true_lowest", "true_highest"),
    ),
    "suspected_labels": TableSchema(
        (
            *("unit", "id", "patient_id", "class", "suggested", "probability", "probability_suggested"),
            *("suspected", "n"),
        ),
        ("unit", "id"),
        finite=("suspected", "n", "probability", "probability_suggested"),
    ),
    "weak_slices": TableSchema(
        (
            *("unit", "subset", "columns", "metric", "value", "rest", "difference", "lower_95", "upper_95", "p_value"),
            *("p_value_adjusted", "statement", "note", "n", "patients", "n_clusters", "searched"),
        ),
        ("unit", "subset"),
        finite=("value", "rest", "p_value", "p_value_adjusted", "n", "patients", "n_clusters", "searched"),
    ),
    "prediction_sets": TableSchema(
        ("unit", "class", "nominal_coverage", "set_coverage", "mean_size", "singleton_rate", "empty_rate", "n"),
        ("unit", "class"),
        optional=("kind", "set_coverage_by_patient", "patients", "note"),
        finite=("nominal_coverage", "n"),
        by_class=("unit",),
    ),
    "baselines": TableSchema(
        (
            *("baseline", "unit", "metric", "class", *_BASE),
            *("network", "difference", "difference_lower_95", "difference_upper_95", "statement"),
        ),
        ("baseline", "unit", "metric", "class"),
        finite=(*_COUNTED, "value", "network", "difference"),
        numbers=("network",),
    ),
    "between_sites": TableSchema(
        (
            *("unit", "metric", "class", "value", "lower_95", "upper_95", "lower_prediction_95", "upper_prediction_95"),
            *("lowest", "highest", "tau", "p_value", "sites", "patients", "left_out", "note"),
        ),
        ("unit", "metric", "class"),
        finite=("sites", "patients"),
    ),
    "external": TableSchema(
        (
            *("unit", "metric", "class", "development", "development_lower_95", "development_upper_95"),
            *("external", "external_lower_95", "external_upper_95", "difference", "lower_95", "upper_95"),
            *("n_development", "n_external", "note"),
        ),
        ("unit", "metric", "class"),
        rows=True,
        finite=("n_development", "n_external"),
    ),
    "drift": TableSchema(
        (
            *("kind", "property", "development", "external", "difference", "lower_95", "upper_95"),
            *("standardised_difference", "p_value_holm", "n_development", "n_external", "resampling_unit", "note"),
        ),
        ("kind", "property"),
        finite=("n_development", "n_external"),
    ),
    "maps": TableSchema(
        ("method", "measure", "value", "lower_95", "upper_95", "n", "n_clusters"), ("method", "measure"), True, _COUNTED
    ),
    "missing": TableSchema(("table", "unit", "what", "reason")),
}
#: Tables beside the evaluation.
RUN_TABLES: dict[str, TableSchema] = {
    "splits.parquet": TableSchema(("patch_id", "split"), ("patch_id",), True, optional=("fold",), finite=("fold",)),
    "dataset.parquet": TableSchema(
        ("patch_id", "patient_id", "slide_id", "site", "label", "split", "scanner", "source"), ("patch_id",), True
    ),
    "image_properties.parquet": TableSchema(("patch_id",), ("patch_id",), True),
    "history.csv": TableSchema(
        ("train_loss", "val_loss", "val_balanced_accuracy"),
        rows=True,
        optional=("epoch", "tried"),
        finite=("epoch", "tried"),
    ),
    "predictions.parquet": TableSchema(
        ("patch_id", "label"), ("patch_id",), True, optional=("fold", "temperature"), finite=("fold", "temperature")
    ),
}
