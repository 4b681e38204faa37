"""Class probabilities of one patch."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from her2core.plots.colours import NEUTRAL, apply_layout, class_colours, class_ticks


def probability_figure(classes: Sequence[str], probabilities: Sequence[float], *, coloured: bool = True) -> go.Figure:
    """Plot one horizontal bar a class.

    Parameters
    ----------
    classes : sequence of str
        Class names in their order.
    probabilities : sequence of float
        Calibrated, 0 to 1, one a class.
    coloured : bool, default True
        Whether each bar has the colour of its class; grey where the probabilities are no answer.

    Returns
    -------
    plotly.graph_objects.Figure

    Examples
    --------
    >>> probability_figure(("negative", "positive"), (0.2, 0.8)).data[0].text
    ('20.0%', '80.0%')
    """
    colours = class_colours(classes) if coloured else dict.fromkeys(classes, NEUTRAL)
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
    ticks = [0, 0.25, 0.5, 0.75, 1]
    figure.update_xaxes(range=[0, 1.12], tickformat=".0%", tickvals=ticks, title="calibrated probability")
    figure.update_yaxes(autorange="reversed", **class_ticks(classes))
    return apply_layout(figure, height=70 + 36 * len(classes), values="x")


def probability_description(classes: Sequence[str], probabilities: Sequence[float]) -> str:
    """Describe ``probability_figure``, the most probable class first.

    Parameters
    ----------
    classes, probabilities
        As for ``probability_figure``.

    Returns
    -------
    str
        Text alternative.

    Examples
    --------
    >>> probability_description(("negative", "positive"), (0.2, 0.8))
    'Calibrated probability: positive 80.0%, negative 20.0%.'
    """
    ranked = sorted(zip(classes, probabilities, strict=True), key=lambda pair: -pair[1])
    return f"Calibrated probability: {', '.join(f'{name} {p:.1%}' for name, p in ranked)}."
