"""How did the training go? A run's history.csv in, loss and balanced accuracy by epoch out.

A run on frozen features has a row for each setting that was tried instead of one an epoch (column ``tried``).
"""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from her2core.plots.colours import CYCLE, plain

_LOSSES = (("train_loss", "training", CYCLE[0], "solid"), ("val_loss", "validation", CYCLE[4], "dash"))
_SCORE = "val_balanced_accuracy"


def history_figure(history: pd.DataFrame) -> go.Figure:
    """Left the loss on training and validation patches, right the balanced accuracy on validation; epochs from 1."""
    frozen = "tried" in history
    name_of_x = "setting tried" if frozen else "epoch"
    figure = make_subplots(cols=2, subplot_titles=("loss", "balanced accuracy"), horizontal_spacing=0.1)
    epochs = history["tried"] if frozen else history["epoch"] + 1
    for column, name, colour, dash in _LOSSES:
        figure.add_scatter(
            x=epochs,
            y=history[column],
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
            hovertemplate=f"{name_of_x} %{{x}}, {name} loss %{{y:.3f}}<extra></extra>",
            row=1,
            col=1,
        )
    _, name, colour, dash = _LOSSES[1]
    figure.add_scatter(
        x=epochs,
        y=history[_SCORE],
        name=name,
        mode="lines+markers",
        line={"color": colour, "dash": dash},
        showlegend=False,
        row=1,
        col=2,
        hovertemplate=f"{name_of_x} %{{x}}, balanced accuracy %{{y:.3f}}<extra></extra>",
    )
    axis = {"type": "log"} if frozen else {"tickformat": "d"}
    figure.update_xaxes(title=name_of_x, gridcolor="rgba(128,128,128,0.25)", **axis)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.25)", rangemode="tozero", col=1)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.25)", range=[-0.02, 1.02], tickformat=".0%", col=2)
    plain(figure, height=340)
    return figure.update_layout(showlegend=True, legend={"orientation": "h", "yanchor": "top", "y": -0.2, "x": 0})


def history_words(history: pd.DataFrame) -> str:
    """What ``history_figure`` shows: where it began, where it ended, and the best epoch."""
    if history.empty:
        return "No epoch is finished yet."
    if "tried" in history:
        told = ", ".join(f"{r.tried:g}: {r.val_balanced_accuracy:.1%}" for r in history.itertuples())
        return f"Settings tried, with the balanced accuracy on validation: {told}."
    first, last = history.iloc[0], history.iloc[-1]
    words = f"Epoch {int(first['epoch']) + 1}: training loss {first['train_loss']:.2f}, validation loss "
    words += f"{first['val_loss']:.2f}, balanced accuracy {first[_SCORE]:.1%}."
    if len(history) > 1:
        words += (
            f" Epoch {int(last['epoch']) + 1}: {last['train_loss']:.2f}, {last['val_loss']:.2f}, {last[_SCORE]:.1%}."
        )
    if history[_SCORE].notna().any():
        best = history.loc[history[_SCORE].idxmax()]
        words += f" Highest balanced accuracy {best[_SCORE]:.1%} in epoch {int(best['epoch']) + 1}."
    return words
