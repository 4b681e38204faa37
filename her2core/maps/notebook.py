"""Class-activation maps as HTML for notebooks: one self-contained figure."""

from __future__ import annotations

import base64
from html import escape

import numpy as np

from her2core.io.images import encode_png
from her2core.maps.class_map import ClassMap
from her2core.maps.methods import METHODS
from her2core.maps.overlay import overlay

_SIDE = 224


def class_map_html(class_map: ClassMap) -> str:
    """The overlay of a map over its patch, or the map alone where the patch is not available.

    Parameters
    ----------
    class_map : ClassMap

    Returns
    -------
    str
        A ``<figure>`` with the picture as a data address and an escaped caption.

    Examples
    --------
    >>> html = class_map_html(ClassMap(np.eye(2, dtype=np.float32), "<b>"))
    >>> "&lt;b&gt;" in html, "Research use only" in html
    (True, True)
    """
    image = class_map.image if class_map.image is not None else np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    picture = base64.b64encode(encode_png(overlay(image, class_map, size=_SIDE))).decode()
    rows, columns = class_map.grid.shape
    method = METHODS[class_map.method].label if class_map.method in METHODS else class_map.method
    caption = f"{method} for {class_map.target}, {rows} x {columns} cells"
    caption += f": no cell supports {class_map.target}" if class_map.empty else ""
    text = escape(f"{caption}. Research use only.")
    return (
        f'<figure style="margin:0"><img src="data:image/png;base64,{picture}" width="{_SIDE}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
