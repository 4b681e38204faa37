"""Figures: the table's numbers and nothing else, with the classes in their order and colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from her2core.plots.colours import CYCLE, class_colours
from her2core.plots.confusion import confusion_figure
from her2core.plots.per_class import per_class_figure
from her2core.plots.probabilities import probability_figure

CLASSES = ("negative", "equivocal", "positive")
COUNTS = np.array([[30, 5, 0], [4, 11, 5], [0, 0, 0]])


def confusion_table(counts=COUNTS, classes=CLASSES, order=None) -> pd.DataFrame:
    """As evaluation/confusion.csv has it; a class without a case has no share."""
    rows = [
        {"true": t, "predicted": p, "count": n, "proportion_of_true": n / row.sum() if row.sum() else np.nan}
        for t, row in zip(classes, counts, strict=True)
        for p, n in zip(classes, row, strict=True)
    ]
    return pd.DataFrame(rows if order is None else [rows[i] for i in order])


def metric_rows(values, lows, highs, classes=CLASSES) -> pd.DataFrame:
    return pd.DataFrame({"class": classes, "value": values, "lower_95": lows, "upper_95": highs})


def test_classes_keep_their_colour_by_place():
    colours = class_colours(CLASSES)
    assert list(colours) == list(CLASSES)
    assert len(set(colours.values())) == 3
    assert class_colours(CLASSES[:2]) == {c: colours[c] for c in CLASSES[:2]}
    assert len(set(CYCLE)) == len(CYCLE)
    many = class_colours([f"class {i}" for i in range(len(CYCLE) + 2)])
    assert many["class 0"] == many[f"class {len(CYCLE)}"]


@pytest.mark.parametrize("order", [None, [8, 3, 1, 0, 7, 2, 6, 5, 4]], ids=["in order", "shuffled"])
def test_confusion_cells_are_the_tables_whatever_its_row_order(order):
    cells = confusion_figure(confusion_table(order=order), CLASSES, show="count").data[0]
    assert tuple(cells.x) == tuple(cells.y) == CLASSES
    assert [[int(t) for t in row] for row in cells.text] == COUNTS.tolist()
    share = COUNTS[:2] / COUNTS[:2].sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(np.array(cells.z)[:2], share)


def test_confusion_as_percent_of_the_row_and_empty_where_there_is_no_case():
    cells = confusion_figure(confusion_table(), CLASSES, show="proportion_of_true").data[0]
    assert [list(row) for row in cells.text] == [["86%", "14%", "0%"], ["20%", "55%", "25%"], ["", "", ""]]
    assert np.isnan(np.array(cells.z)[2]).all()
    assert (cells.zmin, cells.zmax) == (0, 1)


def test_confusion_reads_top_down_true_and_left_to_right_predicted():
    figure = confusion_figure(confusion_table(), CLASSES, show="count")
    assert tuple(figure.layout.yaxis.range) == (len(CLASSES) - 0.5, -0.5)
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("predicted", "true")
    counts = np.arange(9).reshape(3, 3)
    cells = confusion_figure(confusion_table(counts), CLASSES, show="count").data[0]
    assert cells.text[0][2] == "2"
    assert cells.text[2][0] == "6"


def test_per_class_points_and_bars_are_the_rows():
    rows = metric_rows([0.5, 0.75, 0.9], [0.25, 0.5, 0.8], [0.6, 1.0, 0.95])
    figure = per_class_figure(rows.iloc[[2, 0, 1]], CLASSES)
    assert [trace.y[0] for trace in figure.data] == list(CLASSES)
    for trace, row in zip(figure.data, rows.itertuples(), strict=True):
        assert tuple(trace.x) == (row.value,)
        assert row.value + trace.error_x.array[0] == pytest.approx(row.upper_95)
        assert row.value - trace.error_x.arrayminus[0] == pytest.approx(row.lower_95)
        assert trace.marker.color == class_colours(CLASSES)[trace.y[0]]
    assert list(figure.layout.yaxis.categoryarray) == list(CLASSES)


def test_per_class_without_interval_value_or_row():
    rows = metric_rows([0.5, np.nan], [np.nan, np.nan], [np.nan, np.nan], CLASSES[:2])
    figure = per_class_figure(rows, CLASSES)
    assert [trace.y[0] for trace in figure.data] == list(CLASSES)
    assert figure.data[0].x[0] == 0.5
    assert np.isnan(figure.data[0].error_x.array[0])
    assert np.isnan(figure.data[1].x[0])
    assert np.isnan(figure.data[2].x[0])
    figure.to_json()


def test_probability_bars_are_the_probabilities_in_class_order():
    (bars,) = probability_figure(CLASSES, (0.2, 0.125, 0.675)).data
    assert tuple(bars.y) == CLASSES
    assert tuple(bars.x) == (0.2, 0.125, 0.675)
    assert tuple(bars.text) == ("20.0%", "12.5%", "67.5%")
    assert tuple(bars.marker.color) == tuple(class_colours(CLASSES).values())


def figures(classes):
    n = len(classes)
    yield confusion_figure(confusion_table(np.eye(n, dtype=int), classes), classes, show="count")
    yield per_class_figure(metric_rows([0.5] * n, [0.4] * n, [0.6] * n, classes), classes)
    yield probability_figure(classes, [1 / n] * n)


@pytest.mark.parametrize("classes", [("0", "1"), ("2020-01-01", "2021-01-01"), tuple(f"tissue {i}" for i in range(12))])
def test_class_names_are_names_even_where_they_look_like_numbers_or_dates(classes):
    confusion, per_class, probability = figures(classes)
    assert confusion.layout.xaxis.type == "category"
    for figure in (confusion, per_class, probability):
        assert figure.layout.yaxis.type == "category"
        assert figure.layout.height >= 30 * min(len(classes), 10)


def test_figures_suit_a_light_and_a_dark_page():
    for figure in figures(CLASSES):
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
        assert figure.layout.showlegend is False


def test_figures_leave_the_table_alone():
    table, rows = confusion_table(), metric_rows([0.5] * 3, [0.4] * 3, [0.6] * 3)
    before, rows_before = table.copy(), rows.copy()
    confusion_figure(table, CLASSES, show="count")
    per_class_figure(rows, CLASSES)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(rows, rows_before)
