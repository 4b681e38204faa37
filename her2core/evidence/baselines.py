"""Baselines of a run: what is reached without looking at the tissue, with the same metrics and test part.

Each is fitted on the training part and assessed on the test part: the majority class (prevalence), a logistic
regression on the colours of the patch, on its site, on properties of its file, on the tumour grade, and on colours and
file properties after permuting the labels among training patients (what the data give by chance). The network is
compared with each by ``compare.compare_runs``, which leaves the same patients out of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from her2core.errors import EvaluationError
from her2core.evidence.aggregate import aggregate
from her2core.evidence.compare import compare_runs
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions
from her2core.evidence.result_tables import MISSING, ResultTable
from her2core.evidence.statements import NOT_COMPARED, no_statement, refusal_statement
from her2core.io.cells import UNKNOWN

#: Baselines and their names for people.
BASELINES: dict[str, str] = {
    "prevalence": "majority class",
    "colour": "colour only",
    "site": "site only",
    "file_properties": "file properties only",
    "permuted_labels": "permuted labels",
    "grade": "tumour grade only",
}
#: Metrics of the comparison; the first is the one that sentences speak of.
METRICS = ("balanced_accuracy", "macro_auroc", "accuracy")
UNITS = ("patch", "patient")
HIGHER, LOWER, NO_DIFFERENCE = "higher than the baseline", "lower than the baseline", "no difference can be shown"
COLUMNS = (
    *("baseline", "unit", "metric", "class", "value", "lower_95", "upper_95", "interval_method", "note"),
    *("resampling_unit", "n_clusters", "n", "network", "difference", "difference_lower_95", "difference_upper_95"),
    "statement",
)
#: Permutations of the training labels whose predicted probabilities are averaged.
PERMUTATIONS = 20
#: Most values of a column of text that are told apart.
_MAX_VALUES = 50


@dataclass(frozen=True, eq=False)
class BaselineData:
    """What baselines are fitted on.

    Parameters
    ----------
    rows : DataFrame
        One row a patch: patch_id, patient_id, slide_id, label, split; of the training part, perhaps a sample of it,
        and of the whole test part.
    features : mapping of str to (DataFrame or str)
        For colour, site, file_properties and grade: numbers and text by patch id, or the reason why there are none.
    folds : Series, optional
        Fold of each patch by its id, for out-of-fold predictions: baselines are then fitted on the rows outside of each
        fold, those included by which a network chooses its settings.
    """

    rows: pd.DataFrame
    features: Mapping[str, pd.DataFrame | str]
    folds: pd.Series | None = None


def baseline_table(predictions: Predictions, data: BaselineData, *, seed: int = 0) -> ResultTable:
    """Fit every baseline and compare the network with it.

    Parameters
    ----------
    predictions : Predictions
        Of the network; its test part is used.
    data : BaselineData
    seed : int
        Of the permutations.

    Returns
    -------
    ResultTable
        ``frame`` has the columns of COLUMNS: the baseline's value with its interval, the network's, and their
        difference. Baselines that cannot be computed are rows of ``missing`` with the reason.

    Raises
    ------
    EvaluationError
        Where there is no test part.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = pd.DataFrame({"patch_id": [str(i) for i in range(80)], "patient_id": [f"P{i // 2}" for i in range(80)],
    ...                      "slide_id": "unknown", "label": ["a", "a", "b", "b"] * 20,
    ...                      "split": ["train"] * 40 + ["test"] * 40})
    >>> p = rng.random(80)
    >>> table = rows.assign(probability_a=p, probability_b=1 - p, site=rows["label"])
    >>> site = table.set_index("patch_id")[["site"]]
    >>> found = baseline_table(Predictions.from_frame(table), BaselineData(rows, {"site": site}))
    >>> found.frame.loc[found.frame["metric"] == "accuracy", ["baseline", "unit", "value", "statement"]].values.tolist()
    ... # doctest: +NORMALIZE_WHITESPACE
    [['prevalence', 'patch', 0.5, 'no difference can be shown'],
     ['prevalence', 'patient', 0.5, 'no difference can be shown'],
     ['site', 'patch', 1.0, 'lower than the baseline'], ['site', 'patient', 1.0, 'lower than the baseline']]
    """
    test = predictions.part("test")
    if not len(test):
        raise EvaluationError("predictions of the test part", got="none", where="baselines", fix="Check the split.")
    frames, missing = [], []
    for name in BASELINES:
        probabilities = _guessed(name, data, test, seed)
        if isinstance(probabilities, str):
            missing += [("baselines", unit, name, probabilities) for unit in UNITS]
            continue
        guessed = replace(test, probabilities=probabilities, predicted_labels=None)
        for unit in UNITS:
            try:
                frames.append(_compared(name, guessed, test, unit))
            except EvaluationError as refused:
                missing.append(("baselines", unit, name, refused.sentence))
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return ResultTable("baselines", frame.reindex(columns=[*COLUMNS]), pd.DataFrame(missing, columns=list(MISSING)))


def baseline_sentences(table: pd.DataFrame, unit: str) -> tuple[str, ...]:
    """What has to stand above the figures: the baselines that the network does not beat, and those not compared.

    Parameters
    ----------
    table : DataFrame
        As `baseline_table` makes it, or as a run has it.
    unit : str
        patch or patient.

    Returns
    -------
    tuple of str
        A sentence for each baseline that is not beaten, and one for all that cannot be compared for the same reason.

    Examples
    --------
    >>> row = {"baseline": "colour", "unit": "patch", "metric": "balanced_accuracy", "statement": NO_DIFFERENCE}
    >>> baseline_sentences(pd.DataFrame([row | {"value": 0.61, "network": 0.63}]), "patch")
    ('The network is not shown to beat the baseline colour only: balanced accuracy by patch 0.63 against 0.61 \
(no difference can be shown).',)
    """
    rows = table[(table["unit"] == unit) & (table["metric"] == METRICS[0])]
    rows = rows.assign(name=rows["baseline"].map(lambda name: BASELINES.get(name, name)))
    apart = rows["statement"].astype(str).str.startswith(NOT_COMPARED)
    found = [
        f"The network is not shown to beat the baseline {row['name']}: balanced accuracy by {unit} "
        f"{row['network']:.2f} against {row['value']:.2f} ({row['statement']})."
        for row in rows[~apart & (rows["statement"] != HIGHER)].to_dict("records")
    ]
    for statement, same in rows[apart].groupby("statement", sort=False):
        values = ", ".join(f"{row['name']} {row['value']:.2f}" for row in same.to_dict("records"))
        network = same["network"].iloc[0]
        found.append(f"Balanced accuracy by {unit}: network {network:.2f}, {values} ({statement}).")
    return tuple(found)


def not_below(table: pd.DataFrame) -> list[str]:
    """Baselines whose value of the first metric is at least that of the network, compared or not.

    Parameters
    ----------
    table : DataFrame
        Rows of one unit.

    Returns
    -------
    list of str
        Their names for people.

    Examples
    --------
    >>> row = {"baseline": "colour", "metric": "balanced_accuracy", "value": 0.8, "network": 0.7}
    >>> not_below(pd.DataFrame([row]))
    ['colour only']
    """
    rows = table[(table["metric"] == METRICS[0]) & (table["value"] >= table["network"])]
    return [BASELINES.get(name, name) for name in rows["baseline"]]


def _guessed(name: str, data: BaselineData, test: Predictions, seed: int) -> np.ndarray | str:
    """Probabilities (N, K) of the test part, or why there are none; out-of-fold where there are folds."""
    rows = data.rows[data.rows["label"].isin(test.classes)]
    if data.folds is None:
        return _probabilities(name, rows[rows["split"] == "train"], test, data.features, seed)
    of_test = data.folds.reindex(test.frame["patch_id"]).to_numpy()
    of_rows = data.folds.reindex(rows["patch_id"]).to_numpy()
    guessed = np.empty((len(test), len(test.classes)))
    for fold in np.unique(of_test):
        held = of_test == fold
        found = _probabilities(name, rows[of_rows != fold], test.where(held), data.features, seed)
        if isinstance(found, str):
            return found
        guessed[held] = found
    return guessed


def _probabilities(
    name: str, train: pd.DataFrame, test: Predictions, features: Mapping[str, pd.DataFrame | str], seed: int
) -> np.ndarray | str:
    """Probabilities (N, K) of the test part, or why there are none."""
    classes = list(test.classes)
    if train["label"].nunique() < 2:
        return "fewer than two classes are known in the training part"
    labels = pd.Categorical(train["label"], categories=classes).codes.astype(int)
    if name == "prevalence":
        shares = np.bincount(labels, minlength=len(classes)) / len(labels)
        return np.tile(shares, (len(test), 1))
    if name == "permuted_labels":
        tables = [features[n] for n in ("colour", "file_properties") if isinstance(features.get(n), pd.DataFrame)]
        found: pd.DataFrame | str = (
            pd.concat(tables, axis=1) if tables else str(features.get("colour", "no features of the images are known"))
        )
    else:
        found = features.get(name, f"the data have no {BASELINES[name].removesuffix(' only')}")
    if isinstance(found, str):
        return found
    x_train, x_test = _numbers(found.reindex(train["patch_id"]), found.reindex(test.frame["patch_id"]))
    if not x_train.shape[1]:
        return "the values are the same in every training patch"
    if name == "site" and not x_test.any():
        return "no site of the test part occurs in the training part"
    if name != "permuted_labels":
        return _fit(x_train, labels, x_test, len(classes))
    rng = np.random.default_rng(seed)
    runs = [_fit(x_train, _permuted(train, labels, rng), x_test, len(classes)) for _ in range(PERMUTATIONS)]
    return np.mean(runs, axis=0)


def _fit(x: np.ndarray, labels: np.ndarray, x_test: np.ndarray, classes: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=2000, class_weight="balanced").fit(x, labels)
    probabilities = np.zeros((len(x_test), classes))
    probabilities[:, model.classes_] = model.predict_proba(x_test)
    return probabilities


def _numbers(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Standardised numbers, and one column a value of text; constants of the training part are left out."""
    columns: list[tuple[np.ndarray, np.ndarray]] = []
    for name in train:
        a, b = train[name], test[name]
        if pd.api.types.is_numeric_dtype(a):
            values, new = a.to_numpy(float), b.to_numpy(float)
            known = values[np.isfinite(values)]
            if not len(known):
                continue
            middle, spread = np.median(known), known.std()
            columns.append((~np.isfinite(values), ~np.isfinite(new)))
            values, new = (np.where(np.isfinite(v), v, middle) for v in (values, new))
            scale = spread if spread > 1e-9 * max(1.0, abs(middle)) else 1.0
            columns.append(((values - middle) / scale, np.clip((new - middle) / scale, -10, 10)))
        else:
            for value in a.astype(str).value_counts().index[:_MAX_VALUES]:
                columns.append((a.astype(str) == value, b.astype(str) == value))
    kept = [(np.asarray(a, float), np.asarray(b, float)) for a, b in columns if np.ptp(np.asarray(a, float)) > 1e-9]
    if not kept:
        return np.empty((len(train), 0)), np.empty((len(test), 0))
    return np.stack([a for a, _ in kept], axis=1), np.stack([b for _, b in kept], axis=1)


def _permuted(train: pd.DataFrame, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels permuted among patients, or slides or patches where these are unknown; all classes remain."""
    column = next((c for c in ("patient_id", "slide_id") if not (train[c] == UNKNOWN).any()), "patch_id")
    codes, names = pd.factorize(train[column])
    first = np.zeros(len(names), int)
    first[codes[::-1]] = labels[::-1]
    if len(set(first)) < 2:
        return np.asarray(rng.permutation(labels))
    return np.asarray(rng.permutation(first)[codes])


def _compared(name: str, guessed: Predictions, test: Predictions, unit: str) -> pd.DataFrame:
    at_unit = guessed if unit == "patch" else aggregate(guessed, unit)
    rows = metric_table(at_unit, metrics=METRICS)
    rows = rows[rows["class"] == ""]
    found = compare_runs(guessed, test, unit=unit, metrics=METRICS, names=("baseline", "network"))
    change = found.table[found.table["class"] == ""].set_index("metric").loc[rows["metric"]]
    low, high = change["lower_95"].to_numpy(float), change["upper_95"].to_numpy(float)
    spread = high - low > 1e-12
    if name == "prevalence" and not spread.all():
        # Its balanced accuracy and AUROC are known constants: the network's own interval says what the difference is.
        own = metric_table(test if unit == "patch" else aggregate(test, unit), metrics=METRICS)
        own = own[own["class"] == ""].set_index("metric").loc[rows["metric"]]
        known = ~spread & (rows["metric"] != "accuracy").to_numpy()
        low = np.where(known, own["lower_95"].to_numpy(float) - rows["value"].to_numpy(float), low)
        high = np.where(known, own["upper_95"].to_numpy(float) - rows["value"].to_numpy(float), high)
        spread = high - low > 1e-12
    statement = np.select(
        [(low > 0) & spread, (high < 0) & spread, (low <= 0) & (high >= 0)],
        [HIGHER, LOWER, NO_DIFFERENCE],
        default=change["note"].map(refusal_statement).to_numpy(object),
    )
    if reason := no_statement([test]):
        statement[:] = reason
    return rows.assign(
        baseline=name,
        network=change["second"].to_numpy(),
        difference=change["difference"].to_numpy(),
        difference_lower_95=low,
        difference_upper_95=high,
        statement=statement,
    )
