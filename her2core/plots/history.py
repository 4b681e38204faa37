"""Learning curves of a training, from a run's history.csv.

A run on frozen features has a row for each setting that was tried instead of one an epoch (column ``tried``).
"""

from __future__ import annotations

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
