"""Annotated regions of a slide: Aperio XML, BCNB JSON, QuPath GeoJSON.

All three state polygons in level-0 pixels. Regions of one file are united. The rules are our choice and are said with
the result: a region that crosses itself is read by the even-odd rule, what lies beyond the slide is cut off, an
annotation without an area (a ruler, a point, an arrow) is left out, and a file of which nothing remains is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from her2core.errors import ImageError
from her2core.extras import require_extra
from her2core.io.text import clean_text, printable_path

#: Largest file of annotations, in bytes, and what is expected in one.
MAX_BYTES = 200_000_000
_FORMATS = "annotations of Aperio (XML), BCNB (JSON) or QuPath (GeoJSON)"
_BEYOND = (RecursionError, OverflowError)  # sequences or numbers beyond what Python reads
_FIX = "Export the annotations again, in level-0 pixels."

#: A ring of points, float64 (N, 2), and the holes in it.
_Rings = tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]


@dataclass(frozen=True, eq=False)
class Regions:
    """The union of a slide's annotated regions.

    Attributes
    ----------
    shape : shapely geometry
        In level-0 pixels, inside the slide.
    count : int
        Annotations that it is made of.
    notes : tuple of str
        What was repaired, cut off or left out.
    """

    shape: Any
    count: int
    notes: tuple[str, ...] = field(default=())

    def shares(self, x: npt.NDArray[Any], y: npt.NDArray[Any], side: float) -> npt.NDArray[np.float64]:
        """Share of each square that lies in the regions.

        Parameters
        ----------
        x, y : float arrays (N,)
            Upper left corners in level-0 pixels.
        side : float
            In level-0 pixels.

        Returns
        -------
        float64 array (N,)
            0-1.
        """
        import shapely

        shapely.prepare(self.shape)
        boxes = shapely.box(x, y, x + side, y + side)
        found = np.zeros(len(boxes))
        near = np.flatnonzero(shapely.intersects(self.shape, boxes))
        found[near] = shapely.area(shapely.intersection(self.shape, boxes[near])) / side**2
        return found


def read_regions(path: Path, *, width: float, height: float) -> Regions:
    """Read the annotations of one slide.

    Parameters
    ----------
    path : Path
        A file of Aperio ImageScope (.xml), BCNB (.json) or QuPath (.geojson, .json).
    width, height : float
        Of the slide, in level-0 pixels.

    Returns
    -------
    Regions

    Raises
    ------
    ImageError
        The file is missing, broken or of another kind, or no region of it lies on the slide.
    ConfigError
        The extra ``slide`` is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "1.json")
    ...     _ = file.write_text('{"positive": [{"vertices": [[0, 0], [80, 0], [80, 50], [0, 50]]}]}')
    ...     regions = read_regions(file, width=100, height=100)
    >>> regions.shape.area, regions.shares(np.array([0.0, 70.0]), np.array([0.0, 0.0]), 20.0).tolist()
    (4000.0, [1.0, 0.5])
    """
    require_extra("slide", "shapely")
    import shapely

    where = printable_path(path)
    rings = list(_rings(_content(path, where), where))
    notes, kept, beyond, empty = [], [], 0, 0
    slide = shapely.box(0, 0, width, height)
    for number, (outer, holes) in enumerate(rings, 1):
        shape = shapely.Polygon(outer, holes) if len(outer) >= 3 else shapely.Polygon()
        if not shape.is_valid:
            place = re.search(r"\[(.+?)\]", shapely.is_valid_reason(shape))
            notes.append(
                f"region {number} crosses itself{f' near {place[1]}' if place else ''}: read by the even-odd rule"
            )
            shape = shapely.make_valid(shape)
        if not shape.area:
            empty += 1
            continue
        inside = shape.intersection(slide)
        if inside.area < shape.area * (1 - 1e-9):
            beyond += 1
        if inside.area:
            kept.append(inside)
    notes += [f"{beyond} of {len(rings)} regions lie beyond the slide, wholly or in part: cut off"] if beyond else []
    notes += [f"{empty} of {len(rings)} annotations have no area: left out"] if empty else []
    if not kept:
        raise ImageError(
            f"a region on the slide of {width:,.0f} x {height:,.0f} px",
            got=f"none among {len(rings)} annotations" + (f" ({'; '.join(notes)})" if notes else ""),
            where=where,
            fix=f"Check that the file belongs to this slide. {_FIX}",
        )
    return Regions(shapely.union_all(kept), len(kept), tuple(notes))


def _content(path: Path, where: str) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError(_FORMATS, got=f"more than {MAX_BYTES // 10**6} MB", where=where, fix=_FIX)
        return path.read_bytes()
    except OSError as refused:
        raise ImageError(_FORMATS, got=(refused.strerror or "an error").lower(), where=where, fix=_FIX) from None


def _rings(data: bytes, where: str) -> Iterator[_Rings]:
    try:
        if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            yield from _aperio(data)
            return
        content = json.loads(data)
        if isinstance(content, dict) and isinstance(content.get("positive"), list):
            for region in content["positive"]:
                yield _points(region["vertices"]), []
        else:
            yield from _geojson(content)
    except (ElementTree.ParseError, ValueError, LookupError, TypeError, AttributeError, *_BEYOND) as broken:
        raise ImageError(
            _FORMATS, got=f"something else ({clean_text(broken, 80) or 'unreadable'})", where=where, fix=_FIX
        ) from None


def _aperio(data: bytes) -> Iterator[_Rings]:
    """Regions of all layers; regions marked as negative (NegativeROA) are holes of the layer's others."""
    if b"<!" in data.replace(b"<!--", b""):
        raise ValueError("a document type declaration")
    root = ElementTree.fromstring(data)
    if root.tag != "Annotations":
        raise ValueError(f"XML of the kind {root.tag}")
    for layer in root.iter("Annotation"):
        outer: list[npt.NDArray[np.float64]] = []
        holes: list[npt.NDArray[np.float64]] = []
        for region in layer.iter("Region"):
            ring = _points([(vertex.attrib["X"], vertex.attrib["Y"]) for vertex in region.iter("Vertex")])
            (holes if region.get("NegativeROA") == "1" else outer).append(ring)
        yield from ((ring, [hole for hole in holes if _within(hole, ring)]) for ring in outer)


def _geojson(content: Any) -> Iterator[_Rings]:
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content["features"]
    for feature in content if isinstance(content, list) else [content]:
        shape = feature["geometry"] or {"type": "none", "coordinates": ()}  # RFC 7946 allows a feature without a place
        kind = shape["type"]
        if kind == "GeometryCollection":
            raise ValueError("a GeometryCollection")
        polygons = {"Polygon": [shape["coordinates"]], "MultiPolygon": shape["coordinates"]}.get(kind)
        if not polygons or not all(polygons):  # a line, points, or an empty polygon: no area
            yield np.zeros((0, 2)), []
            continue
        yield from ((_points(rings[0]), [_points(hole) for hole in rings[1:]]) for rings in polygons)


def _points(vertices: Any) -> npt.NDArray[np.float64]:
    points = np.array([(float(v[0]), float(v[1])) for v in vertices], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise ValueError("a vertex that is no number")
    return points


def _within(hole: npt.NDArray[np.float64], ring: npt.NDArray[np.float64]) -> bool:
    """Whether the frame of a hole lies in the frame of a ring."""
    if not len(hole) or not len(ring):
        return False
    return bool((hole.min(axis=0) >= ring.min(axis=0)).all() and (hole.max(axis=0) <= ring.max(axis=0)).all())
