"""Heatmap of a class's probability over a large field, with the field below it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from her2core.io.images import RGBImage, encode_png
from her2core.plots.colours import apply_layout, html_text

if TYPE_CHECKING:
    from her2core.inference.field import FieldPrediction

#: Longest side of the field's picture and of the grid of the heatmap, in pixels.
_PICTURE, _GRID = 900, 180
#: Usual width of the figure, by which its height is chosen, and what colour scale and axis take of it, in pixels.
_WIDTH, _ABOVE_AND_BELOW = 460, 130


def field_figure(found: FieldPrediction, image: RGBImage, target: str, *, opacity: float = 0.45) -> go.Figure:
    """Plot the field and over it the probability of a class by tile, with its colour scale from 0 to 1.

    Parameters
    ----------
    found : FieldPrediction
        From ``predict_field``.
    image : uint8 array (H, W, 3)
        The field.
    target : str
        The class.
    opacity : float, default 0.45
        Of the heatmap, 0 to 1.

    Returns
    -------
    plotly.graph_objects.Figure
        Axes in pixels of the field. Tiles that do not count have no colour. The second trace has one transparent
        marker a tile, in the order of ``found.tiles``, which says class, probability and flags and can be clicked.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> from her2core.inference.field import predict_field
    >>> glass = np.full((300, 400, 3), 245, np.uint8)
    >>> figure = field_figure(predict_field(example_predictor(), glass, mpp=0.5, field_um=50.0), glass, "positive")
    >>> (figure.data[0].zmin, figure.data[0].zmax), list(figure.layout.xaxis.range)
    ((0, 1), [0, 400])
    """
    width, height = found.size
    grid = found.heatmap(target, longest=_GRID)
    rows, columns = grid.shape
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x0=width / columns / 2,
            dx=width / columns,
            y0=height / rows / 2,
            dy=height / rows,
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            opacity=opacity,
            # Above the field, so that the field has the figure's whole width.
            colorbar={
                "orientation": "h",
                "title": {"text": f"probability of {html_text(target)}", "side": "top"},
                "tickformat": ".0%",
                "thickness": 12,
                "len": 1.0,
                "y": 1.0,
                "yanchor": "bottom",
            },
            hoverinfo="skip",
        )
    )
    _add_tiles(figure, found, target)
    picture = base64.b64encode(encode_png(_small(image))).decode()
    figure.add_layout_image(
        source=f"data:image/png;base64,{picture}",
        xref="x",
        yref="y",
        x=0,
        y=0,
        sizex=width,
        sizey=height,
        sizing="stretch",
        layer="below",
    )
    figure.update_xaxes(range=[0, width], zeroline=False, constrain="domain", ticksuffix=" px", nticks=4)
    figure.update_yaxes(
        range=[height, 0],
        showgrid=False,
        zeroline=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        showticklabels=False,
        ticks="",
    )
    return apply_layout(figure, height=_ABOVE_AND_BELOW + min(760, max(80, round(_WIDTH * height / width))), values="")


def _add_tiles(figure: go.Figure, found: FieldPrediction, target: str) -> None:
    """Add a transparent marker in the centre of each tile: a heatmap gives no selection events."""
    tiles = found.tiles
    columns = [f"probability_{name}" for name in found.classes]
    side = float(tiles[["width", "height"]].min(axis=None)) * _WIDTH / max(found.size[0], 1)
    probabilities = tiles[columns].to_numpy(np.float64)
    known = ~np.isnan(probabilities).all(axis=1)
    best = [found.classes[int(np.nanargmax(row))] if ok else "" for row, ok in zip(probabilities, known, strict=True)]
    said = []
    for name, value, flags, counts in zip(
        best, tiles[f"probability_{target}"], tiles["flags"], tiles["counts"], strict=True
    ):
        lines = (
            [f"most probable: {html_text(name)}", f"{html_text(target)}: {value:.1%}"] if name else ["not predicted"]
        )
        lines.append(f"flags: {html_text(flags.replace('_', '-'))}" if flags else "no flags")
        said.append("<br>".join([*lines, "" if counts else "does not count"]).removesuffix("<br>"))
    figure.add_scatter(
        x=tiles["x"] + tiles["width"] / 2,
        y=tiles["y"] + tiles["height"] / 2,
        mode="markers",
        text=[f"tile {number}<br>{text}" for number, text in enumerate(said, start=1)],
        hovertemplate="%{text}<extra></extra>",
        marker={"size": min(max(side, 12), 120), "symbol": "square", "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
    )


def field_description(found: FieldPrediction, target: str) -> str:
    """Describe ``field_figure``.

    Parameters
    ----------
    found : FieldPrediction
    target : str
        The class.

    Returns
    -------
    str
        Text alternative.

    Examples
    --------
    >>> import numpy as np
    >>> from her2core.inference.example import example_predictor
    >>> from her2core.inference.field import predict_field
    >>> glass = np.full((300, 400, 3), 245, np.uint8)
    >>> field_description(predict_field(example_predictor(), glass, mpp=0.5, field_um=50.0), "positive")
    'Probability of positive over the field: 12 tiles, of which none counts.'
    """
    tiles = found.tiles[found.tiles["counts"]]
    start = f"Probability of {target} over the field: {len(found.tiles):,} tiles, of which "
    if tiles.empty:
        return f"{start}none counts."
    values = tiles[f"probability_{target}"]
    colourless = "" if len(tiles) == len(found.tiles) else " Tiles without colour do not count."
    return (
        f"{start}{len(tiles):,} count; {values.min():.1%} to {values.max():.1%}, mean {values.mean():.1%}.{colourless}"
    )


def _small(image: RGBImage) -> RGBImage:
    picture = Image.fromarray(image)
    picture.thumbnail((_PICTURE, _PICTURE))
    return np.asarray(picture)
