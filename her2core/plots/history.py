"""Learning curves of a training, from a run's history.csv.

A run on frozen features has a row for each setting that was tried instead of one an epoch (column ``tried``).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from html import escape

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from her2core.plots.colours import CYCLE, apply_layout

_LOSSES = (("train_loss", "training", CYCLE[0], "solid"), ("val_loss", "validation", CYCLE[4], "dash"))
_SCORE = "val_balanced_accuracy"


def history_figure(history: pd.DataFrame) -> go.Figure:
    """Plot the losses on training and validation patches (left) and the balanced accuracy on validation (right).

    Parameters
    ----------
    history : pandas.DataFrame
        ``epoch`` (from 0) or ``tried``, ``train_loss``, ``val_loss`` and ``val_balanced_accuracy``.

    Returns
    -------
    plotly.graph_objects.Figure
        Epochs are counted from 1.

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [0, 1], "train_loss": [1.0, 0.5], "val_loss": [1.1, 0.9],
    ...                         "val_balanced_accuracy": [0.4, 0.6]})
    >>> [int(x) for x in history_figure(history).data[0].x]
    [1, 2]
    """
    frozen = "tried" in history
    axis_name = "setting" if frozen else "epoch"
    figure = make_subplots(cols=2, subplot_titles=("loss", "balanced accuracy"), horizontal_spacing=0.1)
    x = history["tried"] if frozen else history["epoch"] + 1
    curves = [(*loss, 1) for loss in _LOSSES] + [(_SCORE, *_LOSSES[1][1:], 2)]
    for column, name, colour, dash, place in curves:
        measure = f"{name} loss" if place == 1 else "balanced accuracy"
        figure.add_scatter(
            x=x,
            y=history[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            showlegend=place == 1,
            hovertemplate=f"{axis_name} %{{x}}, {measure} %{{y:.3f}}<extra></extra>",
            row=1,
            col=place,
        )
    figure.update_xaxes(title=axis_name, **({"type": "log"} if frozen else _whole_ticks(len(history))))
    figure.update_yaxes(rangemode="tozero", col=1)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", col=2)
    apply_layout(figure, height=340, legend=True)
    return figure.update_layout(legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0})


def _whole_ticks(epochs: int) -> dict[str, object]:
    """Ticks at whole epochs, at most about ten; left to itself plotly puts some between, which round to the same."""
    step = next(step for power in range(9) for step in (10**power, 2 * 10**power, 5 * 10**power) if epochs <= 10 * step)
    return {"tickmode": "linear", "tick0": 0, "dtick": step, "tickformat": "d"}


def history_description(history: pd.DataFrame) -> str:
    """Describe ``history_figure``: the first and the last epoch, and the best.

    Parameters
    ----------
    history : pandas.DataFrame
        As for ``history_figure``.

    Returns
    -------
    str
        Text alternative.
    """
    if history.empty:
        return "No epoch is finished yet."
    if "tried" in history:
        parts = ", ".join(f"{r.tried:g}: {r.val_balanced_accuracy:.1%}" for r in history.itertuples())
        return f"Balanced accuracy on validation by setting: {parts}."
    first, last = history.iloc[0], history.iloc[-1]
    text = f"Epoch {int(first['epoch']) + 1}: training loss {first['train_loss']:.2f}, validation loss "
    text += f"{first['val_loss']:.2f}, balanced accuracy {first[_SCORE]:.1%}."
    if len(history) > 1:
        losses = f"{last['train_loss']:.2f}, {last['val_loss']:.2f}"
        text += f" Epoch {int(last['epoch']) + 1}: {losses}, {last[_SCORE]:.1%}."
    if history[_SCORE].notna().any():
        best = history.loc[history[_SCORE].idxmax()]
        text += f" Highest balanced accuracy {best[_SCORE]:.1%} in epoch {int(best['epoch']) + 1}."
    return text


def overlay_figure(histories: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Plot the curves of several trainings over one another, one colour a training.

    Parameters
    ----------
    histories : mapping
        Name -> history as for ``history_figure``, with ``epoch``; twelve have colours of their own.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses on training (solid) and validation (dashed) left, balanced accuracy on validation right.

    Examples
    --------
    >>> one = pd.DataFrame({"epoch": [0], "train_loss": [1.0], "val_loss": [1.1], "val_balanced_accuracy": [0.4]})
    >>> [trace.name for trace in overlay_figure({"a": one, "b": one}).data if trace.showlegend]
    ['a', 'b']
    """
    figure = make_subplots(cols=2, subplot_titles=("loss", "balanced accuracy"), horizontal_spacing=0.1)
    curves = [(f"{name} loss", column, dash, 1) for column, name, _, dash in _LOSSES]
    curves.append(("balanced accuracy", _SCORE, _LOSSES[1][3], 2))
    for (name, history), colour in zip(histories.items(), itertools.cycle(CYCLE), strict=False):
        for measure, column, dash, place in curves:
            figure.add_scatter(
                x=history["epoch"] + 1,
                y=history[column],
                name=escape(name),
                legendgroup=name,
                mode="lines+markers",
                marker={"size": 5},
                line={"color": colour, "dash": dash},
                showlegend=column == _LOSSES[0][0],
                hovertemplate=f"{escape(name)}, epoch %{{x}}, {measure} %{{y:.3f}}<extra></extra>",
                row=1,
                col=place,
            )
    longest = max((int(history["epoch"].max()) + 1 for history in histories.values()), default=1)
    figure.update_xaxes(title="epoch", **_whole_ticks(longest))
    figure.update_yaxes(rangemode="tozero", col=1)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", col=2)
    apply_layout(figure, height=360, legend=True)
    return figure.update_layout(legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0})


def overlay_description(histories: Mapping[str, pd.DataFrame]) -> str:
    """Describe ``overlay_figure``: the highest balanced accuracy of each training.

    Parameters
    ----------
    histories : mapping
        As for ``overlay_figure``.

    Returns
    -------
    str
        Text alternative.

    Examples
    --------
    >>> one = pd.DataFrame({"epoch": [0, 1], "val_balanced_accuracy": [0.4, 0.5]})
    >>> overlay_description({"a": one})
    'Solid: training loss; dashed: validation. Highest balanced accuracy on validation: a 50.0% in epoch 2 of 2.'
    """
    parts = []
    for name, history in histories.items():
        if history[_SCORE].notna().any():
            best = history.loc[history[_SCORE].idxmax()]
            parts.append(f"{name} {best[_SCORE]:.1%} in epoch {int(best['epoch']) + 1} of {len(history)}")
    best_of_each = f" Highest balanced accuracy on validation: {'; '.join(parts)}." if parts else ""
    return f"Solid: training loss; dashed: validation.{best_of_each}"
