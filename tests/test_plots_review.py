"""Review figures and their descriptions: the table's numbers, classes in order, colour and a second sign."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from her2core.evidence.curves import pr_points, roc_points
from her2core.evidence.metric_table import metric_table
from her2core.evidence.predictions import Predictions, id_table
from her2core.plots.accuracy_cost import accuracy_cost_description, accuracy_cost_figure
from her2core.plots.colours import class_colours
from her2core.plots.composition import composition_description, composition_figure
from her2core.plots.confusion import confusion_description
from her2core.plots.curves import pr_description, pr_figure, roc_description, roc_figure
from her2core.plots.history import history_description, history_figure
from her2core.plots.per_class import per_class_description
from her2core.plots.probabilities import probability_description

CLASSES = ("negative", "equivocal", "positive")
DEMO = Path(__file__).resolve().parents[1] / "models" / "demo" / "history.csv"


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    probs = rng.dirichlet(np.ones(3), 120) / 2 + np.eye(3)[labels] / 4
    return Predictions(id_table({"patient_id": pd.Series(np.arange(120) % 12)}, 120), probs, labels, CLASSES)


COMPOSITION = pd.DataFrame(
    [
        (g, c, n)
        for g, row in {"train": (30, 5, 1200), "val": (4, 11, 5), "test": (0, 7, 3)}.items()
        for c, n in zip(CLASSES, row, strict=True)
    ],
    columns=["group", "class", "count"],
)
RUNS = pd.DataFrame(
    {
        "run": ["large", "small"],
        "accuracy": [0.9, 0.8],
        "accuracy_lower_95": [0.85, np.nan],
        "accuracy_upper_95": [0.95, np.nan],
        "flops": [4.1e9, 3.2e8],
        "latency_ratio": [1.25, 0.5],
    }
)


@pytest.mark.parametrize(
    ("curve", "make", "x", "y"), [("roc", roc_figure, "fpr", "tpr"), ("pr", pr_figure, "recall", "precision")]
)
def test_curves_are_the_points_in_class_order_with_colour_and_dash(predictions, curve, make, x, y):
    points = {"roc": roc_points, "pr": pr_points}[curve](predictions)
    figure = make(points, CLASSES)
    assert len(figure.data) == 3
    for name, trace in zip(CLASSES, figure.data, strict=True):
        rows = points[points["class"] == name]
        np.testing.assert_array_equal(trace.x, rows[x])
        np.testing.assert_array_equal(trace.y, rows[y])
        np.testing.assert_array_equal(np.ravel(trace.customdata), rows["threshold"])
        assert trace.line.color == class_colours(CLASSES)[name]
        assert trace.name.startswith(f"{name}, ")
    assert len({trace.line.dash for trace in figure.data}) == 3
    assert figure.layout.showlegend
    figure.to_json()


def test_the_words_of_curves_give_each_class_its_figure(predictions):
    metrics = metric_table(predictions)
    words = roc_description(metrics, CLASSES)
    for row in metrics[metrics["metric"] == "auroc"].itertuples():
        assert f"{row[3]} AUROC {row.value:.2f} [{row.lower_95:.2f}, {row.upper_95:.2f}]" in words
    points = pr_points(predictions)
    for name in CLASSES:
        first = points[points["class"] == name].iloc[0]
        assert f"{name} average precision {first['average_precision']:.2f} (chance" in pr_description(points, CLASSES)


def test_a_class_without_a_curve_has_no_line_and_is_said(predictions):
    part = predictions.where(predictions.labels != 1)
    assert [t.name.split(",")[0] for t in roc_figure(roc_points(part), CLASSES).data] == ["negative", "positive"]
    assert "equivocal AUROC not computable" in roc_description(metric_table(part), CLASSES)
    assert "equivocal average precision not computable" in pr_description(pr_points(part), CLASSES)
    none = predictions.where(predictions.labels == 1)
    assert not roc_figure(roc_points(none), CLASSES).data
    assert not pr_figure(pr_points(none), CLASSES).data
    assert pr_description(pr_points(none), CLASSES).count("not computable") == 3


def test_training_curves_are_the_rows_of_history_csv():
    history = pd.read_csv(DEMO)
    train, val, score = history_figure(history).data
    np.testing.assert_array_equal(train.x, history["epoch"] + 1)
    np.testing.assert_array_equal(train.y, history["train_loss"])
    np.testing.assert_array_equal(val.y, history["val_loss"])
    np.testing.assert_array_equal(score.y, history["val_balanced_accuracy"])
    assert train.line.dash != val.line.dash
    best = history["val_balanced_accuracy"]
    words = history_description(history)
    assert f"Highest balanced accuracy {best.max():.1%} in epoch {best.idxmax() + 1}" in words
    assert f"Epoch {len(history)}: {history['train_loss'].iloc[-1]:.2f}" in words
    assert history_description(history.head(1)).startswith("Epoch 1: training loss 1.12, validation loss 1.81")
    assert history_description(history.head(0)) == "No epoch is finished yet."
    history_figure(history.head(0)).to_json()


@pytest.mark.parametrize(("epochs", "step"), [(1, 1), (2, 1), (10, 1), (11, 2), (20, 2), (50, 5), (99, 10), (300, 50)])
def test_ticks_of_epochs_are_whole_numbers_once_each(epochs, step):
    history = pd.DataFrame({c: range(epochs) for c in ("epoch", "train_loss", "val_loss", "val_balanced_accuracy")})
    for axis in (history_figure(history).layout.xaxis, history_figure(history).layout.xaxis2):
        assert (axis.tickmode, axis.tick0, axis.dtick) == ("linear", 0, step)


def test_what_was_tried_on_frozen_features_is_drawn_by_setting():
    history = pd.DataFrame(
        {"tried": [0.01, 1.0], "train_loss": [1.0, 0.5], "val_loss": [1.1, 0.9], "val_balanced_accuracy": [0.4, 0.6]}
    )
    figure = history_figure(history)
    assert [list(trace.x) for trace in figure.data] == [[0.01, 1.0]] * 3
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.title.text == "setting"
    assert history_description(history).endswith("0.01: 40.0%, 1: 60.0%.")


def test_composition_bars_are_the_counts_in_the_order_of_the_table():
    figure = composition_figure(COMPOSITION, CLASSES)
    assert figure.layout.barmode == "stack"
    assert list(figure.layout.yaxis.categoryarray) == ["train", "val", "test"]
    for name, bars in zip(CLASSES, figure.data, strict=True):
        rows = COMPOSITION[COMPOSITION["class"] == name]
        assert list(bars.y) == list(rows["group"])
        assert list(bars.x) == list(rows["count"])
        assert bars.marker.color == class_colours(CLASSES)[name]
    assert len({bars.marker.pattern.shape for bars in figure.data}) == 3
    words = composition_description(COMPOSITION, CLASSES, "patients")
    assert words.startswith("Patients by class. train: 30 negative, 5 equivocal, 1,200 positive; val: 4 negative")
    sites = pd.DataFrame({"group": [f"site {i}" for i in range(9)], "class": "negative", "count": 1})
    assert composition_description(sites, CLASSES, "patches").endswith("site 5: 1 negative; and 3 more groups.")


def test_trade_points_are_the_runs_with_their_intervals():
    figure = accuracy_cost_figure(RUNS, cost="flops", title="FLOPs of one patch")
    large, small = figure.data
    assert (large.x[0], large.y[0], large.text[0]) == (4.1e9, 0.9, "large")
    assert large.y[0] + large.error_y.array[0] == pytest.approx(0.95)
    assert large.y[0] - large.error_y.arrayminus[0] == pytest.approx(0.85)
    assert np.isnan(small.error_y.array[0])
    assert figure.layout.xaxis.title.text == "FLOPs of one patch"
    assert accuracy_cost_description(RUNS, cost="flops", title="FLOPs of one patch") == (
        "Accuracy against cost (FLOPs of one patch), cheapest first: small 80.0% at 320 M; "
        "large 90.0% [85.0%, 95.0%] at 4.1 G."
    )
    assert "small 80.0% at 0.5; large" in accuracy_cost_description(RUNS, cost="latency_ratio", title="latency")
    figure.to_json()


def confusion(counts) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"true": t, "predicted": p, "count": n, "proportion_of_true": n / sum(row) if sum(row) else np.nan}
            for t, row in zip(CLASSES, counts, strict=True)
            for p, n in zip(CLASSES, row, strict=True)
        ]
    )


def test_words_of_the_confusion_matrix():
    table = confusion([(1500, 50, 0), (4, 1, 5), (0, 0, 0)])
    assert confusion_description(table, CLASSES, show="count") == (
        "Confusion matrix, correctly classified: negative 1,500, equivocal 1, positive no case. "
        "Most frequent confusion: negative predicted as equivocal (50)."
    )
    assert confusion_description(table, CLASSES, show="proportion_of_true") == (
        "Confusion matrix, recall: negative 97%, equivocal 10%, positive no case. "
        "Most frequent confusion: equivocal predicted as positive (50%)."
    )
    right = confusion_description(confusion(np.diag([3, 4, 5])), CLASSES, show="count")
    assert right.endswith("positive 5. No case is misclassified.")


def test_words_of_the_metrics_of_each_class():
    rows = pd.DataFrame(
        {
            "metric": "recall",
            "class": CLASSES[::-1],
            "value": [0.9, np.nan, 0.5],
            "lower_95": [0.8, np.nan, np.nan],
            "upper_95": [0.95, np.nan, np.nan],
        }
    )
    assert per_class_description(rows, CLASSES, metric="Recall") == (
        "Recall by class: negative 50.0% (no interval), equivocal not computable, positive 90.0% [80.0%, 95.0%]."
    )


def test_words_of_probabilities_begin_with_the_most_probable():
    assert probability_description(CLASSES, (0.2, 0.125, 0.675)) == (
        "Calibrated probability: positive 67.5%, negative 20.0%, equivocal 12.5%."
    )


def test_names_are_text_and_never_markup(predictions):
    names = ("<b>a</b>", "c", "d")
    points = roc_points(Predictions(predictions.frame, predictions.probs, predictions.labels, names))
    assert roc_figure(points, names).data[0].name.startswith("&lt;b&gt;a&lt;/b&gt;, AUROC")
    table = COMPOSITION.assign(**{"class": COMPOSITION["class"].replace("negative", "<b>a</b>")})
    assert composition_figure(table, ("<b>a</b>",)).data[0].name == "&lt;b&gt;a&lt;/b&gt;"
    assert accuracy_cost_figure(RUNS.assign(run="<i>x"), cost="flops", title="").data[0].text[0] == "&lt;i&gt;x"


def test_figures_suit_a_light_and_a_dark_page_and_leave_the_table_alone(predictions):
    roc, pr, history = roc_points(predictions), pr_points(predictions), pd.read_csv(DEMO)
    tables = [t.copy() for t in (roc, pr, history, COMPOSITION, RUNS)]
    figures = (
        roc_figure(roc, CLASSES),
        pr_figure(pr, CLASSES),
        history_figure(history),
        composition_figure(COMPOSITION, CLASSES),
        accuracy_cost_figure(RUNS, cost="flops", title="FLOPs"),
    )
    for figure in figures:
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.height > 200
    for before, after in zip(tables, (roc, pr, history, COMPOSITION, RUNS), strict=True):
        pd.testing.assert_frame_equal(before, after)
