"""What are the data made of? Counts by group (a part of the split, a site) and class in, stacked bars out."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from her2core.plots.colours import class_colours, plain

#: A second sign beside the colour, by place in the scheme.
_PATTERNS = ("", "/", ".", "x", "-", "+")
#: Groups that fit into one or two sentences.
_SAID = 6


def composition_figure(table: pd.DataFrame, classes: Sequence[str]) -> go.Figure:
    """One bar a group, a piece a class; ``table`` has group, class and count, groups in the order wanted."""
    colours = class_colours(classes)
    figure = go.Figure()
    groups = [str(g) for g in table["group"].unique()]
    for place, name in enumerate(classes):
        rows = table[table["class"] == name]
        shown = escape(str(name), quote=False)
        figure.add_bar(
            y=rows["group"].astype(str),
            x=rows["count"],
            name=shown,
            orientation="h",
            marker={"color": colours[name], "pattern": {"shape": _PATTERNS[place % len(_PATTERNS)], "size": 6}},
            hovertemplate=f"%{{y}}, {shown}: %{{x:,}}<extra></extra>",
        )
    figure.update_yaxes(type="category", autorange="reversed", categoryorder="array", categoryarray=groups)
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.25)", tickformat=",d")
    plain(figure, height=130 + 34 * len(groups))
    return figure.update_layout(
        barmode="stack", showlegend=True, legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0}
    )


def composition_words(table: pd.DataFrame, classes: Sequence[str], counted: str) -> str:
    """What ``composition_figure`` shows; ``counted`` names what was counted (patches, patients, slides)."""
    groups = list(table["group"].unique())
    said = []
    for group in groups[:_SAID]:
        counts = table[table["group"] == group].set_index("class")["count"].reindex(list(classes))
        said.append(f"{group}: " + ", ".join(f"{int(n):,} {c}" for c, n in counts.items() if not pd.isna(n)))
    more = f"; and {len(groups) - _SAID} more groups" if len(groups) > _SAID else ""
    return f"{counted.capitalize()} by class. {'; '.join(said)}{more}."
