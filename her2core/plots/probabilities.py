"""How sure is the network? One patch's probabilities in, a bar figure out."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from her2core.plots.colours import class_colours, plain


def probability_figure(classes: Sequence[str], probabilities: Sequence[float]) -> go.Figure:
    """Horizontal bars from 0 to 1, in the order of the classes."""
    colours = class_colours(classes)
    figure = go.Figure(
        go.Bar(
            x=list(probabilities),
            y=list(classes),
            orientation="h",
            marker_color=[colours[c] for c in classes],
            text=[f"{p:.1%}" for p in probabilities],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(
        range=[0, 1.12], tickformat=".0%", tickvals=[0, 0.25, 0.5, 0.75, 1], title="calibrated probability"
    )
    figure.update_yaxes(type="category", autorange="reversed")
    return plain(figure, height=70 + 36 * len(classes))


def probability_words(classes: Sequence[str], probabilities: Sequence[float]) -> str:
    """What ``probability_figure`` shows, the most probable class first."""
    ranked = sorted(zip(classes, probabilities, strict=True), key=lambda pair: -pair[1])
    return f"Calibrated probability: {', '.join(f'{name} {p:.1%}' for name, p in ranked)}."
