"""Which colour means what, in every figure? One place, so that a class keeps its colour from page to page."""

from __future__ import annotations

#: Okabe & Ito's palette (2008): told apart with any kind of colour vision.
CYCLE = (
    "#0072B2",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#8C6D31",
    "#7A3B8F",
    "#666666",
    "#B2DF8A",
    "#1B9E77",
    "#A6761D",
)
#: Works on a light and on a dark page.
TRANSPARENT = "rgba(0,0,0,0)"


def class_colours(classes) -> dict[str, str]:
    """A colour for each class, by its place in the scheme."""
    return {name: CYCLE[i % len(CYCLE)] for i, name in enumerate(classes)}


def plain(figure, *, height: int):
    """The look all figures share: no frame, no background, small margins."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        paper_bgcolor=TRANSPARENT,
        plot_bgcolor=TRANSPARENT,
        showlegend=False,
    )
    return figure
