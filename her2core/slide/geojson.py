"""Tiles of a slide as GeoJSON for QuPath: one object of the type tile each, in level-0 pixels.

QuPath's conventions (qupath.readthedocs.io, Exporting annotations): a UUID as id, ``objectType``, a classification with
a colour, numeric measurements; rings are closed (RFC 7946). Coordinates start at the scanned area, as QuPath's do.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import colormaps

from her2core.io.files import write_via_temporary
from her2core.notice import RESEARCH
from her2core.slide.heatmap import STATE_COLOURS

#: Names of tiles that do not count.
NAMES = {"out_of_distribution": "Out of distribution", "not_assessable": "Not assessable"}


def write_geojson(path: Path, tiles: pd.DataFrame, classes: Sequence[str], *, name: str) -> Path:
    """Write the tiles of a slide.

    Parameters
    ----------
    path : Path
        Ending in .geojson.
    tiles : DataFrame
        ``column, row, x, y, side`` (level-0 pixels), ``state``, ``tissue_share`` and ``probability_<class>``; perhaps
        ``ood_score``.
    classes : sequence of str
    name : str
        Of slide and model; it decides the ids, so that the same tile has the same id again.

    Returns
    -------
    Path
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(f'{{"type": "FeatureCollection", "notice": {json.dumps(RESEARCH)}, "features": [')
            for number, row in enumerate(tiles.to_dict("records")):
                feature = json.dumps(tile_feature(row, classes, name=name), allow_nan=False)
                file.write((",\n" if number else "\n") + feature)
            file.write("\n]}\n")

    return write_via_temporary(path, write)


def tile_feature(row: dict[str, Any], classes: Sequence[str], *, name: str) -> dict[str, Any]:
    """One tile as a GeoJSON feature.

    Parameters
    ----------
    row : dict
        As in ``write_geojson``.
    classes : sequence of str
    name : str

    Returns
    -------
    dict

    Examples
    --------
    >>> row = {"column": 0, "row": 0, "x": 0.0, "y": 0.0, "side": 10.0, "state": "counted", "tissue_share": 1.0}
    >>> feature = tile_feature({**row, "probability_low": 0.25, "probability_high": 0.75}, ("low", "high"), name="S1")
    >>> feature["properties"]["classification"]["name"], feature["properties"]["measurements"]
    ('high', {'probability low': 0.25, 'probability high': 0.75, 'tissue share': 1.0, 'counted': 1})
    >>> ring = feature["geometry"]["coordinates"][0]
    >>> len(ring), ring[0] == ring[-1]
    (5, True)
    """
    left, top = round(row["x"], 2), round(row["y"], 2)
    right, bottom = round(row["x"] + row["side"], 2), round(row["y"] + row["side"], 2)
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    values = [float(row[f"probability_{c}"]) for c in classes]
    counted = row["state"] == "counted"
    measured = {f"probability {c}": v for c, v in zip(classes, values, strict=True)}
    measured |= {"tissue share": float(row["tissue_share"]), "counted": int(counted)}
    if "ood_score" in row and row["ood_score"] is not None:
        measured["out-of-distribution score"] = float(row["ood_score"])
    best = max(range(len(classes)), key=values.__getitem__) if counted else None
    label = NAMES[row["state"]] if best is None else classes[best]
    colour = STATE_COLOURS[row["state"]] if best is None else _class_colour(best)
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{row['column']}_{row['row']}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "tile",
            "classification": {"name": label, "color": list(colour)},
            "measurements": {k: round(v, 6) for k, v in measured.items() if math.isfinite(v)},
        },
    }


def _class_colour(number: int) -> tuple[int, int, int]:
    red, green, blue = (round(255 * v) for v in colormaps["tab10"](number % 10)[:3])
    return red, green, blue
